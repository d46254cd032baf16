//! [`Accumulator`]: the scores of one run, one at a time, to an [`Estimate`].

use std::collections::BTreeMap;

use crate::error::StatsError;
use crate::estimate::{Estimate, Level};
use crate::exact_sum::{ExactSum, Moments};
use crate::mean::{self, Clustered, Range};
use crate::proportion::Proportion;

/// Scores of one run, taken one at a time. Memory does not grow with the scores, only with the clusters.
/// The order of the scores does not change a bit of the result.
///
/// Which interval it gives: scores that are all 0 or 1 and independent, Wilson's; clustered scores, t with the
/// cluster-robust standard error (Wilson's from the effective number of trials where t fails near 0 or 1); other
/// scores, t.
///
/// ```
/// use loadline_stats::{Accumulator, Level};
/// let mut scores = Accumulator::new();
/// for i in 0..20 {
///     scores.push(f64::from(i % 4 != 0), None)?;
/// }
/// scores.push_unscored();
/// assert_eq!(scores.estimate(Level::P95)?.to_string(), "75.0% [53.1, 88.8]");
/// # Ok::<(), loadline_stats::StatsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Accumulator {
    range: Option<Range>,
    /// Scores that are in no cluster.
    single: Moments,
    /// Scores that are in one.
    grouped: Moments,
    clusters: BTreeMap<Box<str>, ClusterSum>,
    unscored: u64,
    /// Whether every score so far is 0 or 1.
    binary: bool,
    /// Whether every score so far is between 0 and 1.
    unit: bool,
}

#[derive(Clone, Debug, Default)]
struct ClusterSum {
    n: u64,
    sum: ExactSum,
}

impl Default for Accumulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Accumulator {
    /// For scores of which it is not known beforehand whether they lie between 0 and 1: they do if all that come do.
    pub fn new() -> Self {
        Self {
            range: None,
            single: Moments::default(),
            grouped: Moments::default(),
            clusters: BTreeMap::new(),
            unscored: 0,
            binary: true,
            unit: true,
        }
    }

    /// For scores of a known range. Log-likelihoods, lengths and counts are [`Range::Unbounded`] even when all that
    /// were seen happen to be 0 or 1.
    pub fn with_range(range: Range) -> Self {
        Self { range: Some(range), ..Self::new() }
    }

    /// Adds a score. Scores with the same cluster key are not independent: a passage with several questions, or (key:
    /// the sample's id) a sample answered in several epochs. `None` is a cluster of its own.
    ///
    /// # Errors
    /// [`StatsError::NotFinite`] for NaN, infinities and numbers beyond ±1e100; [`StatsError::OutsideUnit`] for a
    /// score outside the range given. The score is then not counted.
    pub fn push(&mut self, value: f64, cluster: Option<&str>) -> Result<(), StatsError> {
        mean::usable(value)?;
        let in_unit = (0.0..=1.0).contains(&value);
        if self.range == Some(Range::Unit) && !in_unit {
            return Err(StatsError::OutsideUnit { value });
        }
        self.unit &= in_unit;
        self.binary &= value == 0.0 || value == 1.0;
        let Some(key) = cluster else {
            self.single.push(value);
            return Ok(());
        };
        self.grouped.push(value);
        if !self.clusters.contains_key(key) {
            self.clusters.insert(key.into(), ClusterSum::default());
        }
        if let Some(cluster) = self.clusters.get_mut(key) {
            cluster.n += 1;
            cluster.sum.add(value);
        }
        Ok(())
    }

    /// Counts a sample that has no score.
    pub fn push_unscored(&mut self) {
        self.unscored += 1;
    }

    /// Adds all that another accumulator has seen.
    pub fn merge(&mut self, other: &Self) {
        self.single.add(&other.single);
        self.grouped.add(&other.grouped);
        for (key, theirs) in &other.clusters {
            let ours = self.clusters.entry(key.clone()).or_default();
            ours.n += theirs.n;
            ours.sum.add_sum(&theirs.sum);
        }
        self.unscored += other.unscored;
        self.binary &= other.binary;
        self.unit &= other.unit;
    }

    /// Scores seen.
    pub fn n(&self) -> u64 {
        self.single.n + self.grouped.n
    }

    /// Samples without a score seen.
    pub fn unscored(&self) -> u64 {
        self.unscored
    }

    /// The estimate of the mean score on all items like these ([`Skill`](crate::Estimand::Skill)).
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when no score came.
    pub fn estimate(&self, level: Level) -> Result<Estimate, StatsError> {
        self.need_scores()?;
        let estimate = if self.is_clustered() {
            mean::clustered(self.clustered_data(), self.range(), level)
        } else if let Some(proportion) = self.proportion() {
            proportion.wilson(level)
        } else {
            mean::independent(&self.moments(), self.range(), level)
        };
        Ok(estimate.with_unscored(self.unscored))
    }

    /// The estimate of the mean score on this very bank of `bank` items, from a random part of it
    /// ([`BankScore`](crate::Estimand::BankScore)).
    ///
    /// # Errors
    /// [`StatsError::NoScores`]; [`StatsError::BankTooSmall`] when more was scored than there is;
    /// [`StatsError::BankNeedsSingleScores`] when an item was scored more than once or scores are clustered.
    pub fn estimate_bank_score(&self, bank: u64, level: Level) -> Result<Estimate, StatsError> {
        self.need_scores()?;
        if self.is_clustered() {
            return Err(StatsError::BankNeedsSingleScores);
        }
        let estimate = match self.proportion() {
            Some(proportion) => proportion.wilson_finite_bank(bank, level)?,
            None => mean::finite_bank(&self.moments(), self.range(), bank, level)?,
        };
        Ok(estimate.with_unscored(self.unscored))
    }

    /// Successes and trials, when every score is 0 or 1, may be read as right or wrong, and is independent.
    pub fn proportion(&self) -> Option<Proportion> {
        let counts = self.binary && self.range() == Range::Unit && !self.is_clustered();
        // The sum of zeros and ones is a whole number.
        counts.then(|| Proportion::new(self.moments().sum() as u64, self.n()).ok()).flatten()
    }

    /// The range given, or the one that the scores keep to.
    pub(crate) fn range(&self) -> Range {
        self.range.unwrap_or(if self.unit { Range::Unit } else { Range::Unbounded })
    }

    /// Whether some cluster has several scores. One score in each is the same as no clusters.
    pub(crate) fn is_clustered(&self) -> bool {
        self.cluster_count() < self.n()
    }

    fn cluster_count(&self) -> u64 {
        self.clusters.len() as u64 + self.single.n
    }

    pub(crate) fn need_scores(&self) -> Result<(), StatsError> {
        if self.n() == 0 { Err(StatsError::NoScores { unscored: self.unscored }) } else { Ok(()) }
    }

    pub(crate) fn moments(&self) -> Moments {
        let mut all = self.single.clone();
        all.add(&self.grouped);
        all
    }

    pub(crate) fn clustered_data(&self) -> Clustered {
        let mean = self.moments().mean();
        let mut squared_residuals = ExactSum::default();
        for cluster in self.clusters.values() {
            let (sum, expected) = (cluster.sum.value(), mean * cluster.n as f64);
            let residual = sum - expected;
            // A residual of a few roundings is none.
            if residual.abs() > 1e-14 * (sum.abs() + expected.abs()) {
                squared_residuals.add_product(residual, residual);
            }
        }
        if self.single.n > 0 {
            let shift = self.single.mean() - mean;
            squared_residuals.add(self.single.squared_residuals() + self.single.n as f64 * shift * shift);
        }
        Clustered {
            n: self.n(),
            clusters: self.cluster_count(),
            mean,
            squared_residuals: squared_residuals.value(),
            binary: self.binary,
        }
    }
}
