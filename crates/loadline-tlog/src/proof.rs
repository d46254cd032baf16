//! A proof that travels alone: entry index, inclusion proof and cosigned checkpoint in one text (C2SP tlog-proof).

use crate::merkle::{Hash, InclusionProof, ProofError};
use crate::note::{self, Note, NoteError};
use crate::policy::{Accepted, Policy, Refused};
use crate::text;

/// The first line.
pub const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The extra data's limit, in bytes.
pub const MAX_EXTRA_BYTES: usize = 1 << 16;
/// The most hashes in a proof of a tree.
pub const MAX_PROOF_HASHES: usize = 63;

/// An offline proof, in form but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Data for the application. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The entry's index, from 0.
    pub index: u64,
    /// The sibling hashes from the leaf up.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: Note,
}

/// Why a text is no proof, or does not prove it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogProofError {
    /// Another first line: another format or version.
    #[error("proof line 1 must be `{PROOF_HEADER}`")]
    Header,
    /// A line that is not in form.
    #[error("proof line {line}: `{found}` is not {expected}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// How it begins.
        found: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// The checkpoint in it is no signed note.
    #[error("the checkpoint in the proof: {0}")]
    Note(#[from] NoteError),
    /// The policy does not accept the checkpoint.
    #[error("the checkpoint in the proof: {0}")]
    Refused(#[from] Refused),
    /// The entry is not in the log.
    #[error("the entry is not in the log: {0}")]
    NotIncluded(#[from] ProofError),
}

impl LogProofError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Header | Self::Line { .. } => {
                "get the `.tlog-proof` file again; it must be exactly as written"
            }
            Self::Note(error) => error.hint(),
            Self::Refused(error) => error.hint(),
            Self::NotIncluded(_) => "the entry was changed, or this proof belongs to another entry",
        }
    }
}

impl LogProof {
    /// Reads a proof. What is read is written back byte for byte by [`LogProof::to_text`].
    ///
    /// # Errors
    /// When a line is not exactly in form; the error names it.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogProofError> {
        let whole = note::check_bytes(bytes)?;
        let (head, checkpoint) = whole.split_once("\n\n").ok_or(LogProofError::Note(NoteError::Form))?;
        let mut lines = (1..).zip(head.split('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != PROOF_HEADER) {
            return Err(LogProofError::Header);
        }
        let mut extra = None;
        if let Some((line, data)) =
            lines.peek().and_then(|(line, text)| Some((*line, text.strip_prefix("extra ")?)))
        {
            let bytes = text::from_base64(data).filter(|bytes| bytes.len() <= MAX_EXTRA_BYTES);
            extra = Some(bytes.ok_or_else(|| wrong(line, data, "base64 of at most 65536 bytes"))?);
            lines.next();
        }
        let (line, index) = lines.next().unwrap_or((2, ""));
        let index = index
            .strip_prefix("index ")
            .and_then(text::decimal)
            .ok_or_else(|| wrong(line, index, "`index` and a number"))?;
        let mut path = Vec::new();
        for (line, hash) in lines {
            let hash = text::hash(hash).filter(|_| path.len() < MAX_PROOF_HASHES);
            path.push(hash.ok_or_else(|| {
                wrong(line, head.split('\n').nth(line - 1).unwrap_or(""), "one of at most 63 hashes")
            })?);
        }
        Ok(Self { extra, index, path, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }

    /// The proof as text, for a `.tlog-proof` file.
    pub fn to_text(&self) -> String {
        let mut whole = format!("{PROOF_HEADER}\n");
        if let Some(extra) = &self.extra {
            whole.push_str(&format!("extra {}\n", text::base64(extra)));
        }
        whole.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            whole.push_str(&text::base64(hash));
            whole.push('\n');
        }
        whole.push('\n');
        whole.push_str(&self.checkpoint.to_text());
        whole
    }

    /// Verifies that the entry with this leaf hash ([`crate::leaf_hash`]) is in a log that the policy trusts, and that
    /// the witnesses the policy asks for have seen it. Needs no network and no clock.
    ///
    /// # Errors
    /// When the policy refuses the checkpoint, or the entry is not in its tree.
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<Accepted, LogProofError> {
        let accepted = policy.check(&self.checkpoint)?;
        let size = accepted.checkpoint.size();
        let proof = InclusionProof { index: self.index, size, path: self.path.clone() };
        proof.verify(leaf, accepted.checkpoint.root())?;
        Ok(accepted)
    }
}

fn wrong(line: usize, found: &str, expected: &'static str) -> LogProofError {
    LogProofError::Line { line, found: text::excerpt(found), expected }
}
