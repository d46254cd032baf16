//! A model file being put together in the cache: `NAME.part` grows part by part, and gets its real name only when
//! its digest is right.
//!
//! What is on disk after a kill, and what the next pull does with it:
//!
//! | killed | on disk | next pull |
//! |---|---|---|
//! | before the first part is whole | `NAME.part` of any length, no `NAME.part.json` | starts over |
//! | while a later part is written | `NAME.part` longer than `NAME.part.json` says | cuts it to what is known, goes on |
//! | before the rename | `NAME.part` whole | checks the digest, renames |
//! | after the rename | `NAME`, maybe `NAME.part.json` | uses `NAME` |
//!
//! `NAME.part.json` is a hint that saves work, never a proof: the digest of the whole file decides.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use loadline_core::Digest;
use loadline_core::digest::Hasher;
use serde::{Deserialize, Serialize};

/// How far a file has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whole parts in it.
    pub parts: usize,
    /// Their length together, in bytes.
    pub bytes: u64,
}

/// A file being put together. Only one process at a time has it.
pub struct Assembly {
    target: PathBuf,
    part: PathBuf,
    note: PathBuf,
    /// The open `NAME.part`, at its end.
    pub file: File,
    /// How far it has got.
    pub progress: Progress,
    // Held until the assembly is dropped; the file stays, since removing a locked file would let two in.
    _lock: File,
}

/// Why a file could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// Another process is at it.
    #[error("another pull of `{}` is under way", .0.display())]
    Busy(PathBuf),
    /// The whole file is not what the catalogue promises.
    #[error("the digest of `{}` is {found}, not {expected}", .path.display())]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: Digest,
        /// What it should have.
        expected: Digest,
    },
    /// The file system said no.
    #[error("cannot write `{}`", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl AssemblyError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

impl Assembly {
    /// Opens or resumes the putting together of `target`; makes its folder. `resumable` says whether parts that
    /// are there can be gone on from (they came from the same source).
    ///
    /// # Errors
    /// See [`AssemblyError`].
    pub fn open(target: &Path, resumable: bool) -> Result<Self, AssemblyError> {
        let beside = |suffix: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (part, note, lock) = (beside(".part"), beside(".part.json"), beside(".lock"));
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(AssemblyError::io(folder))?;
        }
        let open = |path: &Path| {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)
                .map_err(AssemblyError::io(path))
        };
        let lock_file = open(&lock)?;
        match lock_file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(AssemblyError::Busy(target.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(AssemblyError::io(&lock)(source)),
        }
        let file = open(&part)?;
        let length = file.metadata().map_err(AssemblyError::io(&part))?.len();
        let progress = Some(note.as_path())
            .filter(|_| resumable)
            .and_then(|note| serde_json::from_slice::<Progress>(&fs::read(note).ok()?).ok())
            .filter(|progress| progress.bytes <= length)
            .unwrap_or_default();
        let mut assembly = Self { target: target.to_owned(), part, note, file, progress, _lock: lock_file };
        assembly.rewind()?;
        Ok(assembly)
    }

    /// Cuts off whatever follows the last whole part.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn rewind(&mut self) -> Result<(), AssemblyError> {
        use io::Seek as _;
        let end = self.progress.bytes;
        self.file
            .set_len(end)
            .and_then(|()| self.file.seek(io::SeekFrom::Start(end)))
            .map(drop)
            .map_err(AssemblyError::io(&self.part))
    }

    /// Notes that another part of this many bytes is whole and on disk.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn part_done(&mut self, bytes: u64) -> Result<(), AssemblyError> {
        self.file.sync_data().map_err(AssemblyError::io(&self.part))?;
        self.progress = Progress { parts: self.progress.parts + 1, bytes: self.progress.bytes + bytes };
        let text = serde_json::to_vec(&self.progress).unwrap_or_default();
        fs::write(&self.note, text).map_err(AssemblyError::io(&self.note))
    }

    /// Checks the digest of the whole file and gives it its name. A file with a wrong digest is removed.
    ///
    /// # Errors
    /// See [`AssemblyError`].
    pub fn finish(mut self, expected: Digest, progress: impl FnMut(u64)) -> Result<PathBuf, AssemblyError> {
        let found = digest_of(&self.part, progress).map_err(AssemblyError::io(&self.part))?;
        if found != expected {
            self.forget();
            return Err(AssemblyError::WrongDigest { path: self.part, found, expected });
        }
        self.file.flush().and_then(|()| self.file.sync_all()).map_err(AssemblyError::io(&self.part))?;
        fs::rename(&self.part, &self.target).map_err(AssemblyError::io(&self.target))?;
        let _only_a_hint = fs::remove_file(&self.note);
        if let Some(folder) = self.target.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(AssemblyError::io(folder))?;
        }
        Ok(self.target)
    }

    /// Removes what is there, so that the next pull starts over.
    pub fn forget(&mut self) {
        self.progress = Progress::default();
        let _gone_already = fs::remove_file(&self.note);
        let _gone_already = fs::remove_file(&self.part);
    }
}

/// The digest of a file, read in pieces; `progress` gets the bytes read so far.
///
/// # Errors
/// When it cannot be read.
pub fn digest_of(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..length]);
        done += length as u64;
        progress(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_part_by_part_over_several_tries() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("models/m.gguf");
        let mut first = Assembly::open(&target, true).unwrap();
        first.file.write_all(b"one").unwrap();
        first.part_done(3).unwrap();
        first.file.write_all(b"tw").unwrap();
        assert!(matches!(Assembly::open(&target, true), Err(AssemblyError::Busy(_))));
        drop(first);

        let mut second = Assembly::open(&target, true).unwrap();
        assert_eq!(second.progress, Progress { parts: 1, bytes: 3 });
        second.file.write_all(b"two").unwrap();
        second.part_done(3).unwrap();
        assert_eq!(second.finish(Digest::of(b"onetwo"), |_| ()).unwrap(), target);
        assert_eq!(fs::read(&target).unwrap(), b"onetwo");
        assert!(!dir.path().join("models/m.gguf.part").exists());
    }

    #[test]
    fn a_wrong_digest_never_gets_the_name_and_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("m.gguf");
        let mut assembly = Assembly::open(&target, true).unwrap();
        assembly.file.write_all(b"bad").unwrap();
        assembly.part_done(3).unwrap();
        let error = assembly.finish(Digest::of(b"good"), |_| ()).unwrap_err();
        assert!(matches!(error, AssemblyError::WrongDigest { .. }), "{error}");
        assert!(!target.exists());
        assert_eq!(Assembly::open(&target, true).unwrap().progress, Progress::default());
    }

    #[test]
    fn a_note_that_promises_more_than_there_is_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("m.gguf");
        fs::write(dir.path().join("m.gguf.part"), b"abc").unwrap();
        fs::write(dir.path().join("m.gguf.part.json"), r#"{"parts":2,"bytes":4}"#).unwrap();
        let assembly = Assembly::open(&target, true).unwrap();
        assert_eq!(assembly.progress, Progress::default());
        assert_eq!(assembly.file.metadata().unwrap().len(), 0);
    }
}
