//! The files of a log in a folder, as everything that reads tiles wants them.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Disk, DiskError, RealDisk};
use crate::note::MAX_NOTE_BYTES;
use crate::tile::{self, Resource};
use crate::tiles::{self, TileSource};

/// The files of a log in a folder, to read.
#[derive(Clone)]
pub struct FolderSource {
    pub(super) dir: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
}

impl fmt::Debug for FolderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FolderSource({})", self.dir.display())
    }
}

impl FolderSource {
    /// The files in a folder of this machine.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), disk: Arc::new(RealDisk) }
    }
}

impl TileSource for FolderSource {
    type Error = DiskError;

    fn read(&self, resource: Resource) -> Result<Vec<u8>, DiskError> {
        let limit = match resource {
            Resource::Checkpoint => MAX_NOTE_BYTES,
            Resource::Tile(_) => 8192,
            Resource::Entries(_) => tile::MAX_BUNDLE_BYTES,
        };
        let path = self.dir.join(resource.path());
        if let Some(bytes) = self.disk.read(&path, limit).map_err(DiskError::io("read", &path))? {
            return Ok(bytes);
        }
        let missing = DiskError::io("read", &path)(io::ErrorKind::NotFound.into());
        if resource.full() == resource {
            return Err(missing);
        }
        // The partial file goes when the full one is there.
        let path = self.dir.join(resource.full().path());
        let full = self.disk.read(&path, limit).map_err(DiskError::io("read", &path))?.ok_or(missing)?;
        tiles::cut(resource, &full).ok_or(DiskError::Short(path))
    }
}
