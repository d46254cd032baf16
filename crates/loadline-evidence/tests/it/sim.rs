//! A disk in memory that keeps only what it must, and fails when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use loadline_evidence::disk::{AppendFile, Disk, Lock, LockError, ReadFile};

/// What goes wrong, once, at one step. A step is a write, a sync, a cut, a rename or the making of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From this step on nothing works. Of a write, a part may have gone through.
    PowerCut,
    /// From this write on the disk is full, after a part of it.
    Full,
    /// A sync fails, and what it was to make durable is dropped: no later sync makes it durable.
    SyncFails,
    /// A write goes through in part, and one is interrupted before.
    Short,
}

/// The disk. A clone is the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<World>>, Arc<Condvar>);

#[derive(Clone, Default)]
struct World {
    files: Vec<Inode>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    /// Changes to names that no sync of their folder has made durable.
    pending_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    steps: u64,
    fault: Option<(u64, Fault)>,
    struck: bool,
    off: bool,
    full: bool,
    interrupted: bool,
    /// Syncs of files wait.
    held: bool,
    held_writes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug)]
struct NameChange {
    removed: Option<PathBuf>,
    added: PathBuf,
    node: Node,
}

#[derive(Clone, Default)]
struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync: bytes written at an offset, or a cut to a length.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// Small, seeded, and the same everywhere (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl SimDisk {
    /// A disk that fails at this step.
    pub fn failing(step: u64, fault: Fault) -> Self {
        let disk = Self::default();
        disk.fail_at(step, fault);
        disk
    }

    /// From now on, count steps anew and fail at this one.
    pub fn fail_at(&self, step: u64, fault: Fault) {
        let mut world = self.world();
        world.steps = 0;
        world.fault = Some((step, fault));
        world.struck = false;
    }

    /// From now on a sync of a file waits, as on a slow disk, until the value is dropped.
    pub fn hold_syncs(&self) -> Held {
        self.world().held = true;
        Held(self.clone())
    }

    /// From now on writes wait too, as where the system does not get to them.
    pub fn hold_writes(&self) -> Held {
        self.world().held_writes = true;
        Held(self.clone())
    }

    /// Whether the fault has struck.
    pub fn struck(&self) -> bool {
        self.world().struck
    }

    /// The disk as the next process finds it when this one is killed: all that was written.
    pub fn killed(&self) -> Self {
        let mut world = self.world().clone();
        world.revive();
        Self(Arc::new(Mutex::new(world)), Arc::default())
    }

    /// The disk after a power cut: what was synced, and of the rest whatever these dice say.
    pub fn power_cut(&self, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut world = self.world().clone();
        let mut names = std::mem::take(&mut world.durable_names);
        let kept = match dice.roll(3) {
            0 => 0,
            1 => world.pending_names.len() as u64,
            _ => dice.roll(world.pending_names.len() as u64 + 1),
        };
        for change in world.pending_names.drain(..).take(kept as usize) {
            change.apply(&mut names);
        }
        for file in &mut world.files {
            file.lose_power(&mut dice);
        }
        world.names = names.clone();
        world.durable_names = names;
        world.pending_names.clear();
        world.revive();
        Self(Arc::new(Mutex::new(world)), Arc::default())
    }

    /// A file's bytes.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        match world.names.get(path)? {
            Node::File(id) => Some(world.files[*id].visible.clone()),
            Node::Dir => None,
        }
    }

    /// Puts bytes in a file's place, durable.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.world();
        let id = world.files.len();
        world.files.push(Inode { visible: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
        world.names.insert(path.to_path_buf(), Node::File(id));
        world.durable_names.insert(path.to_path_buf(), Node::File(id));
    }

    /// A copy that shares nothing.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())), Arc::default())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    fn revive(&mut self) {
        self.locks.clear();
        (self.steps, self.fault, self.struck) = (0, None, false);
        (self.off, self.full, self.interrupted) = (false, false, false);
        (self.held, self.held_writes) = (false, false);
    }

    /// Counts a step and says what goes wrong at it.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if self.off {
            return Err(power_is_off());
        }
        let now = self.steps;
        self.steps += 1;
        let fault = self.fault.filter(|(at, _)| *at == now).map(|(_, fault)| fault);
        self.struck |= fault.is_some();
        self.off = fault == Some(Fault::PowerCut);
        self.full |= fault == Some(Fault::Full);
        Ok(fault)
    }

    /// A step of which nothing goes through when the power is cut.
    fn whole_step(&mut self) -> io::Result<()> {
        if self.step()? == Some(Fault::PowerCut) { Err(power_is_off()) } else { Ok(()) }
    }

    fn name(&mut self, removed: Option<PathBuf>, added: &Path, node: Node) {
        let change = NameChange { removed, added: added.to_path_buf(), node };
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        names.insert(self.added.clone(), self.node);
    }
}

impl Inode {
    /// Keeps of the pending changes none, all, a prefix of their bytes, or any sectors, zeros between.
    fn lose_power(&mut self, dice: &mut Dice) {
        let mode = dice.roll(4);
        let sector_len = [16, 128, 4096][dice.roll(3) as usize];
        let mut bytes = std::mem::take(&mut self.durable);
        let mut left = match mode {
            0 => 0,
            1 => usize::MAX,
            _ => {
                let total: usize = self.pending.iter().map(Change::len).sum();
                dice.roll(total as u64 + 1) as usize
            }
        };
        for change in self.pending.drain(..) {
            match change {
                Change::Cut(length) if left > 0 => bytes.truncate(length),
                Change::Cut(_) => {}
                Change::Write(offset, data) if mode == 3 => {
                    for (at, sector) in data.chunks(sector_len).enumerate().filter(|_| dice.roll(2) == 0) {
                        put(&mut bytes, offset + at * sector_len, sector);
                    }
                }
                Change::Write(offset, data) => {
                    let kept = data.len().min(left);
                    left -= kept;
                    if kept > 0 {
                        put(&mut bytes, offset, &data[..kept]);
                    }
                }
            }
        }
        self.visible.clone_from(&bytes);
        self.durable = bytes;
    }
}

impl Change {
    fn len(&self) -> usize {
        match self {
            Self::Write(_, data) => data.len(),
            Self::Cut(_) => 0,
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(offset + data.len()), 0);
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.whole_step()?;
        if !world.names.contains_key(path) {
            world.name(None, path, Node::Dir);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        match world.step()? {
            Some(Fault::PowerCut) => return Err(power_is_off()),
            Some(Fault::SyncFails) => return Err(io::Error::other("input/output error")),
            _ => {}
        }
        let (now, later) = std::mem::take(&mut world.pending_names)
            .into_iter()
            .partition(|change| change.added.parent() == Some(path) || path == Path::new("."));
        world.pending_names = later;
        let now: Vec<NameChange> = now;
        for change in now {
            change.apply(&mut world.durable_names);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = world.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.world().names.contains_key(path))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut world = self.world();
        world.whole_step()?;
        let id = world.files.len();
        world.files.push(Inode::default());
        world.name(None, path, Node::File(id));
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let id = self.world().file(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn read(&self, path: &Path) -> io::Result<(Box<dyn ReadFile>, u64)> {
        let world = self.world();
        if world.off {
            return Err(power_is_off());
        }
        let bytes = world.files[world.file(path)?].visible.clone();
        let length = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.whole_step()?;
        let id = world.file(from)?;
        world.name(Some(from.to_path_buf()), to, Node::File(id));
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        let mut world = self.world();
        if world.off {
            return Err(LockError::Io(power_is_off()));
        }
        if !world.locks.insert(path.to_path_buf()) {
            return Err(LockError::Held(Some(1)));
        }
        Ok(Box::new(SimLock(self.clone(), path.to_path_buf())))
    }
}

/// Syncs, or writes, wait while it lives.
pub struct Held(SimDisk);

impl Drop for Held {
    fn drop(&mut self) {
        let mut world = self.0.world();
        (world.held, world.held_writes) = (false, false);
        drop(world);
        self.0.1.notify_all();
    }
}

struct SimLock(SimDisk, PathBuf);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.world().locks.remove(&self.1);
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
}

impl AppendFile for SimFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.disk.1.wait_while(self.disk.world(), |world| world.held_writes).unwrap();
        let fault = world.step()?;
        if fault == Some(Fault::Short) && !world.interrupted {
            // The same write is tried again, and then goes through in part.
            world.interrupted = true;
            world.steps -= 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if world.full && fault.is_none() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let kept = if fault.is_some() { (bytes.len() / 2).max(1) } else { bytes.len() };
        let file = &mut world.files[self.id];
        file.pending.push(Change::Write(file.visible.len(), bytes[..kept].to_vec()));
        file.visible.extend_from_slice(&bytes[..kept]);
        if fault == Some(Fault::PowerCut) { Err(power_is_off()) } else { Ok(kept) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.1.wait_while(self.disk.world(), |world| world.held).unwrap();
        match world.step()? {
            Some(Fault::PowerCut) => return Err(power_is_off()),
            Some(Fault::SyncFails) => {
                world.files[self.id].pending.clear();
                return Err(io::Error::other("input/output error"));
            }
            _ => {}
        }
        let file = &mut world.files[self.id];
        let mut bytes = std::mem::take(&mut file.durable);
        for change in file.pending.drain(..) {
            match change {
                Change::Cut(length) => bytes.truncate(length),
                Change::Write(offset, data) => put(&mut bytes, offset, &data),
            }
        }
        file.durable = bytes;
        Ok(())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.whole_step()?;
        let file = &mut world.files[self.id];
        file.visible.truncate(length as usize);
        file.pending.push(Change::Cut(length as usize));
        Ok(())
    }
}
