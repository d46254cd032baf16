//! Being witnessed: what a log sends, and what it makes of the answer.

use super::AddCheckpoint;
use crate::checkpoint::Checkpoint;
use crate::key::VerifierKey;
use crate::note::{self, Note, NoteError};
use crate::text;
use crate::tiles::{ReadError, TileReader, TileSource};

/// What a witness answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The note with the witness's cosignatures, each verified.
    Cosigned(Note),
    /// The witness knows another size: ask again with a proof from there.
    AskFrom(u64),
}

/// Why an answer is no cosignature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The witness refused.
    #[error("the witness refused with status {status}: {says}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first line of its answer, made harmless.
        says: String,
    },
    /// It cosigned a larger log: this one lost entries, or somebody signs with its key.
    #[error("the witness knows {known} entries of this log, which has {ours} here")]
    Ahead {
        /// What the witness knows.
        known: u64,
        /// What this log has.
        ours: u64,
    },
    /// The answer is not in form, or a cosignature does not hold.
    #[error("the witness's answer: {0}")]
    Answer(#[from] NoteError),
    /// A cosignature without a time says too little.
    #[error("the witness `{0}` cosigned without a time")]
    NoTime(String),
    /// The answer is not in form.
    #[error("the witness's answer is not in form: `{0}`")]
    Form(String),
}

impl ClientError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused { status: 404, .. } => "ask the witness's operator to add this log",
            Self::Refused { status: 403, .. } => {
                "the witness has another key for this log: give it the present one"
            }
            Self::Refused { status: 422, .. } => {
                "do not publish: the witness saw another history of this log"
            }
            Self::Ahead { .. } => "stop this log: it was restored from an old copy, or runs twice",
            _ => "try again later, or ask the witness's operator",
        }
    }
}

impl AddCheckpoint {
    /// The request for a log's newest checkpoint, with the proof from what the witness knows (0 at first).
    ///
    /// # Errors
    /// When the log's tiles do not give a proof.
    pub fn build<S: TileSource>(
        log: &mut TileReader<S>,
        old_size: u64,
        checkpoint: Note,
    ) -> Result<Self, ReadError<S::Error>> {
        let (_, proof) = log.consistency(old_size)?;
        Ok(Self::new(proof, checkpoint))
    }

    /// Reads a witness's answer. `keys` are the witness's; lines of other keys are left out.
    ///
    /// # Errors
    /// When it is no valid cosignature by one of these keys.
    pub fn read_answer(
        &self,
        status: u16,
        body: &[u8],
        keys: &[VerifierKey],
    ) -> Result<Outcome, ClientError> {
        let says = note::check_bytes(body)?;
        match status {
            200 => self.cosigned(says, keys),
            409 => self.conflict(says),
            _ => {
                let says = text::excerpt(says.lines().next().unwrap_or_default());
                Err(ClientError::Refused { status, says })
            }
        }
    }

    fn cosigned(&self, lines: &str, keys: &[VerifierKey]) -> Result<Outcome, ClientError> {
        let mut answered = Note::unsigned(self.checkpoint.text())?;
        for line in
            note::parse_lines(lines)?.into_iter().filter(|line| keys.iter().any(|key| line.is_of(key)))
        {
            answered.add(line)?;
        }
        for signed in answered.verify(keys)? {
            if signed.time.is_none_or(|time| time == 0) {
                return Err(ClientError::NoTime(text::excerpt(signed.key.name())));
            }
        }
        let mut note = self.checkpoint.clone();
        for line in answered.signatures() {
            note.add(line.clone())?;
        }
        Ok(Outcome::Cosigned(note))
    }

    fn conflict(&self, says: &str) -> Result<Outcome, ClientError> {
        let known = says.strip_suffix('\n').and_then(text::decimal);
        let known = known.ok_or_else(|| ClientError::Form(text::excerpt(says)))?;
        let ours = Checkpoint::parse(self.checkpoint.text()).map_err(NoteError::from)?.size();
        if known > ours {
            return Err(ClientError::Ahead { known, ours });
        }
        if known == self.old_size {
            // It refuses the very size that it names: asking again would go on for ever.
            return Err(ClientError::Form(text::excerpt(says)));
        }
        Ok(Outcome::AskFrom(known))
    }
}
