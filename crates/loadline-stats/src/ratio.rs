//! Ratios of sums over samples: perplexity, bits per byte, F1.

use std::collections::BTreeMap;

use crate::error::StatsError;
use crate::estimate::{Estimate, Interval, Level, Method, Scale, Transform};
use crate::exact_sum::ExactSum;
use crate::mean::{clustered_standard_error, usable};
use crate::proportion::wilson;

/// Totals and the amounts they are spread over, one sample at a time: the ratio of the sums.
///
/// The standard error is that of the linearised residuals t - R p (Cochran 1977, section 6.3), over clusters where
/// there are any. Memory grows with the clusters only; order does not matter.
///
/// ```
/// use loadline_stats::{Level, Transform, ratio::RatioAccumulator};
/// let mut bits = RatioAccumulator::new();
/// for (log_likelihood, bytes) in [(-30.0, 40.0), (-52.0, 61.0), (-21.0, 33.0)] {
///     bits.push(log_likelihood, bytes, None)?;
/// }
/// let bits_per_byte = bits.estimate(Level::P95)?.transformed(Transform::NegativeBits);
/// assert_eq!(bits_per_byte.to_string(), "1.11 [0.73, 1.49]");
/// # Ok::<(), loadline_stats::StatsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RatioAccumulator {
    n: u64,
    unscored: u64,
    /// Samples that are in no cluster.
    single: Sums,
    singles: u64,
    clusters: BTreeMap<Box<str>, (ExactSum, ExactSum)>,
    total: ExactSum,
    per: ExactSum,
}

/// Sums of squares and products.
#[derive(Clone, Debug, Default)]
struct Sums {
    total_total: ExactSum,
    total_per: ExactSum,
    per_per: ExactSum,
}

impl RatioAccumulator {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample's total and the amount it is spread over. For clusters see [`Accumulator::push`].
    ///
    /// [`Accumulator::push`]: crate::Accumulator::push
    ///
    /// # Errors
    /// [`StatsError::NotFinite`] for NaN, infinities and numbers beyond ±1e100; the sample is then not counted.
    pub fn push(&mut self, total: f64, per: f64, cluster: Option<&str>) -> Result<(), StatsError> {
        let (total, per) = (usable(total)?, usable(per)?);
        self.n += 1;
        self.total.add(total);
        self.per.add(per);
        let Some(key) = cluster else {
            self.singles += 1;
            self.single.total_total.add_product(total, total);
            self.single.total_per.add_product(total, per);
            self.single.per_per.add_product(per, per);
            return Ok(());
        };
        if !self.clusters.contains_key(key) {
            self.clusters.insert(key.into(), Default::default());
        }
        if let Some((totals, pers)) = self.clusters.get_mut(key) {
            totals.add(total);
            pers.add(per);
        }
        Ok(())
    }

    /// Counts a sample that has no score.
    pub fn push_unscored(&mut self) {
        self.unscored += 1;
    }

    /// Samples seen.
    pub fn n(&self) -> u64 {
        self.n
    }

    fn clusters(&self) -> u64 {
        self.singles + self.clusters.len() as u64
    }

    /// Sum over clusters of (T - R P)²; differences that are only rounding count as none.
    fn squared_residuals(&self, ratio: f64) -> f64 {
        let mut sum = ExactSum::default();
        for (totals, pers) in self.clusters.values() {
            let (total, expected) = (totals.value(), ratio * pers.value());
            let residual = total - expected;
            if residual.abs() > 1e-14 * (total.abs() + expected.abs()) {
                sum.add_product(residual, residual);
            }
        }
        let (tt, tp, pp) =
            (self.single.total_total.value(), self.single.total_per.value(), self.single.per_per.value());
        let single = tt - 2.0 * ratio * tp + ratio * ratio * pp;
        if single > 1e-13 * tt {
            sum.add(single);
        }
        sum.value()
    }

    /// The estimate of (sum of totals) / (sum of pers), as a plain number. A single sample or cluster, or one without
    /// spread, gets the whole range: nothing is known of its error.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when no sample came, [`StatsError::ZeroDenominator`] when the pers do not add up to
    /// more than 0.
    pub fn estimate(&self, level: Level) -> Result<Estimate, StatsError> {
        if self.n == 0 {
            return Err(StatsError::NoScores { unscored: self.unscored });
        }
        let per = self.per.value();
        if per <= 0.0 {
            return Err(StatsError::ZeroDenominator { sum: per });
        }
        let ratio = self.total.value() / per;
        let clusters = self.clusters();
        let squared_residuals = self.squared_residuals(ratio);
        let (interval, method) = if clusters < 2 || squared_residuals <= 0.0 {
            (Interval::UNBOUNDED, Method::WholeRange)
        } else {
            let half =
                level.t((clusters - 1) as f64) * clustered_standard_error(squared_residuals, clusters, per);
            let clustered = clusters < self.n;
            let method = if clustered { Method::RatioClustered } else { Method::Ratio };
            (Interval::around(ratio, half, Interval::UNBOUNDED), method)
        };
        let mut estimate = Estimate::new(ratio, interval, level, method, self.n)
            .with_scale(Scale::Number)
            .with_unscored(self.unscored);
        estimate.clusters = (clusters < self.n).then_some(clusters);
        Ok(estimate)
    }
}

/// F1 of class 1 over a table of true and predicted classes, one sample at a time.
///
/// F1 = 2 TP / (2 TP + FP + FN), as in scikit-learn's binary `f1_score`. It is a monotone function 2J/(1+J) of
/// J = TP/(TP+FP+FN), and given how many samples are not true negatives, TP is binomial: so independent samples get
/// Wilson's interval of J, put through that function. It neither leaves 0..1 nor shrinks to a point at F1 = 1, as the
/// delta method does. Clustered samples get the linearised ratio.
#[derive(Clone, Debug, Default)]
pub struct F1Accumulator {
    ratio: RatioAccumulator,
    true_positives: u64,
    /// Samples that are positive in the key or in the answer.
    positives: u64,
}

impl F1Accumulator {
    /// The class whose F1 it is.
    pub const POSITIVE: i64 = 1;

    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a sample adds to the numerator 2 TP and to the denominator 2 TP + FP + FN.
    pub(crate) fn terms(gold: i64, predicted: i64) -> (f64, f64) {
        let (gold, predicted) = (gold == Self::POSITIVE, predicted == Self::POSITIVE);
        (if gold && predicted { 2.0 } else { 0.0 }, f64::from(u8::from(gold) + u8::from(predicted)))
    }

    /// Adds a sample: its true class and the class that was answered. For clusters see [`Accumulator::push`].
    ///
    /// [`Accumulator::push`]: crate::Accumulator::push
    pub fn push(&mut self, gold: i64, predicted: i64, cluster: Option<&str>) {
        let (total, per) = Self::terms(gold, predicted);
        self.true_positives += u64::from(total > 0.0);
        self.positives += u64::from(per > 0.0);
        // Numbers this small are always usable.
        let _ = self.ratio.push(total, per, cluster);
    }

    /// Counts a sample that has no score.
    pub fn push_unscored(&mut self) {
        self.ratio.push_unscored();
    }

    /// Samples seen.
    pub fn n(&self) -> u64 {
        self.ratio.n
    }

    /// The estimate of F1. When the class occurs neither in the key nor in the answers it is 0 by definition, with
    /// the method [`Method::ZeroDivision`] to say so and the whole range for its interval.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when no sample came.
    pub fn estimate(&self, level: Level) -> Result<Estimate, StatsError> {
        let (n, unscored) = (self.ratio.n, self.ratio.unscored);
        if n == 0 {
            return Err(StatsError::NoScores { unscored });
        }
        let estimate = |point, interval, method| {
            Estimate::new(point, interval, level, method, n).with_unscored(unscored)
        };
        if self.positives == 0 {
            return Ok(estimate(0.0, Interval::UNIT, Method::ZeroDivision));
        }
        let from_jaccard = |j: f64| 2.0 * j / (1.0 + j);
        let jaccard = self.true_positives as f64 / self.positives as f64;
        let wilson_f1 = |trials: f64| {
            let interval = wilson(jaccard, trials, level.z());
            Interval { lo: from_jaccard(interval.lo), hi: from_jaccard(interval.hi) }
        };
        let point = from_jaccard(jaccard);
        let clusters = self.ratio.clusters();
        if clusters == n {
            return Ok(estimate(point, wilson_f1(self.positives as f64), Method::WilsonF1));
        }
        let linear = self.ratio.estimate(level)?;
        let clustered = if linear.method == Method::RatioClustered {
            let half = 0.5 * linear.interval.width();
            estimate(point, Interval::around(point, half, Interval::UNIT), Method::RatioClustered)
        } else {
            estimate(point, Interval::UNIT, Method::WholeRange)
        };
        Ok(clustered.with_clusters(clusters))
    }
}

/// The estimate of exp(-(sum of totals)/(sum of pers)): perplexity from log-likelihoods and the words (or tokens)
/// they are spread over.
///
/// # Errors
/// As [`RatioAccumulator::estimate`].
pub fn perplexity(log_likelihoods: &RatioAccumulator, level: Level) -> Result<Estimate, StatsError> {
    Ok(log_likelihoods.estimate(level)?.transformed(Transform::ExpNegative))
}

/// The estimate of -(sum of totals)/(sum of pers)/ln 2: bits per byte from log-likelihoods in nats and bytes.
///
/// # Errors
/// As [`RatioAccumulator::estimate`].
pub fn bits_per_byte(log_likelihoods: &RatioAccumulator, level: Level) -> Result<Estimate, StatsError> {
    Ok(log_likelihoods.estimate(level)?.transformed(Transform::NegativeBits))
}
