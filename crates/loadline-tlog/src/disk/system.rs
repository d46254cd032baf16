//! The few things a log asks of a disk, so that tests can put a faulty one in its place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// A disk: the real one is [`RealDisk`].
pub trait Disk: Send + Sync {
    /// Makes one folder; no error when it is there. Not durable before [`Disk::sync_dir`] of its parent.
    ///
    /// # Errors
    /// When the system refuses.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// When the system refuses.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Writes a new file, in place of what had the name before. Not durable before [`Written::sync`].
    ///
    /// # Errors
    /// When the system refuses; a part may be there.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<Box<dyn Written>>;

    /// Gives a file another name, in place of what had it before, in one step. Not durable before [`Disk::sync_dir`].
    ///
    /// # Errors
    /// When the system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, if it is there. Not durable before [`Disk::sync_dir`].
    ///
    /// # Errors
    /// When the system refuses.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with the files in it, if it is there.
    ///
    /// # Errors
    /// When the system refuses.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// A file's bytes; `None` when it is not there.
    ///
    /// # Errors
    /// When it has more than `limit` bytes, or the system refuses.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// The names in a folder, in any order; none when it is not there.
    ///
    /// # Errors
    /// When the system refuses, or there are more than `limit`.
    fn list(&self, path: &Path, limit: usize) -> io::Result<Vec<String>>;

    /// Takes the lock that this file stands for, until the value is dropped or the process ends.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError>;
}

/// A file that was written.
pub trait Written {
    /// Makes its bytes durable.
    ///
    /// # Errors
    /// When the system cannot promise it.
    fn sync(&self) -> io::Result<()>;
}

/// A lock that is held.
pub trait Lock: Send + Sync {}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Another has it: this process, where it said so.
    Held(Option<u32>),
    /// The system refused.
    Io(io::Error),
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Only Unix has durable folders to ask for; elsewhere the file's own sync covers its name.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<Box<dyn Written>> {
        // Never into a file that is there: after a crash it may be a tile under a second name.
        self.remove_file(path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(bytes)?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let too_large = || {
            let message = format!("it has more than {limit} bytes");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        };
        // Refused by its length before a byte is read; the length is not believed either.
        if file.metadata()?.len() > limit as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit { Err(too_large()) } else { Ok(Some(bytes)) }
    }

    fn list(&self, path: &Path, limit: usize) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in entries {
            if names.len() >= limit {
                return Err(io::Error::other(format!("it has more than {limit} names")));
            }
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_pid(file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // Who holds it, for the message another process gets. The lock holds without it, even on a full disk.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Box::new(file))
    }
}

fn read_pid(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl Written for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Lock for File {}
