//! How many samples a comparison needs, and what difference a number of samples can show (Miller 2024, section 5).
//!
//! All formulas are n = (z_{α/2} + z_β)² V / δ² read in one direction or the other, where V is the variance of one
//! item's difference ([`ItemVariance`]) and δ the difference.

use crate::error::StatsError;
use crate::special::normal_quantile;

/// What a test of two models shall hold to: the chance of seeing a difference where there is none, and of seeing one
/// of the size planned for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Design {
    alpha: f64,
    power: f64,
}

impl Default for Design {
    /// Two-sided α = 0.05 and power 0.8.
    fn default() -> Self {
        Self { alpha: 0.05, power: 0.8 }
    }
}

impl Design {
    /// A two-sided test at level `alpha` that finds the planned difference with probability `power`.
    ///
    /// # Errors
    /// [`StatsError::Probability`] when either is not between 0 and 1.
    pub fn new(alpha: f64, power: f64) -> Result<Self, StatsError> {
        probability("alpha", alpha)?;
        probability("the power", power)?;
        Ok(Self { alpha, power })
    }

    /// The level of the two-sided test.
    pub fn alpha(self) -> f64 {
        self.alpha
    }

    /// The probability that the test finds the planned difference.
    pub fn power(self) -> f64 {
        self.power
    }

    fn z_sum(self) -> f64 {
        normal_quantile(1.0 - 0.5 * self.alpha) + normal_quantile(self.power)
    }

    /// Items needed (for independent groups: in each) to show the difference `delta`.
    ///
    /// # Errors
    /// [`StatsError::NotPositive`] when `delta` is 0 or not a number.
    pub fn required_n(self, variance: ItemVariance, delta: f64) -> Result<u64, StatsError> {
        let delta = positive("the difference", delta.abs())?;
        let z = self.z_sum();
        Ok((z * z * variance.0 / (delta * delta)).ceil().max(1.0) as u64)
    }

    /// The smallest difference that `n` items (for independent groups: in each) can show.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when `n` is 0.
    pub fn smallest_difference(self, variance: ItemVariance, n: u64) -> Result<f64, StatsError> {
        if n == 0 {
            return Err(StatsError::NoScores { unscored: 0 });
        }
        Ok(self.z_sum() * (variance.0 / n as f64).sqrt())
    }
}

/// The variance of the difference that one item contributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ItemVariance(f64);

impl ItemVariance {
    /// Two independent groups of right-or-wrong items, with shares `p_a` and `p_b` right.
    ///
    /// # Errors
    /// [`StatsError::Probability`] when a share is not between 0 and 1.
    pub fn unpaired(p_a: f64, p_b: f64) -> Result<Self, StatsError> {
        let (p_a, p_b) = (probability("the share of A", p_a)?, probability("the share of B", p_b)?);
        Ok(Self(p_a * (1.0 - p_a) + p_b * (1.0 - p_b)))
    }

    /// The same right-or-wrong items for both models, of which A alone gets the share `a_only` right and B alone
    /// `b_only`: a_only + b_only - (a_only - b_only)².
    ///
    /// # Errors
    /// [`StatsError::Probability`] when a share, or the sum, is not between 0 and 1.
    pub fn paired(a_only: f64, b_only: f64) -> Result<Self, StatsError> {
        for (name, share) in
            [("the share only A gets right", a_only), ("the share only B gets right", b_only)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(StatsError::Probability { name, value: share });
            }
        }
        probability("the discordant share", a_only + b_only)?;
        let difference = a_only - b_only;
        Ok(Self(a_only + b_only - difference * difference))
    }

    /// Paired numbers, each item answered `epochs_a` and `epochs_b` times: ω² + σ_A²/K_A + σ_B²/K_B, where ω² is the
    /// variance over items of the difference of conditional means and σ² the mean variance between repeated answers.
    ///
    /// # Errors
    /// [`StatsError::NotPositive`] when a variance is negative, or their sum or a number of epochs is 0.
    pub fn paired_numbers(
        between_items: f64,
        (within_a, epochs_a): (f64, u32),
        (within_b, epochs_b): (f64, u32),
    ) -> Result<Self, StatsError> {
        positive("the number of epochs", f64::from(epochs_a.min(epochs_b)))?;
        for (name, value) in
            [("ω²", between_items), ("the variance within A", within_a), ("the variance within B", within_b)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(StatsError::NotPositive { name, value });
            }
        }
        let total = between_items + within_a / f64::from(epochs_a) + within_b / f64::from(epochs_b);
        Ok(Self(positive("the variance", total)?))
    }

    /// The variance.
    pub fn get(self) -> f64 {
        self.0
    }
}

fn probability(name: &'static str, value: f64) -> Result<f64, StatsError> {
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err(StatsError::Probability { name, value }) }
}

fn positive(name: &'static str, value: f64) -> Result<f64, StatsError> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(StatsError::NotPositive { name, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_size_of_two_groups() {
        // Fleiss, Levin & Paik 2003, chapter 4, without continuity correction and with the unpooled variance:
        // 60 % against 70 %, α = .05, power .8 gives (1.95996 + 0.84162)² (.24 + .21) / .01 = 353.2.
        let variance = ItemVariance::unpaired(0.6, 0.7).unwrap();
        assert_eq!(Design::default().required_n(variance, 0.1).unwrap(), 354);
    }

    #[test]
    fn pairing_saves_samples_and_the_two_directions_agree() {
        let design = Design::new(0.05, 0.9).unwrap();
        let unpaired = ItemVariance::unpaired(0.8, 0.75).unwrap();
        let paired = ItemVariance::paired(0.10, 0.05).unwrap();
        let n = design.required_n(paired, 0.05).unwrap();
        assert!(n < design.required_n(unpaired, 0.05).unwrap());
        assert!(design.smallest_difference(paired, n).unwrap() <= 0.05);
        assert!(design.smallest_difference(paired, n - 1).unwrap() > 0.05);
    }

    #[test]
    fn more_epochs_remove_only_the_variance_within_items() {
        let variance = |k| ItemVariance::paired_numbers(0.1, (0.2, k), (0.2, k)).unwrap().get();
        assert_eq!(variance(1), 0.5);
        assert!((variance(1000) - 0.1004).abs() < 1e-12);
    }

    #[test]
    fn impossible_plans_are_refused_by_name() {
        assert_eq!(Design::new(0.0, 0.8).unwrap_err().to_string(), "alpha is 0: it must be between 0 and 1");
        let variance = ItemVariance::unpaired(0.6, 0.7).unwrap();
        let zero = Design::default().required_n(variance, 0.0).unwrap_err();
        assert_eq!(zero.to_string(), "the difference is 0: it must be above 0");
        assert!(ItemVariance::paired(0.7, 0.6).is_err());
        assert!(ItemVariance::paired_numbers(0.1, (0.2, 0), (0.2, 1)).is_err());
        assert!(Design::default().smallest_difference(variance, 0).is_err());
    }
}
