//! The files of an endless log: their names, how one begins.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use loadline_core::Digest;
use loadline_core::digest::Hasher;
use loadline_tlog::{Tree, leaf_hash};

use crate::appender::{Mark, checkpoint_frame};
use crate::disk::{AppendFile, Disk};
use crate::error::{Damage, RecordError};
use crate::files;
use crate::frame::{self, Begin, HEADER_LEN, Kind, SEGMENT_FIRST_LINE};
use crate::scan::{Form, Frame, Scanner};

const PREFIX: &str = "segment-";
/// Digits of a row's number in a file name: every number has that many.
const DIGITS: usize = 20;

/// The file whose first row has this number.
pub(super) fn file_name(first: u64) -> String {
    format!("{PREFIX}{first:020}")
}

/// The numbers of the segments' first rows, ascending.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, RecordError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(RecordError::io("list", dir))?,
    };
    let number = |name: &String| {
        let digits = name.strip_prefix(PREFIX)?;
        let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        if plain { digits.parse().ok() } else { None }
    };
    let mut firsts: Vec<u64> = names.iter().filter_map(number).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes a segment that goes on from the rows in `tree`, with its first row's frame and a checkpoint over it, durable,
/// and opens it. Gives its length too.
pub(super) fn begin_segment(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    tree: &Tree,
    first_row: &[u8],
) -> Result<(Arc<dyn AppendFile>, u64), RecordError> {
    let edge = tree.edge().iter().map(|hash| Digest(*hash)).collect();
    let begin = Begin { edge, first: tree.size(), name: name.to_owned() };
    let mut bytes = SEGMENT_FIRST_LINE.to_vec();
    frame::push(&mut bytes, Kind::Begin, &begin.payload()?);
    bytes.extend_from_slice(first_row);
    let mut with_row = tree.clone();
    let payload = first_row.get(HEADER_LEN..first_row.len() - 1).unwrap_or_default();
    with_row.push(leaf_hash(payload));
    bytes.extend_from_slice(&checkpoint_frame(Mark::of(&with_row)));
    let file_name = file_name(tree.size());
    files::write_private(disk, dir, &file_name, &bytes)?;
    let path = dir.join(file_name);
    let file = disk.append(&path).map_err(RecordError::io("open", &path))?;
    Ok((Arc::from(file), bytes.len() as u64))
}

/// Opens a segment and reads what it begins with.
pub(super) fn open(
    disk: &dyn Disk,
    dir: &Path,
    first: u64,
    closed: bool,
) -> Result<(Scanner, Begin), RecordError> {
    let path = dir.join(file_name(first));
    let mut scanner = Scanner::open(disk, &path, Form::Segment { closed })?;
    let offset = scanner.offset();
    let begin = match scanner.next()? {
        Ok(Frame::Begin { begin, .. }) => begin,
        Ok(_) => return Err(scanner.damage(offset, first, "the segment's beginning is not there").into()),
        Err(damage) => return Err(Damage { row: Some(first), ..damage }.into()),
    };
    if begin.first != first {
        let what = format!("the segment begins with row {}, but its name says {first}", begin.first);
        return Err(scanner.damage(offset, begin.first, what).into());
    }
    Ok((scanner, begin))
}

/// SHA-256 of a file from some byte on.
pub(super) fn digest_from(disk: &dyn Disk, path: &Path, offset: u64) -> Result<Digest, RecordError> {
    let (mut file, _) = disk.read(path).map_err(RecordError::io("open", path))?;
    file.seek(SeekFrom::Start(offset)).map_err(RecordError::io("read", path))?;
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer).map_err(RecordError::io("read", path))? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Makes a folder's own name durable.
pub(super) fn sync_parent(disk: &dyn Disk, dir: &Path) -> Result<(), RecordError> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match disk.sync_dir(parent).map_err(RecordError::io("sync", parent)) {
        // The log may stand in a folder that this user cannot read; then somebody else made it.
        Err(RecordError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Ok(())
        }
        other => other,
    }
}
