//! [`Estimate`]: the only form in which a number becomes a result.

use std::fmt;

use serde::ser::SerializeTuple as _;
use serde::{Serialize, Serializer};

use crate::error::StatsError;
use crate::special;

/// A number with what is known about it. Only this crate makes one, so a result without an interval cannot exist.
///
/// As JSON: `{"point":0.35,"interval":[0.33,0.38],"level":0.95,"method":"Wilson","n":1319,"clusters":null,
/// "unscored":0,"estimand":"skill"}`. An infinite bound is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The best single value.
    pub point: f64,
    /// Where the true value is believed to be.
    pub interval: Interval,
    /// How often intervals made this way hold the true value.
    pub level: Level,
    /// How the interval was made.
    pub method: Method,
    /// Scores it was made from.
    pub n: u64,
    /// Independent groups they came in, where the method counts those.
    pub clusters: Option<u64>,
    /// Samples without a score, which are not in `n`.
    pub unscored: u64,
    /// Of what it is an estimate.
    pub estimand: Estimand,
    /// How it is shown.
    #[serde(skip)]
    pub scale: Scale,
}

impl Estimate {
    pub(crate) fn new(point: f64, interval: Interval, level: Level, method: Method, n: u64) -> Self {
        Self {
            point,
            interval,
            level,
            method,
            n,
            clusters: None,
            unscored: 0,
            estimand: Estimand::Skill,
            scale: Scale::Proportion,
        }
    }

    pub(crate) fn with_clusters(mut self, clusters: u64) -> Self {
        self.clusters = Some(clusters);
        self
    }

    pub(crate) fn with_scale(mut self, scale: Scale) -> Self {
        self.scale = scale;
        self
    }

    pub(crate) fn with_estimand(mut self, estimand: Estimand) -> Self {
        self.estimand = estimand;
        self
    }

    /// The same estimate with this count of samples that have no score.
    #[must_use]
    pub fn with_unscored(mut self, unscored: u64) -> Self {
        self.unscored = unscored;
        self
    }

    /// The estimate of a monotone function of the value. The interval's ends go through the function, which keeps
    /// its coverage (a symmetric interval around the new point would not).
    #[must_use]
    pub fn transformed(mut self, transform: Transform) -> Self {
        let (p, q) = (transform.apply(self.interval.lo), transform.apply(self.interval.hi));
        self.point = transform.apply(self.point);
        self.interval = Interval { lo: p.min(q), hi: p.max(q) };
        self.scale = Scale::Number;
        self
    }
}

/// A monotone function that turns a mean or a ratio into the number people quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// e^-x: perplexity from a mean log-likelihood.
    ExpNegative,
    /// e^x.
    Exp,
    /// ln x.
    Ln,
    /// -x / ln 2: bits from a log-likelihood in nats.
    NegativeBits,
    /// -x.
    Negative,
    /// x.
    Identity,
}

impl Transform {
    fn apply(self, x: f64) -> f64 {
        match self {
            Self::ExpNegative => special::exponential(-x),
            Self::Exp => special::exponential(x),
            // An interval may reach below 0, where there is no logarithm.
            Self::Ln => special::ln(x.max(0.0)),
            Self::NegativeBits => -x / std::f64::consts::LN_2,
            Self::Negative => -x,
            Self::Identity => x,
        }
    }

    /// The derivative.
    pub(crate) fn slope(self, x: f64) -> f64 {
        match self {
            Self::ExpNegative => -special::exponential(-x),
            Self::Exp => special::exponential(x),
            Self::Ln => 1.0 / x,
            Self::NegativeBits => -1.0 / std::f64::consts::LN_2,
            Self::Negative => -1.0,
            Self::Identity => 1.0,
        }
    }
}

/// The two ends of an interval. As JSON: `[lo, hi]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end; -∞ when nothing bounds it.
    pub lo: f64,
    /// Upper end; ∞ when nothing bounds it.
    pub hi: f64,
}

impl Interval {
    /// Nothing is known of a proportion.
    pub const UNIT: Self = Self { lo: 0.0, hi: 1.0 };
    /// Nothing is known of a difference of proportions.
    pub const SIGNED_UNIT: Self = Self { lo: -1.0, hi: 1.0 };
    /// Nothing is known of a number.
    pub const UNBOUNDED: Self = Self { lo: f64::NEG_INFINITY, hi: f64::INFINITY };

    /// Whether the value is inside, the ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.lo <= value && value <= self.hi
    }

    /// Distance between the ends.
    pub fn width(&self) -> f64 {
        self.hi - self.lo
    }

    /// `point` ± `half`, cut to `within`. Always holds the point.
    pub(crate) fn around(point: f64, half: f64, within: Self) -> Self {
        Self { lo: (point - half).max(within.lo).min(point), hi: (point + half).min(within.hi).max(point) }
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |x: f64| x.is_finite().then_some(x);
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&finite(self.lo))?;
        pair.serialize_element(&finite(self.hi))?;
        pair.end()
    }
}

/// A confidence or credible level: a fraction between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Level(f64);

impl Level {
    /// 90 %.
    pub const P90: Self = Self(0.90);
    /// 95 %: what results are reported at.
    pub const P95: Self = Self(0.95);
    /// 99 %.
    pub const P99: Self = Self(0.99);

    /// A level.
    ///
    /// # Errors
    /// When it is not between 0.001 and 0.999999: no interval at such a level means anything.
    pub fn new(level: f64) -> Result<Self, StatsError> {
        if (0.001..=0.999_999).contains(&level) {
            Ok(Self(level))
        } else {
            Err(StatsError::Level { value: level })
        }
    }

    /// The level as a fraction.
    pub fn get(self) -> f64 {
        self.0
    }

    /// What is left outside, both tails together.
    pub fn alpha(self) -> f64 {
        // To 12 decimals: 1 - 0.95 is 0.050000000000000044, which nobody means.
        ((1.0 - self.0) * 1e12).round() / 1e12
    }

    /// What the logarithm of an e-value must reach, -ln([`alpha`](Level::alpha)): the same bits on every platform.
    pub fn ln_needed(self) -> f64 {
        -special::ln(self.alpha())
    }

    /// The normal quantile that leaves half of [`alpha`](Level::alpha) above it (1.96 at 95 %).
    pub(crate) fn z(self) -> f64 {
        special::normal_quantile(1.0 - 0.5 * self.alpha())
    }

    /// The same for Student's t.
    pub(crate) fn t(self, df: f64) -> f64 {
        special::student_t_two_sided_quantile(self.0, df)
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::P95
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Four decimals are more than anyone asks for; trailing zeros are cut.
        let text = format!("{:.4}", self.0 * 100.0);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// How an interval was made. `docs/statistics.md` says when each is used. Serialized as its display name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Wilson's score interval of a proportion.
    Wilson,
    /// The exact interval of a proportion.
    ClopperPearson,
    /// Beta posterior of a proportion from Jeffreys' prior, with the rule for the ends.
    Jeffreys,
    /// Beta posterior of a proportion from the uniform prior.
    UniformBeta,
    /// Wilson's interval for the score on a bank of which a part was seen.
    WilsonFiniteBank,
    /// Every item of the bank was scored: nothing is uncertain about the bank score.
    WholeBank,
    /// Student's t.
    T,
    /// Student's t for the mean over a bank of which a part was seen.
    TFiniteBank,
    /// Cluster-robust standard error with Student's t.
    TClustered,
    /// Wilson's interval from the effective number of trials, with Student's t: clustered proportions near 0 or 1.
    WilsonClustered,
    /// The exact interval with the sum of 0..1 scores for the count: scores without spread.
    ClopperPearsonScores,
    /// The exact interval with each cluster counted as one trial: clusters without spread.
    ClopperPearsonClusters,
    /// Nothing can be said: too few scores, or unbounded scores without spread.
    WholeRange,
    /// Ratio of sums, standard error by linearisation, Student's t.
    Ratio,
    /// The same with clusters.
    RatioClustered,
    /// F1 through Wilson's interval of TP/(TP+FP+FN).
    WilsonF1,
    /// F1 where it is 0 by definition: the class occurs neither in the key nor in the answers.
    ZeroDivision,
    /// Tango's score interval of a paired difference.
    Tango,
    /// Newcombe's interval of a paired difference.
    NewcombePaired,
    /// Tango's interval for no difference on any item, each cluster counted as one item.
    TangoNoDifference,
    /// Student's t of the differences.
    PairedT,
    /// Cluster-robust Student's t of the differences.
    PairedTClustered,
    /// Difference of two ratios of sums on the same items, standard error by linearisation, Student's t.
    PairedRatio,
    /// The same with clusters.
    PairedRatioClustered,
    /// Dirichlet posterior of a paired table.
    Dirichlet,
    /// Newcombe's interval of the difference of two independent proportions.
    NewcombeUnpaired,
    /// Beta posteriors of two independent proportions.
    BetaDifference,
    /// Welch's t for two independent means.
    Welch,
    /// Welch's t from cluster-robust standard errors.
    WelchClustered,
    /// Square-and-add from the interval of each side: a side without spread.
    SquareAndAdd,
    /// Hierarchical Beta posterior over clusters.
    HierarchicalBeta,
}

impl Method {
    /// The name that people and programs see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wilson => "Wilson",
            Self::ClopperPearson => "Clopper-Pearson",
            Self::Jeffreys => "Jeffreys",
            Self::UniformBeta => "Beta, uniform prior",
            Self::WilsonFiniteBank => "Wilson, finite bank",
            Self::WholeBank => "whole bank",
            Self::T => "t",
            Self::TFiniteBank => "t, finite bank",
            Self::TClustered => "t, clustered",
            Self::WilsonClustered => "Wilson, clustered",
            Self::ClopperPearsonScores => "Clopper-Pearson, scores",
            Self::ClopperPearsonClusters => "Clopper-Pearson, clusters",
            Self::WholeRange => "whole range",
            Self::Ratio => "ratio of sums",
            Self::RatioClustered => "ratio of sums, clustered",
            Self::WilsonF1 => "Wilson, F1",
            Self::ZeroDivision => "0 by definition",
            Self::Tango => "Tango",
            Self::NewcombePaired => "Newcombe, paired",
            Self::TangoNoDifference => "Tango, no difference",
            Self::PairedT => "paired t",
            Self::PairedTClustered => "paired t, clustered",
            Self::PairedRatio => "paired ratio of sums",
            Self::PairedRatioClustered => "paired ratio of sums, clustered",
            Self::Dirichlet => "Dirichlet posterior",
            Self::NewcombeUnpaired => "Newcombe, unpaired",
            Self::BetaDifference => "Beta posteriors",
            Self::Welch => "Welch t",
            Self::WelchClustered => "Welch t, clustered",
            Self::SquareAndAdd => "square-and-add",
            Self::HierarchicalBeta => "hierarchical Beta",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Of what an estimate is an estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimand {
    /// The mean score on all items like these: the bank is itself a sample.
    #[default]
    Skill,
    /// The mean score on this very bank of items.
    BankScore,
}

/// How a value is shown to people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scale {
    /// A share of one, shown as a percentage.
    #[default]
    Proportion,
    /// A difference of shares, shown in percentage points with its sign.
    ProportionDifference,
    /// A plain number.
    Number,
    /// A difference of plain numbers, shown with its sign.
    NumberDifference,
}

impl fmt::Display for Estimate {
    /// `35.2% [32.6, 37.8]`, `+2.9 pp [+1.5, +4.2]`, `12.31 [11.90, 12.74]`: as many decimals as the interval
    /// supports, and in percentages at least one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval { lo, hi } = self.interval;
        let text = match self.scale {
            Scale::Proportion | Scale::ProportionDifference => {
                let decimals = (decimals(50.0 * self.interval.width(), self.point) - 1).clamp(1, 4);
                let signed = self.scale == Scale::ProportionDifference;
                let unit = if signed { " pp" } else { "%" };
                let show = |x: f64| shown(100.0 * x, decimals, signed);
                format!("{}{unit} [{}, {}]", show(self.point), show(lo), show(hi))
            }
            Scale::Number | Scale::NumberDifference => {
                let decimals = decimals(0.5 * self.interval.width(), self.point).clamp(0, 9);
                let show = |x: f64| shown(x, decimals, self.scale == Scale::NumberDifference);
                format!("{} [{}, {}]", show(self.point), show(lo), show(hi))
            }
        };
        f.pad(&text)
    }
}

/// Decimals that show two digits of the interval's half width, or four digits of the point when that has none.
fn decimals(half_width: f64, point: f64) -> i32 {
    let (size, digits) =
        if half_width.is_finite() && half_width > 0.0 { (half_width, 1) } else { (point.abs(), 3) };
    if size == 0.0 { 1 } else { digits - (libm::floor(libm::log10(size)) as i32) }
}

fn shown(value: f64, decimals: i32, signed: bool) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    let places = usize::try_from(decimals).unwrap_or(0);
    let text = if signed { format!("{value:+.places$}") } else { format!("{value:.places$}") };
    // A value that rounds to nothing has no sign.
    let is_zero = !text.bytes().any(|b| b.is_ascii_digit() && b != b'0');
    if is_zero { text.trim_start_matches(['+', '-']).to_owned() } else { text }
}
