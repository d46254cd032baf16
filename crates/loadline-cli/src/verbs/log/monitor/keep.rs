//! What a monitor keeps: the newest checkpoint it believed, and evidence.

use std::path::{Path, PathBuf};

use loadline_core::Digest;
use loadline_tlog::Note;
use loadline_tlog::disk::{Disk as _, Lock, LockError, RealDisk};
use loadline_tlog::note::MAX_NOTE_BYTES;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The state file, locked while it lives.
pub struct Kept {
    path: PathBuf,
    _lock: Box<dyn Lock>,
}

impl Kept {
    /// Locks the file's name; the file need not be there.
    ///
    /// # Errors
    /// When another monitor has it.
    pub fn open(path: &Path) -> Result<Self> {
        let lock = beside(path, "lock");
        let held = RealDisk.lock(&lock).map_err(|error| match error {
            LockError::Held(_) => {
                Failure::new(Exit::Unexpected, format!("another monitor uses `{}`", path.display()))
                    .hint("give each monitor its own `--state FILE`")
            }
            LockError::Io(error) => Failure::io(format!("cannot lock `{}`", lock.display()), &error),
        })?;
        Ok(Self { path: path.to_owned(), _lock: held })
    }

    /// What was kept; `None` the first time.
    ///
    /// # Errors
    /// When there is something that is no signed note. That is not the same as nothing.
    pub fn read(&self) -> Result<Option<Note>> {
        let shown = self.path.display();
        let bytes = RealDisk.read(&self.path, MAX_NOTE_BYTES);
        let bytes = bytes.map_err(|error| Failure::io(format!("cannot read `{shown}`"), &error))?;
        bytes.map(|bytes| Note::parse(&bytes)).transpose().map_err(|error| {
            Failure::because(Exit::EvidenceInvalid, format!("`{shown}` is not what a monitor kept"), &error)
                .hint("restore it from a copy; without it, what was seen is forgotten")
        })
    }

    /// Keeps a checkpoint, durably, in the place of the one before.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, note: &Note) -> Result<()> {
        write(&self.path, note)
    }

    /// Keeps the two checkpoints that do not fit, and says where. The names depend on what they hold: the same evidence
    /// is kept once, and none takes the place of another.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn evidence(&self, known: Option<&Note>, seen: &Note) -> Result<Vec<PathBuf>> {
        let text = seen.to_text();
        let id: String = Digest::of(text.as_bytes()).hex().chars().take(12).collect();
        let mut files = Vec::new();
        for (note, name) in known.map(|known| (known, "known")).into_iter().chain([(seen, "shown")]) {
            let path = beside(&self.path, &format!("{id}.{name}"));
            write(&path, note)?;
            files.push(path);
        }
        Ok(files)
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(end);
    path.with_file_name(name)
}

fn write(path: &Path, note: &Note) -> Result<()> {
    let failed = |error| Failure::io(format!("cannot write `{}`", path.display()), &error);
    let new = beside(path, "new");
    RealDisk.write(&new, note.to_text().as_bytes()).and_then(|written| written.sync()).map_err(failed)?;
    RealDisk.rename(&new, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    RealDisk.sync_dir(folder).map_err(failed)
}
