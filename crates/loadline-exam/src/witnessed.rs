//! The log right before an exam begins, as its witnesses saw it. Their cosignatures go into the seed: without their keys
//! nobody can compute them, so nobody knows the questions before the log has shown what they follow from.

use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_tlog::policy::Refused;
use loadline_tlog::{Checkpoint, Note, NoteError, Policy, VerifierKey};
use loadline_trust::CLOCK_SKEW_S;

/// The longest note that a start may have, in bytes: the log takes entries of 64 KiB, and 14 cosignatures with ML-DSA-44 fit.
pub const MAX_WITNESSED_BYTES: usize = 48 << 10;
/// The longest time between two of the cosignatures, in seconds. Whoever may combine older and newer ones has more tries.
pub const MOST_APART_S: u64 = 15;
/// The longest time from a cosignature to the start, in seconds, by the clocks of witness and authority.
pub const MOST_BEFORE_S: u64 = 120;

/// A checkpoint with the log's signature and exactly the cosignatures that the quorum of its policy needs: none of them
/// can be left out. It has one form, and each of its signatures holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The log's line, then the witnesses' in the order of the policy.
    note: Note,
    checkpoint: Checkpoint,
    /// Their names in the policy, and when they cosigned, in seconds since 1970.
    witnesses: Vec<(String, u64)>,
}

/// Why a note is not what a start needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessedError {
    /// More than [`MAX_WITNESSED_BYTES`].
    #[error(
        "the cosigned checkpoint has {0} bytes, more than {MAX_WITNESSED_BYTES}: a smaller quorum needs fewer"
    )]
    TooLarge(usize),
    /// No note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The policy does not accept it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another order, a line twice, a line of somebody else, or more cosignatures than needed.
    #[error(
        "it is not the log's signature and then, in the policy's order, one line of each witness that the quorum needs"
    )]
    Form,
    /// A witness's clock and the start's moment do not fit.
    #[error("witness `{witness}` cosigned at {time}, and the exam began at {start}")]
    Time {
        /// Its name in the policy.
        witness: String,
        /// When it cosigned.
        time: String,
        /// What the start says.
        start: Instant,
    },
    /// Cosignatures of different moments.
    #[error("the cosignatures are {0} seconds apart; at most {MOST_APART_S} are allowed")]
    Apart(u64),
}

impl Witnessed {
    /// What a start needs of a cosigned checkpoint. Of more cosignatures than the quorum needs, the first ones in the
    /// order of the policy stay.
    ///
    /// # Errors
    /// When a signature does not hold, the quorum is not reached, or it is too large.
    pub fn of(note: &Note, policy: &Policy) -> Result<Self, WitnessedError> {
        let accepted = policy.check(note)?;
        let needed = needed(policy, accepted.witnesses.iter().map(|(name, _)| name.as_str()).collect());
        let line = |key: &VerifierKey| note.signatures().iter().find(|line| line.is_of(key));
        let logs = policy.logs().iter().filter(|log| log.name == accepted.checkpoint.origin());
        let by_log = logs.map(|log| line(&log.key)).find(Option::is_some).flatten();
        let witnesses = policy.witnesses().iter().filter(|witness| needed.contains(&witness.name.as_str()));
        let mut only = Note::unsigned(note.text())?;
        for line in by_log.into_iter().chain(witnesses.filter_map(|witness| line(&witness.key))) {
            only.add(line.clone())?;
        }
        let bytes = only.to_text().len();
        if bytes > MAX_WITNESSED_BYTES {
            return Err(WitnessedError::TooLarge(bytes));
        }
        // Judged again: where a witness signed twice, the moment of the line that stays is what counts.
        let accepted = policy.check(&only)?;
        Ok(Self { note: only, checkpoint: accepted.checkpoint, witnesses: accepted.witnesses })
    }

    /// Reads what a start has.
    ///
    /// # Errors
    /// As [`Witnessed::of`], and when it is in any other form.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, WitnessedError> {
        if text.len() > MAX_WITNESSED_BYTES {
            return Err(WitnessedError::TooLarge(text.len()));
        }
        let note = Note::parse(text.as_bytes())?;
        let read = Self::of(&note, policy)?;
        if read.note == note { Ok(read) } else { Err(WitnessedError::Form) }
    }

    /// Whether it was cosigned when the exam began: every moment near the start's, and near each other.
    ///
    /// # Errors
    /// With the first witness whose moment is not, or how far they are apart.
    pub fn check_times(&self, start: Instant) -> Result<(), WitnessedError> {
        let began = start.seconds();
        for (witness, time) in &self.witnesses {
            let is_late = *time > began.saturating_add(CLOCK_SKEW_S);
            if is_late || time.saturating_add(MOST_BEFORE_S) < began {
                let time =
                    Instant::from_seconds(*time).map_or_else(|_| time.to_string(), |at| at.to_string());
                return Err(WitnessedError::Time { witness: one_line(witness, 80), time, start });
            }
        }
        let times = self.witnesses.iter().map(|(_, time)| *time);
        let apart = times.clone().max().unwrap_or(0) - times.min().unwrap_or(0);
        if apart > MOST_APART_S { Err(WitnessedError::Apart(apart)) } else { Ok(()) }
    }

    /// The state of the log.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Who cosigned, by their names in the policy.
    pub fn witnesses(&self) -> impl ExactSizeIterator<Item = &str> {
        self.witnesses.iter().map(|(name, _)| name.as_str())
    }

    /// What goes into the seed, in the order of the policy: of each cosignature key id, time and signature. The log's own
    /// signature is not among it: its owner can make as many as they like.
    pub fn cosignatures(&self) -> Vec<Vec<u8>> {
        self.note.signatures().iter().skip(1).map(|line| line.to_bytes()).collect()
    }

    /// The note.
    pub fn to_text(&self) -> String {
        self.note.to_text()
    }
}

/// The witnesses without whom there is no quorum, when the last ones in the policy's order are left out first.
fn needed<'n>(policy: &Policy, mut cosigned: Vec<&'n str>) -> Vec<&'n str> {
    for at in (0..cosigned.len()).rev() {
        let mut fewer = cosigned.clone();
        fewer.remove(at);
        if policy.is_quorum(&fewer) {
            cosigned = fewer;
        }
    }
    cosigned
}
