//! From counts to what they show of a requirement: through `loadline-stats`, and back into exact decimals outward.

use loadline_stats::eprocess::Gate;
use loadline_stats::proportion::Proportion;
use loadline_stats::{Level, StatsError};
use serde::{Deserialize, Serialize};

use crate::decimal::{Decimal, Interval, Round};
use crate::policy::{IntervalMethod, Requirement};

/// Decimal places of a bound.
const PLACES: u8 = 9;

/// What the counts show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Shown {
    /// An interval of the rate.
    Interval(Interval),
    /// Evidence that may be looked at after every sample: logarithms of two e-values, rounded down, and what either
    /// must reach.
    EValues {
        /// For a rate above the bound.
        ln_above: Decimal,
        /// For a rate below it.
        ln_below: Decimal,
        /// -ln(1 - confidence), rounded up.
        ln_needed: Decimal,
    },
}

/// What the counts say of a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is met: the whole interval is on the right side.
    Met,
    /// It is not met: the whole interval is on the wrong side.
    Failed,
    /// Neither is shown.
    Open,
}

/// The confidence of one attempt when several are allowed and any of them may pass: 1 - (1 - c)/attempts, rounded up
/// (Bonferroni).
pub fn corrected(confidence: &Decimal, attempts: u64) -> Decimal {
    let alpha = Decimal::one().minus(confidence);
    let share = alpha.divided_by(&Decimal::from(attempts.max(1)), 12, Round::Down);
    Decimal::one().minus(&share.unwrap_or_else(Decimal::zero))
}

/// What `successes` of `n` show.
///
/// # Errors
/// When `n` is 0, successes exceed it, or a level is not one that statistics can use.
pub fn shown(
    method: IntervalMethod,
    requirement: &Requirement,
    successes: u64,
    n: u64,
    confidence: &Decimal,
) -> Result<Shown, StatsError> {
    let proportion = Proportion::new(successes, n)?;
    let level = Level::new(confidence.nearest_float())?;
    let estimate = match method {
        IntervalMethod::Wilson => proportion.wilson(level),
        IntervalMethod::ClopperPearson => proportion.clopper_pearson(level),
        IntervalMethod::Anytime => return e_values(requirement, successes, n, level),
    };
    let (zero, one) = (Decimal::zero(), Decimal::one());
    let lo = Decimal::outward(estimate.interval.lo, PLACES, Round::Down).unwrap_or_else(Decimal::zero);
    let hi = Decimal::outward(estimate.interval.hi, PLACES, Round::Up).unwrap_or_else(Decimal::one);
    Ok(Shown::Interval(Interval::new(lo.max(zero), hi.min(one))))
}

/// The e-values depend on the counts alone, not on the order in which the scores came.
fn e_values(requirement: &Requirement, successes: u64, n: u64, level: Level) -> Result<Shown, StatsError> {
    let mut gate = Gate::new(requirement.bound().nearest_float(), level.alpha())?;
    for index in 0..n {
        gate.push(if index < successes { 1.0 } else { 0.0 })?;
    }
    let (above, below) = gate.ln_e_values();
    let down = |value| {
        Decimal::outward(value, PLACES, Round::Down).unwrap_or_else(|| Decimal::zero().minus(&Decimal::one()))
    };
    let ln_needed = Decimal::outward(level.ln_needed(), PLACES, Round::Up)
        .ok_or(StatsError::Level { value: level.get() })?;
    Ok(Shown::EValues { ln_above: down(above), ln_below: down(below), ln_needed })
}

impl Shown {
    /// What this says of a requirement: by the bound, never by the middle.
    pub fn judge(&self, requirement: &Requirement) -> Judged {
        let (met, failed) = match (self, requirement) {
            (Self::Interval(i), Requirement::AtLeast(b)) => {
                (i.lo >= *b, i.hi.as_ref().is_some_and(|hi| hi < b))
            }
            (Self::Interval(i), Requirement::AtMost(b)) => {
                (i.hi.as_ref().is_some_and(|hi| hi <= b), i.lo > *b)
            }
            (Self::EValues { ln_above, ln_below, ln_needed }, Requirement::AtLeast(_)) => {
                (ln_above >= ln_needed, ln_below >= ln_needed)
            }
            (Self::EValues { ln_above, ln_below, ln_needed }, Requirement::AtMost(_)) => {
                (ln_below >= ln_needed, ln_above >= ln_needed)
            }
        };
        match (met, failed) {
            (true, false) => Judged::Met,
            (false, true) => Judged::Failed,
            _ => Judged::Open,
        }
    }
}

impl std::fmt::Display for Shown {
    /// `interval [0.912, 0.987]`; five significant digits, for people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interval(interval) => {
                let hi = interval.hi.clone().unwrap_or_else(Decimal::one);
                write!(f, "interval [{}, {}]", interval.lo.rounded(5), hi.rounded(5))
            }
            Self::EValues { ln_above, ln_below, ln_needed } => write!(
                f,
                "ln e {} above and {} below, {} needed",
                ln_above.rounded(5),
                ln_below.rounded(5),
                ln_needed.rounded(5)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_hold_what_statistics_computed() {
        let confidence = d("0.95");
        for (successes, n) in [(0, 10), (10, 10), (7, 10), (450, 500), (499, 500)] {
            for method in [IntervalMethod::Wilson, IntervalMethod::ClopperPearson] {
                let estimate = match method {
                    IntervalMethod::Wilson => Proportion::new(successes, n).unwrap().wilson(Level::P95),
                    _ => Proportion::new(successes, n).unwrap().clopper_pearson(Level::P95),
                };
                let shown =
                    shown(method, &Requirement::AtLeast(d("0.5")), successes, n, &confidence).unwrap();
                let Shown::Interval(interval) = shown else { panic!("an interval") };
                let hi = interval.hi.unwrap().nearest_float();
                assert!(interval.lo.nearest_float() <= estimate.interval.lo && hi >= estimate.interval.hi);
                assert!(estimate.interval.lo - interval.lo.nearest_float() < 3e-9);
            }
        }
    }

    #[test]
    fn a_known_interval() {
        let half = Requirement::AtLeast(d("0.5"));
        let shown = shown(IntervalMethod::Wilson, &half, 45, 50, &d("0.95")).unwrap();
        // Wilson, 45 of 50 at 95 %: 0.7864 to 0.9565.
        assert_eq!(shown.to_string(), "interval [0.7864, 0.95652]");
        assert_eq!(shown.judge(&half), Judged::Met);
        assert_eq!(shown.judge(&Requirement::AtLeast(d("0.8"))), Judged::Open);
        assert_eq!(shown.judge(&Requirement::AtLeast(d("0.96"))), Judged::Failed);
        assert_eq!(shown.judge(&Requirement::AtMost(d("0.96"))), Judged::Met);
        assert_eq!(shown.judge(&Requirement::AtMost(d("0.7"))), Judged::Failed);
    }

    #[test]
    fn evidence_at_any_time_decides_as_the_gate_does() {
        let bound = Requirement::AtLeast(d("0.8"));
        let judge = |successes, n| {
            shown(IntervalMethod::Anytime, &bound, successes, n, &d("0.95")).unwrap().judge(&bound)
        };
        // The gate's own documentation decides 0.8 after 17 right answers.
        assert_eq!((judge(16, 16), judge(17, 17)), (Judged::Open, Judged::Met));
        assert_eq!(judge(0, 5), Judged::Failed);
    }

    #[test]
    fn several_attempts_share_the_error() {
        assert_eq!(corrected(&d("0.95"), 1), d("0.95"));
        assert_eq!(corrected(&d("0.95"), 2), d("0.975"));
        assert_eq!(corrected(&d("0.95"), 3), d("0.983333333334"));
    }
}
