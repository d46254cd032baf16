//! What a programme publishes about itself: how many, how long, how many accepted. Counts and estimates, no names.

use loadline_core::Instant;
use loadline_core::instant::DAY_S;
use loadline_stats::median::median;
use loadline_stats::proportion::Proportion;
use loadline_stats::{Estimate, Level};
use serde::Serialize;

use crate::book::{Book, Case, State};
use crate::programme::Programme;
use crate::request::Verdict;

/// `format` of the figures.
pub const FIGURES_FORMAT: &str = "loadline-access-figures/1";

/// The figures of a programme at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// [`FIGURES_FORMAT`].
    pub format: &'static str,
    /// The programme.
    pub programme: String,
    /// When.
    pub at: Instant,
    /// All rounds together.
    pub total: Counts,
    /// Anonymous tokens that were used.
    pub tokens_used: u64,
    /// Each round.
    pub rounds: Vec<(String, Counts)>,
    /// Of the applications with a first decision, the share that was accepted by it.
    pub acceptance: Option<Estimate>,
    /// Days from an application to the first decision, the median. Those that wait have none yet and are not in it.
    pub decision_days: Option<Estimate>,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Applied.
    pub applied: u64,
    /// Wait for reviewers.
    pub waiting: u64,
    /// Of those, how many wait for a review that is overdue, or for a reviewer.
    pub overdue: u64,
    /// Accepted in the end.
    pub accepted: u64,
    /// Rejected in the end.
    pub rejected: u64,
    /// Taken back, or erased.
    pub withdrawn: u64,
    /// Appealed.
    pub appeals: u64,
    /// Accepted on appeal.
    pub overturned: u64,
    /// Got a key, or an anonymous token.
    pub granted: u64,
    /// Of those, how many got a token.
    pub tokens: u64,
    /// Of those, how many are over.
    pub ended: u64,
    /// Of those with a key, how many reported what came of it.
    pub reported: u64,
}

/// Whether a review of a case is overdue, or nobody is left to review it.
pub fn is_overdue(case: &Case, programme: &Programme, now: Instant) -> bool {
    let waits = case.panel().iter().filter(|seat| !seat.recused && seat.review.is_none());
    let mut waits = waits.peekable();
    let nobody = waits.peek().is_none();
    case.is_in_review() && (nobody || waits.any(|seat| seat.assigned.plus_days(programme.review_days) < now))
}

impl Figures {
    /// Counts.
    pub fn of(book: &Book, programme: &Programme, now: Instant) -> Self {
        let mut total = Counts::default();
        let mut rounds: Vec<_> =
            programme.rounds.iter().map(|round| (round.name.clone(), Counts::default())).collect();
        let (mut firsts, mut accepted, mut days) = (0, 0, Vec::new());
        for case in book.cases.values() {
            total.add(book, case, programme, now);
            if let Some((_, counts)) = rounds.iter_mut().find(|(name, _)| *name == case.applied.round) {
                counts.add(book, case, programme, now);
            }
            if let Some(decision) = case.decided {
                firsts += 1;
                accepted += u64::from(decision.verdict == Verdict::Accept);
                let seconds = decision.at.seconds().saturating_sub(case.applied.at.seconds());
                days.push(seconds as f64 / DAY_S as f64);
            }
        }
        let mut decision_days = median(&days, Level::P95).ok();
        if let Some(estimate) = &mut decision_days {
            // No decision comes before its application.
            estimate.interval.lo = estimate.interval.lo.max(0.0);
        }
        Self {
            format: FIGURES_FORMAT,
            programme: programme.name.clone(),
            at: now,
            total,
            tokens_used: book.spent.len() as u64,
            rounds,
            acceptance: Proportion::new(accepted, firsts).ok().map(|share| share.wilson(Level::P95)),
            decision_days,
        }
    }
}

impl Counts {
    fn add(&mut self, book: &Book, case: &Case, programme: &Programme, now: Instant) {
        self.applied += 1;
        match book.state(case, now) {
            State::InReview | State::InAppeal => self.waiting += 1,
            State::Accepted | State::Admitted | State::Waitlisted => self.accepted += 1,
            State::Granted => self.accepted += 1,
            State::Ended => {
                self.accepted += 1;
                self.ended += 1;
            }
            State::Rejected => self.rejected += 1,
            State::Withdrawn => self.withdrawn += 1,
        }
        self.overdue += u64::from(is_overdue(case, programme, now));
        self.appeals += u64::from(case.appealed.is_some());
        let overturned = |decision: crate::book::Decision| decision.verdict == Verdict::Accept;
        self.overturned += u64::from(case.decided_on_appeal.is_some_and(overturned));
        self.granted += u64::from(case.has_grant());
        self.tokens += u64::from(case.issued.is_some());
        self.reported += u64::from(!case.reports.is_empty());
    }
}
