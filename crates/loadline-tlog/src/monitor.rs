//! Watching a log: the newest checkpoint that was believed, and what the next one means.
//!
//! Pure: the caller keeps [`Monitor::state`] in a file, fetches, and says out loud what is found.

use crate::checkpoint::Checkpoint;
use crate::merkle::{ConsistencyProof, ProofError};
use crate::note::Note;
use crate::policy::{Policy, Refused};

/// Watches one log.
#[derive(Clone, Debug)]
pub struct Monitor {
    policy: Policy,
    known: Option<(Checkpoint, Note)>,
}

/// What a checkpoint means to someone who knows an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Finding {
    /// The first checkpoint ever seen: believed, and kept.
    First {
        /// Its size.
        size: u64,
    },
    /// The log grew, and proved it. The new checkpoint is kept.
    Advanced {
        /// The size before.
        from: u64,
        /// The size now.
        to: u64,
    },
    /// The log is as it was.
    Same {
        /// Its size.
        size: u64,
    },
    /// The log is smaller than it was. The known checkpoint is kept.
    Rollback {
        /// The size that is known.
        known: u64,
        /// The size that was shown.
        shown: u64,
        /// Whether a proof shows that it is an earlier state of the same log: stale, but no lie.
        is_earlier_state: bool,
    },
    /// The log tells two stories. Both notes, each with the log's signature, prove it to anybody when the sizes are
    /// equal; otherwise the log must be asked for a proof between the two sizes, which it cannot give.
    Fork {
        /// The known signed checkpoint.
        known: Box<Note>,
        /// The other one.
        shown: Box<Note>,
        /// What does not hold; `None` when the sizes are equal and the roots differ, which no proof can mend.
        problem: Option<ProofError>,
    },
    /// The checkpoint is not to be believed at all, by the policy.
    BadSignature(Refused),
    /// It is of another log.
    OtherLog {
        /// The origin that is watched.
        known: String,
        /// The origin that was shown.
        shown: String,
    },
}

impl Finding {
    /// Whether the log did what an honest log does not do (or somebody in between did): a reason to be loud.
    pub fn is_alarm(&self) -> bool {
        match self {
            Self::First { .. } | Self::Advanced { .. } | Self::Same { .. } => false,
            Self::Rollback { is_earlier_state, .. } => !is_earlier_state,
            Self::Fork { .. } | Self::BadSignature(_) | Self::OtherLog { .. } => true,
        }
    }
}

impl Monitor {
    /// A monitor that knows nothing yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, known: None }
    }

    /// A monitor that knows the checkpoint it kept earlier.
    ///
    /// # Errors
    /// When the policy does not accept what was kept.
    pub fn resume(policy: Policy, kept: Note) -> Result<Self, Refused> {
        let checkpoint = policy.check(&kept)?.checkpoint;
        Ok(Self { policy, known: Some((checkpoint, kept)) })
    }

    /// The newest checkpoint that was believed: what the caller keeps.
    pub fn state(&self) -> Option<&Note> {
        self.known.as_ref().map(|(_, note)| note)
    }

    /// Its size: the `old_size` of the proof that [`Monitor::observe`] needs.
    pub fn known_size(&self) -> Option<u64> {
        self.known.as_ref().map(|(checkpoint, _)| checkpoint.size())
    }

    /// Whether the policy accepts a checkpoint at all: a proof is worth asking for only then.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, note: &Note) -> Result<Checkpoint, Refused> {
        self.policy.check(note).map(|accepted| accepted.checkpoint)
    }

    /// Judges a checkpoint. `proof` is from the smaller of the two sizes to the larger; none is needed when they are
    /// equal. Only a checkpoint that is proved to continue the known one is kept.
    pub fn observe(&mut self, note: &Note, proof: Option<&ConsistencyProof>) -> Finding {
        let shown = match self.check(note) {
            Ok(checkpoint) => checkpoint,
            Err(refused) => return Finding::BadSignature(refused),
        };
        let Some((known, known_note)) = &self.known else {
            let size = shown.size();
            self.known = Some((shown, note.clone()));
            return Finding::First { size };
        };
        if known.origin() != shown.origin() {
            let (known, shown) = (known.origin().to_owned(), shown.origin().to_owned());
            return Finding::OtherLog { known, shown };
        }
        let (from, to) = (known.size(), shown.size());
        if from == to {
            let fork = |problem| Finding::Fork {
                known: Box::new(known_note.clone()),
                shown: Box::new(note.clone()),
                problem,
            };
            return if known.root() == shown.root() { Finding::Same { size: to } } else { fork(None) };
        }
        if to < from {
            let is_earlier_state = holds(proof, &shown, known).is_ok();
            return Finding::Rollback { known: from, shown: to, is_earlier_state };
        }
        match holds(proof, known, &shown) {
            Ok(()) => {
                self.known = Some((shown, note.clone()));
                Finding::Advanced { from, to }
            }
            Err(problem) => Finding::Fork {
                known: Box::new(known_note.clone()),
                shown: Box::new(note.clone()),
                problem: Some(problem),
            },
        }
    }
}

/// Whether the proof leads from the earlier checkpoint to the later. The sizes are those of the checkpoints, whatever
/// the proof says of itself.
fn holds(proof: Option<&ConsistencyProof>, old: &Checkpoint, new: &Checkpoint) -> Result<(), ProofError> {
    let path = proof.map(|proof| proof.path.clone()).unwrap_or_default();
    ConsistencyProof { old_size: old.size(), new_size: new.size(), path }.verify(old.root(), new.root())
}
