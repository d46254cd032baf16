//! The few things a record asks of a disk, so that tests can put a faulty one in its place.
//!
//! Files are only ever appended to, cut back to an earlier length, and renamed; each promise of durability is an
//! explicit sync.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
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

    /// The names in a folder, in no order.
    ///
    /// # Errors
    /// When the folder is not there or the system refuses.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Whether a file or folder is there.
    ///
    /// # Errors
    /// When the system refuses to say.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// A new empty file, in place of what had the name before.
    ///
    /// # Errors
    /// When the system refuses.
    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// As [`Disk::create`], for this user only to read, where the system has such files.
    ///
    /// # Errors
    /// When the system refuses.
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        self.create(path)
    }

    /// A file that is there, to add to.
    ///
    /// # Errors
    /// When it is not there or the system refuses.
    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    /// A file to read, and its length.
    ///
    /// # Errors
    /// When it is not there or the system refuses.
    fn read(&self, path: &Path) -> io::Result<(Box<dyn ReadFile>, u64)>;

    /// Gives a file another name, in place of what had it before, in one step. Not durable before
    /// [`Disk::sync_dir`].
    ///
    /// # Errors
    /// When the system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes the lock that this file stands for, until the value is dropped or the process ends.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError>;
}

/// A file that grows at its end.
pub trait AppendFile: Send + Sync {
    /// Writes at the end; may write less than asked, as [`Write::write`].
    ///
    /// # Errors
    /// When the system refuses.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the system cannot promise it. What was written since the last success may then be lost, even if a
    /// later sync succeeds.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file back to a length.
    ///
    /// # Errors
    /// When the system refuses.
    fn cut(&self, length: u64) -> io::Result<()>;
}

/// A file open for reading.
pub trait ReadFile: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadFile for T {}

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

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // A name that is not Unicode is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        create_new(path, OpenOptions::new().append(true).create_new(true))
    }

    fn create_private(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        create_new(path, &options)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<(Box<dyn ReadFile>, u64)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((Box::new(file), length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_pid(&file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        // Who holds it, for the message another process gets. The lock holds without it, even on a full disk.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Box::new(file))
    }
}

fn create_new(path: &Path, options: &OpenOptions) -> io::Result<Box<dyn AppendFile>> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    Ok(Box::new(options.open(path)?))
}

fn read_pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl AppendFile for File {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self;
        Write::write(&mut file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl Lock for File {}
