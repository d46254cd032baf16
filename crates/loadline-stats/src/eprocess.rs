//! Deciding while the scores come in: a two-sided e-process for a threshold.
//!
//! Looking at an ordinary interval after every sample and stopping when it clears the threshold passes a model that is
//! exactly at the threshold far more often than the level says. An e-process may be looked at after every sample: the
//! chance that it ever crosses 1/α under its null hypothesis is at most α (Ville's inequality).

use serde::Serialize;

use crate::error::StatsError;
use crate::special::{ln, ln_beta, ln_beta_tails};

/// What a gate says of the threshold so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateState {
    /// The true mean is above the threshold.
    Pass,
    /// The true mean is below the threshold.
    Fail,
    /// Neither is shown yet.
    #[default]
    Undetermined,
}

/// Two e-processes for the mean of scores in [0, 1] against a threshold p0, each at level α: one whose null hypothesis
/// is "at most p0" (crossing it passes), one whose null is "at least p0" (crossing it fails). The first crossing counts
/// and is kept. Memory does not grow.
///
/// Each is a mixture likelihood ratio: the Beta(½, ½) prior, cut to the side of the alternative, over the
/// likelihood at p0. It is exact for scores of 0 and 1; for scores in between it is still valid, since the
/// likelihood ratio is convex in the score.
///
/// ```
/// use loadline_stats::eprocess::{Gate, GateState};
/// let mut gate = Gate::new(0.8, 0.05)?;
/// for _ in 0..30 {
///     gate.push(1.0)?;
/// }
/// assert_eq!(gate.state(), GateState::Pass);
/// assert_eq!(gate.decided_at(), Some(17));
/// # Ok::<(), loadline_stats::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    threshold: f64,
    alpha: f64,
    n: u64,
    /// Sum of scores, and of what each lacks to 1.
    successes: f64,
    failures: f64,
    /// ln of the prior's mass above and below the threshold.
    ln_prior_above: f64,
    ln_prior_below: f64,
    state: GateState,
    decided_at: Option<u64>,
}

impl Gate {
    /// A gate for the threshold `threshold`, wrong with probability at most `alpha` on either side.
    ///
    /// # Errors
    /// [`StatsError::Probability`] when either is not between 0 and 1.
    pub fn new(threshold: f64, alpha: f64) -> Result<Self, StatsError> {
        for (name, value) in [("the threshold", threshold), ("alpha", alpha)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(StatsError::Probability { name, value });
            }
        }
        let (ln_prior_below, ln_prior_above) = ln_beta_tails(0.5, 0.5, threshold);
        Ok(Self {
            threshold,
            alpha,
            n: 0,
            successes: 0.0,
            failures: 0.0,
            ln_prior_above,
            ln_prior_below,
            state: GateState::Undetermined,
            decided_at: None,
        })
    }

    /// Adds a score between 0 and 1 and says what is known now.
    ///
    /// # Errors
    /// [`StatsError::OutsideUnit`] for any other score; it is then not counted.
    pub fn push(&mut self, score: f64) -> Result<GateState, StatsError> {
        if !(0.0..=1.0).contains(&score) {
            return Err(StatsError::OutsideUnit { value: score });
        }
        self.n += 1;
        self.successes += score;
        self.failures += 1.0 - score;
        if self.state == GateState::Undetermined {
            let crossing = -ln(self.alpha);
            let (pass, fail) = self.ln_e_values();
            self.state = match (pass >= crossing, fail >= crossing) {
                (true, _) => GateState::Pass,
                (_, true) => GateState::Fail,
                _ => GateState::Undetermined,
            };
            self.decided_at = (self.state != GateState::Undetermined).then_some(self.n);
        }
        Ok(self.state)
    }

    /// (ln of the e-value against "at most the threshold", ln of that against "at least the threshold"): large values
    /// are evidence of a pass, or of a fail. e-values of independent runs may be multiplied, of any runs averaged.
    pub fn ln_e_values(&self) -> (f64, f64) {
        let (a, b) = (0.5 + self.successes, 0.5 + self.failures);
        let (ln_below, ln_above) = ln_beta_tails(a, b, self.threshold);
        let ln_null = self.successes * ln(self.threshold) + self.failures * ln(1.0 - self.threshold);
        let ln_mixture = ln_beta(a, b) - ln_beta(0.5, 0.5) - ln_null;
        (ln_mixture + ln_above - self.ln_prior_above, ln_mixture + ln_below - self.ln_prior_below)
    }

    /// What is known: the first side that was crossed.
    pub fn state(&self) -> GateState {
        self.state
    }

    /// The count of scores at which it was decided.
    pub fn decided_at(&self) -> Option<u64> {
        self.decided_at
    }

    /// Scores seen.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The mean the gate is about.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The chance of a wrong decision it allows, on either side.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
}
