//! A download on its way to being a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use loadline_core::digest::{Digest, Hasher};

use super::HubError;

/// A file that is not whole yet. It is locked, and named after what the hub said of it, so that parts of different
/// content never mix.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    pub(super) size: u64,
}

impl Part {
    pub(super) fn open(to: &Path, etag: Option<&str>) -> Result<Self, HubError> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|source| HubError::Io { path: folder.to_owned(), source })?;
        }
        let mut name = to.file_name().unwrap_or_default().to_owned();
        let id = Digest::of(etag.unwrap_or_default().as_bytes()).hex();
        name.push(format!(".{}.part", &id[..12]));
        let path = to.with_file_name(name);
        let io = |source| HubError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(HubError::Busy(path)),
            Err(fs::TryLockError::Error(source)) => return Err(io(source)),
        }
        let size = file.metadata().map_err(io)?.len();
        let mut part = Self { file, size, path };
        // Without an ETag nothing says that the rest belongs to these bytes.
        if etag.is_none() {
            part.restart()?;
        }
        Ok(part)
    }

    fn io(&self, source: io::Error) -> HubError {
        HubError::Io { path: self.path.clone(), source }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|source| self.io(source))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.file.set_len(0).map_err(|source| self.io(source))?;
        self.size = 0;
        Ok(())
    }

    /// The digest of what is on disk now.
    pub(super) fn digest(&self) -> Result<Digest, HubError> {
        let mut file = File::open(&self.path).map_err(|source| self.io(source))?;
        let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer).map_err(|source| self.io(source))? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }

    pub(super) fn delete(self) -> Result<(), HubError> {
        fs::remove_file(&self.path).map_err(|source| self.io(source))
    }

    /// Puts the whole file in its place, durably.
    pub(super) fn put(self, to: &Path) -> Result<(), HubError> {
        self.file.sync_all().map_err(|source| self.io(source))?;
        fs::rename(&self.path, to).map_err(|source| HubError::Io { path: to.to_owned(), source })?;
        let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| HubError::Io { path: folder.to_owned(), source })
    }
}
