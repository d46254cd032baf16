//! A task ready to run: where samples come from, how answers are scored, what is reported.

use loadline_core::model::ModelOutput;
use loadline_core::record::TaskIdentity;
use loadline_core::{Sample, Score};

pub use loadline_core::score::{Aggregation, MetricSpec};

/// A task ready to run. Run options (concurrency, budget, …) are not in it.
pub struct Task {
    /// Name, version and digest.
    pub identity: TaskIdentity,
    /// What it measures, in a line, for `loadline tasks`.
    pub description: String,
    /// The samples, in order. Streamed: a dataset need not fit in memory.
    pub samples: Box<dyn SampleSource>,
    /// Scores answers.
    pub scorer: Box<dyn Scorer>,
    /// What is reported, in order.
    pub metrics: Vec<MetricSpec>,
    /// Repetitions of each sample that the task asks for.
    pub epochs: u32,
}

/// Where samples come from.
pub trait SampleSource: Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All samples in order, read or made as they are asked for. An error names the file, the line or the
    /// sample, and what to do.
    fn iter(&self) -> Box<dyn Iterator<Item = Result<Sample, TaskError>> + Send + '_>;
}

/// Scores answers. The same sample and outputs give the same scores, always: a record can be re-scored.
pub trait Scorer: Send + Sync {
    /// Scores what was answered to a sample: one output, or for a task that [groups](Scorer::groups_epochs) one
    /// output for each epoch.
    fn score(&self, sample: &Sample, outputs: &[ModelOutput]) -> Vec<Score>;

    /// Whether a score needs the outputs of all epochs of a sample together (majority vote). Such rows carry no
    /// scores of their own; they are scored when results are computed from the record.
    fn groups_epochs(&self) -> bool {
        false
    }
}

/// Why a task cannot be run: exit code 40.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// What is wrong; names the file, the line (with a caret below it where there is one) and the value.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl TaskError {
    /// An error without advice.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
