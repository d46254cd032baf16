//! A copy of a sealed record without the content of some samples.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::digest::hex;

use crate::disk::{AppendFile, Disk, RealDisk};
use crate::error::RecordError;
use crate::files::{self, write_all};
use crate::frame::{self, FIRST_LINE, Kind};
use crate::prove::{no_sample, with_name};
use crate::reader::{RecordReader, open_log};
use crate::scan::Frame;
use crate::seal::Seal;
use crate::verify::{Verified, verify};

/// Bytes gathered before they are written.
const CHUNK_LEN: usize = 1 << 20;

/// A copy that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Withheld {
    /// The copy's folder.
    pub dir: PathBuf,
    /// What the copy holds, verified after it was written; names the rows that are withheld.
    pub verified: Verified,
}

/// Copies a sealed record to `out_root/<run>`, with the rows of the named samples (all their epochs) replaced by their
/// leaf hashes. The copy has the same root and seal and verifies as the record itself does. Rows withheld already stay
/// so. A withheld row's hash does not hide content that can be guessed in full.
///
/// # Errors
/// When the record is not sealed or does not verify, has no sample of one of the names, the copy's folder has a record
/// already, or the disk refuses.
pub fn export_withheld<'a>(
    dir: impl AsRef<Path>,
    ids: impl IntoIterator<Item = &'a str>,
    out_root: impl AsRef<Path>,
) -> Result<Withheld, RecordError> {
    let dir = dir.as_ref();
    let seal = verify(dir)?.seal.ok_or_else(|| RecordError::NotSealed { dir: dir.to_path_buf() })?;
    let reader = RecordReader::open(dir)?;
    let ids: BTreeSet<&str> = ids.into_iter().collect();
    check_ids(&reader, &ids)?;
    let out = out_root.as_ref().join(seal.run.to_string());
    let disk = Arc::new(RealDisk);
    if out.join(files::LOG).exists() {
        return Err(RecordError::Exists { run: seal.run, dir: out });
    }
    std::fs::create_dir_all(&out).map_err(RecordError::io("make the folder", &out))?;
    copy_log(&reader, &ids, disk.as_ref(), &out)?;
    finish(disk.as_ref(), &out, &seal)?;
    let verified = verify(&out)?;
    Ok(Withheld { dir: out, verified })
}

/// Refuses names that no sample has, before anything is written.
fn check_ids(reader: &RecordReader, ids: &BTreeSet<&str>) -> Result<(), RecordError> {
    let mut missing = ids.clone();
    let mut raw = reader.raw()?;
    while let Some(row) = raw.next_row()? {
        row.payload.and_then(|payload| with_name(payload, |id, _| missing.remove(id)));
    }
    match missing.first() {
        Some(id) => Err(no_sample(reader, id, None)?),
        None => Ok(()),
    }
}

/// Writes the copy's log under its temporary name.
fn copy_log(
    reader: &RecordReader,
    ids: &BTreeSet<&str>,
    disk: &dyn Disk,
    out: &Path,
) -> Result<(), RecordError> {
    let path = out.join(files::NEW_LOG);
    let file = disk.create(&path).map_err(RecordError::io("create", &path))?;
    let mut bytes = FIRST_LINE.to_vec();
    let mut scanner = open_log(disk, reader.dir(), true)?;
    loop {
        match scanner.next()?? {
            Frame::Row { leaf, .. } => {
                let payload = scanner.payload();
                if with_name(payload, |id, _| ids.contains(id)) == Some(true) {
                    frame::push(&mut bytes, Kind::Withheld, hex(&leaf).as_bytes());
                } else {
                    frame::push(&mut bytes, Kind::Row, payload);
                }
            }
            Frame::Withheld { leaf, .. } => {
                frame::push(&mut bytes, Kind::Withheld, hex(&leaf).as_bytes());
            }
            Frame::Checkpoint { checkpoint, .. } => {
                frame::push(&mut bytes, Kind::Checkpoint, &checkpoint.payload());
            }
            // No record has one.
            Frame::Begin { .. } => {}
            Frame::End => break,
        }
        if bytes.len() >= CHUNK_LEN {
            write_all(file.as_ref(), &path, &bytes)?;
            bytes.clear();
        }
    }
    write_all(file.as_ref(), &path, &bytes)?;
    sync(file.as_ref(), &path)
}

fn sync(file: &dyn AppendFile, path: &Path) -> Result<(), RecordError> {
    file.sync().map_err(RecordError::io("sync", path))
}

/// The seal first: a log that has its name without a seal would look like a run to go on with.
fn finish(disk: &dyn Disk, out: &Path, seal: &Seal) -> Result<(), RecordError> {
    seal.write(disk, out)?;
    let (from, to) = (out.join(files::NEW_LOG), out.join(files::LOG));
    disk.rename(&from, &to).map_err(RecordError::io("rename", &from))?;
    disk.sync_dir(out).map_err(RecordError::io("sync", out))
}
