//! The runner: asks a model every sample of a task, writes every answer to the record, and computes the results.
//!
//! Read in this order: `options` → `open` (which run this is, and whether it goes on) →
//! `scheduler` (the loop that asks) → `crate::results` (what the record says in the end).

mod attempt;
mod budget;
mod cancel;
pub(crate) mod done;
mod error;
mod event;
mod health;
mod in_flight;
mod limiter;
mod noise;
mod open;
mod options;
mod retry;
mod scheduler;
mod source;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use loadline_core::{Model, RunId, Usage};
use loadline_evidence::Store;
use loadline_stats::Level;
use tokio::time::Instant;

pub use budget::{Budget, BudgetParseError};
pub use cancel::CancelToken;
pub use error::RunError;
pub use event::{Progress, RunEvent};
pub use in_flight::{InFlight, InFlightSample, InFlightState};
pub use options::{Overrides, RunOptions};
pub use retry::RetryPolicy;

use crate::results::{self, RunResults};
use crate::task::Task;
use open::Opened;
use scheduler::{Scheduler, Stop};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Every sample has its answer; the record is sealed.
    Complete,
    /// Some samples were given up. The record stays open: the same command asks them again. Exit code 10.
    SomeErrored,
    /// It was asked to stop; the same command goes on. Exit code 11.
    Cancelled,
    /// The budget is used up; the same command goes on with a new one. Exit code 12.
    BudgetReached,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// Answers that were there before and were not asked again.
    pub resumed: u64,
    /// Answers of this process.
    pub answered: u64,
    /// Requests sent by this process, retries included.
    pub requests: u64,
    /// Tokens read and written in this process.
    pub usage: Usage,
    /// How long this process took.
    pub elapsed: Duration,
    /// The results, of all answers in the record.
    pub results: RunResults,
}

impl RunOutcome {
    /// What to do next, when the run is not complete.
    pub fn hint(&self) -> Option<&'static str> {
        match self.status {
            RunStatus::Complete => None,
            RunStatus::SomeErrored => Some("the same command asks the samples again that got no answer"),
            RunStatus::Cancelled => Some("the same command goes on where this one stopped"),
            RunStatus::BudgetReached => Some("the same command goes on with a new budget"),
        }
    }
}

/// Measures a model on a task, or goes on with a run that was interrupted: the same task, model and options name
/// the same run. Returns at once when that run is complete.
///
/// Works on any tokio runtime with time, also on one thread; nothing is spawned. Dropping the future is like a
/// kill: what was answered is in the record, what was in flight is asked again.
///
/// # Errors
/// See [`RunError`]. The record then stays as it is, and the run can be resumed.
pub async fn measure<F: FnMut(RunEvent) + Send>(
    task: &Task,
    model: Arc<dyn Model>,
    store: &Store,
    options: &RunOptions,
    mut events: F,
    cancel: &CancelToken,
) -> Result<RunOutcome, RunError> {
    let began = Instant::now();
    let spec = open::specify(task, &*model, options)?;
    let scorer = task.scorer.groups_epochs().then_some(&*task.scorer);
    let (writer, table) = match open::open(store, spec, options, scorer)? {
        Opened::Complete(results) => return Ok(complete_already(*results, began)),
        Opened::Ready(writer, table) => (writer, table),
    };
    let (run, in_flight, resumed) = (writer.run(), InFlight::new(), table.done().count());
    let total = table.done().total();
    events(RunEvent::Started { run, resumed, total, in_flight: in_flight.clone() });
    let spec = table.spec().clone();
    let mut scheduler =
        Scheduler::new((task, &*model), (&spec, options), (&writer, *table), (&mut events, in_flight));
    let stopped = scheduler.run(cancel).await;
    let (tally, complete) = scheduler.finish();
    let stop = match stopped {
        Ok(stop) => stop,
        Err(error) => {
            // The record's own error is the graver one.
            writer.close()?;
            return Err(error);
        }
    };
    let dir = writer.dir().to_path_buf();
    if complete {
        writer.seal()?;
    } else {
        writer.close()?;
    }
    events(RunEvent::Finished);
    let status = match stop {
        _ if complete => RunStatus::Complete,
        Stop::Exhausted => RunStatus::SomeErrored,
        Stop::Cancelled => RunStatus::Cancelled,
        Stop::BudgetReached => RunStatus::BudgetReached,
    };
    let record = loadline_evidence::RecordReader::open(&dir)?;
    Ok(RunOutcome {
        run,
        status,
        resumed,
        answered: tally.answered,
        requests: tally.requests,
        usage: tally.usage,
        elapsed: began.elapsed(),
        results: results::from_record(&record, scorer, Level::P95)?,
    })
}

/// The outcome of a run that was complete before.
fn complete_already(results: RunResults, began: Instant) -> RunOutcome {
    RunOutcome {
        run: results.run,
        status: RunStatus::Complete,
        resumed: results.answered,
        answered: 0,
        requests: 0,
        usage: Usage::default(),
        elapsed: began.elapsed(),
        results,
    }
}
