//! What the log says: one small canonical JSON for each thing that is made public. `docs/formats/log-entries.md` is the
//! page of this format.

use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_core::strict::{self, StrictError};
use loadline_core::{Digest, Instant};
use loadline_policy::policy::{ModelStage, Stage};
use loadline_tlog::tile::MAX_ENTRY_BYTES;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::seed::ExamSecret;

/// `format` of every entry.
pub const ENTRY_FORMAT: &str = "loadline-entry/1";

/// Size and root of the log at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogState {
    /// How many entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Digest,
}

/// A root file was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootEntry {
    /// Its version. From this entry on it is the one in force.
    pub version: u64,
    /// Its payload digest.
    pub digest: Digest,
}

/// A policy was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEntry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
}

/// The authority bound itself to a secret, for exams under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// Digest of the policy.
    pub policy: Digest,
    /// [`ExamSecret::hash`].
    pub secret_hash: Digest,
}

/// A developer bound themselves to a model. It stands right after the state that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// [`crate::Manifest::digest`].
    pub model: Digest,
    /// What it is called.
    pub name: String,
    /// On what "this is that model" rests.
    pub identity: Basis,
    /// Digest of the compute declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<Digest>,
    /// Log index of the commitment whose secret will make the questions.
    pub commitment: u64,
    /// The log right before this entry: its index is `follows.size`.
    pub follows: LogState,
    /// Random, so that no two registrations are alike.
    pub nonce: Digest,
}

/// An exam began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// [`exam_id`].
    pub exam: Digest,
    /// Log index of the registration.
    pub registration: u64,
    /// Log index of the commitment.
    pub commitment: u64,
    /// The model.
    pub model: Digest,
    /// The policy.
    pub policy: Digest,
    /// Which attempt of this model under this policy, from 1.
    pub attempt: u64,
    /// Log index of the start before, of this model under this policy; none for the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// The log right before this entry, cosigned: [`crate::Witnessed`], as its note's text. None in exams of before there
    /// was one, whose seed rests on less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<String>,
    /// When.
    pub at: Instant,
}

/// An interrupted exam went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The exam.
    pub exam: Digest,
    /// When.
    pub at: Instant,
}

/// The record of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordRef {
    /// The policy's test.
    pub test: String,
    /// Root of the sealed record.
    pub record: Digest,
}

/// An exam ended, and its secret is public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// The exam.
    pub exam: Digest,
    /// Log index of its start.
    pub start: u64,
    /// Payload digest of the attestation's envelope.
    pub attestation: Digest,
    /// What the questions were made from.
    pub secret: ExamSecret,
    /// The records, in the order of the attestation.
    pub records: Vec<RecordRef>,
    /// How often the exam went on after it was cut off: so many `resume` entries there are. None in exams of before this
    /// was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumes: Option<u64>,
    /// When.
    pub at: Instant,
}

/// A licence was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenseEntry {
    /// Payload digest of the licence's envelope.
    pub license: Digest,
    /// The model.
    pub model: Digest,
    /// The stage.
    pub stage: Stage,
    /// When.
    pub at: Instant,
}

/// A licence was revoked, suspended or reinstated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingChange {
    /// Payload digest of the licence's envelope.
    pub license: Digest,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Instant,
}

/// A model went from one stage to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageEntry {
    /// The model.
    pub model: Digest,
    /// Where it stood.
    pub from: ModelStage,
    /// Where it stands from this entry on.
    pub to: ModelStage,
    /// The licence for the stage that it is promoted to; none for a demotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<Digest>,
    /// Why, for people.
    pub reason: String,
    /// Payload digest of the signed transition.
    pub transition: Digest,
    /// When.
    pub at: Instant,
}

/// Stopping was tried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillEntry {
    /// Payload digest of the signed report.
    pub drill: Digest,
    /// The gate's name.
    pub gate: String,
    /// The model.
    pub model: Digest,
    /// Streams that were under way.
    pub streams: u64,
    /// From the order to the last byte of any stream, in milliseconds, rounded up.
    pub last_byte_ms: u64,
    /// Bytes that came after the gate's answer.
    pub bytes_after: u64,
    /// When.
    pub at: Instant,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A root file was published.
    Root(RootEntry),
    /// A policy was published.
    Policy(PolicyEntry),
    /// The authority bound itself to a secret.
    Commitment(Commitment),
    /// A developer bound themselves to a model.
    Registration(Registration),
    /// An exam began.
    Start(Start),
    /// An interrupted exam went on.
    Resume(Resume),
    /// An exam ended.
    Finish(Finish),
    /// A licence was issued.
    License(LicenseEntry),
    /// A licence was revoked.
    Revoke(StandingChange),
    /// A licence was suspended.
    Suspend(StandingChange),
    /// A suspended licence holds again.
    Reinstate(StandingChange),
    /// A model went from one stage to another.
    Stage(StageEntry),
    /// Stopping was tried out.
    Drill(DrillEntry),
}

/// The same, as serde reads it.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", remote = "Entry")]
enum Tagged {
    Root(RootEntry),
    Policy(PolicyEntry),
    Commitment(Commitment),
    Registration(Registration),
    Start(Start),
    Resume(Resume),
    Finish(Finish),
    License(LicenseEntry),
    Revoke(StandingChange),
    Suspend(StandingChange),
    Reinstate(StandingChange),
    Stage(StageEntry),
    Drill(DrillEntry),
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            format: &'static str,
            #[serde(flatten, with = "Tagged")]
            entry: &'a Entry,
        }
        Wire { format: ENTRY_FORMAT, entry: self }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut fields = Map::deserialize(deserializer)?;
        // Taken out first, so that every other field that is not the kind's own is refused by name.
        match fields.remove("format") {
            Some(Value::String(format)) if format == ENTRY_FORMAT => {}
            Some(other) => {
                return Err(D::Error::custom(format_args!("`format` is {other}, not `{ENTRY_FORMAT}`")));
            }
            None => return Err(D::Error::missing_field("format")),
        }
        Tagged::deserialize(Value::Object(fields)).map_err(D::Error::custom)
    }
}

/// Why something is no log entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Not the canonical JSON of an entry.
    #[error(transparent)]
    Form(#[from] StrictError),
    /// It cannot be written as JSON.
    #[error("the entry cannot be written as JSON: {0}")]
    Unwritable(#[source] serde_json::Error),
    /// Larger than a log takes.
    #[error("the entry has {0} bytes; a log takes {MAX_ENTRY_BYTES}")]
    TooLarge(usize),
}

impl Entry {
    /// The bytes that are logged.
    ///
    /// # Errors
    /// When they are more than a log takes, or a number is beyond 2⁵³.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        let bytes = canonical_json(self).map_err(EntryError::Unwritable)?;
        if bytes.len() > MAX_ENTRY_BYTES { Err(EntryError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads an entry in its one form.
    ///
    /// # Errors
    /// When it is in any other.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EntryError::TooLarge(bytes.len()));
        }
        Ok(strict::from_canonical_json(bytes)?)
    }

    /// Its `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Root(_) => "root",
            Self::Policy(_) => "policy",
            Self::Commitment(_) => "commitment",
            Self::Registration(_) => "registration",
            Self::Start(_) => "start",
            Self::Resume(_) => "resume",
            Self::Finish(_) => "finish",
            Self::License(_) => "license",
            Self::Revoke(_) => "revoke",
            Self::Suspend(_) => "suspend",
            Self::Reinstate(_) => "reinstate",
            Self::Stage(_) => "stage",
            Self::Drill(_) => "drill",
        }
    }
}

/// Names an exam: what it is of, and which attempt.
pub fn exam_id(model: Digest, policy: Digest, commitment: u64, registration: u64, attempt: u64) -> Digest {
    Digest::of_parts(
        "loadline/exam/id/1",
        &[
            &model.0,
            &policy.0,
            &commitment.to_be_bytes(),
            &registration.to_be_bytes(),
            &attempt.to_be_bytes(),
        ],
    )
}
