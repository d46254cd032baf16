//! One attempt at one sample: what is asked, and what its end means.

use std::time::{Duration, SystemTime};

use loadline_core::model::{CallContext, Request, StopReason};
use loadline_core::record::{EvalSpec, SampleRecord};
use loadline_core::{Model, ModelError, ModelErrorKind, ModelOutput, Sample, Usage, Value};
use tokio::time::Instant;

use super::in_flight::SlotId;
use super::limiter::Ended;
use super::options::RunOptions;
use super::retry::{Failures, mix};

/// A sample on its way.
pub(crate) struct Job {
    pub(crate) sample: Sample,
    pub(crate) index: u64,
    pub(crate) epoch: u32,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    pub(crate) failures: Failures,
    /// When the first attempt began.
    pub(crate) began: Instant,
    pub(crate) slot: SlotId,
}

impl Job {
    /// The sample's row without its answer.
    pub(crate) fn into_row(self, started: SystemTime, now: Instant) -> SampleRecord {
        SampleRecord {
            id: self.sample.id,
            index: self.index,
            epoch: self.epoch,
            cluster: self.sample.cluster,
            input: self.sample.input,
            target: self.sample.target,
            gold: self.sample.gold,
            metadata: self.sample.metadata,
            output: None,
            stop_reason: StopReason::default(),
            loglikelihoods: Vec::new(),
            scores: Vec::new(),
            usage: Usage::default(),
            started_ms: started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis),
            duration_ms: millis(now.saturating_duration_since(self.began)),
            attempts: self.attempt,
            error: None,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An attempt that has ended.
pub(crate) struct Attempted {
    pub(crate) job: Box<Job>,
    pub(crate) began: Instant,
    pub(crate) result: Result<ModelOutput, ModelError>,
}

/// A job that waits for its next attempt, ordered by when that is, the earliest greatest.
pub(crate) struct Waiting {
    pub(crate) until: Instant,
    pub(crate) job: Box<Job>,
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

/// Makes one attempt within the time limit.
pub(crate) async fn attempt(
    model: &dyn Model,
    job: Box<Job>,
    began: Instant,
    limit: Option<Duration>,
) -> Attempted {
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
pub(crate) fn prepare(
    request: &mut Request,
    spec: &EvalSpec,
    options: &RunOptions,
    (index, epoch): (u64, u32),
) {
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
pub(crate) fn finite(output: ModelOutput) -> Result<ModelOutput, ModelError> {
    if output.loglikelihoods.iter().all(|likelihood| likelihood.sum.is_finite()) {
        return Ok(output);
    }
    Err(ModelError::new(
        ModelErrorKind::Malformed,
        "the answer has a log-likelihood that is not a finite number",
    ))
}

/// A value that is no finite number is no value.
pub(crate) fn keep_finite(value: &mut Value) {
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
pub(crate) fn load_signal(error: &ModelError) -> Ended {
    use ModelErrorKind::{Connection, RateLimited, Server, Timeout};
    match error.kind {
        RateLimited => Ended::RateLimited(error.retry_after),
        Server | Connection | Timeout => Ended::Failed,
        _ => Ended::Answered,
    }
}
