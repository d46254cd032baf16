//! Rule packs: what laws test of training compute, as data. One file for each under `rules/`.
//!
//! A pack says which categories a law counts, which it excludes, and which are unsettled; a verdict over a ledger is
//! exact. It decides the compute test and nothing else of a law: a pack is not legal advice.

#[cfg(feature = "toml")]
mod pack;
mod verdict;

#[cfg(feature = "toml")]
pub use pack::parse;
pub use verdict::{Scope, ScopeVerdict};

use loadline_core::Digest;
use serde::{Deserialize, Serialize};

use crate::compute::Category;
use crate::decimal::Decimal;
#[cfg(feature = "toml")]
use crate::document::Problems;
use crate::instant::Instant;
use crate::names::names;

/// Version of the packs' format.
pub const RULES_FORMAT: &str = "loadline-rules/1";

names! {
    /// Where a law stands.
    Status {
        /// It applies.
        InForce = "in_force",
        /// It is made, and applies from its effective date on.
        Enacted = "enacted",
        /// Somebody proposed it.
        Draft = "draft",
        /// It applied once.
        Revoked = "revoked",
        /// It never applied.
        Vetoed = "vetoed",
    }
}

impl Status {
    /// Whether it is law now or on a known date.
    pub fn is_law(self) -> bool {
        matches!(self, Self::InForce | Self::Enacted)
    }
}

names! {
    /// How a threshold is compared.
    Comparison {
        /// The law speaks of more than the threshold.
        MoreThan = "more_than",
        /// The law speaks of the threshold or more.
        AtLeast = "at_least",
    }
}

/// What one law tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// [`RULES_FORMAT`].
    pub format: String,
    /// Its name here, such as `eu-ai-act-1e25`.
    pub id: String,
    /// What the law is called.
    pub title: String,
    /// Where it holds.
    pub jurisdiction: String,
    /// Where the threshold is written.
    pub citation: String,
    /// Where it stands.
    pub status: Status,
    /// First moment of the day from which it applies; for a revoked one, from which it applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<Instant>,
    /// When this pack was last compared with its sources.
    pub checked: Instant,
    /// In FLOP.
    pub threshold_flop: Decimal,
    /// How it is compared.
    pub comparison: Comparison,
    /// Error that the law tolerates in an estimate, as a fraction; the verdict adds it on both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_margin: Option<Decimal>,
    /// What follows for a model that is in.
    pub consequence: String,
    /// Categories that count.
    pub counts: Vec<Category>,
    /// Categories that do not count.
    pub excludes: Vec<Category>,
    /// Categories of which the sources do not say whether they count: they raise the upper end only.
    pub unsettled_categories: Vec<Category>,
    /// What else the law tests, which is not decided here.
    pub other_tests: Vec<String>,
    /// What is uncertain about this pack.
    pub unsettled: Vec<String>,
}

impl Pack {
    /// SHA-256 over the canonical JSON of the pack.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }

    /// Whether the law applies at a moment.
    pub fn applies_at(&self, now: Instant) -> bool {
        self.status.is_law() && self.effective.is_some_and(|from| from <= now)
    }
}

/// The packs that ship, as name and text.
pub const SHIPPED: &[(&str, &str)] = &[
    ("eu-ai-act-1e25", include_str!("../../rules/eu-ai-act-1e25.toml")),
    ("eu-ai-act-1e23", include_str!("../../rules/eu-ai-act-1e23.toml")),
    ("california-sb-53", include_str!("../../rules/california-sb-53.toml")),
    ("new-york-raise", include_str!("../../rules/new-york-raise.toml")),
    ("illinois-sb-315", include_str!("../../rules/illinois-sb-315.toml")),
    ("south-korea", include_str!("../../rules/south-korea.toml")),
    ("us-federal-draft", include_str!("../../rules/us-federal-draft.toml")),
    ("us-eo-14110", include_str!("../../rules/us-eo-14110.toml")),
    ("california-sb-1047", include_str!("../../rules/california-sb-1047.toml")),
];

/// Every shipped pack, in order.
///
/// # Errors
/// Never in a build whose tests pass: each shipped pack is read by a test.
#[cfg(feature = "toml")]
pub fn shipped() -> Result<Vec<Pack>, Problems> {
    SHIPPED.iter().map(|(_, text)| parse(text)).collect()
}

/// The shipped pack of this name.
#[cfg(feature = "toml")]
pub fn find(id: &str) -> Option<Pack> {
    let (_, text) = SHIPPED.iter().find(|(name, _)| *name == id)?;
    parse(text).ok()
}
