//! Scores, by sample, and what they come to.

use loadline_core::Value;
use loadline_policy::policy::IntervalMethod;

use crate::attest::Counts;

/// What is known of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No row.
    Missing,
    /// Every attempt failed so far.
    Failed,
    /// Answered, and no score could be read.
    Unscored,
    /// Scored 0.
    Wrong,
    /// Scored 1.
    Right,
}

/// The scores of one test, one byte for each sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    states: Vec<State>,
    anytime: bool,
}

impl Tally {
    /// None of `n` samples yet; at most [`super::MAX_SAMPLES`].
    pub(super) fn new(n: u64, method: IntervalMethod) -> Self {
        let n = usize::try_from(n.min(super::MAX_SAMPLES)).unwrap_or_default();
        Self { states: vec![State::Missing; n], anytime: method == IntervalMethod::Anytime }
    }

    /// Adds a row. The order of rows does not matter: an answer stays, whatever failed before it.
    ///
    /// # Errors
    /// When the score is not 0, 1 or none: such a metric has no rate.
    pub(super) fn add(&mut self, index: u64, answered: bool, value: Option<&Value>) -> Result<(), String> {
        let state = match value {
            _ if !answered => State::Failed,
            Some(Value::Number(number)) if *number == 1.0 => State::Right,
            Some(Value::Number(number)) if *number == 0.0 => State::Wrong,
            None | Some(Value::Unscored(_)) => State::Unscored,
            Some(other) => return Err(format!("its score is {other:?}; only 0 and 1 are counted")),
        };
        let place = usize::try_from(index).ok().and_then(|at| self.states.get_mut(at));
        let place = place.ok_or_else(|| format!("index {index} is not one of the test's samples"))?;
        if matches!(*place, State::Missing | State::Failed) {
            *place = state;
        }
        Ok(())
    }

    /// How many samples are looked at: all that the test asks; with an anytime method those before the first that is
    /// missing, so that which answers came first cannot bias the rate.
    fn looked_at(&self) -> usize {
        let first_missing = self.states.iter().position(|state| *state == State::Missing);
        first_missing.unwrap_or(self.states.len())
    }

    /// The counts, where no row is withheld.
    ///
    /// # Errors
    /// When samples are missing that must be there, or rows are withheld.
    pub fn counts(&self, withheld: u64) -> Result<Counts, String> {
        if withheld > 0 {
            return Err(format!("{withheld} rows are withheld: their scores are not known"));
        }
        let k = self.looked_at();
        if k == 0 || (!self.anytime && k < self.states.len()) {
            return Err(format!("sample {k} has no row, and {} samples are asked", self.states.len()));
        }
        Ok(self.sum(k))
    }

    fn sum(&self, k: usize) -> Counts {
        let mut counts = Counts::default();
        for state in &self.states[..k.min(self.states.len())] {
            match state {
                State::Missing => {}
                State::Failed | State::Unscored => counts.unscored += 1,
                State::Wrong => counts.scored += 1,
                State::Right => {
                    counts.scored += 1;
                    counts.successes += 1;
                }
            }
        }
        counts
    }

    /// The counts over the samples that are attested, when only what is shown counts: the others have no score.
    pub fn shown_alone(&self, attested: &Counts) -> Counts {
        let seen = self.sum(usize::try_from(attested.samples()).unwrap_or(usize::MAX));
        Counts { unscored: attested.samples().saturating_sub(seen.scored), ..seen }
    }

    /// Whether attested counts follow from the rows; where rows are withheld, whether they can.
    ///
    /// # Errors
    /// Why not.
    pub fn agrees(&self, attested: &Counts, withheld: u64) -> Result<(), String> {
        if withheld == 0 {
            let counts = self.counts(0)?;
            if counts == *attested {
                return Ok(());
            }
            return Err(format!("attested are {}; counted are {}", shown(attested), shown(&counts)));
        }
        let (n, most) = (attested.samples(), self.states.len() as u64);
        if n == 0 || n > most || (!self.anytime && n != most) {
            return Err(format!("attested are {}, of {most} samples that are asked", shown(attested)));
        }
        let k = usize::try_from(n).unwrap_or(usize::MAX);
        // An early stop is where the rows end: a row that is shown cannot be counted out.
        if self.states.get(k).is_some_and(|next| *next != State::Missing) {
            return Err(format!("attested are {}, and sample {k} has a row that is shown", shown(attested)));
        }
        // A sample whose attempts failed may have been answered in a withheld row.
        let are = |wanted| self.states[..k].iter().filter(|state| **state == wanted).count() as u64;
        let (missing, failed) = (are(State::Missing), are(State::Failed));
        let mut seen = self.sum(k);
        seen.unscored -= failed;
        let wrong = (seen.scored - seen.successes, attested.scored.saturating_sub(attested.successes));
        let parts = [(seen.successes, attested.successes), wrong, (seen.unscored, attested.unscored)];
        let grown = parts.iter().all(|(seen, attested)| seen <= attested);
        if attested.successes > attested.scored || !grown || missing > withheld {
            return Err(format!(
                "attested are {}; seen are {} and {withheld} withheld rows, which cannot make that",
                shown(attested),
                shown(&seen)
            ));
        }
        Ok(())
    }
}

fn shown(counts: &Counts) -> String {
    format!("{} of {} right and {} without a score", counts.successes, counts.scored, counts.unscored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(method: IntervalMethod, rows: &[(u64, Option<f64>)]) -> Tally {
        let mut tally = Tally::new(5, method);
        for (index, score) in rows {
            tally.add(*index, true, score.map(Value::Number).as_ref()).unwrap();
        }
        tally
    }

    const ALL: [(u64, Option<f64>); 5] =
        [(4, Some(1.0)), (0, Some(1.0)), (1, Some(0.0)), (2, None), (3, Some(1.0))];

    #[test]
    fn a_fixed_number_needs_every_sample() {
        let counts = tally(IntervalMethod::Wilson, &ALL).counts(0).unwrap();
        assert_eq!(counts, Counts { successes: 3, scored: 4, unscored: 1 });
        let error = tally(IntervalMethod::Wilson, &ALL[..4]).counts(0).unwrap_err();
        assert_eq!(error, "sample 3 has no row, and 5 samples are asked");
    }

    #[test]
    fn an_early_stop_counts_the_samples_before_the_first_that_is_missing() {
        let counts = tally(IntervalMethod::Anytime, &ALL[..4]).counts(0).unwrap();
        assert_eq!(counts, Counts { successes: 1, scored: 2, unscored: 1 }, "sample 4 is not counted");
        assert!(tally(IntervalMethod::Anytime, &ALL[..1]).counts(0).is_err(), "nothing from 0 on");
    }

    #[test]
    fn an_answer_stays_whatever_failed_around_it() {
        for order in [[false, true], [true, false]] {
            let mut tally = Tally::new(1, IntervalMethod::Wilson);
            for answered in order {
                tally.add(0, answered, answered.then_some(Value::Number(1.0)).as_ref()).unwrap();
            }
            assert_eq!(tally.counts(0).unwrap().successes, 1);
        }
        let mut failed = Tally::new(1, IntervalMethod::Wilson);
        failed.add(0, false, None).unwrap();
        assert_eq!(failed.counts(0).unwrap(), Counts { unscored: 1, ..Counts::default() });
        assert!(failed.add(0, true, Some(&Value::Number(0.5))).unwrap_err().contains("only 0 and 1"));
    }

    #[test]
    fn withheld_rows_cannot_make_every_count() {
        let seen = tally(IntervalMethod::Wilson, &ALL[..4]);
        let attested = |successes, scored, unscored| Counts { successes, scored, unscored };
        assert!(seen.counts(1).is_err());
        assert!(seen.agrees(&attested(3, 4, 1), 1).is_ok());
        assert!(seen.agrees(&attested(2, 4, 1), 1).is_ok());
        assert!(seen.agrees(&attested(2, 3, 2), 1).is_ok());
        for wrong in [attested(4, 4, 1), attested(1, 4, 1), attested(3, 5, 0), attested(3, 4, 0)] {
            let error = seen.agrees(&wrong, 1).unwrap_err();
            assert!(error.starts_with("attested are"), "{error}");
        }
        let early = tally(IntervalMethod::Anytime, &ALL);
        let error = early.agrees(&attested(1, 2, 0), 1).unwrap_err();
        assert!(error.contains("sample 2 has a row that is shown"), "{error}");
        assert_eq!(seen.shown_alone(&attested(3, 4, 1)), attested(2, 3, 2));
        let two = tally(IntervalMethod::Wilson, &ALL[..3]);
        assert!(two.agrees(&attested(3, 4, 1), 1).is_err(), "two are missing, one is withheld");
    }
}
