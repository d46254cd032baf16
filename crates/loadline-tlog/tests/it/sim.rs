//! A disk in memory that keeps only what it must, and fails when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use loadline_tlog::disk::{Disk, Lock, LockError, Written};

/// What goes wrong, once, at one step. A step is whatever changes the disk: a folder, a file, a sync, a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From this step on nothing works. Of a write, a part may have gone through.
    PowerCut,
    /// From this write on the disk is full, after a part of it.
    Full,
    /// A sync fails, and what a file's sync was to make durable is dropped: no later sync makes it durable.
    SyncFails,
}

/// The disk. A clone is the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<World>>);

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

/// One change of names, which lasts whole or not at all: a name goes, a name comes, or both.
#[derive(Clone, Debug)]
struct NameChange {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, Node)>,
}

#[derive(Clone, Default)]
struct Inode {
    visible: Vec<u8>,
    /// `None` until a sync.
    durable: Option<Vec<u8>>,
    /// A sync failed: what was written will never be durable.
    lost: bool,
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
    /// From now on, count steps anew and fail at this one.
    pub fn fail_at(&self, step: u64, fault: Fault) {
        let mut world = self.world();
        (world.steps, world.fault, world.struck) = (0, Some((step, fault)), false);
    }

    /// Whether the fault has struck.
    pub fn struck(&self) -> bool {
        self.world().struck
    }

    /// The disk as the next process finds it when this one is killed: all that was written.
    pub fn killed(&self) -> Self {
        let mut world = self.world().clone();
        world.revive();
        Self(Arc::new(Mutex::new(world)))
    }

    /// The disk after a power cut: what was synced, and of the rest whatever these dice say.
    pub fn power_cut(&self, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut world = self.world().clone();
        let mut names = std::mem::take(&mut world.durable_names);
        let pending = std::mem::take(&mut world.pending_names);
        let mode = dice.roll(4);
        let first = dice.roll(pending.len() as u64 + 1);
        for (number, change) in (0..).zip(pending) {
            let kept = match mode {
                0 => false,
                1 => true,
                2 => number < first,
                _ => dice.roll(2) == 0,
            };
            // A name in a folder that did not last is gone with it.
            if kept && change.has_home(&names) {
                change.apply(&mut names);
            }
        }
        for file in &mut world.files {
            file.lose_power(&mut dice);
        }
        (world.names, world.durable_names) = (names.clone(), names);
        world.revive();
        Self(Arc::new(Mutex::new(world)))
    }

    /// A copy that shares nothing, locks and all.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.world().clone())))
    }

    /// A file's bytes.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let world = self.world();
        match world.names.get(Path::new(path))? {
            Node::File(id) => Some(world.files[*id].visible.clone()),
            Node::Dir => None,
        }
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<String> {
        let world = self.world();
        let files = world.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.to_str().unwrap().to_owned()).collect()
    }

    /// Puts bytes in a file's place, durable.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut world = self.world();
        let id = world.files.len();
        world.files.push(Inode { visible: bytes.to_vec(), durable: Some(bytes.to_vec()), lost: false });
        world.names.insert(PathBuf::from(path), Node::File(id));
        world.durable_names.insert(PathBuf::from(path), Node::File(id));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    fn revive(&mut self) {
        self.locks.clear();
        (self.steps, self.fault, self.struck, self.off, self.full) = (0, None, false, false, false);
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

    /// A step of which nothing goes through when the power is cut; new names need room.
    fn whole_step(&mut self) -> io::Result<()> {
        match self.step()? {
            Some(Fault::PowerCut) => Err(power_is_off()),
            _ if self.full => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, removed: Option<PathBuf>, added: Option<(PathBuf, Node)>) {
        let change = NameChange { removed, added };
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn has_parent(&self, path: &Path) -> io::Result<()> {
        let home = has_home(path, &self.names);
        if home { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

/// Whether the folder above is there. The top is always there.
fn has_home(path: &Path, names: &BTreeMap<PathBuf, Node>) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.is_none_or(|parent| names.get(parent) == Some(&Node::Dir))
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((added, node)) = &self.added {
            names.insert(added.clone(), *node);
        }
    }

    fn has_home(&self, names: &BTreeMap<PathBuf, Node>) -> bool {
        self.added.as_ref().is_none_or(|(added, _)| has_home(added, names))
    }

    fn is_in(&self, folder: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(folder) || folder == Path::new(".");
        self.removed.as_deref().is_some_and(inside)
            || self.added.as_ref().is_some_and(|(path, _)| inside(path))
    }
}

impl Inode {
    /// What was not synced is there, or is not, or is torn: a prefix, or sectors with zeros between them.
    fn lose_power(&mut self, dice: &mut Dice) {
        let mut kept = self.visible.clone();
        match &self.durable {
            Some(durable) => kept.clone_from(durable),
            None => match if self.lost { 0 } else { dice.roll(4) } {
                0 => kept.clear(),
                1 => {}
                2 => kept.truncate(dice.roll(self.visible.len() as u64 + 1) as usize),
                _ => {
                    let sector = [16, 128, 4096][dice.roll(3) as usize];
                    for part in kept.chunks_mut(sector).filter(|_| dice.roll(2) == 0) {
                        part.fill(0);
                    }
                }
            },
        }
        self.visible.clone_from(&kept);
        self.durable = Some(kept);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if world.names.contains_key(path) {
            return if world.off { Err(power_is_off()) } else { Ok(()) };
        }
        world.whole_step()?;
        world.has_parent(path)?;
        world.change(None, Some((path.to_path_buf(), Node::Dir)));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        match world.step()? {
            Some(Fault::PowerCut) => return Err(power_is_off()),
            Some(Fault::SyncFails) => return Err(io::Error::other("input/output error")),
            _ => {}
        }
        let pending = std::mem::take(&mut world.pending_names);
        for change in pending {
            if change.is_in(path) {
                change.apply(&mut world.durable_names);
            } else {
                world.pending_names.push(change);
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<Box<dyn Written>> {
        let mut world = self.world();
        let was_full = world.full;
        let fault = world.step()?;
        world.has_parent(path)?;
        if was_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let kept =
            if matches!(fault, Some(Fault::PowerCut | Fault::Full)) { bytes.len() / 2 } else { bytes.len() };
        let id = world.files.len();
        world.files.push(Inode { visible: bytes[..kept].to_vec(), ..Inode::default() });
        world.change(None, Some((path.to_path_buf(), Node::File(id))));
        match fault {
            Some(Fault::PowerCut) => Err(power_is_off()),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(Box::new(SimFile { disk: self.clone(), id })),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.whole_step()?;
        let id = world.file(from)?;
        world.has_parent(to)?;
        world.change(Some(from.to_path_buf()), Some((to.to_path_buf(), Node::File(id))));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if !world.names.contains_key(path) {
            return Ok(());
        }
        if world.step()? == Some(Fault::PowerCut) {
            return Err(power_is_off());
        }
        world.change(Some(path.to_path_buf()), None);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        let inside: Vec<PathBuf> =
            world.names.keys().filter(|name| name.starts_with(path)).cloned().collect();
        // The files first, each a step of its own.
        for name in inside.into_iter().rev() {
            if world.step()? == Some(Fault::PowerCut) {
                return Err(power_is_off());
            }
            world.change(Some(name), None);
        }
        Ok(())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let world = self.world();
        if world.off {
            return Err(power_is_off());
        }
        let Some(Node::File(id)) = world.names.get(path) else { return Ok(None) };
        let bytes = world.files[*id].visible.clone();
        if bytes.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    fn list(&self, path: &Path, limit: usize) -> io::Result<Vec<String>> {
        let world = self.world();
        if world.off {
            return Err(power_is_off());
        }
        if matches!(world.names.get(path), Some(Node::File(_))) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let inside = world.names.keys().filter(|name| name.parent() == Some(path));
        let names: Vec<String> =
            inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect();
        if names.len() > limit { Err(io::Error::other("too many")) } else { Ok(names) }
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

impl Written for SimFile {
    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let fault = world.step()?;
        let file = &mut world.files[self.id];
        match fault {
            Some(Fault::PowerCut) => return Err(power_is_off()),
            Some(Fault::SyncFails) => {
                file.lost = true;
                return Err(io::Error::other("input/output error"));
            }
            _ => {}
        }
        if !file.lost {
            file.durable = Some(file.visible.clone());
        }
        Ok(())
    }
}
