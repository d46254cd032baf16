//! What a decision is made from.

use loadline_core::Digest;
use loadline_core::model::Basis;
use serde::{Deserialize, Serialize};

use crate::instant::Instant;
use crate::policy::{Role, Source, Stage};
use crate::rules::ScopeVerdict;

/// What was asked of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Where the questions came from.
    pub source: Source,
    /// Which score was counted.
    pub metric: String,
}

/// One exam of one test, as counts. Whoever makes it has recomputed them from the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// By which reasons name it.
    pub id: String,
    /// The policy's test.
    pub test: String,
    /// Root of the sealed record.
    pub record: Digest,
    /// Its place in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
    /// On what the counts rest: `verified` when they were recomputed here from the record.
    pub basis: Basis,
    /// What was asked.
    pub asked: Asked,
    /// Samples that scored 1.
    pub successes: u64,
    /// Samples with a score of 0 or 1.
    pub scored: u64,
    /// Samples without a score: no answer, or none that could be read. Each could have been either.
    pub unscored: u64,
    /// The number that the log gave this attempt, from 1.
    pub attempt: u64,
    /// When the record was sealed.
    pub finished: Instant,
    /// Which model answered.
    pub model: Digest,
    /// On what that rests.
    pub identity: Basis,
    /// The policy that was registered before.
    pub policy: Digest,
}

/// A signature that was checked: by whom, in which role, for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOff {
    /// By which reasons name it.
    pub id: String,
    /// The key that signed.
    pub signer: String,
    /// The role it signed in, which the root file gives that key.
    pub role: Role,
    /// Yes, or no.
    pub approves: bool,
    /// To which stage.
    pub stage: Stage,
    /// Of which model.
    pub subject: Digest,
    /// Under which policy.
    pub policy: Digest,
    /// When.
    pub at: Instant,
}

/// A stop that was tried out, as its signed report and the log say. What is in it was measured by who held the stop
/// key; that the model was the one that answered is the gate's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// By which reasons name it.
    pub id: String,
    /// Payload digest of the report.
    pub report: Digest,
    /// Its place in the log.
    pub log_index: u64,
    /// Of which model.
    pub model: Digest,
    /// Streams that were under way when the order was given.
    pub streams: u64,
    /// From the order to the last byte of any stream, in milliseconds, rounded up.
    pub last_byte_ms: u64,
    /// Bytes that came after the gate's answer.
    pub bytes_after: u64,
    /// When.
    pub at: Instant,
}

/// Everything besides the policy that a decision depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The model.
    pub subject: Digest,
    /// The stage it is to be licensed for.
    pub stage: Stage,
    /// The moment of the decision: data, never a clock.
    pub now: Instant,
    /// The compute test of each law.
    pub scope: Vec<ScopeVerdict>,
    /// The exams.
    pub evidence: Vec<Evidence>,
    /// The signatures.
    pub sign_offs: Vec<SignOff>,
    /// The newest drill of the model, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<Drill>,
}
