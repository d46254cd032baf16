//! Sums over a ledger, and where its methods contradict each other.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Category, Ledger, Method, Others, UtilisationOf};
use crate::decimal::{Decimal, Interval};
use crate::names::Named as _;

/// Two methods that say different things of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disagreement {
    /// The entry.
    pub entry: String,
    /// The method with the smaller figure.
    pub smaller: Method,
    /// Its figure, in FLOP.
    pub smaller_flop: Interval,
    /// The method with the larger figure.
    pub larger: Method,
    /// Its figure, in FLOP.
    pub larger_flop: Interval,
    /// How many times larger, between the nearest ends, rounded up to three places.
    pub times: Decimal,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: {} gives {} FLOP, {} gives {} FLOP, {} times as much; both ends are kept, nothing is averaged",
            loadline_core::untrusted::one_line(&self.entry, 60),
            self.smaller,
            self.smaller_flop,
            self.larger,
            self.larger_flop,
            self.times.rounded(3)
        )
    }
}

/// The compute of one category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Total {
    /// The category.
    pub category: Category,
    /// How many entries there are.
    pub entries: u64,
    /// Their exact sum, in FLOP.
    pub flop: Interval,
}

impl Ledger {
    /// The exact sum of one category. Without an entry it is 0 when the ledger says so, else unknown.
    pub fn category(&self, category: Category) -> Total {
        let figures: Vec<_> =
            self.entries.iter().filter(|e| e.category == category).map(super::Entry::flop).collect();
        let entries = u64::try_from(figures.len()).unwrap_or(u64::MAX);
        let none = match self.others {
            Others::None => Interval::zero(),
            Others::Unknown => Interval::unknown(),
        };
        let flop = figures.into_iter().reduce(|a, b| a.plus(&b)).unwrap_or(none);
        Total { category, entries, flop }
    }

    /// Every category, in order.
    pub fn totals(&self) -> Vec<Total> {
        Category::ALL.iter().map(|category| self.category(*category)).collect()
    }

    /// The exact sum of some categories, in FLOP.
    pub fn sum(&self, categories: &[Category]) -> Interval {
        categories
            .iter()
            .map(|category| self.category(*category).flop)
            .fold(Interval::zero(), |sum, flop| sum.plus(&flop))
    }

    /// Entries whose methods differ by more than 30 %.
    pub fn disagreements(&self) -> Vec<Disagreement> {
        let mut found = Vec::new();
        for entry in &self.entries {
            let mut methods = entry.methods();
            methods.sort_by(|a, b| a.1.lo.cmp(&b.1.lo));
            for (index, (smaller, smaller_flop)) in methods.iter().enumerate() {
                for (larger, larger_flop) in &methods[index + 1..] {
                    let Some(times) = smaller_flop.gap(larger_flop) else { continue };
                    if more_than_30_percent(smaller_flop, larger_flop) {
                        found.push(Disagreement {
                            entry: entry.name.clone(),
                            smaller: *smaller,
                            smaller_flop: smaller_flop.clone(),
                            larger: *larger,
                            larger_flop: larger_flop.clone(),
                            times,
                        });
                    }
                }
            }
        }
        found
    }

    /// What a reader of the figures should know.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.disagreements().iter().map(ToString::to_string).collect();
        for entry in &self.entries {
            let steady = |h: &super::Hardware| h.utilisation_of == UtilisationOf::SteadyState;
            if entry.hardware.as_ref().is_some_and(steady) {
                warnings.push(format!(
                    "`{}`: the utilisation is of the steady state, which overstates a whole job",
                    loadline_core::untrusted::one_line(&entry.name, 60)
                ));
            }
        }
        if self.others == Others::Unknown {
            let silent: Vec<_> =
                self.totals().iter().filter(|t| t.entries == 0).map(|t| t.category.name()).collect();
            if !silent.is_empty() {
                warnings.push(format!("nothing is said of {}: unbounded from above", silent.join(", ")));
            }
        }
        warnings
    }
}

/// Exact: no quotient is taken.
fn more_than_30_percent(smaller: &Interval, larger: &Interval) -> bool {
    let Some(hi) = &smaller.hi else { return false };
    larger.lo.times(&Decimal::from(10)) > hi.times(&Decimal::from(13))
}
