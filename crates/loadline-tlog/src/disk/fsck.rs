//! The check of a whole folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::log::{check_published, damaged, read_head, read_note};
use super::{Disk, DiskError, FolderSource};
use crate::audit::{AuditError, Audited, audit};
use crate::checkpoint::Checkpoint;
use crate::key::VerifierKey;
use crate::tile::{self, Resource, Tile};
use crate::tiles::{self, ReadError, TileReader, TileSource as _};

/// The most names in one folder of a log: 1,000 files, their partial ones, and the next level, with room.
const MAX_NAMES: usize = 100_000;
/// How many names of files that are none of a log's are kept for the report.
const SHOWN_STRAYS: usize = 8;

/// What a check of a whole folder found to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fsck {
    /// The newest signed checkpoint.
    pub checkpoint: Checkpoint,
    /// What was read and checked.
    pub audited: Audited,
    /// The size of the published checkpoint, if there is one.
    pub published: Option<u64>,
    /// Signature lines of the published checkpoint by keys that are not known here: nothing is said about them.
    pub unknown_signatures: usize,
    /// Partial files of earlier sizes: they say the same as the files that took their place.
    pub older: u64,
    /// Files beyond the newest checkpoint: of a batch that was cut off, no part of the log.
    pub beyond: u64,
    /// Files in the tiles' folder that are no log's: the first few paths.
    pub strays: Vec<String>,
}

/// Checks a whole log: signatures, every entry, every tile, the older partial files, the root, and what is published.
/// `keys` are the log's, `witnesses` those whose cosignatures are checked too; every entry that is right is shown to
/// `visit` with its index. Writes nothing and takes no lock.
///
/// # Errors
/// With the first thing that is wrong.
pub fn fsck(
    dir: impl Into<PathBuf>,
    disk: Arc<dyn Disk>,
    keys: &[VerifierKey],
    witnesses: &[VerifierKey],
    visit: &mut dyn FnMut(u64, &[u8]),
) -> Result<Fsck, DiskError> {
    let dir = dir.into();
    let (checkpoint, head) = read_head(&dir, disk.as_ref(), keys)?;
    // Nobody but the log writes its head.
    if head.signatures().iter().any(|line| !keys.iter().any(|key| line.is_of(key))) {
        return Err(damaged(&dir, &"the head has a signature that is not the log's"));
    }
    let source = FolderSource { dir: dir.clone(), disk: Arc::clone(&disk) };
    let audited =
        audit(&source, checkpoint.size(), checkpoint.root(), visit).map_err(|error| match error {
            AuditError::Read(ReadError::Source { source, .. }) => source,
            other => damaged(&dir, &other),
        })?;
    let mut reader = TileReader::new(source.clone(), checkpoint.size(), *checkpoint.root());
    let published = check_published(&dir, disk.as_ref(), keys, &mut reader)?;
    let unknown_signatures = check_witnesses(&dir, disk.as_ref(), keys, witnesses)?;
    let mut report =
        Fsck { checkpoint, audited, published, unknown_signatures, older: 0, beyond: 0, strays: Vec::new() };
    Walk { source: &source, report: &mut report }.folder("tile")?;
    Ok(report)
}

/// Checks the cosignatures of known witnesses; gives the number of lines by unknown keys.
fn check_witnesses(
    dir: &Path,
    disk: &dyn Disk,
    keys: &[VerifierKey],
    witnesses: &[VerifierKey],
) -> Result<usize, DiskError> {
    let path = dir.join(Resource::Checkpoint.path());
    let Some(note) = read_note(disk, &path)? else { return Ok(0) };
    let known = || keys.iter().chain(witnesses);
    note.verify(known()).map_err(|problem| DiskError::Note { path, problem })?;
    Ok(note.signatures().iter().filter(|line| !known().any(|key| line.is_of(key))).count())
}

/// Looks at every file among the tiles: those that the audit did not read, too.
struct Walk<'w> {
    source: &'w FolderSource,
    report: &'w mut Fsck,
}

impl Walk<'_> {
    fn folder(&mut self, path: &str) -> Result<(), DiskError> {
        let full = self.source.dir.join(path);
        let mut names = match self.source.disk.list(&full, MAX_NAMES) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return self.file(path),
            other => other.map_err(DiskError::io("list", &full))?,
        };
        names.sort();
        for name in names {
            let path = format!("{path}/{name}");
            let is_top = path.matches('/').count() == 1;
            if is_top || name.starts_with('x') || name.ends_with(".p") {
                self.folder(&path)?;
            } else {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<(), DiskError> {
        let Ok(resource) = Resource::parse(path) else {
            if self.report.strays.len() < SHOWN_STRAYS {
                self.report.strays.push(crate::text::excerpt(path));
            }
            return Ok(());
        };
        let size = self.report.checkpoint.size();
        if !resource.is_within(size) {
            self.report.beyond += 1;
            return Ok(());
        }
        let whole = in_place_of(resource, size);
        if whole == resource {
            return Ok(());
        }
        // The audit found the larger file to be right; this one must be its beginning.
        let (found, whole) = (self.source.read(resource)?, self.source.read(whole)?);
        if tiles::cut(resource, &whole) != Some(found) {
            let what = format!("{path} is not the beginning of the file that took its place");
            return Err(damaged(&self.source.dir, &what));
        }
        self.report.older += 1;
        Ok(())
    }
}

/// The file that a log of this size has in the place of a smaller one.
fn in_place_of(resource: Resource, size: u64) -> Resource {
    let widest = |start, items| tile::Span::holding(start, items);
    match resource {
        Resource::Checkpoint => resource,
        Resource::Entries(span) => widest(span.start(), size).map_or(resource, Resource::Entries),
        Resource::Tile(tile) => widest(tile.span().start(), tile::items_at(tile.level(), size))
            .and_then(|span| Tile::new(tile.level(), span))
            .map_or(resource, Resource::Tile),
    }
}
