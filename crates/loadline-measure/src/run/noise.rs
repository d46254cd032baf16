//! 429s that have nothing to do with how much is asked at once.
//!
//! Some endpoints turn requests away at random, or for other customers' sake. Asking less does not help there; it
//! only takes longer. What is still turned away while clearly less is asked than when the limit was last halved is
//! such noise, and only more than that says that the endpoint is at its limit.

/// So much less than at the last halving has to be asked for a 429 to count as noise.
const CLEARLY_LESS: f64 = 0.75;
/// So many have to be seen: one or two may be late words about the load before.
const LEAST: f64 = 3.0;
/// A larger share is no noise but a quota that is used up.
const MOST: f64 = 1.0 / 3.0;
/// When so many were counted, what was long ago counts half.
const MEMORY: f64 = 1000.0;

/// How many of the attempts at a clearly lower limit were turned away.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    attempts: f64,
    limited: f64,
    /// The limit at the last halving; 0 before the first.
    halved_from: f64,
    /// The highest limit that was halved while no noise was known.
    highest: f64,
    known: bool,
}

impl Noise {
    /// Counts an attempt that began after the last halving and ended at this limit. Gives the limit to go back to
    /// when it has just become clear that halving was no help.
    pub(crate) fn count(&mut self, limit: f64, was_limited: bool) -> Option<f64> {
        if limit > CLEARLY_LESS * self.halved_from {
            return None;
        }
        if self.attempts >= MEMORY {
            self.attempts /= 2.0;
            self.limited /= 2.0;
        }
        self.attempts += 1.0;
        self.limited += f64::from(u8::from(was_limited));
        let is_known = self.share() > 0.0;
        let was_known = std::mem::replace(&mut self.known, is_known);
        (self.known && !was_known)
            .then(|| std::mem::take(&mut self.highest))
            .filter(|highest| *highest > limit)
    }

    /// The limit is halved from here.
    pub(crate) fn halved(&mut self, limit: f64) {
        self.halved_from = limit;
        if !self.known {
            self.highest = self.highest.max(limit);
        }
    }

    /// Whether so many 429s in a round at this limit are more than noise: by more than three standard deviations of
    /// a Poisson variable.
    pub(crate) fn is_exceeded(&self, limited: u32, limit: f64) -> bool {
        let expected = self.share() * limit;
        expected == 0.0 || f64::from(limited) > expected + 3.0 * expected.sqrt() + 1.0
    }

    fn share(&self) -> f64 {
        let share = self.limited / self.attempts;
        if self.limited >= LEAST && share <= MOST { share } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_at_half_the_limit_is_noise_and_a_quota_is_not() {
        let mut noise = Noise::default();
        assert!(noise.count(64.0, true).is_none() && noise.is_exceeded(1, 64.0), "before any halving");
        noise.halved(64.0);
        assert!((0..100).all(|i| noise.count(60.0, i % 20 == 0).is_none()), "hardly less than before");
        assert!(noise.is_exceeded(1, 32.0));
        let found: Vec<f64> = (0..100).filter_map(|i| noise.count(32.0, i % 20 == 0)).collect();
        assert_eq!(found, [64.0], "said once, at the third");
        assert!(!noise.is_exceeded(9, 64.0) && noise.is_exceeded(10, 64.0), "5% of 64 are 3.2");

        let mut quota = Noise::default();
        quota.halved(64.0);
        assert!((0..100).all(|i| quota.count(32.0, i % 2 == 0).is_none()) && quota.is_exceeded(1, 32.0));
        // It is forgotten when it ends.
        assert!((0..4000).all(|_| noise.count(32.0, false).is_none()) && noise.is_exceeded(1, 32.0));
    }
}
