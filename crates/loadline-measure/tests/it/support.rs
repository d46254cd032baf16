//! A task of sums, a model that follows a script, and a store in a temporary folder.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadline_core::model::{
    Basis, BoxFuture, CallContext, Capabilities, Generate, ModelIdentity, Prompt, Request, Sampling,
};
use loadline_core::record::TaskIdentity;
use loadline_core::score::{Aggregation, MetricSpec};
use loadline_core::{
    Digest, Model, ModelError, ModelErrorKind, ModelOutput, ModelRef, Sample, Score, Usage, Value,
};
use loadline_evidence::Store;
use loadline_measure::run::{CancelToken, RunError, RunEvent, RunOptions, RunOutcome, measure};
use loadline_measure::{SampleSource, Scorer, Task, TaskError};
use tokio::time::Instant;

/// Sample i asks for i + 1.
pub struct Sums {
    pub n: u64,
    pub clusters: Option<u64>,
}

pub fn sum(index: u64) -> Sample {
    let sampling =
        Sampling { max_tokens: 16, temperature: Some(0.0), top_p: None, stop: Vec::new(), seed: None };
    Sample {
        id: format!("sum-{index}"),
        input: Request::Generate(Generate { prompt: Prompt::user(format!("{index} + 1 =")), sampling }),
        target: vec![(index + 1).to_string()],
        gold: None,
        cluster: None,
        metadata: [("level".to_owned(), (index % 3).into())].into_iter().collect(),
    }
}

impl SampleSource for Sums {
    fn len(&self) -> u64 {
        self.n
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Result<Sample, TaskError>> + Send + '_> {
        Box::new((0..self.n).map(|index| {
            let cluster = self.clusters.map(|clusters| format!("c{}", index % clusters));
            Ok(Sample { cluster, ..sum(index) })
        }))
    }
}

pub struct Exact;

impl Scorer for Exact {
    fn score(&self, sample: &Sample, outputs: &[ModelOutput]) -> Vec<Score> {
        let answer = outputs[0].completion.trim().to_owned();
        let value = match answer.as_str() {
            "" => Value::unscored("the answer is empty"),
            "nan" => Value::Number(f64::NAN),
            text => Value::correct(sample.target.iter().any(|target| target == text)),
        };
        vec![Score { metric: "exact_match".into(), value, answer: Some(answer), explanation: None }]
    }
}

pub fn mean(name: &str) -> MetricSpec {
    MetricSpec { name: name.into(), aggregation: Aggregation::Mean, higher_is_better: true }
}

pub fn sums(n: u64) -> Task {
    Task {
        identity: TaskIdentity { name: "sums".into(), version: "1".into(), digest: Digest::of(b"sums") },
        description: "adds one".into(),
        samples: Box::new(Sums { n, clusters: None }),
        scorer: Box::new(Exact),
        metrics: vec![mean("exact_match")],
        epochs: 1,
    }
}

/// What the model does with one attempt.
pub enum Step {
    /// Answers after this long.
    Answer(Duration),
    /// Answers this text after this long.
    Say(Duration, &'static str),
    /// Fails at once.
    Fail(ModelError),
    /// Never answers.
    Hang,
}

pub fn fail(kind: ModelErrorKind) -> Step {
    Step::Fail(ModelError::new(kind, format!("scripted {kind:?}")))
}

pub fn limited(seconds: u64) -> Step {
    let mut error = ModelError::new(ModelErrorKind::RateLimited, "scripted 429");
    error.retry_after = Some(Duration::from_secs(seconds));
    Step::Fail(error)
}

pub const MS: Duration = Duration::from_millis(1);

/// One attempt that a model saw.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: String,
    pub attempt: u32,
    pub at: Instant,
}

#[derive(Default)]
pub struct Seen {
    pub calls: Vec<Call>,
    /// How often each (id, epoch) was answered in full.
    pub answered: BTreeMap<(String, u32), u32>,
    pub in_flight: usize,
    pub most_in_flight: usize,
}

type Script = Box<dyn Fn(&CallContext<'_>, &Seen) -> Step + Send + Sync>;

/// A model that follows a script.
pub struct Scripted {
    reference: ModelRef,
    pub max_concurrency: Option<usize>,
    pub can_generate: bool,
    script: Script,
    pub seen: Mutex<Seen>,
}

impl Scripted {
    pub fn new(script: impl Fn(&CallContext<'_>, &Seen) -> Step + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self::plain(script))
    }

    pub fn plain(script: impl Fn(&CallContext<'_>, &Seen) -> Step + Send + Sync + 'static) -> Self {
        Self {
            reference: ModelRef { provider: "fake".into(), name: "scripted".into() },
            max_concurrency: None,
            can_generate: true,
            script: Box::new(script),
            seen: Mutex::default(),
        }
    }

    /// Always right, after so many milliseconds.
    pub fn right(latency_ms: u32) -> Arc<Self> {
        Self::new(move |_, _| Step::Answer(MS * latency_ms))
    }

    pub fn calls(&self) -> Vec<Call> {
        self.seen.lock().unwrap().calls.clone()
    }

    pub fn most_in_flight(&self) -> usize {
        self.seen.lock().unwrap().most_in_flight
    }

    /// Answers that were paid for more than once.
    pub fn paid_twice(&self) -> usize {
        self.seen.lock().unwrap().answered.values().filter(|&&times| times > 1).count()
    }
}

struct Leave<'a>(&'a Mutex<Seen>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

impl Model for Scripted {
    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn identity(&self) -> ModelIdentity {
        ModelIdentity { basis: Basis::SelfReported, weights: None, settings: BTreeMap::new() }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            generate: self.can_generate,
            loglikelihood: false,
            max_concurrency: self.max_concurrency,
        }
    }

    fn call<'a>(
        &'a self,
        request: &'a Request,
        context: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>> {
        Box::pin(async move {
            let Request::Generate(_) = request else { panic!("only text is asked for") };
            let step = {
                let mut seen = self.seen.lock().unwrap();
                let step = (self.script)(context, &seen);
                seen.calls.push(Call {
                    id: context.sample.id.clone(),
                    attempt: context.attempt,
                    at: Instant::now(),
                });
                seen.in_flight += 1;
                seen.most_in_flight = seen.most_in_flight.max(seen.in_flight);
                step
            };
            let _leave = Leave(&self.seen);
            let (latency, text) = match step {
                Step::Answer(latency) => (latency, context.sample.target[0].clone()),
                Step::Say(latency, text) => (latency, text.to_owned()),
                Step::Fail(error) => return Err(error),
                Step::Hang => std::future::pending().await,
            };
            tokio::time::sleep(latency).await;
            let key = (context.sample.id.clone(), context.epoch);
            *self.seen.lock().unwrap().answered.entry(key).or_default() += 1;
            let usage = Usage { input_tokens: 10, output_tokens: 2 };
            Ok(ModelOutput { completion: text, usage, ..ModelOutput::default() })
        })
    }
}

/// A store that is gone with the test.
pub struct Place {
    _dir: tempfile::TempDir,
    pub store: Store,
}

pub fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("runs"));
    Place { _dir: dir, store }
}

pub fn options(concurrency: usize) -> RunOptions {
    RunOptions { concurrency: Some(concurrency), ..RunOptions::default() }
}

/// Runs to the end, and gives what happened besides.
pub async fn run(
    task: &Task,
    model: &Arc<Scripted>,
    place: &Place,
    options: &RunOptions,
) -> (Result<RunOutcome, RunError>, Vec<RunEvent>) {
    let mut events = Vec::new();
    let model: Arc<dyn Model> = model.clone();
    let cancel = CancelToken::new();
    let outcome = measure(task, model, &place.store, options, |event| events.push(event), &cancel).await;
    (outcome, events)
}

pub fn point(outcome: &RunOutcome) -> f64 {
    outcome.results.metrics[0].estimate.as_ref().unwrap().point
}
