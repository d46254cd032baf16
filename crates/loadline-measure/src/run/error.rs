//! Why a run could not go on.

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, ModelError, RunId};

use crate::task::TaskError;

/// Why a run could not start or go on. Whatever was answered before is in the record, and the run can be resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The model cannot answer any request: exit code 50.
    #[error("{model} cannot be measured: {}", one_line(&source.message, 400))]
    Model {
        /// The model.
        model: String,
        /// What it said.
        source: ModelError,
    },
    /// The model does not answer: exit code 50.
    #[error("{model} does not answer: {failures} attempts failed, the last with: {}", one_line(&source.message, 400))]
    Unreachable {
        /// The model.
        model: String,
        /// Attempts that failed without one success between them.
        failures: u64,
        /// The last failure.
        source: ModelError,
    },
    /// The task cannot be run: exit code 40.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// An unfinished run of the task as it was is in the store: exit code 40.
    #[error(
        "the task changed since run {}: `{task}` had digest {} then and has {} now",
        short(run),
        recorded,
        now
    )]
    TaskChanged {
        /// The task's name.
        task: String,
        /// The unfinished run.
        run: RunId,
        /// The task's digest in that run.
        recorded: Digest,
        /// The task's digest now.
        now: Digest,
    },
    /// The record cannot be read or written: exit code 1, or 30 where it does not verify.
    #[error(transparent)]
    Record(#[from] loadline_evidence::RecordError),
    /// The options contradict each other or the task: exit code 2.
    #[error("{message}")]
    Options {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// A result could not be computed from the record: exit code 1.
    #[error(transparent)]
    Results(#[from] crate::results::ResultsError),
}

impl RunError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Model { source, .. } => source.hint.clone(),
            Self::Unreachable { source, .. } => Some(source.hint.clone().unwrap_or_else(|| {
                "check that the endpoint is up and the address is right (--base-url); \
                 the same command goes on where this one stopped"
                    .to_owned()
            })),
            Self::Task(error) => error.hint.clone(),
            Self::TaskChanged { run, .. } => Some(format!(
                "bring the task file and its data back to finish run {}, or start anew with --fresh",
                short(run)
            )),
            Self::Record(error) => error.hint(),
            Self::Results(error) => error.hint(),
            Self::Options { hint, .. } => Some((*hint).to_owned()),
        }
    }
}

/// The first digits of a run's id, enough for a person.
fn short(run: &RunId) -> String {
    run.to_string().chars().take(8).collect()
}
