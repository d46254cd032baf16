//! Two models on the same right-or-wrong items: the 2×2 table of who got what right.

use crate::error::StatsError;
use crate::estimate::{Estimate, Interval, Level, Method, Scale};
use crate::proportion::wilson;
use crate::special::{beta_cdf, beta_pdf, beta_quantile, binomial_half_cdf, bisect, integrate};

/// How many items both, only A, only B, and neither got right. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairedTable {
    both: u64,
    a_only: u64,
    b_only: u64,
    neither: u64,
}

impl PairedTable {
    /// A table.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when all four counts are 0.
    pub fn new(both: u64, a_only: u64, b_only: u64, neither: u64) -> Result<Self, StatsError> {
        if both + a_only + b_only + neither == 0 {
            return Err(StatsError::NoScores { unscored: 0 });
        }
        Ok(Self { both, a_only, b_only, neither })
    }

    /// Items.
    pub fn n(self) -> u64 {
        self.both + self.a_only + self.b_only + self.neither
    }

    /// Items that only A got right.
    pub fn a_only(self) -> u64 {
        self.a_only
    }

    /// Items that only B got right.
    pub fn b_only(self) -> u64 {
        self.b_only
    }

    /// Items that A got right.
    pub fn a_right(self) -> u64 {
        self.both + self.a_only
    }

    /// Items that B got right.
    pub fn b_right(self) -> u64 {
        self.both + self.b_only
    }

    /// A's share of right items less B's.
    fn difference(self) -> f64 {
        (self.a_only as f64 - self.b_only as f64) / self.n() as f64
    }

    fn estimate(self, interval: Interval, level: Level, method: Method) -> Estimate {
        Estimate::new(self.difference(), interval, level, method, self.n())
            .with_scale(Scale::ProportionDifference)
    }

    /// Two-sided p-value of the exact McNemar test: the discordant items split as a fair coin would split them.
    pub fn mcnemar_exact(self) -> f64 {
        let (fewer, all) = (self.a_only.min(self.b_only), self.a_only + self.b_only);
        (2.0 * binomial_half_cdf(fewer, all)).min(1.0)
    }

    /// Tango's score interval of A - B (Tango 1998): the differences at which the score test, with the discordant
    /// share estimated under that difference, does not reject. The default for paired right-or-wrong scores.
    pub fn tango(self, level: Level) -> Estimate {
        self.estimate(
            tango(self.a_only as f64, self.b_only as f64, self.n() as f64, level.z()),
            level,
            Method::Tango,
        )
    }

    /// Newcombe's square-and-add interval of A - B from the two Wilson intervals and the correlation of the table
    /// (Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on
    /// paired data", method 10).
    pub fn newcombe(self, level: Level) -> Estimate {
        let (n, z) = (self.n() as f64, level.z());
        let (p, q) = (self.a_right() as f64 / n, self.b_right() as f64 / n);
        let (a, b) = (wilson(p, n, z), wilson(q, n, z));
        let phi = self.phi();
        let reach = |x: f64, y: f64| (x * x - 2.0 * phi * x * y + y * y).max(0.0).sqrt();
        let difference = self.difference();
        let interval = Interval {
            lo: (difference - reach(p - a.lo, b.hi - q)).clamp(-1.0, difference),
            hi: (difference + reach(a.hi - p, q - b.lo)).clamp(difference, 1.0),
        };
        self.estimate(interval, level, Method::NewcombePaired)
    }

    /// Correlation of the two columns, with Newcombe's continuity correction: a positive determinant is lowered by
    /// n/2, to 0 at the least; 0 when a margin is empty.
    fn phi(self) -> f64 {
        let n = self.n() as f64;
        let (a, b) = (self.a_right() as f64, self.b_right() as f64);
        let margins = a * (n - a) * b * (n - b);
        if margins <= 0.0 {
            return 0.0;
        }
        let determinant = self.both as f64 * self.neither as f64 - self.a_only as f64 * self.b_only as f64;
        let corrected = if determinant > 0.0 { (determinant - 0.5 * n).max(0.0) } else { determinant };
        corrected / margins.sqrt()
    }

    /// The probability that A's true share is higher, from a Dirichlet(1, 1, 1, 1) prior on the four cells: whether A's
    /// part of the discordant items, Beta(a+1, b+1), is above one half.
    pub fn probability_a_higher(self) -> f64 {
        beta_cdf(self.b_only as f64 + 1.0, self.a_only as f64 + 1.0, 0.5)
    }

    /// The posterior of A - B from a Dirichlet(1, 1, 1, 1) prior on the four cells (Bowyer, Aitchison & Ivanova 2025),
    /// by numerical integration: the probability that A's true share is higher, and the equal-tailed credible
    /// interval. The point is the posterior mean.
    pub fn dirichlet(self, level: Level) -> Posterior {
        let (a, b) = (self.a_only as f64 + 1.0, self.b_only as f64 + 1.0);
        let rest = (self.both + self.neither) as f64 + 2.0;
        // The discordant share S is Beta(a + b, rest); A's part Q of it is Beta(a, b), independent of S; the
        // difference is S (2Q - 1).
        let (from, to) = (beta_quantile(1e-14, a + b, rest), beta_quantile(1.0 - 1e-14, a + b, rest));
        let cdf = |difference: f64| {
            let given_share = |s: f64| {
                let q = (0.5 * (1.0 + difference / s)).clamp(0.0, 1.0);
                beta_pdf(a + b, rest, s) * beta_cdf(a, b, q)
            };
            // The integrand has a kink where the difference takes the whole discordant share.
            let kink = difference.abs().clamp(from, to);
            integrate(from, kink, 4, given_share) + integrate(kink, to, 8, given_share)
        };
        let tail = 0.5 * level.alpha();
        let interval =
            Interval { lo: bisect_coarse(|d| cdf(d) - tail), hi: bisect_coarse(|d| cdf(d) - (1.0 - tail)) };
        let point = (a - b) / (a + b + rest);
        let difference = Estimate::new(point, interval, level, Method::Dirichlet, self.n())
            .with_scale(Scale::ProportionDifference);
        Posterior { probability_a_higher: self.probability_a_higher(), difference }
    }
}

/// The root of an increasing function on [-1, 1] to 1e-10: below what integration resolves.
pub(crate) fn bisect_coarse(f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-1.0, 1.0);
    while high - low > 1e-10 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// What a posterior says of the difference of two proportions.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Posterior {
    /// The probability that A's true share is higher than B's.
    pub probability_a_higher: f64,
    /// Posterior mean and credible interval of A - B.
    pub difference: Estimate,
}

/// Tango's interval for `b` items that only A and `c` that only B got right, of `n`.
pub(crate) fn tango(b: f64, c: f64, n: f64, z: f64) -> Interval {
    let difference = (b - c) / n;
    // The score statistic falls as the difference assumed grows: positive left of the point, negative right of it.
    let lo = bisect(-1.0, difference, |d| z - tango_statistic(b, c, n, d));
    let hi = bisect(difference, 1.0, |d| -z - tango_statistic(b, c, n, d));
    Interval { lo: if b - c == -n { -1.0 } else { lo }, hi: if b - c == n { 1.0 } else { hi } }
}

/// The score statistic for the difference `d` (Tango 1998, with the closed form of the restricted maximum-likelihood
/// estimate of the share that only B got right).
fn tango_statistic(b: f64, c: f64, n: f64, d: f64) -> f64 {
    let linear = (2.0 * n - b + c) * d - b - c;
    let constant = -c * d * (1.0 - d);
    let root = (linear * linear - 8.0 * n * constant).max(0.0).sqrt();
    // The two forms of the positive root; each avoids cancellation where the other has it.
    let b_only = if linear <= 0.0 { (root - linear) / (4.0 * n) } else { -2.0 * constant / (root + linear) };
    let variance = n * (2.0 * b_only + d * (1.0 - d));
    let excess = b - c - n * d;
    if variance <= 0.0 { excess.signum() * f64::INFINITY } else { excess / variance.sqrt() }
}
