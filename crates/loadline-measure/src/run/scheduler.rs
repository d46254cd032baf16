//! The loop that asks: one task owns everything, nothing is spawned, nothing is shared but the in-flight table.
//!
//! A sample is in one of three places: with the model (`attempts`), waiting for its next attempt (`waiting`), or
//! written. Both places are bounded, so memory does not grow with the dataset. An answer is appended to the record
//! the moment it arrives.

use std::collections::BinaryHeap;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::stream::{FuturesUnordered, StreamExt};
use loadline_core::model::{BoxFuture, Request};
use loadline_core::record::{EvalSpec, Row, SampleRecord};
use loadline_core::{Model, ModelError, ModelErrorKind, ModelOutput};
use loadline_evidence::{RecordError, RecordWriter};
use loadline_stats::{Estimate, Level};
use tokio::time::Instant;

use super::attempt::{Attempted, Job, Waiting, attempt, finite, keep_finite, load_signal, prepare};
use super::cancel::CancelToken;
use super::error::RunError;
use super::event::{Progress, RunEvent};
use super::health::Health;
use super::in_flight::{InFlight, SlotId};
use super::limiter::{Ended, Limiter};
use super::options::RunOptions;
use super::retry::{Failures, Verdict, uniform};
use super::source::Source;
use super::tally::Tally;
use crate::results::{MetricAccumulator, Table};
use crate::task::Task;

/// At least so many samples may be in flight or waiting, however low the limit is.
const LEAST_OPEN: usize = 16;
/// Most characters kept of what an endpoint said when a sample was given up.
const MAX_ERROR_CHARS: usize = 2000;
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
            // Before anything else: while all starts wait, time goes on.
            self.draining |= self.tally.is_out_of_time(&self.options.budget, now);
            if self.draining || attempts.len() >= limit || self.limiter.paused_until(now).is_some() {
                return Ok(());
            }
            let Some(mut job) = self.next_job(now, attempts.len(), limit)? else { return Ok(()) };
            if self.tally.is_spent(&self.options.budget) {
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
        let mut message: String = error.message.chars().take(MAX_ERROR_CHARS).collect();
        if let Some(why) = why {
            message = format!("{message} ({why})");
        }
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
        job.into_row(started, now)
    }

    /// Appends a row. From here on the answer cannot be lost by a kill.
    fn write(&mut self, row: SampleRecord, slot: SlotId) -> Result<(), RunError> {
        let mut row = Row::Sample(Box::new(row));
        let mut appended = self.writer.append(&row);
        if let (&Err(RecordError::TooLarge { bytes, limit }), Row::Sample(sample)) = (&appended, &mut row) {
            sample.output = None;
            sample.loglikelihoods.clear();
            sample.scores.clear();
            sample.error =
                Some(format!("its row would have {bytes} bytes, where a record holds {limit} at most"));
            appended = self.writer.append(&row);
        }
        appended?;
        let Row::Sample(row) = row else { return Ok(()) };
        self.table.take_new(&row)?;
        self.in_flight.leave(slot);
        if row.is_final() {
            let value = row.scores.first().and_then(|score| score.value.number());
            (self.events)(RunEvent::Answered { index: row.index, epoch: row.epoch, value });
        }
        if let Some(why) = row.error {
            self.tally.errors += 1;
            let (sample, epoch, attempts) = (row.id.into(), row.epoch, row.attempts);
            (self.events)(RunEvent::SampleError { sample, epoch, attempts, why: why.into() });
        }
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
