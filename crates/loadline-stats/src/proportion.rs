//! Intervals of a proportion: k successes in n independent trials.

use crate::error::StatsError;
use crate::estimate::{Estimand, Estimate, Interval, Level, Method};
use crate::special::beta_quantile;

/// Successes and trials, checked: 0 ≤ successes ≤ trials, trials ≥ 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proportion {
    successes: u64,
    n: u64,
}

impl Proportion {
    /// `successes` of `n`.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when `n` is 0, [`StatsError::TooManySuccesses`] when successes exceed it.
    pub fn new(successes: u64, n: u64) -> Result<Self, StatsError> {
        if n == 0 {
            return Err(StatsError::NoScores { unscored: 0 });
        }
        if successes > n {
            return Err(StatsError::TooManySuccesses { successes, n });
        }
        Ok(Self { successes, n })
    }

    /// Successes.
    pub fn successes(self) -> u64 {
        self.successes
    }

    /// Trials.
    pub fn n(self) -> u64 {
        self.n
    }

    /// Successes divided by trials.
    pub(crate) fn rate(self) -> f64 {
        self.successes as f64 / self.n as f64
    }

    fn estimate(self, interval: Interval, level: Level, method: Method) -> Estimate {
        Estimate::new(self.rate(), interval, level, method, self.n)
    }

    /// Wilson's score interval (Wilson 1927): near its level on average at every n, never outside 0..1, never a point
    /// at k = 0 or k = n. The default for right-or-wrong scores.
    pub fn wilson(self, level: Level) -> Estimate {
        self.estimate(wilson(self.rate(), self.n as f64, level.z()), level, Method::Wilson)
    }

    /// The exact interval (Clopper & Pearson 1934): covers at least its level, always; wider for it.
    pub fn clopper_pearson(self, level: Level) -> Estimate {
        let interval = clopper_pearson(self.successes as f64, self.n as f64, level);
        self.estimate(interval, level, Method::ClopperPearson)
    }

    /// Equal-tailed credible interval from Jeffreys' prior Beta(½, ½), with the lower end 0 at k = 0 and the upper
    /// end 1 at k = n (Brown, Cai & DasGupta 2001). The point is k/n.
    pub fn jeffreys(self, level: Level) -> Estimate {
        let mut interval = self.posterior_interval(0.5, level);
        if self.successes == 0 {
            interval.lo = 0.0;
        }
        if self.successes == self.n {
            interval.hi = 1.0;
        }
        self.estimate(interval, level, Method::Jeffreys)
    }

    /// Equal-tailed credible interval from the uniform prior Beta(1, 1). The point is the posterior mean
    /// (k+1)/(n+2), which, unlike k/n, is always inside.
    pub fn uniform_beta(self, level: Level) -> Estimate {
        let point = (self.successes as f64 + 1.0) / (self.n as f64 + 2.0);
        Estimate::new(point, self.posterior_interval(1.0, level), level, Method::UniformBeta, self.n)
    }

    fn posterior_interval(self, prior: f64, level: Level) -> Interval {
        let (a, b) = (self.successes as f64 + prior, (self.n - self.successes) as f64 + prior);
        let tail = 0.5 * level.alpha();
        Interval { lo: beta_quantile(tail, a, b), hi: beta_quantile(1.0 - tail, a, b) }
    }

    /// The score on this very bank of `bank` items, of which `n` drawn at random were scored: Wilson's interval with
    /// n(J-1)/(J-n) trials (Bowyer, Aitchison & Ivanova 2025). When the whole bank was scored it is the point itself.
    ///
    /// # Errors
    /// [`StatsError::BankTooSmall`] when more items were scored than the bank has.
    pub fn wilson_finite_bank(self, bank: u64, level: Level) -> Result<Estimate, StatsError> {
        let (n, rate) = (self.n, self.rate());
        if n > bank {
            return Err(StatsError::BankTooSmall { n, bank });
        }
        let estimate = if n == bank {
            self.estimate(Interval { lo: rate, hi: rate }, level, Method::WholeBank)
        } else {
            let effective = n as f64 * ((bank - 1) as f64 / (bank - n) as f64);
            let seen = wilson(rate, effective, level.z());
            // What was seen bounds the bank score: k right at the least, n - k wrong at the least.
            let wrong = self.n - self.successes;
            let (least, most) = (self.successes as f64 / bank as f64, (bank - wrong) as f64 / bank as f64);
            let interval = Interval { lo: seen.lo.max(least), hi: seen.hi.min(most) };
            self.estimate(interval, level, Method::WilsonFiniteBank)
        };
        Ok(estimate.with_estimand(Estimand::BankScore))
    }
}

/// Wilson's interval for a rate seen in `n` trials, which need not be a whole number.
pub(crate) fn wilson(rate: f64, n: f64, z: f64) -> Interval {
    let square = z * z;
    let centre = (rate + square / (2.0 * n)) / (1.0 + square / n);
    let half = z / (1.0 + square / n) * (rate * (1.0 - rate) / n + square / (4.0 * n * n)).sqrt();
    // At the ends the formula gives 0 and 1 only up to rounding.
    let lo = if rate <= 0.0 { 0.0 } else { (centre - half).clamp(0.0, rate) };
    let hi = if rate >= 1.0 { 1.0 } else { (centre + half).clamp(rate, 1.0) };
    Interval { lo, hi }
}

/// The exact interval for a count in `n` trials; neither need be a whole number.
pub(crate) fn clopper_pearson(count: f64, n: f64, level: Level) -> Interval {
    let tail = 0.5 * level.alpha();
    Interval {
        lo: if count <= 0.0 { 0.0 } else { beta_quantile(tail, count, n - count + 1.0) },
        hi: if count >= n { 1.0 } else { beta_quantile(1.0 - tail, count + 1.0, n - count) },
    }
}
