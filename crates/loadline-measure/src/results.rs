//! Results, computed from a record's rows and nothing else.
//!
//! The record's specification names the metrics and how their values become one number. Only a task that scores
//! all epochs of a sample together needs its scorer besides.

mod accumulate;
mod grouped;
mod line;
mod row;
mod table;

use loadline_core::record::EvalSpec;
use loadline_core::score::MetricSpec;
use loadline_core::{RunId, Usage};
use loadline_evidence::{RecordError, RecordReader};
use loadline_stats::{Estimate, Level, StatsError};

pub(crate) use accumulate::MetricAccumulator;
pub(crate) use grouped::Grouped;
pub use line::{MetricLine, ResultLine};
pub(crate) use row::LightRow;
pub(crate) use table::{Table, check_place};

use crate::task::Scorer;

/// What a run measured.
#[derive(Clone, Debug)]
pub struct RunResults {
    /// The run.
    pub run: RunId,
    /// What was measured and how.
    pub spec: EvalSpec,
    /// Answers in the record.
    pub answered: u64,
    /// Answers needed in all: samples times epochs.
    pub total: u64,
    /// Samples given up and not answered since (each epoch counts).
    pub errors: u64,
    /// What the first sample that was given up was given up for, made safe for showing; none when none is left.
    pub first_error: Option<String>,
    /// Tokens read and written for all answers.
    pub usage: Usage,
    /// How often the intervals hold the true value.
    pub level: Level,
    /// One for each metric, in the task's order.
    pub metrics: Vec<MetricResult>,
}

/// What one metric says.
#[derive(Clone, Debug)]
pub struct MetricResult {
    /// The metric, and how its values became one number.
    pub spec: MetricSpec,
    /// The number with its interval; why there is none, when not one answer has a value.
    pub estimate: Result<Estimate, StatsError>,
    /// Answers without a value, and samples given up.
    pub unscored: u64,
    /// The same by the samples' level of difficulty, rising, where the task has several.
    pub by_level: Vec<(String, Estimate)>,
}

/// Why results cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsError {
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A row is not what this program writes.
    #[error("run {run}: {source} in one of its rows")]
    Row {
        /// The run.
        run: RunId,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A score does not fit the metric.
    #[error("run {run}, sample `{sample}`: the score of `{metric}` {why}")]
    Score {
        /// The run.
        run: RunId,
        /// The sample, made safe for showing.
        sample: String,
        /// The metric, made safe for showing.
        metric: String,
        /// What is wrong with it.
        why: String,
    },
    /// A row that no command of the specification writes.
    #[error("run {run}, sample `{sample}` (index {index}, epoch {epoch}) {why}")]
    Place {
        /// The run.
        run: RunId,
        /// The sample, made safe for showing.
        sample: String,
        /// Its place in the task.
        index: u64,
        /// Its repetition.
        epoch: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Scores need all epochs of a sample together, and so the task.
    #[error(
        "task `{task}` scores all epochs of a sample together: its results need the task, not only the record"
    )]
    NeedsTask {
        /// The task.
        task: String,
    },
}

impl ResultsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Record(error) => error.hint(),
            Self::Row { .. } | Self::Score { .. } | Self::Place { .. } => {
                Some("`loadline record verify` checks the whole record".to_owned())
            }
            Self::NeedsTask { .. } => Some("`loadline measure` with the same task prints them".to_owned()),
        }
    }
}

/// Computes the results of a record. `scorer` is the task's, and is only needed (and only used) where scores need
/// all epochs of a sample together.
///
/// # Errors
/// When the record cannot be read, or a row does not fit the specification.
pub fn from_record(
    record: &RecordReader,
    scorer: Option<&dyn Scorer>,
    level: Level,
) -> Result<RunResults, ResultsError> {
    let spec = record.spec();
    if spec.groups_epochs && scorer.is_none() {
        return Err(ResultsError::NeedsTask { task: spec.task.name.clone() });
    }
    let mut table = Table::new(record.run(), spec.clone());
    let mut grouped = scorer.filter(|_| spec.groups_epochs).map(|scorer| Grouped::new(scorer, spec.epochs));
    let mut rows = record.raw()?;
    while let Some(row) = rows.next_row()? {
        // A withheld row counts as one that is not there.
        if let Some(payload) = row.payload {
            table.push(payload, grouped.as_mut())?;
        }
    }
    Ok(table.finish(grouped.as_ref(), level))
}
