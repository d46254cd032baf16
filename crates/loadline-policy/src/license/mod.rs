//! The licence: what is signed when a decision allows a stage. Every field says on what it rests.
//!
//! `docs/formats/license.md` is the page of the predicate. Nothing is signed here.

pub mod assurance;
mod issue;
mod limitation;
mod statement;

pub use issue::{Grant, IssueError, issue};
pub use limitation::{Limitation, LimitationCode, Limitations, LimitationsError};
pub use statement::{
    DigestSet, LICENSE_TYPE, Predicate, STATEMENT_TYPE, SVR_TYPE, Sha256, Statement, StatementError, Subject,
    Svr, Verifier,
};

use loadline_core::Digest;
use loadline_core::model::Basis;
use serde::{Deserialize, Serialize};

use crate::decide::{Outcome, PolicyRef};
use crate::instant::Instant;
use crate::policy::{Marks, Role, Stage};
use crate::rules::ScopeVerdict;

/// A value and on what it rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Based<T> {
    /// The value.
    pub value: T,
    /// On what it rests.
    pub basis: Basis,
}

impl<T> Based<T> {
    /// Recomputed here.
    pub fn verified(value: T) -> Self {
        Self { value, basis: Basis::Verified }
    }

    /// As somebody says.
    pub fn self_reported(value: T) -> Self {
        Self { value, basis: Basis::SelfReported }
    }
}

/// Who issues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// A URI.
    pub id: String,
    /// For people.
    pub name: String,
}

/// The model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectModel {
    /// Digest of its manifest: the subject of the statement.
    pub digest: Digest,
    /// For people.
    pub name: String,
}

/// Which decision, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRef {
    /// SHA-256 over the decision's canonical JSON.
    pub digest: Digest,
    /// What it was.
    pub outcome: Outcome,
}

/// One exam that the decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRef {
    /// By which reasons name it.
    pub id: String,
    /// The policy's test.
    pub test: String,
    /// Root of the sealed record.
    pub record: Digest,
    /// Its place in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
    /// The number that the log gave the attempt.
    pub attempt: u64,
}

/// One signature that the decision rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOffRef {
    /// By which reasons name it.
    pub id: String,
    /// The key.
    pub signer: String,
    /// The role.
    pub role: Role,
}

/// From when to when. Both ends are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// First moment.
    pub not_before: Instant,
    /// Last moment.
    pub expires: Instant,
}

impl Validity {
    /// Whether a moment is inside.
    pub fn holds_at(&self, now: Instant) -> bool {
        self.not_before <= now && now <= self.expires
    }
}

/// The licence's predicate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct License {
    /// Who issues.
    pub issuer: Based<Issuer>,
    /// The model. The basis says on what "this is that model" rests.
    pub subject: Based<SubjectModel>,
    /// How far it is opened.
    pub stage: Based<Stage>,
    /// The stage's limits; no value once weights are public.
    pub marks: Based<Option<Marks>>,
    /// What the licensee must do.
    pub conditions: Based<Vec<String>>,
    /// The policy.
    pub policy: Based<PolicyRef>,
    /// The decision.
    pub decision: Based<DecisionRef>,
    /// The exams it rests on.
    pub evidence: Vec<Based<EvidenceRef>>,
    /// The signatures it rests on.
    pub sign_offs: Vec<Based<SignOffRef>>,
    /// The compute test of each law.
    pub scope: Vec<Based<ScopeVerdict>>,
    /// Assurance levels, each with its scheme.
    pub assurance: Based<Vec<String>>,
    /// When it was issued.
    pub issued: Based<Instant>,
    /// From when to when it holds.
    pub validity: Based<Validity>,
    /// When the model is examined again.
    pub next_survey: Based<Instant>,
    /// Where the fresh list of what is revoked is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing_url: Option<Based<String>>,
    /// The licence that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Based<Digest>>,
    /// What it does not say. Never empty.
    pub limitations: Limitations,
}

/// Why a licence contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LicenseError {
    /// Its decision is not an allow.
    #[error("the decision is `{0}`: only an allow is licensed")]
    NotAllowed(Outcome),
    /// It ends before it begins.
    #[error("it holds from {} to {}: nothing", .0.not_before, .0.expires)]
    Validity(Validity),
    /// The next survey is not while it holds.
    #[error("the next survey, {0}, is not while it holds")]
    Survey(Instant),
    /// Limits on what cannot be limited, or none where there must be.
    #[error("stage `{0}`: public weights have no marks, every other stage has")]
    Marks(Stage),
    /// A limitation that follows from the rest is not there.
    #[error("the limitation `{0}` follows and is not there")]
    Limitation(LimitationCode),
    /// A level that cannot be claimed.
    #[error("the assurance level `{level}` {refusal}")]
    Assurance {
        /// The level.
        level: String,
        /// Why not.
        refusal: assurance::Refusal,
    },
}

impl License {
    /// Whether it can mean what it says. A reader checks this after the signatures.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), LicenseError> {
        let outcome = self.decision.value.outcome;
        if outcome != Outcome::Allow {
            return Err(LicenseError::NotAllowed(outcome));
        }
        let validity = self.validity.value;
        if validity.not_before > validity.expires {
            return Err(LicenseError::Validity(validity));
        }
        if !validity.holds_at(self.next_survey.value) {
            return Err(LicenseError::Survey(self.next_survey.value));
        }
        let public = self.stage.value == Stage::WeightsReleased;
        if public == self.marks.value.is_some() {
            return Err(LicenseError::Marks(self.stage.value));
        }
        for level in &self.assurance.value {
            if let Err(refusal) = assurance::check(level) {
                let level = loadline_core::untrusted::one_line(level, 60);
                return Err(LicenseError::Assurance { level, refusal });
            }
        }
        let follows = [
            (public, LimitationCode::WeightsPublic),
            (self.subject.basis != Basis::Verified, LimitationCode::RemoteIdentity),
        ];
        match follows.into_iter().find(|(applies, code)| *applies && !self.limitations.has(*code)) {
            Some((_, code)) => Err(LicenseError::Limitation(code)),
            None => Ok(()),
        }
    }
}
