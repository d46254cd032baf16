//! Reading an endless log, and showing that one row is in it. Works while a process writes it.

use std::path::Path;

use loadline_core::Digest;
use loadline_tlog::{ConsistencyProof, Hash, Tree, node_hash};

use super::{LogMark, segment, walk};
use crate::disk::Disk;
use crate::error::RecordError;
use crate::scan::Tail;

/// One row of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogRow<'a> {
    /// Its number, from 0.
    pub number: u64,
    /// Its RFC 6962 leaf hash.
    pub leaf: Digest,
    /// Its JSON.
    pub payload: &'a [u8],
    /// Whether it is the first of a segment.
    pub begins_segment: bool,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// The name of the log.
    pub name: String,
    /// All rows, and the root over them.
    pub mark: LogMark,
    /// Rows counted by the last checkpoint.
    pub checkpointed: u64,
    /// How many segments were read.
    pub segments: u64,
    /// Bytes at the end that are no whole row: the next writer cuts them.
    pub torn_bytes: u64,
}

/// Whether a folder has a log.
///
/// # Errors
/// When the folder cannot be read.
pub fn has_log(disk: &dyn Disk, dir: &Path) -> Result<bool, RecordError> {
    Ok(!segment::list(disk, dir)?.is_empty())
}

/// Reads a log from the segment on that holds row `from`, gives every row there to `visit`, which may find fault with
/// it, and checks every byte: each frame, each checkpoint, what each segment says of those before it, and that the log has
/// what `known` says, where that is not before the first row read. From row 0, that is everything.
///
/// # Errors
/// [`RecordError::Damaged`] with the place when anything differs, [`RecordError::Missing`] when there is no log;
/// otherwise when it cannot be read.
pub fn read(
    disk: &dyn Disk,
    dir: &Path,
    from: u64,
    known: Option<LogMark>,
    mut visit: impl FnMut(LogRow<'_>) -> Result<(), String>,
) -> Result<LogRead, RecordError> {
    let firsts = segment::list(disk, dir)?;
    if from == 0 && firsts.first().is_some_and(|first| *first > 0) {
        let what = "the first segment of the log is not there".to_owned();
        return Err(crate::Damage { file: dir.to_path_buf(), offset: None, row: Some(0), what }.into());
    }
    let walked = walk::walk(disk, dir, &firsts, from, known, &mut |_, row| visit(row))?;
    let torn_bytes = match walked.tail {
        Tail::Whole => 0,
        Tail::Torn { bytes } => bytes,
    };
    Ok(LogRead {
        name: walked.name,
        mark: LogMark { rows: walked.tree.size(), root: Digest(walked.tree.root()) },
        checkpointed: walked.checkpointed,
        segments: walked.segments,
        torn_bytes,
    })
}

/// A row with what shows that it is in a log of some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPath {
    /// The row's JSON.
    pub payload: Vec<u8>,
    /// Its leaf hash.
    pub leaf: Digest,
    /// The sibling hashes from the leaf up to the root (RFC 9162, section 2.1.3).
    pub path: Vec<Digest>,
    /// The size and the root that it leads to.
    pub mark: LogMark,
}

/// Shows that a row is among the first `size` rows. Reads the row's segment, the last before `size`, and between them those
/// in which the perfect subtree that holds the row grows: their number is that of the digits of the number of segments, in
/// base two. What the others come to is said at the beginning of those that are read. Whether the root is the one that was
/// signed is for the caller to see: it shows whether that was true.
///
/// # Errors
/// [`RecordError::NoRow`] when the row is not among them, or the log has fewer; otherwise as [`read`].
pub fn prove(disk: &dyn Disk, dir: &Path, row: u64, size: u64) -> Result<RowPath, RecordError> {
    let mut paths = prove_rows(disk, dir, &[row], size)?;
    paths.pop().ok_or(RecordError::NoRow { row, rows: size })
}

/// As [`prove`], for several rows in one pass, all among the same first `size` rows. Everything between them is read.
///
/// # Errors
/// As [`prove`].
pub fn prove_rows(disk: &dyn Disk, dir: &Path, rows: &[u64], size: u64) -> Result<Vec<RowPath>, RecordError> {
    let firsts = segment::list(disk, dir)?;
    if firsts.is_empty() {
        return Err(RecordError::Missing { dir: dir.to_path_buf() });
    }
    if let Some(row) = rows.iter().copied().find(|row| *row >= size) {
        return Err(RecordError::NoRow { row, rows: size });
    }
    let mut climbs: Vec<_> = rows.iter().map(|_| (Climb::from(&Tree::new()), Vec::new())).collect();
    let mut size_read = size;
    for (from, to) in stretches(&firsts, rows, size) {
        let (mut begins, mut holds) = (true, true);
        size_read = up_to(disk, dir, &firsts, (from, to), &mut |before, seen| {
            let begins = std::mem::take(&mut begins);
            for ((climb, payload), row) in climbs.iter_mut().zip(rows) {
                if begins {
                    holds &= climb.jump(before, *row);
                }
                climb.push(seen.leaf.0, seen.number == *row);
                if seen.number == *row {
                    *payload = seen.payload.to_vec();
                }
            }
        })?;
        if !holds {
            let file = dir.join(segment::file_name(from));
            let what = "what the segment says of the rows before it is not what is there".to_owned();
            return Err(crate::Damage { file, offset: None, row: Some(from), what }.into());
        }
    }
    if size_read != size {
        return Err(RecordError::NoRow { row: size, rows: size_read });
    }
    let mut paths = Vec::new();
    for (row, (climb, payload)) in rows.iter().zip(climbs) {
        let (leaf, root, path) = climb.finish().ok_or(RecordError::NoRow { row: *row, rows: size })?;
        let path = path.into_iter().map(Digest).collect();
        let mark = LogMark { rows: size, root: Digest(root) };
        paths.push(RowPath { payload, leaf: Digest(leaf), path, mark });
    }
    Ok(paths)
}

/// The segments, as ranges of rows, that must be read to show these rows: all from the first of them to the last, then
/// those in which the perfect subtree that holds one of them grows, and the last.
fn stretches(firsts: &[u64], rows: &[u64], size: u64) -> Vec<(u64, u64)> {
    let Some(least) = rows.iter().copied().min() else { return Vec::new() };
    let start = firsts.partition_point(|first| *first <= least).saturating_sub(1);
    let mut found: Vec<(u64, u64)> = Vec::new();
    for (at, &first) in firsts.iter().enumerate().skip(start).take_while(|(_, first)| **first < size) {
        let end = firsts.get(at + 1).map_or(size, |next| size.min(*next));
        let grows = |&row: &u64| row >= first || height(row, first) != height(row, end);
        if end < size && !rows.iter().any(grows) {
            continue;
        }
        match found.last_mut() {
            Some((_, to)) if *to == first => *to = end,
            _ => found.push((first, end)),
        }
    }
    found
}

/// The height of the perfect subtree that holds a row, among those of a log of so many rows: that of the highest digit in
/// which the two numbers differ.
fn height(row: u64, size: u64) -> u32 {
    (row ^ size).checked_ilog2().unwrap_or_default()
}

/// Shows that the log of the first `new` rows is that of the first `old` rows with rows added (RFC 9162, section 2.1.4):
/// what a witness asks for. Reads from the segment on in which the old one ends, up to the new.
///
/// # Errors
/// [`RecordError::NoRow`] when the log has fewer rows, or `old` is more than `new`; otherwise as [`read`].
pub fn continues(disk: &dyn Disk, dir: &Path, old: u64, new: u64) -> Result<ConsistencyProof, RecordError> {
    if old > new {
        return Err(RecordError::NoRow { row: old, rows: new });
    }
    // Every log follows from the empty one and from itself: nothing to show (RFC 6962, section 2.1.2).
    let mut proof = ConsistencyProof { old_size: old, new_size: new, path: Vec::new() };
    if old == 0 || old == new {
        return Ok(proof);
    }
    let mut climb: Option<Climb> = None;
    let firsts = segment::list(disk, dir)?;
    let size_read = up_to(disk, dir, &firsts, (old - 1, new), &mut |before, seen| {
        let climb = climb.get_or_insert_with(|| Climb::from(before));
        climb.push(seen.leaf.0, false);
        if climb.size == old {
            climb.want_last();
        }
    })?;
    if size_read != new {
        return Err(RecordError::NoRow { row: new, rows: size_read });
    }
    let (seed, _, path) =
        climb.and_then(Climb::finish).ok_or(RecordError::NoRow { row: old, rows: size_read })?;
    // Where the old log is itself the subtree that the path begins with, its root is known.
    if !old.is_power_of_two() {
        proof.path.push(seed);
    }
    proof.path.extend(path);
    Ok(proof)
}

/// Gives the rows to `visit` from the segment on that holds row `from`, with the tree over those before, and no row
/// from `size` on. How many rows the log has, or `size` when it has more.
fn up_to(
    disk: &dyn Disk,
    dir: &Path,
    firsts: &[u64],
    (from, size): (u64, u64),
    visit: &mut dyn FnMut(&Tree, LogRow<'_>),
) -> Result<u64, RecordError> {
    let mut enough = false;
    let walked = walk::walk(disk, dir, firsts, from, None, &mut |before, seen| {
        if seen.number >= size {
            // Nothing is wrong; what follows need not be read.
            enough = true;
            return Err(String::new());
        }
        visit(before, seen);
        Ok(())
    });
    if enough { Ok(size) } else { walked.map(|walked| walked.tree.size()) }
}

/// A tree that notes the siblings of one leaf as they come. Its stack has the perfect subtrees from left to right, as
/// [`Tree`]'s, and which of them holds the leaf.
struct Climb {
    size: u64,
    stack: Vec<(Hash, bool)>,
    leaf: Option<Hash>,
    path: Vec<Hash>,
}

impl Climb {
    fn from(before: &Tree) -> Self {
        let stack = before.edge().iter().map(|hash| (*hash, false)).collect();
        Self { size: before.size(), stack, leaf: None, path: Vec::new() }
    }

    /// Goes on behind segments that were not read, with the tree over the rows before, where the subtree that holds the
    /// leaf of `row` is as it was. Whether it is.
    fn jump(&mut self, before: &Tree, row: u64) -> bool {
        let held = self.stack.iter().find(|(_, holds)| *holds).map(|(hash, _)| *hash);
        // As many subtrees are to its left as the size has digits before the one that the subtree stands for.
        let higher = before.size().checked_shr(height(row, before.size()) + 1).unwrap_or_default();
        let place = held.map(|_| higher.count_ones() as usize);
        let edge = before.edge().iter().enumerate();
        *self = Self {
            size: before.size(),
            stack: edge.map(|(at, hash)| (*hash, Some(at) == place)).collect(),
            leaf: self.leaf,
            path: std::mem::take(&mut self.path),
        };
        held == place.and_then(|place| before.edge().get(place).copied())
    }

    fn push(&mut self, leaf: Hash, wanted: bool) {
        if wanted {
            self.leaf = Some(leaf);
        }
        let mut node = (leaf, wanted);
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.stack.pop() {
                node = self.join(left, node);
            }
        }
        self.stack.push(node);
        self.size += 1;
    }

    fn join(&mut self, left: (Hash, bool), right: (Hash, bool)) -> (Hash, bool) {
        if left.1 {
            self.path.push(right.0);
        }
        if right.1 {
            self.path.push(left.0);
        }
        (node_hash(&left.0, &right.0), left.1 || right.1)
    }

    /// From here on the last perfect subtree is what the siblings are noted of.
    fn want_last(&mut self) {
        if let Some(last) = self.stack.last_mut() {
            last.1 = true;
            self.leaf = Some(last.0);
        }
    }

    /// The leaf, the root and the path; `None` when the leaf did not come.
    fn finish(mut self) -> Option<(Hash, Hash, Vec<Hash>)> {
        let leaf = self.leaf?;
        let mut root = self.stack.pop()?;
        while let Some(left) = self.stack.pop() {
            root = self.join(left, root);
        }
        Some((leaf, root.0, self.path))
    }
}
