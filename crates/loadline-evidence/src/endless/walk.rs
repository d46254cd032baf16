//! Going through the segments of a log, checking what each says of those before it.

use std::path::Path;

use loadline_core::Digest;
use loadline_tlog::Tree;

use super::LogMark;
use super::read::LogRow;
use super::segment::{self, file_name};
use crate::disk::Disk;
use crate::error::{Damage, RecordError};
use crate::replay::{Replayed, replay_from};
use crate::scan::Tail;

/// What a walk came to.
pub(super) struct Walked {
    pub name: String,
    /// The tree over all rows.
    pub tree: Tree,
    /// Rows counted by the last checkpoint.
    pub checkpointed: u64,
    /// Where in the last segment the whole frames end.
    pub end: u64,
    pub tail: Tail,
    /// How many segments were read.
    pub segments: u64,
}

/// What rows are given to, with the tree over the rows before the first that was read.
pub(super) type Visit<'v> = dyn FnMut(&Tree, LogRow<'_>) -> Result<(), String> + 'v;

/// Reads all rows from the segment on that holds row `from`, and sees that the log has what `known` says, when that
/// is not before the first row read.
pub(super) fn walk(
    disk: &dyn Disk,
    dir: &Path,
    firsts: &[u64],
    from: u64,
    known: Option<LogMark>,
    visit: &mut Visit<'_>,
) -> Result<Walked, RecordError> {
    let start = firsts.partition_point(|first| *first <= from).saturating_sub(1);
    let mut so_far: Option<Walked> = None;
    let mut check = Known { mark: known, tree: None, found: false };
    let segments = firsts.get(start..).unwrap_or_default();
    for (at, first) in segments.iter().enumerate() {
        let closed = at + 1 < segments.len();
        let (mut scanner, begin) = segment::open(disk, dir, *first, closed)?;
        let edge = begin.edge.iter().map(|hash| hash.0).collect();
        let before = Tree::from_edge(*first, edge).unwrap_or_default();
        let wrong = |row, what: String| {
            RecordError::from(Damage {
                file: dir.join(file_name(*first)),
                offset: None,
                row: Some(row),
                what,
            })
        };
        let name = match &so_far {
            Some(walked) => follows(walked, &begin.name, &before).map_err(|what| wrong(*first, what))?,
            None => begin.name,
        };
        let mut start_of_segment = true;
        let replayed = replay_from(&mut scanner, before.clone(), |number, leaf, payload| {
            check.add(&before, leaf)?;
            let begins_segment = std::mem::replace(&mut start_of_segment, false);
            visit(&before, LogRow { number, leaf: Digest(leaf), payload, begins_segment })
        })?;
        complete(&replayed, *first, segments.get(at + 1))
            .map_err(|what| wrong(replayed.tree.size(), what))?;
        let Replayed { tree, checkpointed, end, tail, .. } = replayed;
        so_far = Some(Walked { name, tree, checkpointed, end, tail, segments: at as u64 + 1 });
    }
    let walked = so_far.ok_or_else(|| RecordError::Missing { dir: dir.to_path_buf() })?;
    if let Some(what) = check.missing(&walked.tree) {
        let file = dir.join(file_name(firsts.last().copied().unwrap_or_default()));
        return Err(Damage { file, offset: None, row: Some(walked.tree.size()), what }.into());
    }
    Ok(walked)
}

/// What a segment says of the rows before it must be what was read there.
fn follows(walked: &Walked, name: &str, before: &Tree) -> Result<String, String> {
    if walked.name != name {
        return Err(format!("the segment is of another log than the one before it (`{}`)", walked.name));
    }
    if walked.tree != *before {
        return Err("what the segment says of the rows before it is not what is there".to_owned());
    }
    Ok(walked.name.clone())
}

/// A segment's first row was durable before it had its name; a closed one goes up to the next.
fn complete(replayed: &Replayed, first: u64, next: Option<&u64>) -> Result<(), String> {
    let rows = replayed.tree.size();
    if rows == first {
        return Err("the segment's first row is not there".to_owned());
    }
    match next {
        Some(next) if rows != *next => {
            Err(format!("the segment ends before row {rows}, but the next begins with row {next}"))
        }
        Some(_) if replayed.checkpointed != rows => {
            Err("a segment that another follows does not end with a checkpoint over all its rows".to_owned())
        }
        _ => Ok(()),
    }
}

/// Watches for the root at a known size.
struct Known {
    mark: Option<LogMark>,
    tree: Option<Tree>,
    found: bool,
}

impl Known {
    fn add(&mut self, before: &Tree, leaf: [u8; 32]) -> Result<(), String> {
        let Some(mark) = self.mark.filter(|_| !self.found) else { return Ok(()) };
        let tree = self.tree.get_or_insert_with(|| before.clone());
        if tree.size() >= mark.rows {
            // The rows it counts stand before those that are read.
            self.found = true;
            return Ok(());
        }
        tree.push(leaf);
        if tree.size() == mark.rows {
            self.found = true;
            let root = Digest(tree.root());
            if root != mark.root {
                return Err(format!(
                    "the signed checkpoint has root {} over {} rows, but these rows have {root}: the log was rewritten",
                    mark.root, mark.rows
                ));
            }
        }
        Ok(())
    }

    fn missing(&self, tree: &Tree) -> Option<String> {
        let mark = self.mark.filter(|mark| !self.found && mark.rows > tree.size())?;
        Some(format!(
            "the signed checkpoint counts {} rows, but the log has {}: it was cut short",
            mark.rows,
            tree.size()
        ))
    }
}
