//! The authority's folder: where things are, and how they get there whole. `docs/license.md` shows it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_core::strict;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The largest file that is read whole, in bytes.
pub const MOST_BYTES: u64 = 8 << 20;

/// Readable by everybody.
pub const PUBLIC: u32 = 0o644;
/// Readable by its owner only.
pub const PRIVATE: u32 = 0o600;

/// The folder of an authority.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The transparency log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// A policy, as canonical JSON.
    pub fn policy(&self, digest: Digest) -> PathBuf {
        self.0.join("policies").join(format!("{}.json", digest.hex()))
    }

    /// The secret of a commitment, by its hash.
    pub fn secret(&self, hash: Digest) -> PathBuf {
        self.0.join("secrets").join(hash.hex())
    }

    /// What is kept of a model.
    pub fn model(&self, digest: Digest) -> PathBuf {
        self.0.join("models").join(digest.hex())
    }

    /// What is kept of an exam.
    pub fn exam(&self, exam: Digest) -> PathBuf {
        self.0.join("exams").join(exam.hex())
    }

    /// Sign-offs that arrived.
    pub fn sign_offs(&self) -> PathBuf {
        self.0.join("sign-offs")
    }

    /// What is kept of a licence that is logged.
    pub fn license(&self, digest: Digest) -> PathBuf {
        self.0.join("licenses").join(digest.hex())
    }

    /// A licence that is signed and not logged yet.
    pub fn unlogged_license(&self) -> PathBuf {
        self.0.join("licenses").join("unlogged")
    }

    /// The newest standing.
    pub fn standing(&self) -> PathBuf {
        self.0.join("standing.json")
    }

    /// Keeps every other process from changing the folder, until the value is dropped.
    ///
    /// # Errors
    /// When another process is changing it, or there is no such folder.
    pub fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file =
            opened.map_err(|error| Failure::io(format!("cannot open `{}`", path.display()), &error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                let message = format!("another process is changing `{}`", self.0.display());
                Err(Failure::new(Exit::Unexpected, message)
                    .hint("wait until it is done, then run the same command again"))
            }
            Err(std::fs::TryLockError::Error(error)) => {
                Err(Failure::io(format!("cannot lock `{}`", path.display()), &error))
            }
        }
    }
}

/// Puts a file in its place, whole or not at all: under another name first, brought to the disk, then renamed. Its
/// folder is made if need be.
///
/// # Errors
/// When the disk refuses.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: std::io::Error| {
        let mut failure = Failure::io(format!("cannot write `{}`", path.display()), &error);
        if error.kind() == std::io::ErrorKind::StorageFull {
            failure.hint = Some("make room on the disk, then run the same command again".to_owned());
        }
        failure
    };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let fresh = folder.join(name);
    // A leftover of a process that was killed may have other rights.
    let _not_there = std::fs::remove_file(&fresh);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _no_modes = mode;
    let mut file = options.open(&fresh).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&fresh, path).and_then(|()| sync(folder)).map_err(failed)
}

/// Brings to the disk which names a folder holds.
///
/// # Errors
/// When the disk refuses.
pub fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// As [`write()`], of canonical JSON.
///
/// # Errors
/// When it cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = canonical_json(value).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    write(path, &bytes, PUBLIC)
}

/// A whole file of at most [`MOST_BYTES`].
///
/// # Errors
/// When it is not there, too large, or cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{}`", path.display()), &error)
            .hint("check that the path names a file that you may read")
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        let message = format!("`{}` has more than {MOST_BYTES} bytes", path.display());
        return Err(Failure::new(Exit::TaskInvalid, message));
    }
    Ok(bytes)
}

/// A whole file, or `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_if(path: &Path) -> Result<Option<Vec<u8>>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

/// A file of canonical JSON.
///
/// # Errors
/// When it is not there, or is in any other form.
pub fn read_json<T: Serialize + DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = read(path)?;
    strict::from_canonical_json(&bytes).map_err(|error| changed(path, &error))
}

/// A file whose bytes have this SHA-256.
///
/// # Errors
/// When it is not there, or has other bytes.
pub fn read_addressed(path: &Path, digest: Digest) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    let found = Digest::of(&bytes);
    if found == digest {
        return Ok(bytes);
    }
    Err(not_as_written(path).cause(format!("expected {digest}")).cause(format!("found    {found}")))
}

/// A file that is not what was written.
pub fn not_as_written(path: &Path) -> Failure {
    let message = format!("`{}` is not what was written there", path.display());
    Failure::new(Exit::EvidenceInvalid, message).hint("restore it from a copy")
}

/// A file that is not what was written, and why that shows.
pub fn changed(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::because(
        Exit::EvidenceInvalid,
        format!("`{}` is not what was written there", path.display()),
        error,
    )
    .hint("restore it from a copy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_rights() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        write(&path, b"1", PRIVATE).unwrap();
        write(&path, b"2", PRIVATE).unwrap();
        assert_eq!(read(&path).unwrap(), b"2");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
    }

    #[test]
    fn changed_bytes_are_noticed_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write(&path, b"x", PUBLIC).unwrap();
        assert_eq!(read_addressed(&path, Digest::of(b"x")).unwrap(), b"x");
        let failure = read_addressed(&path, Digest::of(b"y")).unwrap_err();
        assert_eq!(failure.exit, Exit::EvidenceInvalid);
        assert!(failure.message.ends_with("/x` is not what was written there"), "{}", failure.message);
        write(&path, b"{\"a\": 1}", PUBLIC).unwrap();
        assert_eq!(read_json::<serde_json::Value>(&path).unwrap_err().exit, Exit::EvidenceInvalid);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let held = folder.lock().unwrap();
        assert!(folder.lock().unwrap_err().message.starts_with("another process"));
        drop(held);
        folder.lock().unwrap();
    }
}
