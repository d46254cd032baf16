//! Tiny model files on the disk.

use std::io::Write;
use std::path::PathBuf;

/// A file that is deleted with the value.
pub struct TinyFile {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl TinyFile {
    pub fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        Self { _folder: folder, path }
    }
}
