//! Tests that may stop early: the e-process over the answers in their order, looked at after each of them.

use std::collections::BTreeMap;

use loadline_policy::Policy;
use loadline_policy::decide::is_decided;
use loadline_policy::policy::{IntervalMethod, Test};

/// Scores as they arrive, and whether those from the first on without a gap decide the test.
#[derive(Clone, Debug)]
pub struct Sequential {
    policy: Policy,
    test: Test,
    /// Scores after the first gap.
    waiting: BTreeMap<u64, Option<bool>>,
    next: u64,
    successes: u64,
    scored: u64,
    is_decided: bool,
}

impl Sequential {
    /// Of a test that may stop early; `None` for the others.
    pub fn of(policy: &Policy, test: &Test) -> Option<Self> {
        (test.method == IntervalMethod::Anytime).then(|| Self {
            policy: policy.clone(),
            test: test.clone(),
            waiting: BTreeMap::new(),
            next: 0,
            successes: 0,
            scored: 0,
            is_decided: false,
        })
    }

    /// Takes the score of the answer at this place: 0, 1, or none. Gives whether the test is decided.
    pub fn take(&mut self, index: u64, value: Option<f64>) -> bool {
        let score = value.and_then(|value| match value {
            1.0 => Some(true),
            0.0 => Some(false),
            _ => None,
        });
        if index >= self.next {
            self.waiting.insert(index, score);
        }
        while !self.is_decided
            && let Some(score) = self.waiting.remove(&self.next)
        {
            self.next += 1;
            self.scored += u64::from(score.is_some());
            self.successes += u64::from(score == Some(true));
            let unscored = self.next - self.scored;
            self.is_decided = is_decided(&self.policy, &self.test, self.successes, self.scored, unscored);
        }
        self.is_decided
    }

    /// Whether the test is decided.
    pub fn is_decided(&self) -> bool {
        self.is_decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anytime() -> Sequential {
        let mut policy = loadline_policy::policy::shipped("starter").unwrap().unwrap();
        policy.tests[0].method = IntervalMethod::Anytime;
        Sequential::of(&policy, &policy.tests[0].clone()).unwrap()
    }

    #[test]
    fn only_the_answers_without_a_gap_count() {
        let mut test = anytime();
        for index in 1..100 {
            assert!(!test.take(index, Some(1.0)), "the first answer is not there");
        }
        assert!(test.take(0, Some(1.0)));
        assert!(test.next < 100, "it was decided before the last answer");
    }

    #[test]
    fn what_is_unclear_decides_nothing() {
        let mut test = anytime();
        assert!(!(0..20).any(|index| test.take(index, None)));
        let mut test = anytime();
        assert!((0..100).any(|index| test.take(index, Some(0.0))), "failing decides, too");
    }

    #[test]
    fn a_fixed_number_is_never_cut_short() {
        let policy = loadline_policy::policy::shipped("starter").unwrap().unwrap();
        assert!(Sequential::of(&policy, &policy.tests[0]).is_none());
    }
}
