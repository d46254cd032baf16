//! GGUF files: header, metadata and tensor directory; tensor data is read piece by piece, never as a whole.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. A file is untrusted: every length is
//! checked against the bytes that are there before anything is allocated.

mod header;
mod kind;
mod metadata;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

pub use kind::TensorKind;
pub use metadata::{Metadata, TextTable, Value};

use crate::error::LocalError;

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: File,
    /// What the file says about the model.
    pub metadata: Metadata,
    tensors: BTreeMap<String, TensorInfo>,
}

/// Where one tensor is and what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its number format.
    pub kind: TensorKind,
    /// Values in one row (the first dimension of the file).
    pub columns: usize,
    /// Rows: the product of the other dimensions.
    pub rows: usize,
    /// First byte in the file.
    pub offset: u64,
}

impl TensorInfo {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.columns / self.kind.block_len() * self.kind.block_bytes()
    }
}

impl Gguf {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A file that cannot be read, is not GGUF, is shorter than its header promises, or has a header that
    /// contradicts itself; a tensor of a type that is not supported.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        let io = |source| LocalError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let about = file.metadata().map_err(io)?;
        if about.is_dir() {
            return Err(io(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let header = header::read(path, &file, about.len())?;
        Ok(Self { path: path.to_owned(), file, metadata: header.metadata, tensors: header.tensors })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensor of this name, if the file has it.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Reads whole rows of a tensor as they are in the file. `bytes` must be as long as the rows are.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_rows(
        &self,
        tensor: &TensorInfo,
        first_row: usize,
        bytes: &mut [u8],
    ) -> Result<(), LocalError> {
        let offset = tensor.offset + first_row as u64 * tensor.row_bytes() as u64;
        read_exact_at(&self.file, bytes, offset).map_err(|source| self.io(source))
    }

    /// The digest of the whole file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn digest(&self) -> Result<loadline_core::Digest, LocalError> {
        let mut hasher = loadline_core::digest::Hasher::new();
        let size = self.file.metadata().map_err(|source| self.io(source))?.len();
        let mut piece = vec![0u8; 1 << 18];
        let mut at = 0;
        while at < size {
            let n = piece.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
            read_exact_at(&self.file, &mut piece[..n], at).map_err(|source| self.io(source))?;
            hasher.update(&piece[..n]);
            at += n as u64;
        }
        Ok(hasher.finish())
    }

    /// An error that names this file.
    pub fn damaged(&self, what: impl Into<String>) -> LocalError {
        LocalError::Damaged { path: self.path.clone(), what: what.into() }
    }

    /// An error that names this file.
    pub fn unsupported(&self, what: impl Into<String>) -> LocalError {
        LocalError::Unsupported { path: self.path.clone(), what: what.into() }
    }

    fn io(&self, source: std::io::Error) -> LocalError {
        LocalError::Io { path: self.path.clone(), source }
    }
}

/// Reads at a position without moving the file's cursor, so that threads can share the file.
#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

/// Reads at a position; each call gives its own position, so threads can share the file.
#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let n = file.seek_read(bytes, offset)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[n..];
        offset += n as u64;
    }
    Ok(())
}
