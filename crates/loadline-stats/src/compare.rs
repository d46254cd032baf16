//! [`Comparison`]: is model A better than model B?

use std::fmt;

use serde::Serialize;

use crate::error::StatsError;
use crate::estimate::{Estimate, Interval, Level, Method, Scale};
use crate::mean::{self, Clustered, Range, clustered_standard_error};
use crate::paired::{PairedTable, tango};
use crate::proportion::clopper_pearson;
use crate::special::student_t_two_sided;
use crate::summary::Accumulator;
use crate::unpaired;

/// What the interval of the difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A is better: the interval lies wholly on A's side of zero.
    Better,
    /// A is worse.
    Worse,
    /// The interval holds zero.
    Undetermined,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Undetermined => "undetermined",
        })
    }
}

/// A p-value with the test that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PValue {
    /// Two-sided.
    pub value: f64,
    /// The test.
    pub test: Test,
}

impl fmt::Display for PValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            p if p < 0.0001 => write!(f, "p < 0.0001 ({})", self.test),
            p => write!(f, "p = {p:.4} ({})", self.test),
        }
    }
}

/// A test of no difference. Serialized as its display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Test {
    /// McNemar's, exact.
    McNemar,
    /// Paired t.
    PairedT,
    /// Paired t with the cluster-robust standard error.
    PairedTClustered,
    /// Score test of two proportions.
    Score,
    /// Welch's t.
    Welch,
    /// Welch's t from cluster-robust standard errors.
    WelchClustered,
}

impl Test {
    /// The name that people and programs see.
    pub fn name(self) -> &'static str {
        match self {
            Self::McNemar => "exact McNemar",
            Self::PairedT => "paired t",
            Self::PairedTClustered => "paired t, clustered",
            Self::Score => "two-proportion score test",
            Self::Welch => "Welch t",
            Self::WelchClustered => "Welch t, clustered",
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Test {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How many items only one of the two got right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Discordant {
    /// Only A.
    pub a_only: u64,
    /// Only B.
    pub b_only: u64,
}

/// A posterior probability with how it was computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Probability {
    /// Between 0 and 1.
    pub value: f64,
    /// The posterior.
    pub method: Method,
    /// Scores (for pairs: pairs) it comes from.
    pub n: u64,
}

/// Two models compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// A's mean on what was compared.
    pub a: Estimate,
    /// B's.
    pub b: Estimate,
    /// A - B.
    pub difference: Estimate,
    /// Test of no difference; `None` where the scores have no spread to test by.
    pub p_value: Option<PValue>,
    /// The probability that A's true mean is higher, from the Beta or Dirichlet posterior; right-or-wrong scores
    /// without clusters only.
    pub probability_a_higher: Option<Probability>,
    /// Paired right-or-wrong scores without clusters only.
    pub discordant: Option<Discordant>,
    /// Pairs of scores compared; `None` when the two sides are independent.
    pub pairs: Option<u64>,
    /// What the interval of the difference says.
    pub verdict: Verdict,
}

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Level of the intervals.
    pub level: Level,
    /// Whether a higher score is the better one (not so for perplexity or errors).
    pub higher_is_better: bool,
    /// Interval for paired right-or-wrong scores.
    pub paired_interval: PairedInterval,
    /// Range of the scores; `None` takes 0 to 1 when all scores of both sides keep to it.
    pub range: Option<Range>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::P95,
            higher_is_better: true,
            paired_interval: PairedInterval::Tango,
            range: None,
        }
    }
}

/// Which interval paired right-or-wrong scores get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PairedInterval {
    /// Tango's score interval.
    #[default]
    Tango,
    /// Newcombe's square-and-add interval.
    Newcombe,
}

/// The scores of both models on one item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<'a> {
    /// A's.
    pub a: f64,
    /// B's.
    pub b: f64,
    /// The item's cluster; items with the same key are not independent.
    pub cluster: Option<&'a str>,
}

/// Compares two models on the same items.
///
/// Right-or-wrong scores without clusters get Tango's (or Newcombe's) interval, the exact McNemar test and the
/// Dirichlet posterior; other scores a t interval of the differences, over clusters where there are any. Taken one
/// at a time; memory grows with the clusters only.
///
/// # Errors
/// [`StatsError::NoScores`] when there are no pairs, [`StatsError::NotFinite`] and [`StatsError::OutsideUnit`] for a
/// score that cannot be used.
pub fn paired<'a>(
    pairs: impl IntoIterator<Item = Pair<'a>>,
    options: Options,
) -> Result<Comparison, StatsError> {
    let new = || options.range.map_or_else(Accumulator::new, Accumulator::with_range);
    let (mut a, mut b) = (new(), new());
    let mut differences = Accumulator::with_range(Range::Unbounded);
    // Items that A and B got wrong or right, by two bits; filled only as long as all scores are 0 or 1.
    let mut cells = [0u64; 4];
    for pair in pairs {
        a.push(pair.a, pair.cluster)?;
        b.push(pair.b, pair.cluster)?;
        differences.push(pair.a - pair.b, pair.cluster)?;
        cells[usize::from(pair.a == 1.0) * 2 + usize::from(pair.b == 1.0)] += 1;
    }
    a.need_scores()?;
    if a.proportion().is_some() && b.proportion().is_some() {
        let table = PairedTable::new(cells[3], cells[2], cells[1], cells[0])?;
        paired_counts(&a, &b, table, options)
    } else {
        paired_numbers(&a, &b, &differences, options)
    }
}

fn paired_counts(
    a: &Accumulator,
    b: &Accumulator,
    table: PairedTable,
    options: Options,
) -> Result<Comparison, StatsError> {
    let difference = match options.paired_interval {
        PairedInterval::Tango => table.tango(options.level),
        PairedInterval::Newcombe => table.newcombe(options.level),
    };
    Ok(Comparison {
        a: a.estimate(options.level)?,
        b: b.estimate(options.level)?,
        verdict: verdict(&difference, options),
        difference,
        p_value: Some(PValue { value: table.mcnemar_exact(), test: Test::McNemar }),
        probability_a_higher: Some(Probability {
            value: table.probability_a_higher(),
            method: Method::Dirichlet,
            n: table.n(),
        }),
        discordant: Some(Discordant { a_only: table.a_only(), b_only: table.b_only() }),
        pairs: Some(table.n()),
    })
}

fn paired_numbers(
    a: &Accumulator,
    b: &Accumulator,
    differences: &Accumulator,
    options: Options,
) -> Result<Comparison, StatsError> {
    let unit = a.range() == Range::Unit && b.range() == Range::Unit;
    let data = differences.clustered_data();
    let (difference, p_value) = t_difference(data, differences.is_clustered(), unit, options.level);
    Ok(Comparison {
        a: a.estimate(options.level)?,
        b: b.estimate(options.level)?,
        verdict: verdict(&difference, options),
        difference,
        p_value,
        probability_a_higher: None,
        discordant: None,
        pairs: Some(differences.n()),
    })
}

/// t interval and test of the mean difference. Without spread t would give a point: differences of 0..1 scores then
/// get an exact binomial interval, others the whole range.
fn t_difference(data: Clustered, is_clustered: bool, unit: bool, level: Level) -> (Estimate, Option<PValue>) {
    let Clustered { n, clusters, mean, squared_residuals, .. } = data;
    let (whole, scale) = if unit {
        (Interval::SIGNED_UNIT, Scale::ProportionDifference)
    } else {
        (Interval::UNBOUNDED, Scale::NumberDifference)
    };
    let c = clusters as f64;
    let (interval, method, p) = if clusters < 2 {
        (whole, Method::WholeRange, None)
    } else if squared_residuals > 0.0 {
        let error = clustered_standard_error(squared_residuals, clusters, n as f64);
        let (method, test) = if is_clustered {
            (Method::PairedTClustered, Test::PairedTClustered)
        } else {
            (Method::PairedT, Test::PairedT)
        };
        let p = PValue { value: student_t_two_sided(mean / error, c - 1.0), test };
        (Interval::around(mean, level.t(c - 1.0) * error, whole), method, Some(p))
    } else if unit && mean == 0.0 {
        (tango(0.0, 0.0, c, level.z()), Method::TangoNoDifference, None)
    } else if unit {
        let half = clopper_pearson(0.5 * (mean + 1.0) * c, c, level);
        let interval = Interval { lo: 2.0 * half.lo - 1.0, hi: 2.0 * half.hi - 1.0 };
        let method = if is_clustered { Method::ClopperPearsonClusters } else { Method::ClopperPearsonScores };
        (interval, method, None)
    } else {
        (whole, Method::WholeRange, None)
    };
    let mut estimate = Estimate::new(mean, interval, level, method, n).with_scale(scale);
    estimate.clusters = is_clustered.then_some(clusters);
    (estimate, p)
}

/// Compares two models on different items: the two sides are independent.
///
/// Right-or-wrong scores without clusters get Newcombe's interval, the score test and Beta posteriors; others
/// Welch's t, over clusters where there are any. Where a side has no spread, the interval is put together from the
/// intervals of both sides.
///
/// # Errors
/// [`StatsError::NoScores`] when a side is empty.
pub fn independent(a: &Accumulator, b: &Accumulator, options: Options) -> Result<Comparison, StatsError> {
    let (estimate_a, estimate_b) = (a.estimate(options.level)?, b.estimate(options.level)?);
    let (difference, p_value, probability) = match (a.proportion(), b.proportion()) {
        (Some(p), Some(q)) => {
            let p_value = PValue { value: unpaired::score_test(p, q), test: Test::Score };
            let posterior = unpaired::beta_posteriors(p, q, options.level);
            let interval = unpaired::newcombe(p, q, options.level);
            let probability = Probability {
                value: posterior.probability_a_higher,
                method: posterior.difference.method,
                n: posterior.difference.n,
            };
            (interval, Some(p_value), Some(probability))
        }
        _ => {
            let (difference, p_value) = welch((a, &estimate_a), (b, &estimate_b), options.level);
            (difference, p_value, None)
        }
    };
    Ok(Comparison {
        a: estimate_a,
        b: estimate_b,
        verdict: verdict(&difference, options),
        difference,
        p_value,
        probability_a_higher: probability,
        discordant: None,
        pairs: None,
    })
}

/// Welch's interval and test, with the degrees of freedom of Satterthwaite from those of each side.
fn welch(
    (a, estimate_a): (&Accumulator, &Estimate),
    (b, estimate_b): (&Accumulator, &Estimate),
    level: Level,
) -> (Estimate, Option<PValue>) {
    let unit = a.range() == Range::Unit && b.range() == Range::Unit;
    let (whole, scale) = if unit {
        (Interval::SIGNED_UNIT, Scale::ProportionDifference)
    } else {
        (Interval::UNBOUNDED, Scale::NumberDifference)
    };
    let (va, vb) = (variance_of_mean(a), variance_of_mean(b));
    let point = estimate_a.point - estimate_b.point;
    let n = a.n() + b.n();
    let is_clustered = a.is_clustered() || b.is_clustered();
    let with_clusters = |mut estimate: Estimate| {
        estimate.clusters = is_clustered.then(|| a.clustered_data().clusters + b.clustered_data().clusters);
        estimate
    };
    let (Some((va, df_a)), Some((vb, df_b))) = (va, vb) else {
        let joined = unpaired::square_and_add(
            (estimate_a.point, estimate_a.interval),
            (estimate_b.point, estimate_b.interval),
        );
        let interval = Interval { lo: joined.lo.max(whole.lo), hi: joined.hi.min(whole.hi) };
        let estimate = Estimate::new(point, interval, level, Method::SquareAndAdd, n).with_scale(scale);
        return (with_clusters(estimate), None);
    };
    let variance = va + vb;
    let df = variance * variance / (va * va / df_a + vb * vb / df_b);
    let (method, test) = if is_clustered {
        (Method::WelchClustered, Test::WelchClustered)
    } else {
        (Method::Welch, Test::Welch)
    };
    let half = level.t(df) * variance.sqrt();
    let p = PValue { value: student_t_two_sided(point / variance.sqrt(), df), test };
    let estimate =
        Estimate::new(point, Interval::around(point, half, whole), level, method, n).with_scale(scale);
    (with_clusters(estimate), Some(p))
}

/// Variance of the mean and its degrees of freedom; `None` without spread.
fn variance_of_mean(scores: &Accumulator) -> Option<(f64, f64)> {
    let data = scores.clustered_data();
    if data.clusters < 2 || data.squared_residuals <= 0.0 {
        return None;
    }
    let error = mean::clustered_standard_error(data.squared_residuals, data.clusters, data.n as f64);
    Some((error * error, (data.clusters - 1) as f64))
}

pub(crate) fn verdict(difference: &Estimate, options: Options) -> Verdict {
    let Interval { lo, hi } = difference.interval;
    match (lo > 0.0, hi < 0.0, options.higher_is_better) {
        (true, _, true) | (_, true, false) => Verdict::Better,
        (true, _, false) | (_, true, true) => Verdict::Worse,
        _ => Verdict::Undetermined,
    }
}
