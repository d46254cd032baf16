//! Whether it is one sample that fails, or the endpoint.

use std::time::Duration;

use loadline_core::ModelErrorKind;
use tokio::time::Instant;

/// So many samples given up in a row, without one answer between them, mean that the endpoint is down: the run
/// ends and can be resumed, instead of failing all that is left.
const LOST_IN_A_ROW: u32 = 20;
/// At least so many connection failures before an endpoint that was never reached counts as not there.
const LEAST_FAILURES: u64 = 5;

/// What is known about the endpoint in this process.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Something other than a connection failure came back at least once.
    reached: bool,
    /// A sample was answered at least once.
    answered: bool,
    first_failure: Option<Instant>,
    failures_in_a_row: u64,
    lost_in_a_row: u32,
}

impl Health {
    pub(crate) fn answered(&mut self) {
        self.reached = true;
        self.answered = true;
        self.failures_in_a_row = 0;
        self.lost_in_a_row = 0;
    }

    /// Attempts that failed since the last answer.
    pub(crate) fn failures(&self) -> u64 {
        self.failures_in_a_row
    }

    /// An attempt failed. True when the endpoint was never reached and patience is over.
    pub(crate) fn failed(&mut self, kind: ModelErrorKind, now: Instant, patience: Duration) -> bool {
        self.failures_in_a_row += 1;
        if kind != ModelErrorKind::Connection {
            self.reached = true;
        }
        let since = *self.first_failure.get_or_insert(now);
        !self.reached
            && self.failures_in_a_row >= LEAST_FAILURES
            && now.saturating_duration_since(since) >= patience
    }

    /// A sample is given up. True when it is not the sample that is at fault.
    pub(crate) fn lost(&mut self, kind: ModelErrorKind) -> bool {
        use ModelErrorKind::{Connection, Malformed, RateLimited, Refused, Server, Timeout};
        match kind {
            RateLimited | Server | Connection | Timeout | Malformed => self.lost_in_a_row += 1,
            // A refusal can be the sample's fault, unless everything is refused from the start.
            Refused if !self.answered => self.lost_in_a_row += 1,
            _ => {}
        }
        !self.reached || self.lost_in_a_row >= LOST_IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ModelErrorKind::{Connection, Refused, Server, TooLong};

    #[test]
    fn an_endpoint_that_was_never_reached_is_given_up_after_patience() {
        let (mut health, t0) = (Health::default(), Instant::now());
        let patience = Duration::from_secs(5);
        for _ in 0..100 {
            assert!(!health.failed(Connection, t0, patience), "it may be starting up");
        }
        assert!(health.failed(Connection, t0 + patience, patience));
        assert!(health.lost(Connection), "the first sample lost is enough");
        health.failed(Server, t0, patience);
        assert!(!health.failed(Connection, t0 + patience, patience), "it was reached");
    }

    #[test]
    fn twenty_samples_lost_in_a_row_are_the_endpoint() {
        let mut health = Health::default();
        health.answered();
        assert!((0..19).all(|_| !health.lost(Server)));
        health.answered();
        assert!((0..19).all(|_| !health.lost(Server)));
        assert!(health.lost(Server));
    }

    #[test]
    fn refusals_count_only_before_the_first_answer() {
        let mut health = Health::default();
        health.failed(Refused, Instant::now(), Duration::ZERO);
        assert!((0..19).all(|_| !health.lost(Refused)) && health.lost(Refused));
        health.answered();
        assert!((0..100).all(|_| !health.lost(Refused) && !health.lost(TooLong)));
    }
}
