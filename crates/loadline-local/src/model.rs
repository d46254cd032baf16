//! The model that `measure` asks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc;

use futures_channel::oneshot;
use loadline_core::model::{Basis, BoxFuture, CallContext, Capabilities, ModelIdentity};
use loadline_core::{Digest, Model, ModelError, ModelErrorKind, ModelOutput, ModelRef, Request};

use crate::engine::{Engine, EngineError, WORTH_GATHERING};
use crate::error::LocalError;
use crate::generate::Session;
use crate::options::LocalOptions;
use crate::score::Tree;

/// Requests that may wait at once: enough that the scorer can gather some into one batch.
const CONCURRENCY: usize = 8;

/// A model in this process. Requests are worked on by a thread of its own; dropping the future of a call ends the
/// work on it.
#[derive(Debug)]
pub struct LocalModel {
    reference: ModelRef,
    identity: ModelIdentity,
    jobs: mpsc::Sender<Job>,
}

/// A request, and where its answer goes.
#[derive(Debug)]
struct Job {
    request: Request,
    reply: oneshot::Sender<Result<ModelOutput, ModelError>>,
}

impl LocalModel {
    /// Opens a GGUF file. With `digest` the caller has already verified the file; without, it is hashed while it
    /// is loaded.
    ///
    /// # Errors
    /// A file that cannot be read, is cut short or damaged, or holds what this crate does not compute.
    pub fn open(
        reference: ModelRef,
        path: &Path,
        options: &LocalOptions,
        digest: Option<Digest>,
    ) -> Result<Self, LocalError> {
        let (engine, digest) = Engine::open(path, options, digest)?;
        let settings = [
            ("precision", options.precision.to_string()),
            ("chat", if engine.has_template() { "template" } else { "plain" }.to_owned()),
            ("context", engine.context().to_string()),
        ];
        let identity = ModelIdentity {
            basis: Basis::Verified,
            weights: Some(digest),
            settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        let (jobs, waiting) = mpsc::channel();
        std::thread::Builder::new()
            .name("loadline-local".to_owned())
            .spawn(move || Worker::new(engine, waiting).run())
            .map_err(|error| LocalError::Threads(error.to_string()))?;
        Ok(Self { reference, identity, jobs })
    }
}

impl Model for LocalModel {
    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn identity(&self) -> ModelIdentity {
        self.identity.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { generate: true, loglikelihood: true, max_concurrency: Some(CONCURRENCY) }
    }

    fn call<'a>(
        &'a self,
        request: &'a Request,
        _: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(Job { request: request.clone(), reply });
        Box::pin(async move {
            let stopped = || ModelError::new(ModelErrorKind::Internal, "the model's thread has ended");
            sent.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        })
    }
}

/// The thread that works on requests, in the order they came.
struct Worker {
    engine: Engine,
    session: Session,
    waiting: mpsc::Receiver<Job>,
    queue: VecDeque<Job>,
}

impl Worker {
    fn new(engine: Engine, waiting: mpsc::Receiver<Job>) -> Self {
        Self { session: Session::new(engine.decoder()), engine, waiting, queue: VecDeque::new() }
    }

    /// Works until nobody can send requests any more.
    fn run(mut self) {
        while let Some(job) = self.next() {
            if job.reply.is_canceled() {
                continue;
            }
            match job.request {
                Request::Loglikelihood(_) => self.score(job),
                Request::Generate(request) => {
                    let result =
                        self.engine.generate(&mut self.session, &request, &|| job.reply.is_canceled());
                    answer(job.reply, result);
                }
                Request::Rolling(request) => {
                    let result = self.engine.rolling(&request.text, &|| job.reply.is_canceled());
                    answer(job.reply, result);
                }
            }
        }
    }

    /// The next request; waits for one.
    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.waiting.try_recv() {
            self.queue.push_back(job);
        }
        self.queue.pop_front().or_else(|| self.waiting.recv().ok())
    }

    /// Scores a request, together with those of its sort that wait behind it while that saves time.
    fn score(&mut self, first: Job) {
        let mut trees: Vec<Tree> = Vec::new();
        let mut replies = Vec::new();
        let mut tokens = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            if let Request::Loglikelihood(request) = &job.request {
                match self.engine.tree(request) {
                    Ok(tree) => {
                        tokens += tree.tokens();
                        trees.push(tree);
                        replies.push(job.reply);
                    }
                    Err(error) => answer(job.reply, Err(error)),
                }
            }
            while let Ok(job) = self.waiting.try_recv() {
                self.queue.push_back(job);
            }
            let more = tokens < WORTH_GATHERING
                && self.queue.front().is_some_and(|job| matches!(job.request, Request::Loglikelihood(_)));
            next = if more { self.queue.pop_front() } else { None };
        }
        let nobody_waits = || replies.iter().all(oneshot::Sender::is_canceled);
        match self.engine.score(&trees, &nobody_waits) {
            Ok(outputs) => {
                replies.into_iter().zip(outputs).for_each(|(reply, output)| answer(reply, Ok(output)))
            }
            // One request's numbers must not fail the others.
            Err(EngineError::NotFinite) if trees.len() > 1 => {
                for (reply, tree) in replies.into_iter().zip(&trees) {
                    let alone = self.engine.score(std::slice::from_ref(tree), &|| reply.is_canceled());
                    answer(reply, alone.map(|mut outputs| outputs.pop().unwrap_or_default()));
                }
            }
            Err(error) => replies.into_iter().for_each(|reply| answer(reply, Err(error.clone()))),
        }
    }
}

/// Sends an answer; whoever asked may be gone.
fn answer(reply: oneshot::Sender<Result<ModelOutput, ModelError>>, result: Result<ModelOutput, EngineError>) {
    let _ = reply.send(result.map_err(|error| model_error(&error)));
}

fn model_error(error: &EngineError) -> ModelError {
    let (kind, hint) = match error {
        EngineError::TooLong { .. } => {
            (ModelErrorKind::TooLong, Some("shorten the prompt, or take fewer examples"))
        }
        EngineError::Chat(_) => {
            (ModelErrorKind::Refused, Some("open the model with chat=off to send plain text"))
        }
        EngineError::Sampling(_) | EngineError::NoPrefix => (ModelErrorKind::Refused, None),
        EngineError::Cancelled | EngineError::NotFinite | EngineError::Forward(_) => {
            (ModelErrorKind::Internal, None)
        }
    };
    let error = ModelError::new(kind, error.to_string());
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
