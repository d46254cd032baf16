//! 429s that have nothing to do with how much is asked at once.
//!
//! Some endpoints turn requests away at random, or for other customers' sake. Asking less does not help there; it
//! only takes longer. What is turned away at a limit clearly below one that is
//! proven to be sustained, by a whole round or by what was in flight at a halving, is such noise, and above that only more than the noise says that the endpoint is at its limit.

/// So much less than what is proven has to be asked for a 429 to count as noise.
const CLEARLY_LESS: f64 = 0.9;
/// So many have to be seen for their rate to be known.
const LEAST: f64 = 2.0;
/// More of them for each answer are no noise: a quota is used up, or the endpoint sustains less than before.
const MOST: f64 = 1.0;
/// Each time the limit is halved, this much less is taken to be proven: an endpoint that sustains somewhat less than
/// before is learned anew.
const FADES: f64 = 0.9;
/// When so many were counted, what was long ago counts half.
const MEMORY: f64 = 1000.0;

/// How many of the attempts at a clearly sustained limit were turned away.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    attempts: f64,
    limited: f64,
    /// The highest limit that was sustained; fades.
    proven: f64,
    /// What was in flight at the last halving and was answered since.
    survivors: f64,
}

impl Noise {
    /// Counts an attempt that ended at this limit. True when that makes the rate of the noise known: then what was
    /// taken for the endpoint's limit may have been none.
    pub(crate) fn count(&mut self, limit: f64, was_limited: bool) -> bool {
        if !self.is_below_proven(limit) {
            return false;
        }
        let was_known = self.rate() > 0.0;
        if self.attempts >= MEMORY {
            self.attempts /= 2.0;
            self.limited /= 2.0;
        }
        self.attempts += 1.0;
        self.limited += f64::from(u8::from(was_limited));
        !was_known && self.rate() > 0.0
    }

    /// A whole round at this limit has ended, with so many 429s.
    pub(crate) fn round(&mut self, limited: u32, limit: f64) {
        if !self.is_exceeded(limited, limit) {
            self.proven = self.proven.max(limit);
        }
    }

    /// An attempt that was in flight at the last halving was answered: as many as such are sustained at once.
    pub(crate) fn survived(&mut self) {
        self.survivors += 1.0;
        self.proven = self.proven.max(self.survivors);
    }

    /// Whether so many 429s in a round say that this limit is too high. Then what was proven is no longer so sure.
    pub(crate) fn is_too_high(&mut self, limited: u32, limit: f64) -> bool {
        if self.is_below_proven(limit) {
            let too_high = f64::from(limited) > MOST * limit + 2.0;
            if too_high {
                (self.proven, self.survivors) = (limit, 0.0);
            }
            return too_high;
        }
        let too_high = self.is_exceeded(limited, limit);
        if too_high {
            (self.proven, self.survivors) = (self.proven * FADES, 0.0);
        }
        too_high
    }

    /// Whether more than this is sustained, clearly.
    pub(crate) fn is_below_proven(&self, limit: f64) -> bool {
        limit < CLEARLY_LESS * self.proven
    }

    /// More than the noise: by more than three standard deviations of a Poisson variable. A round is as many answers
    /// as the limit, with all the 429s that come meanwhile.
    fn is_exceeded(&self, limited: u32, limit: f64) -> bool {
        let expected = self.rate() * limit;
        limited > 0 && (expected == 0.0 || f64::from(limited) > expected + 3.0 * expected.sqrt() + 1.0)
    }

    /// 429s for each answer; 0 while not known.
    fn rate(&self) -> f64 {
        let answers = self.attempts - self.limited;
        if self.limited >= LEAST && self.limited <= MOST * answers { self.limited / answers } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_turned_away_below_a_sustained_limit_is_noise() {
        let mut noise = Noise::default();
        assert!(!noise.count(8.0, true) && noise.is_too_high(1, 8.0), "nothing is proven yet");
        noise.round(0, 64.0);
        assert!((0..100).all(|i| !noise.count(60.0, i % 21 == 0)), "hardly less than what is proven");
        assert!(!noise.is_too_high(3, 32.0), "twice as much was sustained");
        assert_eq!(
            (0..100).filter(|i| noise.count(32.0, i % 21 == 0)).count(),
            1,
            "said once, at the second"
        );
        assert!(
            !noise.is_too_high(9, 64.0) && noise.is_too_high(10, 64.0),
            "one for each 20 answers: 3.2 of 64"
        );
        // It is forgotten when it ends.
        assert!((0..4000).all(|_| !noise.count(32.0, false)) && noise.is_too_high(1, 64.0));
    }

    #[test]
    fn an_endpoint_that_sustains_less_than_before_is_believed() {
        let mut noise = Noise::default();
        noise.round(0, 64.0);
        assert!(!noise.is_too_high(34, 32.0) && noise.is_too_high(35, 32.0), "more than answers");
        assert!(noise.is_too_high(1, 30.0), "64 is not proven any more");
        (0..100).for_each(|i| assert!(!noise.count(8.0, i % 3 != 2), "most of them is a quota, not noise"));
    }
}
