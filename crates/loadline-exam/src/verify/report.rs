//! What a verification says.

use std::fmt;

use loadline_core::{Digest, Instant, RunId};
use loadline_policy::decide::Outcome;
use loadline_policy::policy::Stage;
use loadline_trust::{RootMark, StandingMark};
use serde::Serialize;

/// What the verifier knows from elsewhere.
#[derive(Clone, Debug)]
pub struct Anchor {
    /// The moment to verify at: data, never a clock.
    pub now: Instant,
    /// Payload digest of version 1 of the root: which authority it must be. Without it, the bundle shows only that
    /// one authority made all of it.
    pub root: Option<Digest>,
    /// The newest root seen before.
    pub root_seen: Option<RootMark>,
    /// A fresh standing, as its envelope's bytes.
    pub standing: Option<Vec<u8>>,
    /// The newest standing seen before.
    pub standing_seen: Option<StandingMark>,
    /// Whether the exam must be one whose start witnesses cosigned.
    pub witnessed: bool,
}

impl Anchor {
    /// Nothing but the moment.
    pub fn at(now: Instant) -> Self {
        Self { now, root: None, root_seen: None, standing: None, standing_seen: None, witnessed: false }
    }
}

/// The steps, in the order of the checklist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// The file is a bundle: every part whole and in its place, nothing else.
    Container,
    /// The roots follow each other and are the pinned ones.
    Roots,
    /// The policy is the one that everything names.
    Policy,
    /// The model is the one that everything names.
    Model,
    /// Every entry is in the log, and enough witnesses saw it.
    Log,
    /// The entries are in the only order in which an exam means something.
    Order,
    /// The secret is the one that was bound, and the seed follows.
    Seed,
    /// The examiner signed the attestation, and it agrees with the log.
    Attestation,
    /// The records are whole, sealed, and of this exam.
    Records,
    /// Every question is the one that the seed makes.
    Items,
    /// Every answer, scored again, has the scores of its row.
    Scores,
    /// The counts are those that the examiner attests.
    Counts,
    /// The compute test of each law, judged again.
    Scope,
    /// Every sign-off is by a key of its role, about this exam.
    SignOffs,
    /// The decision, made again, has the same bytes.
    Decision,
    /// The licence says what the decision says, signed by the authority and logged.
    License,
    /// The Simple Verification Result says the same.
    Svr,
    /// The licence and the root count at this moment.
    Validity,
    /// The licence is neither revoked nor suspended.
    Standing,
}

impl StepName {
    /// All of them, in order.
    pub const ALL: [Self; 19] = [
        Self::Container,
        Self::Roots,
        Self::Policy,
        Self::Model,
        Self::Log,
        Self::Order,
        Self::Seed,
        Self::Attestation,
        Self::Records,
        Self::Items,
        Self::Scores,
        Self::Counts,
        Self::Scope,
        Self::SignOffs,
        Self::Decision,
        Self::License,
        Self::Svr,
        Self::Validity,
        Self::Standing,
    ];

    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Roots => "roots",
            Self::Policy => "policy",
            Self::Model => "model",
            Self::Log => "log",
            Self::Order => "order",
            Self::Seed => "seed",
            Self::Attestation => "attestation",
            Self::Records => "records",
            Self::Items => "items",
            Self::Scores => "scores",
            Self::Counts => "counts",
            Self::Scope => "scope",
            Self::SignOffs => "sign_offs",
            Self::Decision => "decision",
            Self::License => "license",
            Self::Svr => "svr",
            Self::Validity => "validity",
            Self::Standing => "standing",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    Ok,
    /// It does not.
    Failed,
    /// It could not be looked at, or there is nothing to look at.
    Skipped,
}

/// One line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// What became of it.
    pub status: Status,
    /// What was found; for a failure which part, row, sample and field. Safe for a terminal.
    pub detail: String,
}

/// Rows whose content is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WithheldRows {
    /// The policy's test.
    pub test: String,
    /// The run.
    pub run: RunId,
    /// The numbers of the rows.
    pub rows: Vec<u64>,
}

/// What the bundle is about. Only what was read; whether it holds, the steps say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The authority: payload digest of version 1 of the root.
    pub authority: Option<Digest>,
    /// Which log.
    pub log: Option<String>,
    /// What the model is called.
    pub model_name: Option<String>,
    /// Its digest.
    pub model: Option<Digest>,
    /// The policy, as `NAME VERSION`.
    pub policy: Option<String>,
    /// Which attempt.
    pub attempt: Option<u64>,
    /// How often the exam was interrupted, by the entries in the bundle; in the older form, at least so often.
    pub resumes: u64,
    /// How many cosignatures went into the seed, if it holds: with none, the authority could try questions as it liked.
    pub cosignatures: Option<usize>,
    /// For which stage it was decided.
    pub stage: Option<Stage>,
    /// What was decided.
    pub outcome: Option<Outcome>,
    /// Payload digest of the licence.
    pub license: Option<Digest>,
    /// Last moment of the licence.
    pub expires: Option<Instant>,
    /// Samples that were asked again and scored again.
    pub samples: u64,
}

/// The checklist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether every step that could be looked at holds.
    pub holds: bool,
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// What the bundle is about.
    pub summary: Summary,
    /// Rows whose content is left out. Their scores are as the examiner attests: self-reported, not recomputed.
    pub withheld: Vec<WithheldRows>,
    /// What no bundle can show.
    pub cannot_show: Vec<String>,
}

impl Report {
    /// The whole of it as one line of JSON: the same from every program that verifies.
    ///
    /// # Errors
    /// Never, as long as every part of it can be written as JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// A step.
    pub fn step(&self, name: StepName) -> &Step {
        // Every report has every step, in the order of `StepName::ALL`.
        &self.steps[name as usize]
    }

    /// The first step that failed.
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.status == Status::Failed)
    }
}
