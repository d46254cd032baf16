//! A log that grows, durably.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskError, FolderSource, Lock, LockError};
use crate::checkpoint::Checkpoint;
use crate::grow::{Edge, NewFile};
use crate::key::VerifierKey;
use crate::merkle::empty_root;
use crate::note::{MAX_NOTE_BYTES, Note};
use crate::tile::{self, Resource};
use crate::tiles::TileReader;

/// The newest checkpoint that the log signed: what the log is. Written before anybody sees the signature.
const HEAD: &str = "head";
/// Where files are until they are whole.
const TEMPORARY: &str = "tmp";
/// Locked by the process that writes.
const LOCK: &str = "lock";
/// Files written, synced and renamed together.
const GROUP: usize = 64;
/// And at most about so many bytes of them in memory: one bundle may have 16 MiB.
const GROUP_BYTES: usize = 32 << 20;

/// A log in a folder, open for writing by this process alone.
pub struct DiskLog {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    keys: Vec<VerifierKey>,
    edge: Edge,
    checkpoint: Checkpoint,
    head: Note,
    /// Folders that are there and whose names are durable or will be with the next sync.
    folders: BTreeSet<PathBuf>,
    unsynced: BTreeSet<PathBuf>,
    stopped: bool,
    _lock: Box<dyn Lock>,
}

impl fmt::Debug for DiskLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskLog({}, {} entries)", self.dir.display(), self.edge.size())
    }
}

impl DiskLog {
    /// Makes an empty log. `keys` are the public keys of the log, one of which must sign every checkpoint; `sign` signs
    /// the first one.
    ///
    /// # Errors
    /// When there is a log already, the disk refuses, or the checkpoint is not signed.
    pub fn create<E: fmt::Display>(
        dir: impl Into<PathBuf>,
        disk: Arc<dyn Disk>,
        keys: Vec<VerifierKey>,
        origin: &str,
        sign: impl FnOnce(&Checkpoint) -> Result<Note, E>,
    ) -> Result<Self, DiskError> {
        let dir = dir.into();
        let checkpoint = Checkpoint::new(origin, 0, empty_root())?;
        disk.create_dir(&dir).map_err(DiskError::io("make the folder", &dir))?;
        let lock = lock(&dir, disk.as_ref())?;
        if read_note(disk.as_ref(), &dir.join(HEAD))?.is_some() {
            return Err(DiskError::Exists(dir));
        }
        let head = signed(&checkpoint, &keys, sign)?;
        let log = Self::assemble(dir, disk, keys, Edge::new(), checkpoint, head, lock)?;
        let parent = log.dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        log.disk.sync_dir(parent).map_err(DiskError::io("sync", parent))?;
        log.replace_note(HEAD, &log.head)?;
        Ok(log)
    }

    /// Opens a log to add to it, and writes its head once more. The right edge and the published checkpoint are checked against the newest signed one;
    /// files beyond it, from a batch that a crash cut off, are no part of the log.
    ///
    /// # Errors
    /// When there is none, another process writes, or what is there is not what was signed.
    pub fn open(
        dir: impl Into<PathBuf>,
        disk: Arc<dyn Disk>,
        keys: Vec<VerifierKey>,
    ) -> Result<Self, DiskError> {
        let dir = dir.into();
        // Looked for before the lock is made: opening must not leave a file in a folder that is no log.
        let missing = || DiskError::Missing(dir.clone());
        read_note(disk.as_ref(), &dir.join(HEAD))?.ok_or_else(missing)?;
        let lock = lock(&dir, disk.as_ref())?;
        let (checkpoint, head) = read_head(&dir, disk.as_ref(), &keys)?;
        let source = FolderSource { dir: dir.clone(), disk: Arc::clone(&disk) };
        let mut reader = TileReader::new(source, checkpoint.size(), *checkpoint.root());
        let edge = reader.edge().map_err(|error| damaged(&dir, &error))?;
        check_published(&dir, disk.as_ref(), &keys, &mut reader)?;
        let log = Self::assemble(dir, disk, keys, edge, checkpoint, head, lock)?;
        // A process that was killed may have left a head whose name is not durable yet. Nobody may see it before it is:
        // after a power cut the log would sign another history.
        log.replace_note(HEAD, &log.head)?;
        Ok(log)
    }

    fn assemble(
        dir: PathBuf,
        disk: Arc<dyn Disk>,
        keys: Vec<VerifierKey>,
        edge: Edge,
        checkpoint: Checkpoint,
        head: Note,
        lock: Box<dyn Lock>,
    ) -> Result<Self, DiskError> {
        let temporary = dir.join(TEMPORARY);
        disk.create_dir(&temporary).map_err(DiskError::io("make the folder", &temporary))?;
        let (folders, unsynced) = (BTreeSet::new(), BTreeSet::new());
        Ok(Self { dir, disk, keys, edge, checkpoint, head, folders, unsynced, stopped: false, _lock: lock })
    }

    /// How many entries were added durably.
    pub fn size(&self) -> u64 {
        self.checkpoint.size()
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The newest checkpoint as the log signed it: what witnesses are asked to cosign.
    pub fn head(&self) -> &Note {
        &self.head
    }

    /// The checkpoint that is published, if there is one: what a server serves.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn published(&self) -> Result<Option<Note>, DiskError> {
        read_note(self.disk.as_ref(), &self.dir.join(Resource::Checkpoint.path()))
    }

    /// The log's files, to read.
    pub fn source(&self) -> FolderSource {
        FolderSource { dir: self.dir.clone(), disk: Arc::clone(&self.disk) }
    }

    /// A reader at the newest checkpoint.
    pub fn reader(&self) -> TileReader<FolderSource> {
        TileReader::new(self.source(), self.checkpoint.size(), *self.checkpoint.root())
    }

    /// Adds entries as one batch: all of them or none. When this returns, the entries, the tiles and the checkpoint that
    /// `sign` signed are durable, and the indexes of the entries are given. Nobody sees the checkpoint before
    /// [`DiskLog::publish`].
    ///
    /// # Errors
    /// When an entry is too long or `sign` fails, nothing was added. When the disk fails, the log stops: whether the
    /// batch was added shows when it is opened again.
    pub fn append<T: AsRef<[u8]>, E: fmt::Display>(
        &mut self,
        entries: impl IntoIterator<Item = T>,
        sign: impl FnOnce(&Checkpoint) -> Result<Note, E>,
    ) -> Result<Range<u64>, DiskError> {
        if self.stopped {
            return Err(DiskError::Stopped(self.dir.clone()));
        }
        let result = self.try_append(entries, sign);
        self.stopped = matches!(result, Err(DiskError::Io { .. }));
        result
    }

    fn try_append<T: AsRef<[u8]>, E: fmt::Display>(
        &mut self,
        entries: impl IntoIterator<Item = T>,
        sign: impl FnOnce(&Checkpoint) -> Result<Note, E>,
    ) -> Result<Range<u64>, DiskError> {
        let old_size = self.size();
        let (mut edge, mut full, mut filled) = (self.edge.clone(), Vec::new(), Vec::new());
        for entry in entries {
            edge.push(entry.as_ref(), &mut full)?;
            if full.len() >= GROUP || full.iter().map(|file| file.bytes.len()).sum::<usize>() >= GROUP_BYTES {
                self.write_files(&full)?;
                filled.extend(full.drain(..).map(|file| file.resource));
            }
        }
        if edge.size() == old_size {
            return Ok(old_size..old_size);
        }
        filled.extend(full.iter().map(|file| file.resource));
        full.extend(edge.partial());
        self.write_files(&full)?;
        self.sync_folders()?;
        let checkpoint = Checkpoint::new(self.checkpoint.origin(), edge.size(), edge.root())?;
        let head = signed(&checkpoint, &self.keys, sign)?;
        self.replace_note(HEAD, &head)?;
        (self.edge, self.checkpoint, self.head) = (edge, checkpoint, head);
        self.remove_partial(&filled);
        Ok(old_size..self.size())
    }

    /// Publishes a checkpoint that this log signed, usually the newest with cosignatures: it becomes the file
    /// `checkpoint`, which is what a server serves.
    ///
    /// # Errors
    /// When it is not one of this log's, is older than the one that is published, or the disk fails.
    pub fn publish(&mut self, note: &Note) -> Result<(), DiskError> {
        if self.stopped {
            return Err(DiskError::Stopped(self.dir.clone()));
        }
        let refused = |why: String| DiskError::Unpublishable(why);
        note.verify(&self.keys).map_err(|error| refused(error.to_string()))?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| refused(error.to_string()))?;
        if checkpoint.origin() != self.checkpoint.origin() {
            return Err(refused(format!("it is of the log `{}`", crate::text::excerpt(checkpoint.origin()))));
        }
        let mut reader = self.reader();
        let (root, _) = reader.consistency(checkpoint.size()).map_err(|error| refused(error.to_string()))?;
        if root != *checkpoint.root() {
            return Err(refused("it has another root than this log".to_owned()));
        }
        let published = self.published()?.map(|note| Checkpoint::parse(note.text())).transpose()?;
        if let Some(published) = published.filter(|published| published.size() > checkpoint.size()) {
            return Err(refused(format!("one of {} entries is published", published.size())));
        }
        let result = self.replace_note(&Resource::Checkpoint.path(), note);
        self.stopped = result.is_err();
        result
    }

    /// Writes files whole and durable under temporary names, then gives them their names.
    fn write_files(&mut self, files: &[NewFile]) -> Result<(), DiskError> {
        let mut written = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let path = self.dir.join(TEMPORARY).join(number.to_string());
            let handle = self.disk.write(&path, &file.bytes).map_err(DiskError::io("write", &path))?;
            written.push((path, handle));
        }
        // All are written before the first sync: the system can then write them together.
        for (path, handle) in &written {
            handle.sync().map_err(DiskError::io("sync", path))?;
        }
        for ((from, _), file) in written.iter().zip(files) {
            let to = self.dir.join(file.resource.path());
            self.prune(file.resource)?;
            self.make_folders(&to)?;
            self.disk.rename(from, &to).map_err(DiskError::io("rename a file to", &to))?;
            self.unsynced.extend(to.parent().map(Path::to_path_buf));
        }
        Ok(())
    }

    /// Removes the partial files of a batch that a crash cut off: once the log has grown over them, nothing would tell
    /// them from its own. The folder's sync makes it last before the head does.
    fn prune(&mut self, resource: Resource) -> Result<(), DiskError> {
        let folder = self.dir.join(format!("{}.p", resource.full().path()));
        if resource.full() != resource && self.folders.contains(&folder) {
            return Ok(());
        }
        let names =
            self.disk.list(&folder, tile::TILE_WIDTH as usize).map_err(DiskError::io("list", &folder))?;
        for name in names {
            let path = format!("{}.p/{name}", resource.full().path());
            let is_ours = Resource::parse(&path).is_ok_and(|file| file.is_within(self.size()));
            if !is_ours {
                let path = self.dir.join(path);
                self.disk.remove_file(&path).map_err(DiskError::io("remove", &path))?;
                self.unsynced.insert(folder.clone());
            }
        }
        Ok(())
    }

    /// Makes the folders above a file. A folder that is there may have been made by a process that crashed before it was
    /// durable, so each folder's name is synced once by every process.
    fn make_folders(&mut self, file: &Path) -> Result<(), DiskError> {
        let above: Vec<PathBuf> = file
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != self.dir)
            .map(Path::to_path_buf)
            .collect();
        for folder in
            above.into_iter().rev().filter(|folder| !self.folders.contains(folder)).collect::<Vec<_>>()
        {
            self.disk.create_dir(&folder).map_err(DiskError::io("make the folder", &folder))?;
            self.unsynced.extend(folder.parent().map(Path::to_path_buf));
            self.folders.insert(folder);
        }
        Ok(())
    }

    fn sync_folders(&mut self) -> Result<(), DiskError> {
        while let Some(folder) = self.unsynced.pop_last() {
            self.disk.sync_dir(&folder).map_err(DiskError::io("sync", &folder))?;
        }
        Ok(())
    }

    fn replace_note(&self, name: &str, note: &Note) -> Result<(), DiskError> {
        let (from, to) = (self.dir.join(TEMPORARY).join(name), self.dir.join(name));
        let bytes = note.to_text().into_bytes();
        let written = self.disk.write(&from, &bytes).map_err(DiskError::io("write", &from))?;
        written.sync().map_err(DiskError::io("sync", &from))?;
        self.disk.rename(&from, &to).map_err(DiskError::io("rename a file to", &to))?;
        self.disk.sync_dir(&self.dir).map_err(DiskError::io("sync", &self.dir))
    }

    /// Removes the partial files that full ones took the place of. They are no loss: a reader takes the first part of
    /// the full one. So an error does not matter either; what is left is harmless.
    fn remove_partial(&mut self, filled: &[Resource]) {
        for resource in filled {
            let folder = self.dir.join(format!("{}.p", resource.path()));
            let _ = self.disk.remove_dir(&folder);
            self.folders.remove(&folder);
        }
    }
}

/// Has a checkpoint signed, and makes sure that it was.
fn signed<E: fmt::Display>(
    checkpoint: &Checkpoint,
    keys: &[VerifierKey],
    sign: impl FnOnce(&Checkpoint) -> Result<Note, E>,
) -> Result<Note, DiskError> {
    let note = sign(checkpoint).map_err(|error| DiskError::NotSigned(error.to_string()))?;
    if note.text() != checkpoint.to_text() {
        return Err(DiskError::NotSigned("something else was signed".to_owned()));
    }
    note.verify(keys).map_err(|error| DiskError::NotSigned(error.to_string()))?;
    Ok(note)
}

pub(super) fn lock(dir: &Path, disk: &dyn Disk) -> Result<Box<dyn Lock>, DiskError> {
    let path = dir.join(LOCK);
    disk.lock(&path).map_err(|error| match error {
        LockError::Held(pid) => DiskError::Locked { dir: dir.to_path_buf(), pid },
        LockError::Io(source) => DiskError::Io { action: "lock", path, source },
    })
}

pub(super) fn damaged(dir: &Path, what: &dyn fmt::Display) -> DiskError {
    DiskError::Damaged { dir: dir.to_path_buf(), what: what.to_string() }
}

pub(super) fn read_note(disk: &dyn Disk, path: &Path) -> Result<Option<Note>, DiskError> {
    let bytes = disk.read(path, MAX_NOTE_BYTES).map_err(DiskError::io("read", path))?;
    let note = bytes.map(|bytes| Note::parse(&bytes)).transpose();
    note.map_err(|problem| DiskError::Note { path: path.to_path_buf(), problem })
}

pub(super) fn read_head(
    dir: &Path,
    disk: &dyn Disk,
    keys: &[VerifierKey],
) -> Result<(Checkpoint, Note), DiskError> {
    let path = dir.join(HEAD);
    let head = read_note(disk, &path)?.ok_or_else(|| DiskError::Missing(dir.to_path_buf()))?;
    head.verify(keys).map_err(|problem| DiskError::Note { path, problem })?;
    let checkpoint = Checkpoint::parse(head.text()).map_err(|error| damaged(dir, &error))?;
    Ok((checkpoint, head))
}

/// What was published must be an earlier state of what is here: otherwise the folder is an old copy, and adding to it
/// would fork the log.
pub(super) fn check_published(
    dir: &Path,
    disk: &dyn Disk,
    keys: &[VerifierKey],
    reader: &mut TileReader<FolderSource>,
) -> Result<Option<u64>, DiskError> {
    let path = dir.join(Resource::Checkpoint.path());
    let Some(note) = read_note(disk, &path)? else { return Ok(None) };
    note.verify(keys).map_err(|problem| DiskError::Note { path, problem })?;
    let published = Checkpoint::parse(note.text()).map_err(|error| damaged(dir, &error))?;
    if published.size() > reader.size() {
        let what = format!("{} entries are published, but the head has {}", published.size(), reader.size());
        return Err(damaged(dir, &what));
    }
    let (root, _) = reader.consistency(published.size()).map_err(|error| damaged(dir, &error))?;
    if root != *published.root() {
        return Err(damaged(dir, &"the published checkpoint is of another history"));
    }
    Ok(Some(published.size()))
}
