//! A required test.

use loadline_core::Digest;
use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;
use crate::names::names;

names! {
    /// Class of risk.
    Risk {
        /// Work that is done without people.
        Economic = "economic",
        /// Harm that people do with it.
        Misuse = "misuse",
        /// Harm that nobody can stop.
        LossOfControl = "loss_of_control",
        /// No risk of its own: whether it can do what it is for.
        Capability = "capability",
    }
}

names! {
    /// How bad a failure is.
    Severity {
        /// Worth knowing.
        Low = "low",
        /// Matters for some uses.
        Moderate = "moderate",
        /// Matters for most uses.
        High = "high",
        /// Must not be.
        Critical = "critical",
    }
}

names! {
    /// How a suite asks.
    Form {
        /// The model writes.
        Generate = "generate",
        /// The model chooses among answers.
        Choice = "choice",
    }
}

names! {
    /// How the bound is computed.
    IntervalMethod {
        /// Wilson's score interval: for a number of samples fixed before.
        Wilson = "wilson",
        /// The exact interval: for a number of samples fixed before; never below its confidence.
        ClopperPearson = "clopper_pearson",
        /// An e-process: the exam may stop as soon as it is decided.
        Anytime = "anytime",
    }
}

names! {
    /// Which end of the interval is compared.
    Which {
        /// The lower end.
        Lower = "lower",
        /// The upper end.
        Upper = "upper",
    }
}

/// The rate that must be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// The lower bound of the rate is this or more.
    AtLeast(Decimal),
    /// The upper bound of the rate is this or less.
    AtMost(Decimal),
}

impl Requirement {
    /// The number.
    pub fn bound(&self) -> &Decimal {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
        }
    }

    /// The end of the interval that is compared: always the unfavourable one.
    pub fn which(&self) -> Which {
        match self {
            Self::AtLeast(_) => Which::Lower,
            Self::AtMost(_) => Which::Upper,
        }
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// Where the questions come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A suite: fresh questions from a seed.
    Suite {
        /// Its name.
        name: String,
        /// How it asks.
        form: Form,
        /// Its levels, which are gone round in turn.
        levels: Vec<u64>,
    },
    /// A task with fixed questions.
    Task {
        /// Its name.
        name: String,
        /// Digest of everything that makes its questions and scores.
        digest: Digest,
    },
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Suite { name, form, levels } => {
                let levels: Vec<_> = levels.iter().map(ToString::to_string).collect();
                write!(f, "suite {name}, {form}, levels {}", levels.join(" "))
            }
            Self::Task { name, digest } => write!(f, "task {name} ({digest})"),
        }
    }
}

/// One thing that must be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Its name in the policy.
    pub id: String,
    /// Class of risk.
    pub risk: Risk,
    /// How bad a failure is.
    pub severity: Severity,
    /// Where the questions come from.
    pub source: Source,
    /// How many are asked; with `anytime` at most.
    pub n: u64,
    /// Which score counts.
    pub metric: String,
    /// The rate that must be shown.
    pub requirement: Requirement,
    /// Coverage of the interval, both ends together.
    pub confidence: Decimal,
    /// How the bound is computed.
    pub method: IntervalMethod,
    /// Whether the light path asks it too.
    pub light: bool,
    /// Why it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
