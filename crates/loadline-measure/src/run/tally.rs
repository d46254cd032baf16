//! What was spent and reached in this process.

use loadline_core::model::Usage;
use tokio::time::Instant;

use super::budget::Budget;

/// Counts of this process: earlier ones of the same run are in the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) began: Instant,
    /// Attempts started.
    pub(crate) requests: u64,
    /// Samples answered.
    pub(crate) answered: u64,
    /// Samples given up.
    pub(crate) errors: u64,
    /// Tokens read and written.
    pub(crate) usage: Usage,
}

impl Tally {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, requests: 0, answered: 0, errors: 0, usage: Usage::default() }
    }

    pub(crate) fn spend(&mut self, usage: Usage) {
        self.usage.input_tokens = self.usage.input_tokens.saturating_add(usage.input_tokens);
        self.usage.output_tokens = self.usage.output_tokens.saturating_add(usage.output_tokens);
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.usage.input_tokens.saturating_add(self.usage.output_tokens)
    }

    /// Whether no further request may be sent.
    pub(crate) fn is_spent(&self, budget: &Budget) -> bool {
        budget.requests.is_some_and(|most| self.requests >= most)
            || budget.tokens.is_some_and(|most| self.tokens() >= most)
    }

    /// Whether the time is over in which requests are started.
    pub(crate) fn is_out_of_time(&self, budget: &Budget, now: Instant) -> bool {
        budget.time.is_some_and(|most| now.saturating_duration_since(self.began) >= most)
    }
}
