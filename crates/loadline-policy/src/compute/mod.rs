//! The compute ledger: what went into a model, by category, each figure an interval with its basis.
//!
//! `docs/formats/compute.md` is the page of the declaration. Formulas: by architecture C = 6·N·D·epochs with N the
//! parameters that are active for a token (Kaplan et al. 2020); by hardware C = chips × hours × 3600 × dense peak ×
//! utilisation. Where an entry has several methods its interval is their hull: they are never averaged.

mod chips;
#[cfg(feature = "toml")]
mod declare;
mod total;

pub use chips::{CHIPS, Chip, Peak};
#[cfg(feature = "toml")]
pub use declare::parse;
pub use total::{Disagreement, Total};

use loadline_core::model::Basis;
use serde::{Deserialize, Serialize};

use crate::decimal::{Decimal, Interval};
use crate::names::names;

/// Version of the declaration's format.
pub const COMPUTE_FORMAT: &str = "loadline-compute/1";

names! {
    /// What compute was spent on.
    Category {
        /// The original training run or runs.
        Pretraining = "pretraining",
        /// Further training on raw data.
        ContinuedPretraining = "continued_pretraining",
        /// Supervised fine-tuning.
        Sft = "sft",
        /// Reinforcement learning, with the samples it draws.
        Rl = "rl",
        /// Making synthetic data that was trained on.
        SyntheticKept = "synthetic_kept",
        /// Making synthetic data that was thrown away.
        SyntheticDiscarded = "synthetic_discarded",
        /// Training of other models whose weights were merged in.
        MergedWeights = "merged_weights",
        /// Training of a teacher that was distilled from.
        DistillationTeacher = "distillation_teacher",
        /// Training of reward models.
        RewardModels = "reward_models",
        /// Runs that were given up.
        FailedRuns = "failed_runs",
        /// Evaluation and red-teaming.
        Evaluation = "evaluation",
    }
}

names! {
    /// What the declaration says of categories without an entry.
    Others {
        /// No compute was spent on them.
        None = "none",
        /// Nothing is said.
        Unknown = "unknown",
    }
}

names! {
    /// Numeric format of the arithmetic, which decides a chip's peak.
    Precision {
        /// 32-bit floating point.
        Fp32 = "fp32",
        /// NVIDIA's 19-bit format.
        Tf32 = "tf32",
        /// 16-bit floating point.
        Fp16 = "fp16",
        /// bfloat16.
        Bf16 = "bf16",
        /// 8-bit floating point.
        Fp8 = "fp8",
        /// 8-bit integers.
        Int8 = "int8",
    }
}

names! {
    /// What a utilisation is of.
    UtilisationOf {
        /// All chip-hours that are counted, with restarts and waiting.
        WholeJob = "whole_job",
        /// The steps alone, when all goes well: overstates the whole job.
        SteadyState = "steady_state",
    }
}

/// Compute by architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Parameters that are active for one token.
    pub active_parameters: Interval,
    /// All parameters, where that is more (a mixture of experts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_parameters: Option<Interval>,
    /// Tokens of one epoch.
    pub tokens: Interval,
    /// Passes over them.
    pub epochs: Interval,
}

impl Architecture {
    /// 6·N·D·epochs, in FLOP.
    pub fn flop(&self) -> Interval {
        let six = Interval::point(Decimal::from(6));
        six.times(&self.active_parameters).times(&self.tokens).times(&self.epochs)
    }
}

/// Compute by hardware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// Its name in [`CHIPS`], or what the declaration calls it.
    pub chip: String,
    /// The arithmetic it was used with.
    pub precision: Precision,
    /// How many chips.
    pub chips: Interval,
    /// Hours each of them was used; with `chips` 1 these are chip-hours.
    pub hours: Interval,
    /// Dense peak of one chip, in FLOP per second.
    pub dense_peak_flop_per_s: Decimal,
    /// Share of the peak that was used.
    pub utilisation: Interval,
    /// What it is a share of.
    pub utilisation_of: UtilisationOf,
}

impl Hardware {
    /// chips × hours × 3600 × peak × utilisation, in FLOP.
    pub fn flop(&self) -> Interval {
        let peak = Interval::point(self.dense_peak_flop_per_s.times(&Decimal::from(3600)));
        self.chips.times(&self.hours).times(&peak).times(&self.utilisation)
    }
}

/// Compute as somebody states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// In FLOP.
    pub flop: Interval,
    /// Who says so, and where.
    pub source: String,
}

names! {
    /// How a figure was come by.
    Method {
        /// From parameters and tokens.
        Architecture = "architecture",
        /// From chips and hours.
        Hardware = "hardware",
        /// Somebody's figure.
        Stated = "stated",
    }
}

/// One amount of compute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is.
    pub name: String,
    /// What it was spent on.
    pub category: Category,
    /// On what the figures rest; `absent` when there are none.
    pub basis: Basis,
    /// From parameters and tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// From chips and hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// As stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
    /// Anything a reader should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Entry {
    /// Each method's figure, in FLOP.
    pub fn methods(&self) -> Vec<(Method, Interval)> {
        [
            self.architecture.as_ref().map(|a| (Method::Architecture, a.flop())),
            self.hardware.as_ref().map(|h| (Method::Hardware, h.flop())),
            self.stated.as_ref().map(|s| (Method::Stated, s.flop.clone())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The hull of every method's figure, in FLOP; from 0 without end when there is none.
    pub fn flop(&self) -> Interval {
        let figures = self.methods().into_iter().map(|(_, flop)| flop);
        figures.reduce(|a, b| a.hull(&b)).unwrap_or_else(Interval::unknown)
    }
}

/// A declaration of compute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// [`COMPUTE_FORMAT`].
    pub format: String,
    /// The model it is about.
    pub model: String,
    /// What is said of categories without an entry.
    pub others: Others,
    /// The amounts.
    pub entries: Vec<Entry>,
}

impl Ledger {
    /// SHA-256 over the canonical JSON of the ledger.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub fn digest(&self) -> Result<loadline_core::Digest, serde_json::Error> {
        loadline_core::Digest::of_json(self)
    }
}
