//! Has it become worse than it was? An alarm that may be looked at after every score, for ever.
//!
//! [`Gate`](crate::eprocess::Gate) decides once which side of a threshold a mean is on. Something that was good for a
//! year has piled up so much evidence of that, that a gate sees nothing of the week in which it became bad. The
//! alarm here begins anew at every score instead, and shares its one chance of a false alarm among all those beginnings.

use serde::Serialize;

use crate::error::StatsError;
use crate::special::ln;

/// How many bets are laid.
pub const BETS: usize = 8;
/// Beyond this an e-value is not let grow: it would overflow.
const MOST: f64 = 1e300;

/// An e-process against "each score, given those before it, is at least `least` on average", for scores in [0, 1]. If
/// that is so, the chance that the alarm is ever raised is at most α, however long it is looked at (Ville's
/// inequality). Memory does not grow, and the state follows from the scores in their order.
///
/// A bet λ, begun at score j, is worth Π (1 + λ(p0 - x_i)) over i ≥ j (Waudby-Smith & Ramdas 2023, JRSS B): on
/// average it does not grow while the mean is at least p0. The bet that is best against the mean p1 is
/// (p0 - p1)/(p0(1 - p0)); eight are laid, against p0(1 - 2^-k) for k = 1 to 8, with equal weights. Each begins at every
/// score j with weight 1/(j(j+1)); these weights sum to 1, so what is not begun yet after t scores is worth
/// 1/(t+1) (a mixture over changepoints, as in Shin, Ramdas & Rinaldo 2024, "E-detectors", without their sum, which
/// bounds how often there is a false alarm instead of whether). A mixture of e-processes is one.
///
/// ```
/// use loadline_stats::drift::DriftAlarm;
/// let mut alarm = DriftAlarm::new(0.9, 0.01)?;
/// for _ in 0..1_000 {
///     alarm.push(1.0)?;
/// }
/// for _ in 0..60 {
///     alarm.push(0.0)?;
/// }
/// assert_eq!(alarm.raised_at(), Some(1_012));
/// # Ok::<(), loadline_stats::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DriftAlarm {
    least: f64,
    alpha: f64,
    n: u64,
    bets: [f64; BETS],
    worth: [f64; BETS],
    raised_at: Option<u64>,
}

impl DriftAlarm {
    /// An alarm for a mean below `least`, false with probability at most `alpha`.
    ///
    /// # Errors
    /// [`StatsError::Probability`] when either is not between 0 and 1.
    pub fn new(least: f64, alpha: f64) -> Result<Self, StatsError> {
        for (name, value) in [("the least mean", least), ("alpha", alpha)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(StatsError::Probability { name, value });
            }
        }
        let mut share = 1.0;
        let bets = std::array::from_fn(|_| {
            share *= 0.5;
            // p0 - p1 is p0 times the share.
            share / (1.0 - least)
        });
        Ok(Self { least, alpha, n: 0, bets, worth: [0.0; BETS], raised_at: None })
    }

    /// Adds a score between 0 and 1. Whether the alarm is raised.
    ///
    /// # Errors
    /// [`StatsError::OutsideUnit`] for any other score; it is then not counted.
    pub fn push(&mut self, score: f64) -> Result<bool, StatsError> {
        if !(0.0..=1.0).contains(&score) {
            return Err(StatsError::OutsideUnit { value: score });
        }
        self.n += 1;
        let at = self.n as f64;
        let weight = 1.0 / (at * (at + 1.0));
        for (worth, bet) in self.worth.iter_mut().zip(self.bets) {
            *worth = ((*worth + weight) * (1.0 + bet * (self.least - score))).clamp(0.0, MOST);
        }
        if self.raised_at.is_none() && self.e_value() >= 1.0 / self.alpha {
            self.raised_at = Some(self.n);
        }
        Ok(self.raised_at.is_some())
    }

    /// The e-value now: how much the evidence against "as good as it was" is worth.
    pub fn e_value(&self) -> f64 {
        let not_begun = 1.0 / (self.n as f64 + 1.0);
        self.worth.iter().sum::<f64>() / BETS as f64 + not_begun
    }

    /// Its natural logarithm.
    pub fn ln_e_value(&self) -> f64 {
        ln(self.e_value())
    }

    /// What each bet is worth: with the count and where it was raised, this is all of the state.
    pub fn worth(&self) -> [f64; BETS] {
        self.worth
    }

    /// The alarm as it was after `n` scores.
    ///
    /// # Errors
    /// [`StatsError::NotFinite`] when that is no state of an alarm.
    pub fn resumed(mut self, n: u64, worth: [f64; BETS], raised_at: Option<u64>) -> Result<Self, StatsError> {
        if let Some(value) = worth.into_iter().find(|worth| !(0.0..=MOST).contains(worth)) {
            return Err(StatsError::NotFinite { value });
        }
        (self.n, self.worth, self.raised_at) = (n, worth, raised_at);
        Ok(self)
    }

    /// The score at which it was raised. It stays raised.
    pub fn raised_at(&self) -> Option<u64> {
        self.raised_at
    }

    /// Scores seen.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The least mean that is no reason for an alarm.
    pub fn least(&self) -> f64 {
        self.least
    }

    /// The chance of a false alarm.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }
}
