//! Being a witness.

use std::collections::BTreeMap;

use super::{AddCheckpoint, RequestError, SIZE_CONTENT_TYPE, origin_hash};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature::MAX_TIMESTAMP;
use crate::key::{SignerKey, VerifierKey};
use crate::merkle::{ConsistencyProof, Hash, ProofError};
use crate::note::{Note, NoteError};
use crate::text;

/// The last checkpoint of a log that a witness cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Its size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The note, with the signature of the log that was verified and the witness's own.
    pub note: String,
}

/// Where a witness keeps what it cosigned. Losing it, or going back in it, breaks the one promise a witness makes.
pub trait WitnessStore {
    /// Why it cannot be read or written.
    type Error: std::error::Error;

    /// The last checkpoint of this log.
    ///
    /// # Errors
    /// When it cannot be read. That is not the same as there being none.
    fn latest(&self, origin: &str) -> Result<Option<Latest>, Self::Error>;

    /// Keeps `next` if the last one kept has still the size `expected` (0 for none), in one step, and returns only
    /// when it is durable. `false`, and nothing is changed, when another request was faster.
    ///
    /// # Errors
    /// When it may not be durable.
    fn replace(&mut self, origin: &str, expected: u64, next: &Latest) -> Result<bool, Self::Error>;
}

/// A store for tests and examples: it forgets everything when the process ends, so no real witness may use it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(BTreeMap<String, Latest>);

impl WitnessStore for MemoryStore {
    type Error = std::convert::Infallible;

    fn latest(&self, origin: &str) -> Result<Option<Latest>, Self::Error> {
        Ok(self.0.get(origin).cloned())
    }

    fn replace(&mut self, origin: &str, expected: u64, next: &Latest) -> Result<bool, Self::Error> {
        let fits = self.0.get(origin).map_or(0, |latest| latest.size) == expected;
        if fits {
            self.0.insert(origin.to_owned(), next.clone());
        }
        Ok(fits)
    }
}

/// A log that a witness watches.
#[derive(Clone, Debug)]
pub struct KnownLog {
    /// Its origin.
    pub origin: String,
    /// Its keys; one signature is enough, and none may be wrong.
    pub keys: Vec<VerifierKey>,
}

/// A witness.
#[derive(Debug)]
pub struct Witness<S> {
    keys: Vec<SignerKey>,
    logs: Vec<KnownLog>,
    store: S,
}

/// What is wrong with the witness itself: a server answers 500, and no cosignature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError<E: std::error::Error> {
    /// What was cosigned cannot be read or kept.
    #[error("the witness cannot keep what it cosigns: {0}")]
    Store(E),
    /// Its keys must be cosigning keys, at least one.
    #[error("a witness needs keys that cosign; `{0}` does not")]
    Keys(String),
    /// The time is 0 or too late.
    #[error("{0} is not a time at which a witness can cosign")]
    Time(u64),
    /// The checkpoint cannot be cosigned.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// An answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// 200: the cosignature lines.
    Cosigned(String),
    /// Anything else.
    Refused(Refusal),
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// 400: not in form.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// 400: the note is no checkpoint.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// 400: the old size is larger than the new.
    #[error("the old size {old} is larger than the checkpoint's {new}")]
    OldLarger {
        /// The old size.
        old: u64,
        /// The checkpoint's size.
        new: u64,
    },
    /// 404: a log that this witness does not watch.
    #[error("this witness does not know the log `{0}`")]
    UnknownLog(String),
    /// 403: not signed by the log, or wrongly.
    #[error(transparent)]
    Signature(NoteError),
    /// 409: the witness cosigned another size last.
    #[error("the last checkpoint cosigned has {0} entries")]
    Conflict(u64),
    /// 422: the checkpoint does not continue the last one. Where the signature holds, this is evidence against the log.
    #[error("the checkpoint does not continue the one of {old} entries: {problem}")]
    Inconsistent {
        /// The size of the last one.
        old: u64,
        /// What does not hold.
        problem: ProofError,
    },
    /// 422: 0 entries, but not the root of the empty tree.
    #[error("the checkpoint says 0 entries but has not the root of the empty tree")]
    EmptyRoot,
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        let Self::Refused(refusal) = self else { return 200 };
        match refusal {
            Refusal::Request(_) | Refusal::Checkpoint(_) | Refusal::OldLarger { .. } => 400,
            Refusal::UnknownLog(_) => 404,
            Refusal::Signature(_) => 403,
            Refusal::Conflict(_) => 409,
            Refusal::Inconsistent { .. } | Refusal::EmptyRoot => 422,
        }
    }

    /// The `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        if self.status() == 409 { SIZE_CONTENT_TYPE } else { "text/plain; charset=utf-8" }
    }

    /// The body.
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(lines) => lines.clone(),
            Self::Refused(Refusal::Conflict(size)) => format!("{size}\n"),
            Self::Refused(refusal) => format!("{refusal}\n"),
        }
    }
}

/// Either half of a request that is refused, or of the witness failing.
enum Stop<E: std::error::Error> {
    Refused(Refusal),
    Failed(WitnessError<E>),
}

impl<E: std::error::Error> From<Refusal> for Stop<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<E: std::error::Error> From<WitnessError<E>> for Stop<E> {
    fn from(error: WitnessError<E>) -> Self {
        Self::Failed(error)
    }
}

impl<S: WitnessStore> Witness<S> {
    /// A witness with these keys, for these logs.
    ///
    /// # Errors
    /// When there is no key, or one that does not cosign.
    pub fn new(keys: Vec<SignerKey>, logs: Vec<KnownLog>, store: S) -> Result<Self, WitnessError<S::Error>> {
        let wrong = keys.iter().find(|key| !key.verifier().algorithm().is_cosignature());
        if let Some(key) = wrong {
            return Err(WitnessError::Keys(key.verifier().name().to_owned()));
        }
        if keys.is_empty() {
            return Err(WitnessError::Keys("nothing".to_owned()));
        }
        Ok(Self { keys, logs, store })
    }

    /// The public halves of its keys.
    pub fn verifiers(&self) -> impl Iterator<Item = &VerifierKey> {
        self.keys.iter().map(SignerKey::verifier)
    }

    /// Answers `add-checkpoint`; `now` is in seconds since 1970. What is cosigned was kept before this returns.
    ///
    /// # Errors
    /// When the witness itself fails: nothing may be sent to the client but a 500.
    pub fn add_checkpoint(&mut self, body: &[u8], now: u64) -> Result<Answer, WitnessError<S::Error>> {
        match self.try_add(body, now) {
            Ok(lines) => Ok(Answer::Cosigned(lines)),
            Err(Stop::Refused(refusal)) => Ok(Answer::Refused(refusal)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn try_add(&mut self, body: &[u8], now: u64) -> Result<String, Stop<S::Error>> {
        if now == 0 || now > MAX_TIMESTAMP {
            return Err(WitnessError::Time(now).into());
        }
        let request = AddCheckpoint::parse(body).map_err(Refusal::Request)?;
        let checkpoint = Checkpoint::parse(request.checkpoint.text()).map_err(|error| match error {
            CheckpointError::EmptyRoot => Refusal::EmptyRoot,
            other => Refusal::Checkpoint(other),
        })?;
        let by_log = self.check_signature(&checkpoint, &request.checkpoint)?;
        let (old, new) = (request.old_size, checkpoint.size());
        if old > new {
            return Err(Refusal::OldLarger { old, new }.into());
        }
        let latest = self.store.latest(checkpoint.origin()).map_err(WitnessError::Store)?;
        check_continues(latest.as_ref(), &request, &checkpoint)?;
        let (note, lines) = self.cosign(by_log, now)?;
        let next = Latest { size: new, root: *checkpoint.root(), note: note.to_text() };
        let kept = self.store.replace(checkpoint.origin(), old, &next).map_err(WitnessError::Store)?;
        if kept {
            return Ok(lines);
        }
        let latest = self.store.latest(checkpoint.origin()).map_err(WitnessError::Store)?;
        Err(Refusal::Conflict(latest.map_or(0, |latest| latest.size)).into())
    }

    /// Gives the note with the log's own signatures only.
    fn check_signature(&self, checkpoint: &Checkpoint, note: &Note) -> Result<Note, Stop<S::Error>> {
        let origin = checkpoint.origin();
        let unknown = || Refusal::UnknownLog(text::excerpt(origin));
        let log = self.logs.iter().find(|log| log.origin == origin).ok_or_else(unknown)?;
        note.verify(&log.keys).map_err(Refusal::Signature)?;
        let mut by_log = Note::unsigned(note.text()).map_err(WitnessError::Note)?;
        for signature in note.signatures() {
            if log.keys.iter().any(|key| signature.is_of(key)) {
                by_log.add(signature.clone()).map_err(WitnessError::Note)?;
            }
        }
        Ok(by_log)
    }

    /// Adds the witness's signatures; gives the note and the new lines alone.
    fn cosign(&self, mut note: Note, now: u64) -> Result<(Note, String), WitnessError<S::Error>> {
        let before = note.signatures().len();
        for key in &self.keys {
            note.sign(key, now)?;
        }
        let lines = note.signatures().iter().skip(before).map(|signature| signature.to_line()).collect();
        Ok((note, lines))
    }

    /// Answers `GET <prefix>/<origin hash>/checkpoint`: the last checkpoint cosigned, or `None` for a 404.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn checkpoint(&self, hash: &str) -> Result<Option<String>, WitnessError<S::Error>> {
        let Some(log) = self.logs.iter().find(|log| origin_hash(&log.origin) == hash) else {
            return Ok(None);
        };
        let latest = self.store.latest(&log.origin).map_err(WitnessError::Store)?;
        Ok(latest.map(|latest| latest.note))
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }
}

/// Whether the checkpoint continues the last one that was cosigned.
fn check_continues(
    latest: Option<&Latest>,
    request: &AddCheckpoint,
    checkpoint: &Checkpoint,
) -> Result<(), Refusal> {
    let known = latest.map_or(0, |latest| latest.size);
    if request.old_size != known {
        return Err(Refusal::Conflict(known));
    }
    let proof = ConsistencyProof {
        old_size: request.old_size,
        new_size: checkpoint.size(),
        path: request.proof.clone(),
    };
    let old_root = latest.map_or_else(crate::merkle::empty_root, |latest| latest.root);
    proof
        .verify(&old_root, checkpoint.root())
        .map_err(|problem| Refusal::Inconsistent { old: request.old_size, problem })
}
