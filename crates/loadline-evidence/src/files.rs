//! The files of a run's folder, and writing files whole: the one way in which small files come to the disk.

use std::path::Path;

use crate::disk::{AppendFile, Disk};
use crate::error::RecordError;

/// The log: every row.
pub(crate) const LOG: &str = "log";
/// The log before it has its name.
pub(crate) const NEW_LOG: &str = "log.new";
/// The seal.
pub(crate) const SEAL: &str = "seal.json";
/// The seal before it has its name.
pub(crate) const NEW_SEAL: &str = "seal.json.new";
/// What a writer locks. It is no part of the record.
pub(crate) const LOCK: &str = "lock";

/// Writes a file under a temporary name, syncs it, gives it its name and syncs the folder: after a crash at any step
/// the file is there whole or not at all.
///
/// # Errors
/// When the disk refuses.
pub fn write_whole(
    disk: &dyn Disk,
    dir: &Path,
    temporary: &str,
    name: &str,
    bytes: &[u8],
) -> Result<(), RecordError> {
    let temporary = dir.join(temporary);
    let file = disk.create(&temporary).map_err(RecordError::io("create", &temporary))?;
    finish_whole(disk, dir, file, &temporary, name, bytes)
}

/// As [`write_whole`], for this user only to read. The temporary name is `<name>.new`.
///
/// # Errors
/// When the disk refuses.
pub fn write_private(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), RecordError> {
    let temporary = dir.join(format!("{name}.new"));
    let file = disk.create_private(&temporary).map_err(RecordError::io("create", &temporary))?;
    finish_whole(disk, dir, file, &temporary, name, bytes)
}

fn finish_whole(
    disk: &dyn Disk,
    dir: &Path,
    file: Box<dyn AppendFile>,
    temporary: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(), RecordError> {
    write_all(file.as_ref(), temporary, bytes)?;
    file.sync().map_err(RecordError::io("sync", temporary))?;
    drop(file);
    disk.rename(temporary, &dir.join(name)).map_err(RecordError::io("rename", temporary))?;
    disk.sync_dir(dir).map_err(RecordError::io("sync", dir))
}

/// Writes everything, in as many writes as it takes.
pub(crate) fn write_all(file: &dyn AppendFile, path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let failed = |source| RecordError::Write { path: path.to_path_buf(), bytes: bytes.len() as u64, source };
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(failed(std::io::ErrorKind::WriteZero.into())),
            Ok(written) => rest = &rest[written.min(rest.len())..],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}
