//! A sealed record in memory: the same bytes that a [`Store`](crate::Store) writes, for whoever has no disk.

use loadline_core::record::{EvalSpec, Row};
use loadline_core::{Digest, RunId};
use loadline_tlog::Tree;

use crate::error::RecordError;
use crate::finite;
use crate::frame::{self, Checkpoint, FIRST_LINE, Kind, MAX_PAYLOAD_LEN};
use crate::seal::{SEAL_FORMAT, Seal};

/// A record that grows in memory.
pub struct RecordBuffer {
    run: RunId,
    spec: Digest,
    log: Vec<u8>,
    tree: Tree,
    samples: u64,
}

/// A sealed record as the bytes of its two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBytes {
    /// What the seal says.
    pub seal: Seal,
    /// `seal.json`.
    pub seal_bytes: Vec<u8>,
    /// `log`.
    pub log: Vec<u8>,
}

impl RecordBuffer {
    /// Begins a record.
    ///
    /// # Errors
    /// When the specification cannot be written.
    pub fn new(spec: &EvalSpec) -> Result<Self, RecordError> {
        let (run, digest) = (spec.run_id()?, Digest::of_json(spec)?);
        let log = FIRST_LINE.to_vec();
        let mut buffer = Self { run, spec: digest, log, tree: Tree::new(), samples: 0 };
        buffer.append(&Row::Spec(Box::new(spec.clone())))?;
        Ok(buffer)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When it cannot be written, or is larger than a record's rows may be.
    pub fn append(&mut self, row: &Row) -> Result<(), RecordError> {
        finite::check(row)?;
        let payload = serde_json::to_vec(row)?;
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(RecordError::TooLarge { bytes: payload.len() as u64, limit: MAX_PAYLOAD_LEN as u64 });
        }
        self.tree.push(frame::push(&mut self.log, Kind::Row, &payload));
        self.samples += u64::from(matches!(row, Row::Sample(_)));
        Ok(())
    }

    /// Seals it.
    ///
    /// # Errors
    /// Never in practice: when the seal cannot be written as JSON.
    pub fn seal(mut self) -> Result<RecordBytes, RecordError> {
        let (rows, root) = (self.tree.size(), Digest(self.tree.root()));
        frame::push(&mut self.log, Kind::Checkpoint, &Checkpoint { size: rows, root }.payload());
        let seal =
            Seal { format: SEAL_FORMAT, run: self.run, spec: self.spec, rows, samples: self.samples, root };
        Ok(RecordBytes { seal_bytes: seal.bytes()?, seal, log: self.log })
    }
}
