//! The policy: what must be shown before a model may be used, at which stage, under which limits.
//!
//! `docs/formats/policy.md` is the page of the document, `docs/policy.md` the one for people who write one.

#[cfg(feature = "toml")]
mod check;
mod diff;
mod explain;
#[cfg(feature = "toml")]
mod read;
mod test;

pub use diff::{Change, Effect, diff};
pub use explain::explain;
#[cfg(feature = "toml")]
pub use read::parse;
pub use test::{Form, IntervalMethod, Requirement, Risk, Severity, Source, Test, Which};

use loadline_core::Digest;
use loadline_core::model::Basis;
use serde::{Deserialize, Serialize};

#[cfg(feature = "toml")]
use crate::document::Problems;
use crate::names::{Named as _, names};

/// Version of the policy's format.
pub const POLICY_FORMAT: &str = "loadline-policy/1";

names! {
    /// Who signs.
    Role {
        /// Attacked the model.
        RedTeam = "red_team",
        /// Independent of the developer.
        ExternalAuditor = "external_auditor",
        /// Studies models.
        Scientist = "scientist",
        /// Issues the licence.
        Authority = "authority",
    }
}

names! {
    /// How far a model is opened, in this order.
    Stage {
        /// Its developer only.
        Internal = "internal",
        /// People who attack it.
        RedTeam = "red_team",
        /// External auditors.
        ExternalAudit = "external_audit",
        /// Scientists under terms.
        Academic = "academic",
        /// A limited public.
        Limited = "limited",
        /// Everybody.
        General = "general",
        /// The weights are public. Nobody can take that back.
        WeightsReleased = "weights_released",
    }
}

names! {
    /// Where a model stands: at a stage, or at none.
    ModelStage {
        /// At none yet.
        Draft = "draft",
        /// Its developer only.
        Internal = "internal",
        /// People who attack it.
        RedTeam = "red_team",
        /// External auditors.
        ExternalAudit = "external_audit",
        /// Scientists under terms.
        Academic = "academic",
        /// A limited public.
        Limited = "limited",
        /// Everybody.
        General = "general",
        /// The weights are public. Nothing follows: no stop reaches them.
        WeightsReleased = "weights_released",
        /// Closed for now.
        Suspended = "suspended",
        /// Closed for ever.
        Withdrawn = "withdrawn",
    }
}

/// Which way a model goes from one stage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opened further, to this stage: a decision about it and the signatures of its rule are needed.
    Promotion(Stage),
    /// Opened less, or closed: one signer is enough.
    Demotion,
}

/// Why a model does not go from one stage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Nothing follows this stage.
    #[error("nothing follows `{0}`")]
    Final(ModelStage),
    /// It is there already.
    #[error("it is at `{0}` already")]
    Same(ModelStage),
}

impl ModelStage {
    /// The stage that it is at, if it is at one.
    pub fn stage(self) -> Option<Stage> {
        Stage::ALL.iter().copied().find(|stage| stage.name() == self.name())
    }

    /// Whether a model that stands here is open as far as a licence for this stage says.
    pub fn carries(self, licensed: Stage) -> bool {
        self.stage().is_some_and(|stage| licensed <= stage)
    }

    /// What it is to go from here to there.
    ///
    /// # Errors
    /// When nothing follows this stage, or it is the same.
    pub fn step(self, to: Self) -> Result<Step, StepError> {
        if matches!(self, Self::WeightsReleased | Self::Withdrawn) {
            return Err(StepError::Final(self));
        }
        if self == to {
            return Err(StepError::Same(to));
        }
        // `None` is less than every stage: a suspended model that opens again is promoted.
        match to.stage() {
            Some(stage) if to.stage() > self.stage() => Ok(Step::Promotion(stage)),
            _ => Ok(Step::Demotion),
        }
    }
}

impl From<Stage> for ModelStage {
    fn from(stage: Stage) -> Self {
        let named = Self::ALL.iter().copied().find(|other| other.name() == stage.name());
        // Each stage has its namesake: a test holds the two lists together.
        named.unwrap_or(Self::Draft)
    }
}

names! {
    /// What is asked of a model that every law's compute test leaves out.
    Below {
        /// The tests that are marked light.
        Light = "light",
        /// Everything.
        Full = "full",
    }
}

names! {
    /// When a gate writes down a request.
    LogMode {
        /// Before it is forwarded.
        Durable = "durable",
        /// Soon after; a crash loses some.
        Async = "async",
    }
}

/// Which laws decide how much is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeRule {
    /// Rule packs by id. The full path is taken unless each of them says `out`.
    pub laws: Vec<String>,
    /// What is asked otherwise.
    pub below: Below,
}

/// How often a test may be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    /// Attempts for each test.
    pub most: u64,
    /// Whether each attempt is held to a higher confidence, so that all together keep the stated one.
    pub corrected: bool,
}

/// So many signatures from a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOffRule {
    /// The role.
    pub role: Role,
    /// How many must sign.
    pub needed: u64,
    /// How many hold the role.
    pub of: u64,
}

/// Limits that go with a stage; what is absent is not limited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    /// For each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// For each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Longest context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Whether the model may use tools.
    pub tools: bool,
    /// Where it may be served; everywhere when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// How long a gate serves without fresh word from the authority, in seconds.
    pub lease_s: u64,
    /// When a gate writes down a request.
    pub log: LogMode,
}

/// That stopping was tried out, on a gate that serves the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillRule {
    /// From which stage on. Never asked once weights are public: no stop reaches them.
    pub from: Stage,
    /// Oldest drill that counts, in days.
    pub max_age_days: u64,
    /// The longest time from the order to the last byte of any stream, in milliseconds.
    pub last_byte_ms: u64,
    /// The fewest streams that were under way.
    pub streams: u64,
}

impl DrillRule {
    /// Whether it is asked at a stage.
    pub fn applies(&self, stage: Stage) -> bool {
        stage >= self.from && stage != Stage::WeightsReleased
    }
}

/// A stage, who must sign for it, and its marks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRule {
    /// The stage.
    pub stage: Stage,
    /// Who must sign on the full path.
    pub sign_off: Vec<SignOffRule>,
    /// Who must sign on the light path.
    pub light_sign_off: Vec<SignOffRule>,
    /// How many days a model must have been at this stage before it is promoted from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_days: Option<u64>,
    /// Its limits; absent for released weights, which nobody can limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// [`POLICY_FORMAT`].
    pub format: String,
    /// Its name.
    pub name: String,
    /// Its version, by its author.
    pub version: String,
    /// What it is for.
    pub purpose: String,
    /// Which laws decide how much is asked.
    pub scope: ScopeRule,
    /// On what "this is that model" may rest.
    pub identity: Vec<Basis>,
    /// How often a test may be tried.
    pub attempts: Attempts,
    /// Oldest evidence and oldest signature that count, in days.
    pub max_age_days: u64,
    /// Tests of this severity and above stop a licence; the others are disclosed in it.
    pub blocks_from: Severity,
    /// How long a licence holds, in days.
    pub valid_days: u64,
    /// When the model is examined again, in days.
    pub survey_days: u64,
    /// Assurance levels that a licence may claim.
    pub assurance: Vec<String>,
    /// Whether and how stopping must have been tried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillRule>,
    /// What must be shown.
    pub tests: Vec<Test>,
    /// The stages, in order.
    pub stages: Vec<StageRule>,
}

impl Policy {
    /// SHA-256 over the canonical JSON of the policy: comments and layout of the file do not matter.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }

    /// The rule of a stage.
    pub fn stage(&self, stage: Stage) -> Option<&StageRule> {
        self.stages.iter().find(|rule| rule.stage == stage)
    }

    /// The confidence that one attempt at a test is held to.
    pub fn confidence(&self, test: &Test) -> crate::decimal::Decimal {
        let attempts = if self.attempts.corrected { self.attempts.most } else { 1 };
        crate::bounds::corrected(&test.confidence, attempts)
    }
}

/// The policies that ship, as name and text.
pub const SHIPPED: &[(&str, &str)] = &[
    ("starter", include_str!("../../policies/starter.toml")),
    ("frontier", include_str!("../../policies/frontier.toml")),
    ("open-weights", include_str!("../../policies/open-weights.toml")),
];

/// The shipped policy of this name.
///
/// # Errors
/// Never in a build whose tests pass: each shipped policy is read by a test.
#[cfg(feature = "toml")]
pub fn shipped(name: &str) -> Option<Result<Policy, Problems>> {
    SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| parse(text))
}
