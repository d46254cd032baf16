//! What a run is asked to do.

use std::time::Duration;

use loadline_core::model::Sampling;
use serde_json::Value;

use super::budget::Budget;
use super::retry::RetryPolicy;

/// How a task is run. `limit`, `epochs`, `seed` and the overrides are part of the run's identity; the rest can
/// change when it is resumed.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// First this many samples; all when absent.
    pub limit: Option<u64>,
    /// Repetitions of each sample; the task's own number when absent.
    pub epochs: Option<u32>,
    /// Seed of generated items, few-shot choice and sampling. The task must have been made with the same one.
    pub seed: u64,
    /// Sampling settings that replace the task's.
    pub overrides: Overrides,
    /// Most requests in flight; found while running when absent. Never more than the model can work on.
    pub concurrency: Option<usize>,
    /// When a failed attempt is made again.
    pub retry: RetryPolicy,
    /// Longest one attempt may take; then it counts as failed. `None` waits for ever (a model in this process).
    pub attempt_timeout: Option<Duration>,
    /// While not one attempt has reached the endpoint, connection failures are borne this long.
    pub connect_patience: Duration,
    /// What may be spent.
    pub budget: Budget,
    /// Start a new run although there is one of the same specification.
    pub fresh: bool,
    /// Version of the program, for the record.
    pub program: String,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            limit: None,
            epochs: None,
            seed: 0,
            overrides: Overrides::default(),
            concurrency: None,
            retry: RetryPolicy::default(),
            attempt_timeout: Some(Duration::from_secs(120)),
            connect_patience: Duration::from_secs(5),
            budget: Budget::default(),
            fresh: false,
            program: concat!("loadline ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Sampling settings that replace the task's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    /// 0 is greedy.
    pub temperature: Option<f64>,
    /// Most tokens to write.
    pub max_tokens: Option<u32>,
}

impl Overrides {
    /// As they stand in a run's specification.
    pub(crate) fn to_map(self) -> std::collections::BTreeMap<String, Value> {
        let temperature = self.temperature.map(|t| ("temperature".to_owned(), Value::from(t)));
        let max_tokens = self.max_tokens.map(|n| ("max_tokens".to_owned(), Value::from(n)));
        temperature.into_iter().chain(max_tokens).collect()
    }

    pub(crate) fn apply(self, sampling: &mut Sampling) {
        if let Some(temperature) = self.temperature {
            sampling.temperature = Some(temperature);
        }
        if let Some(max_tokens) = self.max_tokens {
            sampling.max_tokens = max_tokens;
        }
    }
}
