//! The witness protocol, both sides (C2SP tlog-witness): a witness cosigns a checkpoint only when it continues the last
//! one it cosigned, so a log cannot show two stories to two people.
//!
//! No HTTP and no clock here: a server hands in a request's body and the time, and sends the answer's status and body.

mod client;
mod server;

use crate::merkle::{ConsistencyProof, Hash};
use crate::note::{Note, NoteError};
use crate::text;

pub use client::{ClientError, Outcome};
pub use server::{Answer, KnownLog, Latest, MemoryStore, Refusal, Witness, WitnessError, WitnessStore};

/// The most hashes that a request may hold.
pub const MAX_PROOF_LINES: usize = 63;
/// The longest request, in bytes: what a server reads before it refuses.
pub const MAX_REQUEST_BYTES: usize = crate::note::MAX_NOTE_BYTES;
/// The `Content-Type` of a conflict's body, which is a tree size.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The body of `POST <prefix>/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the witness cosigned last, as the log believes.
    pub old_size: u64,
    /// The consistency proof from there, empty when `old_size` is 0.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

/// Why a body is no such request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The first line.
    #[error("line 1 must be `old` and a tree size, not `{0}`")]
    OldSize(String),
    /// A line of the proof.
    #[error("line {0} must be one of at most {MAX_PROOF_LINES} hashes in base64, or empty")]
    Proof(usize),
    /// The checkpoint.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
}

impl AddCheckpoint {
    /// A request from a proof.
    pub fn new(proof: ConsistencyProof, checkpoint: Note) -> Self {
        Self { old_size: proof.old_size, proof: proof.path, checkpoint }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// When a line is not exactly in form.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        let whole = crate::note::check_bytes(body)?;
        let (head, checkpoint) = whole.split_once("\n\n").ok_or(RequestError::Note(NoteError::Form))?;
        let mut lines = (1..).zip(head.split('\n'));
        let first = lines.next().map_or("", |(_, line)| line);
        let old_size = first.strip_prefix("old ").and_then(text::decimal);
        let old_size = old_size.ok_or_else(|| RequestError::OldSize(text::excerpt(first)))?;
        let mut proof = Vec::new();
        for (number, line) in lines {
            let hash = text::hash(line).filter(|_| proof.len() < MAX_PROOF_LINES);
            proof.push(hash.ok_or(RequestError::Proof(number))?);
        }
        Ok(Self { old_size, proof, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }

    /// The body as text.
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            body.push_str(&text::base64(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.checkpoint.to_text());
        body
    }
}

/// The name under which a witness serves a log's checkpoint: `<prefix>/<this>/checkpoint`.
pub fn origin_hash(origin: &str) -> String {
    use sha2::Digest as _;
    text::hex(&sha2::Sha256::digest(origin))
}
