//! What a witness cosigned, durably: one file for each log.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::log::lock;
use super::{Disk, DiskError, Lock};
use crate::checkpoint::Checkpoint;
use crate::note::{MAX_NOTE_BYTES, Note};
use crate::text;
use crate::witness::{Latest, WitnessStore, origin_hash};

/// The beginning of a file; the SHA-256 of what follows its first line ends that line.
const FORMAT: &str = "loadline-witness/1 sha256:";
/// The longest file: the first line, and a note.
const MAX_FILE_BYTES: usize = FORMAT.len() + 65 + MAX_NOTE_BYTES;
/// The most names in the folder.
const MAX_NAMES: usize = 100_000;
const LOCK: &str = "lock";
const TEMPORARY: &str = "new";

/// The store of a witness in a folder, open in this process alone. What it holds is durable before it is shown.
pub struct WitnessFolder {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    latest: BTreeMap<String, Latest>,
    stopped: bool,
    _lock: Box<dyn Lock>,
}

impl fmt::Debug for WitnessFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessFolder({}, {} logs)", self.dir.display(), self.latest.len())
    }
}

impl WitnessFolder {
    /// Opens the folder, or makes it (its parent must be there). Everything in it is read and checked, and written once
    /// more: a process that was killed may have left a name that is not durable yet.
    ///
    /// # Errors
    /// When another process has it open, the disk fails, or a file is not as it was written.
    pub fn open(dir: impl Into<PathBuf>, disk: Arc<dyn Disk>) -> Result<Self, DiskError> {
        let dir = dir.into();
        disk.create_dir(&dir).map_err(DiskError::io("make the folder", &dir))?;
        let lock = lock(&dir, disk.as_ref())?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(DiskError::io("sync", parent))?;
        let names = disk.list(&dir, MAX_NAMES).map_err(DiskError::io("list", &dir))?;
        let mut folder = Self { dir, disk, latest: BTreeMap::new(), stopped: false, _lock: lock };
        for name in names.iter().filter(|name| ![LOCK, TEMPORARY].contains(&name.as_str())) {
            let (origin, latest) = folder.read(name)?;
            folder.write(&origin, &latest)?;
            folder.latest.insert(origin, latest);
        }
        Ok(folder)
    }

    fn read(&self, name: &str) -> Result<(String, Latest), DiskError> {
        let path = self.dir.join(name);
        let bytes = self.disk.read(&path, MAX_FILE_BYTES).map_err(DiskError::io("read", &path))?;
        let found = parse(&bytes.unwrap_or_default()).and_then(|(origin, latest)| {
            if origin_hash(&origin) == name { Ok((origin, latest)) } else { Err("it has another log's name") }
        });
        found.map_err(|what| DiskError::WitnessDamaged { path, what: what.to_owned() })
    }

    fn write(&self, origin: &str, latest: &Latest) -> Result<(), DiskError> {
        let (from, to) = (self.dir.join(TEMPORARY), self.dir.join(origin_hash(origin)));
        let digest = text::hex(&Sha256::digest(&latest.note));
        let bytes = format!("{FORMAT}{digest}\n{}", latest.note);
        let written = self.disk.write(&from, bytes.as_bytes()).map_err(DiskError::io("write", &from))?;
        written.sync().map_err(DiskError::io("sync", &from))?;
        self.disk.rename(&from, &to).map_err(DiskError::io("rename a file to", &to))?;
        self.disk.sync_dir(&self.dir).map_err(DiskError::io("sync", &self.dir))
    }
}

fn parse(bytes: &[u8]) -> Result<(String, Latest), &'static str> {
    let whole = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let (first, note) = whole.split_once('\n').ok_or("it is cut off")?;
    let digest = first.strip_prefix(FORMAT).ok_or("it is of another format or version")?;
    if digest != text::hex(&Sha256::digest(note)) {
        return Err("its bytes are not those that were written");
    }
    let parsed = Note::parse(note.as_bytes()).map_err(|_| "it holds no signed note")?;
    let checkpoint = Checkpoint::parse(parsed.text()).map_err(|_| "it holds no checkpoint")?;
    let latest = Latest { size: checkpoint.size(), root: *checkpoint.root(), note: note.to_owned() };
    Ok((checkpoint.origin().to_owned(), latest))
}

impl WitnessStore for WitnessFolder {
    type Error = DiskError;

    fn latest(&self, origin: &str) -> Result<Option<Latest>, DiskError> {
        if self.stopped {
            return Err(DiskError::Stopped(self.dir.clone()));
        }
        Ok(self.latest.get(origin).cloned())
    }

    fn replace(&mut self, origin: &str, expected: u64, next: &Latest) -> Result<bool, DiskError> {
        if self.stopped {
            return Err(DiskError::Stopped(self.dir.clone()));
        }
        if self.latest.get(origin).map_or(0, |latest| latest.size) != expected {
            return Ok(false);
        }
        // What is on disk after an error is only known after opening the folder again.
        self.stopped = true;
        self.write(origin, next)?;
        self.stopped = false;
        self.latest.insert(origin.to_owned(), next.clone());
        Ok(true)
    }
}
