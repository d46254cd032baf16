//! Intervals of a mean.

use crate::error::StatsError;
use crate::estimate::{Estimand, Estimate, Interval, Level, Method, Scale};
use crate::exact_sum::Moments;
use crate::proportion;

/// What is known of the scores before they are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Between 0 and 1.
    Unit,
    /// Any number.
    Unbounded,
}

impl Range {
    pub(crate) fn interval(self) -> Interval {
        match self {
            Self::Unit => Interval::UNIT,
            Self::Unbounded => Interval::UNBOUNDED,
        }
    }

    pub(crate) fn scale(self) -> Scale {
        match self {
            Self::Unit => Scale::Proportion,
            Self::Unbounded => Scale::Number,
        }
    }
}

/// Checks that scores can be summed without overflow.
///
/// # Errors
/// [`StatsError::NotFinite`] for NaN, infinities and numbers beyond ±1e100.
pub(crate) fn usable(value: f64) -> Result<f64, StatsError> {
    if value.abs() <= 1e100 { Ok(value) } else { Err(StatsError::NotFinite { value }) }
}

/// Student's t interval of the mean of independent scores.
///
/// Without spread, t would give a point. Scores between 0 and 1 then get the exact binomial interval with their sum
/// for the count, which is wider (no 0..1 variable varies more than a coin with the same mean); for unbounded
/// scores nothing is claimed.
pub(crate) fn independent(moments: &Moments, range: Range, level: Level) -> Estimate {
    let (n, mean, variance) = (moments.n, moments.mean(), moments.variance());
    let estimate =
        |interval, method| Estimate::new(mean, interval, level, method, n).with_scale(range.scale());
    if variance > 0.0 {
        let half = level.t((n - 1) as f64) * (variance / n as f64).sqrt();
        estimate(Interval::around(mean, half, range.interval()), Method::T)
    } else if range == Range::Unit {
        let interval = proportion::clopper_pearson(mean * n as f64, n as f64, level);
        estimate(interval, Method::ClopperPearsonScores)
    } else {
        estimate(Interval::UNBOUNDED, Method::WholeRange)
    }
}

/// The mean over a bank of `bank` items from `n` drawn at random: t with the finite-population correction 1 - n/J
/// (Cochran 1977, section 2.6).
///
/// # Errors
/// [`StatsError::BankTooSmall`] when more items were scored than the bank has.
pub(crate) fn finite_bank(
    moments: &Moments,
    range: Range,
    bank: u64,
    level: Level,
) -> Result<Estimate, StatsError> {
    let (n, mean) = (moments.n, moments.mean());
    if n > bank {
        return Err(StatsError::BankTooSmall { n, bank });
    }
    let estimate = if n == bank {
        Estimate::new(mean, Interval { lo: mean, hi: mean }, level, Method::WholeBank, n)
            .with_scale(range.scale())
    } else {
        let mut estimate = independent(moments, range, level);
        if estimate.method == Method::T {
            let half = level.t((n - 1) as f64) * (moments.variance() / n as f64).sqrt();
            let corrected = half * (1.0 - n as f64 / bank as f64).sqrt();
            estimate.interval = Interval::around(mean, corrected, range.interval());
            estimate.method = Method::TFiniteBank;
        }
        estimate
    };
    Ok(estimate.with_estimand(Estimand::BankScore))
}

/// The cluster-robust standard error of a mean or ratio: sqrt(C/(C-1) Σ r²) / `total`, where r are the clusters'
/// summed residuals (Miller 2024, section 2.2, with the C/(C-1) correction).
pub(crate) fn clustered_standard_error(squared_residuals: f64, clusters: u64, total: f64) -> f64 {
    let c = clusters as f64;
    (c / (c - 1.0) * squared_residuals).sqrt() / total
}

/// Clustered scores: what the interval is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clustered {
    pub(crate) n: u64,
    pub(crate) clusters: u64,
    pub(crate) mean: f64,
    /// Sum over clusters of the squared sum of residuals.
    pub(crate) squared_residuals: f64,
    /// Whether every score is 0 or 1.
    pub(crate) binary: bool,
}

/// t interval from the cluster-robust standard error with C-1 degrees of freedom. One cluster tells nothing about
/// the spread between clusters; clusters without spread fall back as in [`independent`], each counted as one trial.
/// Right-or-wrong scores too near an end for t get Wilson's interval from the effective number of trials.
pub(crate) fn clustered(data: Clustered, range: Range, level: Level) -> Estimate {
    let Clustered { n, clusters, mean, squared_residuals, binary } = data;
    let estimate = |interval, method| {
        Estimate::new(mean, interval, level, method, n).with_scale(range.scale()).with_clusters(clusters)
    };
    if clusters < 2 {
        estimate(range.interval(), Method::WholeRange)
    } else if squared_residuals > 0.0 {
        let error = clustered_standard_error(squared_residuals, clusters, n as f64);
        let t = level.t((clusters - 1) as f64);
        let effective = wilson_instead(mean, error, t, n).filter(|_| binary && range == Range::Unit);
        if let Some(effective) = effective {
            estimate(proportion::wilson(mean, effective, t), Method::WilsonClustered)
        } else {
            estimate(Interval::around(mean, t * error, range.interval()), Method::TClustered)
        }
    } else if range == Range::Unit {
        let c = clusters as f64;
        estimate(proportion::clopper_pearson(mean * c, c, level), Method::ClopperPearsonClusters)
    } else {
        estimate(Interval::UNBOUNDED, Method::WholeRange)
    }
}

/// The effective number of trials p(1-p)/SE², at most `n`, when t is not to be trusted: its interval would leave 0..1,
/// or the rarer outcome came up effectively fewer than five times. There t covers as little as 86 % in simulation,
/// Wilson's interval with these trials and the t quantile 92 % (after Korn & Graubard 1998, "Confidence intervals for
/// proportions with small expected number of positive counts estimated from survey data").
fn wilson_instead(mean: f64, error: f64, t: f64, n: u64) -> Option<f64> {
    let effective = (mean * (1.0 - mean) / (error * error)).min(n as f64);
    let rare = effective * mean.min(1.0 - mean) < 5.0;
    let outside = mean - t * error < 0.0 || mean + t * error > 1.0;
    (rare || outside).then_some(effective)
}
