//! Which run this is, and whether it is new, goes on, or is complete.

use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::record::{EvalSpec, RECORD_FORMAT, Row};
use loadline_core::{Model, RunId};
use loadline_evidence::{RecordError, RecordReader, RecordWriter, Store};
use loadline_stats::Level;

use super::error::RunError;
use super::options::RunOptions;
use crate::results::{self, ResultsError, RunResults, Table};
use crate::task::{Scorer, Task};

/// The largest whole number that canonical JSON (RFC 8785) tells from the next one: 2^53 - 1. The run's id is made
/// from that form, so two larger seeds could name the same run.
const MAX_SEED: u64 = (1 << 53) - 1;

/// What is there of a run.
pub(crate) enum Opened {
    /// It is complete: its results.
    Complete(Box<RunResults>),
    /// It is new or goes on: where to write, and what the record says so far.
    Ready(RecordWriter, Box<Table>),
}

/// What is measured and how. `repeat` is for [`open`] to set.
pub(crate) fn specify(task: &Task, model: &dyn Model, options: &RunOptions) -> Result<EvalSpec, RunError> {
    let fail = |message: String, hint| Err(RunError::Options { message, hint });
    let name = &task.identity.name;
    let epochs = options.epochs.unwrap_or(task.epochs);
    if epochs == 0 {
        return fail(format!("task `{name}` would be asked in 0 epochs"), "give --epochs 1 or more");
    }
    let samples = options.limit.map_or(task.samples.len(), |limit| limit.min(task.samples.len()));
    if samples == 0 {
        return fail(
            format!("task `{name}` has no samples to ask"),
            "give --limit 1 or more, and a dataset that is not empty",
        );
    }
    if options.seed > MAX_SEED {
        return fail(
            format!("the seed {} is too large", options.seed),
            "give --seed 9007199254740991 or less",
        );
    }
    if options.overrides.temperature.is_some_and(|t| !t.is_finite() || t < 0.0) {
        return fail(
            "the temperature is not a number from 0 up".to_owned(),
            "give --temperature 0 for greedy answers",
        );
    }
    Ok(EvalSpec {
        format: RECORD_FORMAT,
        task: task.identity.clone(),
        model: model.reference().clone(),
        identity: model.identity(),
        metrics: task.metrics.clone(),
        groups_epochs: task.scorer.groups_epochs(),
        samples,
        limit: options.limit,
        epochs,
        seed: options.seed,
        overrides: options.overrides.to_map(),
        repeat: 0,
    })
}

/// Opens the run that this specification names: the latest one of it, or a new one when `fresh` asks for that.
/// `scorer` where all epochs of a sample are scored together.
pub(crate) fn open(
    store: &Store,
    mut spec: EvalSpec,
    options: &RunOptions,
    scorer: Option<&dyn Scorer>,
) -> Result<Opened, RunError> {
    if options.fresh {
        spec.repeat = first_free(store, &spec)?;
        return create(store, spec, options);
    }
    let there = latest(store, &mut spec)?;
    match there {
        None => {
            refuse_changed_task(store, &spec)?;
            create(store, spec, options)
        }
        Some(record) if record.seal().is_some() => {
            Ok(Opened::Complete(Box::new(results::from_record(&record, scorer, Level::P95)?)))
        }
        Some(record) => resume(store, record.run(), spec, options),
    }
}

/// The last run of this specification there is; `repeat` is set to its number.
fn latest(store: &Store, spec: &mut EvalSpec) -> Result<Option<RecordReader>, RunError> {
    let mut found = None;
    for repeat in 0.. {
        match store.reader(&numbered(spec, repeat)?) {
            Ok(record) => {
                spec.repeat = repeat;
                found = Some(record);
            }
            Err(RecordError::Missing { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// The first number that no run of this specification has. A run that is damaged has its number, too.
fn first_free(store: &Store, spec: &EvalSpec) -> Result<u32, RunError> {
    let runs = store.runs()?;
    let mut repeat = 0;
    while runs.binary_search(&numbered(spec, repeat)?).is_ok() {
        repeat += 1;
    }
    Ok(repeat)
}

fn numbered(spec: &EvalSpec, repeat: u32) -> Result<RunId, RunError> {
    Ok(EvalSpec { repeat, ..spec.clone() }.run_id().map_err(RecordError::Encode)?)
}

/// An unfinished run of another version of the task would silently be left behind: the user decides.
fn refuse_changed_task(store: &Store, spec: &EvalSpec) -> Result<(), RunError> {
    let same_command = |other: &EvalSpec| {
        other.task.name == spec.task.name
            && other.task.digest != spec.task.digest
            && (&other.model, other.limit, other.epochs, other.seed, &other.overrides)
                == (&spec.model, spec.limit, spec.epochs, spec.seed, &spec.overrides)
    };
    for run in store.runs()? {
        // A run that cannot be read is not in the way of another.
        let Ok(record) = store.reader(&run) else { continue };
        if record.seal().is_none() && same_command(record.spec()) {
            return Err(RunError::TaskChanged {
                task: spec.task.name.clone(),
                run,
                recorded: record.spec().task.digest,
                now: spec.task.digest,
            });
        }
    }
    Ok(())
}

fn create(store: &Store, spec: EvalSpec, options: &RunOptions) -> Result<Opened, RunError> {
    let writer = store.create(&spec)?;
    let table = Box::new(Table::new(writer.run(), spec));
    opened(writer, table, options)
}

fn resume(store: &Store, run: RunId, spec: EvalSpec, options: &RunOptions) -> Result<Opened, RunError> {
    let mut table = Box::new(Table::new(run, spec));
    let mut fault: Result<(), ResultsError> = Ok(());
    let (_, writer) = store.resume_each(&run, |_, payload| {
        if fault.is_ok() {
            fault = table.push(payload, None);
        }
    })?;
    fault?;
    opened(writer, table, options)
}

fn opened(writer: RecordWriter, table: Box<Table>, options: &RunOptions) -> Result<Opened, RunError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    writer.append(&Row::Opened { at_ms, program: options.program.clone() })?;
    Ok(Opened::Ready(writer, table))
}
