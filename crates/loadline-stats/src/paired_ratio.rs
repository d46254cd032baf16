//! Two models compared on the same items by a ratio of sums: perplexity, bits per byte, F1.

use std::collections::BTreeMap;

use crate::compare::{Comparison, Options, PValue, Test, verdict};
use crate::error::StatsError;
use crate::estimate::{Estimate, Interval, Method, Scale, Transform};
use crate::exact_sum::ExactSum;
use crate::mean::clustered_standard_error;
use crate::ratio::{F1Accumulator, RatioAccumulator};
use crate::special::student_t_two_sided;

/// Both models' total and the amount it is spread over, on one item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioPair<'a> {
    /// A's (total, per).
    pub a: (f64, f64),
    /// B's.
    pub b: (f64, f64),
    /// The item's cluster.
    pub cluster: Option<&'a str>,
}

/// Both models' answers on one item, for F1 of class [`F1Accumulator::POSITIVE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassPair<'a> {
    /// The true class.
    pub gold: i64,
    /// The class that A answered.
    pub a: i64,
    /// The class that B answered.
    pub b: i64,
    /// The item's cluster.
    pub cluster: Option<&'a str>,
}

/// Compares two models by a function of (sum of totals)/(sum of pers): for perplexity [`Transform::ExpNegative`] of
/// log-likelihoods over words, for bits per byte [`Transform::NegativeBits`] of log-likelihoods over bytes. Set
/// `higher_is_better` in the options to false for both.
///
/// The standard error of the difference is that of the items' linearised residuals, A's less B's, over clusters
/// where there are any.
///
/// # Errors
/// As [`RatioAccumulator::push`] and [`RatioAccumulator::estimate`].
pub fn ratios(
    items: &[RatioPair<'_>],
    transform: Transform,
    options: Options,
) -> Result<Comparison, StatsError> {
    let (mut a, mut b) = (RatioAccumulator::new(), RatioAccumulator::new());
    for item in items {
        a.push(item.a.0, item.a.1, item.cluster)?;
        b.push(item.b.0, item.b.1, item.cluster)?;
    }
    let (a, b) = (a.estimate(options.level)?, b.estimate(options.level)?);
    let difference = linearised(items, (&a, &b), transform);
    Ok(comparison(
        (a.transformed(transform), b.transformed(transform)),
        difference,
        (Interval::UNBOUNDED, Scale::NumberDifference),
        options,
    ))
}

/// Compares two models by F1.
///
/// # Errors
/// [`StatsError::NoScores`] when there are no items, [`StatsError::ZeroDenominator`] when the class occurs neither in
/// the key nor in one model's answers: F1 is then 0 by definition, and there is nothing to compare.
pub fn f1(items: &[ClassPair<'_>], options: Options) -> Result<Comparison, StatsError> {
    let (mut a, mut b) = (F1Accumulator::new(), F1Accumulator::new());
    let (mut ratio_a, mut ratio_b) = (RatioAccumulator::new(), RatioAccumulator::new());
    let mut pairs = Vec::with_capacity(items.len());
    for item in items {
        a.push(item.gold, item.a, item.cluster);
        b.push(item.gold, item.b, item.cluster);
        let pair = RatioPair {
            a: F1Accumulator::terms(item.gold, item.a),
            b: F1Accumulator::terms(item.gold, item.b),
            cluster: item.cluster,
        };
        ratio_a.push(pair.a.0, pair.a.1, pair.cluster)?;
        ratio_b.push(pair.b.0, pair.b.1, pair.cluster)?;
        pairs.push(pair);
    }
    let ratios = (ratio_a.estimate(options.level)?, ratio_b.estimate(options.level)?);
    let difference = linearised(&pairs, (&ratios.0, &ratios.1), Transform::Identity);
    let estimates = (a.estimate(options.level)?, b.estimate(options.level)?);
    Ok(comparison(estimates, difference, (Interval::SIGNED_UNIT, Scale::ProportionDifference), options))
}

/// What the items' linearised residuals say of the spread of the difference.
struct Linearised {
    clusters: u64,
    squared_residuals: f64,
}

/// The residuals g'(R_A) (t - R_A p)/P_A - g'(R_B) (t - R_B p)/P_B, summed by cluster and squared.
fn linearised(items: &[RatioPair<'_>], (a, b): (&Estimate, &Estimate), transform: Transform) -> Linearised {
    let sum = |value: fn(&RatioPair<'_>) -> f64| {
        let mut sum = ExactSum::default();
        items.iter().for_each(|item| sum.add(value(item)));
        sum.value()
    };
    let slope_a = transform.slope(a.point) / sum(|item| item.a.1);
    let slope_b = transform.slope(b.point) / sum(|item| item.b.1);
    let mut by_cluster: BTreeMap<&str, ExactSum> = BTreeMap::new();
    let mut squared_residuals = ExactSum::default();
    let mut singles = 0;
    for item in items {
        let residual = slope_a * (item.a.0 - a.point * item.a.1) - slope_b * (item.b.0 - b.point * item.b.1);
        match item.cluster {
            Some(key) => by_cluster.entry(key).or_default().add(residual),
            None => {
                singles += 1;
                squared_residuals.add_product(residual, residual);
            }
        }
    }
    for residual in by_cluster.values().map(ExactSum::value) {
        squared_residuals.add_product(residual, residual);
    }
    // Equal models leave rounding behind, which is no spread.
    let size = slope_a.abs() * sum(|item| item.a.0.abs()) + slope_b.abs() * sum(|item| item.b.0.abs());
    let value = squared_residuals.value();
    Linearised {
        clusters: singles + by_cluster.len() as u64,
        squared_residuals: if value.sqrt() > 1e-13 * size { value } else { 0.0 },
    }
}

fn comparison(
    (a, b): (Estimate, Estimate),
    difference: Linearised,
    (whole, scale): (Interval, Scale),
    options: Options,
) -> Comparison {
    let Linearised { clusters, squared_residuals } = difference;
    let (point, n) = (a.point - b.point, a.n);
    let clustered = clusters < n;
    let (interval, method, p_value) = if clusters < 2 || squared_residuals <= 0.0 {
        (whole, Method::WholeRange, None)
    } else {
        let error = clustered_standard_error(squared_residuals, clusters, 1.0);
        let df = (clusters - 1) as f64;
        let (method, test) = if clustered {
            (Method::PairedRatioClustered, Test::PairedTClustered)
        } else {
            (Method::PairedRatio, Test::PairedT)
        };
        let p_value = PValue { value: student_t_two_sided(point / error, df), test };
        (Interval::around(point, options.level.t(df) * error, whole), method, Some(p_value))
    };
    let mut difference = Estimate::new(point, interval, options.level, method, n).with_scale(scale);
    difference.clusters = clustered.then_some(clusters);
    Comparison {
        a,
        b,
        verdict: verdict(&difference, options),
        difference,
        p_value,
        probability_a_higher: None,
        discordant: None,
        pairs: Some(n),
    }
}
