//! The loop that asks: one task owns everything, nothing is spawned, nothing is shared but the in-flight table.
//!
//! A sample is in one of three places: with the model (`attempts`), waiting for its next attempt (`waiting`), or
//! written. Both places are bounded, so memory does not grow with the dataset. An answer is appended to the record
//! the moment it arrives.

use std::collections::BinaryHeap;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::stream::{FuturesUnordered, StreamExt};
use loadline_core::model::{BoxFuture, CallContext, Request};
use loadline_core::record::{EvalSpec, Row, SampleRecord};
use loadline_core::{Model, ModelError, ModelErrorKind, ModelOutput, Sample, Value};
use loadline_evidence::RecordWriter;
use loadline_stats::{Estimate, Level};
use tokio::time::Instant;

use super::cancel::CancelToken;
use super::error::RunError;
use super::event::{Progress, RunEvent};
use super::health::Health;
use super::in_flight::{InFlight, SlotId};
use super::limiter::{Ended, Limiter};
use super::options::RunOptions;
use super::retry::{Failures, Verdict, mix, uniform};
use super::source::Source;
use super::tally::Tally;
use crate::results::{MetricAccumulator, Table};
use crate::task::Task;

/// At least so many samples may be in flight or waiting, however low the limit is.
const LEAST_OPEN: usize = 16;
/// How often the estimate so far is made anew.
const ESTIMATE_EVERY: Duration = Duration::from_millis(100);

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Nothing is left to ask.
    Exhausted,
    /// It was asked to.
    Cancelled,
    /// The budget is used up.
    BudgetReached,
}

/// A sample on its way.
struct Job {
    sample: Sample,
    index: u64,
    epoch: u32,
    /// Which attempt this is, from 1.
    attempt: u32,
    failures: Failures,
    /// When the first attempt began.
    began: Instant,
    slot: SlotId,
}

/// An attempt that has ended.
struct Attempted {
    job: Box<Job>,
    began: Instant,
    result: Result<ModelOutput, ModelError>,
}

/// A job that waits for its next attempt, ordered by when that is, the earliest greatest.
struct Waiting {
    until: Instant,
    job: Box<Job>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |w: &Self| (w.until, w.job.index, w.job.epoch);
        key(other).cmp(&key(self))
    }
}

/// What the loop needs, and what it knows.
pub(crate) struct Scheduler<'a, F> {
    task: &'a Task,
    model: &'a dyn Model,
    spec: &'a EvalSpec,
    options: &'a RunOptions,
    writer: &'a RecordWriter,
    table: Table,
    events: F,
    in_flight: InFlight,
    tally: Tally,
    source: Source<'a>,
    exhausted: bool,
    draining: bool,
    limiter: Limiter,
    waiting: BinaryHeap<Waiting>,
    health: Health,
    wall: (SystemTime, Instant),
    estimate: Option<Estimate>,
    estimated_at: Option<Instant>,
}

type Attempts<'a> = FuturesUnordered<BoxFuture<'a, Attempted>>;

impl<'a, F: FnMut(RunEvent)> Scheduler<'a, F> {
    pub(crate) fn new(
        (task, model): (&'a Task, &'a dyn Model),
        (spec, options): (&'a EvalSpec, &'a RunOptions),
        (writer, table): (&'a RecordWriter, Table),
        (events, in_flight): (F, InFlight),
    ) -> Self {
        let now = Instant::now();
        Self {
            task,
            model,
            spec,
            options,
            writer,
            table,
            events,
            in_flight,
            tally: Tally::new(now),
            source: Source::new(&*task.samples, spec.samples, spec.epochs),
            exhausted: false,
            draining: false,
            limiter: Limiter::new(options.concurrency, model.capabilities().max_concurrency),
            waiting: BinaryHeap::new(),
            health: Health::default(),
            wall: (SystemTime::now(), now),
            estimate: None,
            estimated_at: None,
        }
    }

    /// Asks until nothing is left, or something ends the run. What is in flight is dropped with this future.
    pub(crate) async fn run(&mut self, cancel: &CancelToken) -> Result<Stop, RunError> {
        self.exhausted = self.table.done().is_complete();
        let mut attempts = Attempts::new();
        let mut cancelled = pin!(cancel.cancelled());
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            self.start(&mut attempts)?;
            if attempts.is_empty() && (self.draining || (self.exhausted && self.waiting.is_empty())) {
                return Ok(if self.draining { Stop::BudgetReached } else { Stop::Exhausted });
            }
            let wake = self.next_start(attempts.len());
            if let Some(at) = wake
                && alarm.deadline() != at
            {
                alarm.as_mut().reset(at);
            }
            tokio::select! {
                biased;
                () = &mut cancelled => return Ok(Stop::Cancelled),
                Some(attempted) = attempts.next() => self.ended(attempted)?,
                () = &mut alarm, if wake.is_some() => {}
            }
            // A model that answers at once must not keep the thread from a signal or a key press.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Starts as many attempts as may be started now.
    fn start(&mut self, attempts: &mut Attempts<'a>) -> Result<(), RunError> {
        loop {
            let (limit, now) = (self.limiter.limit(), Instant::now());
            if self.draining || attempts.len() >= limit || self.limiter.paused_until(now).is_some() {
                return Ok(());
            }
            let Some(mut job) = self.next_job(now, attempts.len(), limit)? else { return Ok(()) };
            if self.tally.is_spent(&self.options.budget, now) {
                self.draining = true;
                return Ok(());
            }
            if job.attempt == 0 {
                job.began = now;
                job.slot = self.in_flight.enter(&job.sample.id, job.epoch, now);
            }
            job.attempt += 1;
            if job.attempt > 1 {
                self.in_flight.attempts(job.slot, job.attempt);
            }
            self.tally.requests += 1;
            attempts.push(Box::pin(attempt(self.model, job, now, self.options.attempt_timeout)));
            self.limiter.started(attempts.len());
        }
    }

    /// A job whose wait is over, or else a new one.
    fn next_job(&mut self, now: Instant, busy: usize, limit: usize) -> Result<Option<Box<Job>>, RunError> {
        if self.waiting.peek().is_some_and(|first| first.until <= now) {
            return Ok(self.waiting.pop().map(|waiting| waiting.job));
        }
        if self.exhausted || busy + self.waiting.len() >= (2 * limit).max(LEAST_OPEN) {
            return Ok(None);
        }
        let Some(pending) = self.source.next(self.table.done())? else {
            self.exhausted = true;
            return Ok(None);
        };
        let mut sample = pending.sample;
        self.can_be_asked(&sample.input)?;
        prepare(&mut sample.input, self.spec, self.options, (pending.index, pending.epoch));
        Ok(Some(Box::new(Job {
            sample,
            index: pending.index,
            epoch: pending.epoch,
            attempt: 0,
            failures: Failures::default(),
            began: now,
            slot: SlotId::NONE,
        })))
    }

    /// When something can be started although nothing ends before, if ever.
    fn next_start(&self, busy: usize) -> Option<Instant> {
        let now = Instant::now();
        if self.draining || busy >= self.limiter.limit() {
            return None;
        }
        let retry = self.waiting.peek().map(|first| first.until);
        let next = match self.limiter.paused_until(now) {
            Some(until) => Some(until),
            None => retry,
        }?;
        // The end of the budget's time is a time to look, too.
        let end = self.options.budget.time.and_then(|time| self.tally.began.checked_add(time));
        Some(end.map_or(next, |end| next.min(end)))
    }

    /// An attempt has ended, one way or the other.
    fn ended(&mut self, attempted: Attempted) -> Result<(), RunError> {
        let (now, began, job) = (Instant::now(), attempted.began, attempted.job);
        match attempted.result.and_then(finite) {
            Ok(output) => {
                self.limiter.ended(now, began, Ended::Answered);
                self.health.answered();
                self.answered(job, output, now)
            }
            Err(error) => {
                self.limiter.ended(now, began, load_signal(&error));
                self.failed(job, error, now)
            }
        }
    }

    /// Scores an answer and writes its row.
    fn answered(&mut self, job: Box<Job>, output: ModelOutput, now: Instant) -> Result<(), RunError> {
        self.tally.spend(output.usage);
        self.tally.answered += 1;
        let scores = if self.spec.groups_epochs {
            Vec::new()
        } else {
            let mut scores = self.task.scorer.score(&job.sample, std::slice::from_ref(&output));
            scores.iter_mut().for_each(|score| keep_finite(&mut score.value));
            scores
        };
        let slot = job.slot;
        let mut row = self.row(*job, now);
        row.scores = scores;
        row.output = matches!(row.input, Request::Generate(_)).then_some(output.completion);
        row.stop_reason = output.stop_reason;
        row.loglikelihoods = output.loglikelihoods;
        row.usage = output.usage;
        self.write(row, slot)
    }

    /// Decides what becomes of a failed attempt.
    fn failed(&mut self, mut job: Box<Job>, error: ModelError, now: Instant) -> Result<(), RunError> {
        if error.is_fatal() {
            return Err(RunError::Model { model: self.spec.model.to_string(), source: error });
        }
        if self.health.failed(error.kind, now, self.options.connect_patience) {
            return Err(self.unreachable(error));
        }
        let draw = uniform([self.spec.seed, job.index, u64::from(job.epoch), u64::from(job.attempt)]);
        match job.failures.add(&self.options.retry, &error, draw) {
            Verdict::Retry(wait) => {
                let until = now.checked_add(wait).unwrap_or(now);
                self.in_flight.waits(job.slot, until);
                (self.events)(RunEvent::Retrying {
                    sample: job.sample.id.as_str().into(),
                    epoch: job.epoch,
                    attempt: job.attempt,
                    why: error.message.into(),
                    wait,
                });
                self.waiting.push(Waiting { until, job });
                Ok(())
            }
            Verdict::GiveUp(why) => self.lost(job, error, why, now),
        }
    }

    /// Writes that a sample was given up; ends the run when the endpoint is at fault.
    fn lost(
        &mut self,
        job: Box<Job>,
        error: ModelError,
        why: Option<String>,
        now: Instant,
    ) -> Result<(), RunError> {
        let endpoint_is_down = self.health.lost(error.kind);
        if endpoint_is_down && error.kind == ModelErrorKind::Connection {
            return Err(self.unreachable(error));
        }
        let message = match why {
            Some(why) => format!("{} ({why})", error.message),
            None => error.message.clone(),
        };
        self.tally.errors += 1;
        (self.events)(RunEvent::SampleError {
            sample: job.sample.id.as_str().into(),
            epoch: job.epoch,
            attempts: job.attempt,
            why: message.as_str().into(),
        });
        let slot = job.slot;
        let mut row = self.row(*job, now);
        row.error = Some(message);
        self.write(row, slot)?;
        if endpoint_is_down { Err(self.unreachable(error)) } else { Ok(()) }
    }

    fn unreachable(&self, source: ModelError) -> RunError {
        RunError::Unreachable { model: self.spec.model.to_string(), failures: self.health.failures(), source }
    }

    /// What is known of a sample without its answer.
    fn row(&self, job: Job, now: Instant) -> SampleRecord {
        let (wall, base) = self.wall;
        let started = wall + job.began.saturating_duration_since(base);
        SampleRecord {
            id: job.sample.id,
            index: job.index,
            epoch: job.epoch,
            cluster: job.sample.cluster,
            input: job.sample.input,
            target: job.sample.target,
            gold: job.sample.gold,
            metadata: job.sample.metadata,
            output: None,
            stop_reason: loadline_core::model::StopReason::default(),
            loglikelihoods: Vec::new(),
            scores: Vec::new(),
            usage: loadline_core::Usage::default(),
            started_ms: started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis),
            duration_ms: millis(now.saturating_duration_since(job.began)),
            attempts: job.attempt,
            error: None,
        }
    }

    /// Appends a row. From here on the answer cannot be lost by a kill.
    fn write(&mut self, row: SampleRecord, slot: SlotId) -> Result<(), RunError> {
        self.table.take_new(&row)?;
        self.writer.append(&Row::Sample(Box::new(row)))?;
        self.in_flight.leave(slot);
        let progress = self.progress();
        (self.events)(RunEvent::Progress(Box::new(progress)));
        Ok(())
    }

    /// How far the run is. The estimate is made anew ten times a second at most.
    fn progress(&mut self) -> Progress {
        let now = Instant::now();
        if self.estimated_at.is_none_or(|at| now.saturating_duration_since(at) >= ESTIMATE_EVERY) {
            self.estimated_at = Some(now);
            self.estimate = self.table.first_metric().and_then(|metric| metric.estimate(Level::P95).ok());
        }
        Progress {
            done: self.table.done().count(),
            total: self.table.done().total(),
            errors: self.tally.errors,
            unscored: self.table.first_metric().map_or(0, MetricAccumulator::unscored),
            concurrency: self.limiter.limit(),
            requests: self.tally.requests,
            tokens: self.tally.tokens(),
            estimate: self.estimate.clone(),
        }
    }

    /// What was spent and reached, and whether every sample has its answer.
    pub(crate) fn finish(self) -> (Tally, bool) {
        self.in_flight.clear();
        (self.tally, self.table.done().is_complete())
    }

    /// Whether the model can be asked this at all: known before anything is paid.
    fn can_be_asked(&self, request: &Request) -> Result<(), RunError> {
        let capabilities = self.model.capabilities();
        let (can, what) = match request {
            Request::Generate(_) => (capabilities.generate, "write text"),
            Request::Loglikelihood(_) | Request::Rolling(_) => {
                (capabilities.loglikelihood, "give log-likelihoods")
            }
        };
        if can {
            return Ok(());
        }
        let message = format!("task `{}` needs a model that can {what}", self.spec.task.name);
        let source = ModelError::new(ModelErrorKind::Unsupported, message)
            .with_hint("take a model in this process, or a form of the task that needs only text");
        Err(RunError::Model { model: self.spec.model.to_string(), source })
    }
}

/// Makes one attempt within the time limit.
async fn attempt(model: &dyn Model, job: Box<Job>, began: Instant, limit: Option<Duration>) -> Attempted {
    let context = CallContext { sample: &job.sample, epoch: job.epoch, attempt: job.attempt };
    let call = model.call(&job.sample.input, &context);
    let result = match limit {
        None => call.await,
        Some(limit) => tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let message = format!("no answer within {} s", limit.as_secs_f64());
            Err(ModelError::new(ModelErrorKind::Timeout, message)
                .with_hint("if the model needs longer, allow it with --attempt-timeout"))
        }),
    };
    Attempted { job, began, result }
}

/// Applies the run's options to what the task asks: overrides, and a sampling seed of its own for each epoch.
fn prepare(request: &mut Request, spec: &EvalSpec, options: &RunOptions, (index, epoch): (u64, u32)) {
    let Request::Generate(generate) = request else { return };
    let sampling = &mut generate.sampling;
    options.overrides.apply(sampling);
    if sampling.temperature != Some(0.0) && (sampling.seed.is_none() || epoch > 0) {
        let base = sampling.seed.unwrap_or_else(|| mix(spec.seed ^ mix(index)));
        // 31 bits: what every server's integer holds.
        sampling.seed = Some(mix(base ^ mix(u64::from(epoch))) >> 33);
    }
}

/// An answer with a log-likelihood that is no finite number is a broken answer.
fn finite(output: ModelOutput) -> Result<ModelOutput, ModelError> {
    if output.loglikelihoods.iter().all(|likelihood| likelihood.sum.is_finite()) {
        return Ok(output);
    }
    Err(ModelError::new(
        ModelErrorKind::Malformed,
        "the answer has a log-likelihood that is not a finite number",
    ))
}

/// A value that is no finite number is no value.
fn keep_finite(value: &mut Value) {
    let is_finite = match value {
        Value::Number(number) => number.is_finite(),
        Value::Ratio { total, per } => total.is_finite() && per.is_finite(),
        Value::Class { .. } | Value::Unscored(_) => true,
    };
    if !is_finite {
        *value = Value::unscored("the score is not a finite number");
    }
}

/// What a failure says about the endpoint's load.
fn load_signal(error: &ModelError) -> Ended {
    use ModelErrorKind::{Connection, RateLimited, Server, Timeout};
    match error.kind {
        RateLimited => Ended::RateLimited(error.retry_after),
        Server | Connection | Timeout => Ended::Failed,
        _ => Ended::Answered,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
