//! Reading a whole log and recomputing its tree: what both opening for writing and verifying do.

use std::collections::VecDeque;
use std::io::{Read, Seek};

use loadline_core::Digest;
use loadline_tlog::{Hash, Tree};

use crate::error::RecordError;
use crate::frame::Checkpoint;
use crate::scan::{Frame, Scanner, Tail};

/// What begins the payload of a sample's row, by the row format.
const SAMPLE_PREFIX: &[u8] = b"{\"sample\":";

/// Whether a row's payload is a sample's.
pub(crate) fn is_sample(payload: &[u8]) -> bool {
    payload.starts_with(SAMPLE_PREFIX)
}

/// What a log holds.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The tree over all rows.
    pub tree: Tree,
    /// Rows of samples, withheld ones among them.
    pub samples: u64,
    /// Rows counted by the last checkpoint.
    pub checkpointed: u64,
    /// Numbers of the withheld rows.
    pub withheld: Vec<u64>,
    /// Where the whole frames end.
    pub end: u64,
    /// What comes after them.
    pub tail: Tail,
}

/// Reads all frames, gives each row's number and payload to `visit`, which may find fault with it, and checks every
/// checkpoint against the tree. Memory is O(log rows) and the leaf hashes since the last checkpoint.
pub(crate) fn replay<R: Read + Seek>(
    scanner: &mut Scanner<R>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), String>,
) -> Result<Replayed, RecordError> {
    replay_from(scanner, Tree::new(), |number, _, payload| visit(number, payload))
}

/// As [`replay`], going on from the tree over the rows before, and giving each row's leaf hash too.
pub(crate) fn replay_from<R: Read + Seek>(
    scanner: &mut Scanner<R>,
    before: Tree,
    mut visit: impl FnMut(u64, Hash, &[u8]) -> Result<(), String>,
) -> Result<Replayed, RecordError> {
    let mut trees = Trees { settled: before, pending: VecDeque::new() };
    let (mut samples, mut withheld) = (0, Vec::new());
    let tail = loop {
        match scanner.next()? {
            Ok(Frame::Row { number, offset, leaf }) => {
                let payload = scanner.payload();
                visit(number, leaf, payload).map_err(|what| scanner.damage(offset, number, what))?;
                samples += u64::from(is_sample(payload));
                trees.pending.push_back(leaf);
            }
            Ok(Frame::Withheld { number, leaf, .. }) => {
                samples += 1;
                withheld.push(number);
                trees.pending.push_back(leaf);
            }
            Ok(Frame::Checkpoint { offset, checkpoint }) => {
                trees.check(&checkpoint).map_err(|what| scanner.damage(offset, scanner.rows(), what))?;
            }
            Ok(Frame::Begin { offset, begin }) => {
                return Err(scanner.damage(offset, begin.first, "a second beginning").into());
            }
            Ok(Frame::End) => break Tail::Whole,
            Err(fault) => break scanner.tail(fault)?,
        }
    };
    let checkpointed = trees.settled.size();
    Ok(Replayed { tree: trees.finish(), samples, checkpointed, withheld, end: scanner.offset(), tail })
}

/// The tree up to the last checkpoint, and the leaves since: a checkpoint counts fewer rows than stand before it when
/// rows were written while others were being synced.
struct Trees {
    settled: Tree,
    pending: VecDeque<Hash>,
}

impl Trees {
    fn check(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        let settled = self.settled.size();
        let (size, rows) = (checkpoint.size, settled + self.pending.len() as u64);
        if size < settled || size > rows {
            return Err(format!("the checkpoint counts {size} rows, but {rows} stand before it"));
        }
        while self.settled.size() < size {
            match self.pending.pop_front() {
                Some(leaf) => self.settled.push(leaf),
                None => break,
            };
        }
        let root = Digest(self.settled.root());
        if root != checkpoint.root {
            return Err(format!(
                "the checkpoint's root over {size} rows is {}, but these rows have {root}",
                checkpoint.root
            ));
        }
        Ok(())
    }

    fn finish(mut self) -> Tree {
        for leaf in self.pending {
            self.settled.push(leaf);
        }
        self.settled
    }
}
