//! The model that `measure` asks.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use loadline_core::model::{
    Basis, BoxFuture, CallContext, Capabilities, Generate, Loglikelihood, ModelIdentity,
};
use loadline_core::{Digest, Model, ModelError, ModelErrorKind, ModelOutput, ModelRef, Request};

use crate::engine::{Engine, EngineError, WORTH_GATHERING};
use crate::error::LocalError;
use crate::generate::{Session, Watch};
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

/// What comes while an answer is written.
#[derive(Debug)]
pub enum Written {
    /// The next piece of its text.
    Text(String),
    /// Its end: all of it, or why there is none. Nothing follows.
    End(Result<ModelOutput, ModelError>),
}

type Reply = oneshot::Sender<Result<ModelOutput, ModelError>>;

/// A request, and where its answer goes.
#[derive(Debug)]
enum Job {
    Whole { request: Request, reply: Reply },
    Pieces { request: Generate, reply: UnboundedSender<Written> },
}

impl Job {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Whole { reply, .. } => reply.is_canceled(),
            Self::Pieces { reply, .. } => reply.is_closed(),
        }
    }

    fn is_scored(&self) -> bool {
        matches!(self, Self::Whole { request: Request::Loglikelihood(_), .. })
    }
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

    /// Writes an answer piece by piece. Dropping the receiver ends the work on it at the next token. The channel needs no
    /// bound: an answer is not longer than the context.
    pub fn write(&self, request: Generate) -> UnboundedReceiver<Written> {
        let (reply, pieces) = unbounded();
        // When the thread has ended the channel is closed, without an end in it.
        let _ = self.jobs.send(Job::Pieces { request, reply });
        pieces
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
        let sent = self.jobs.send(Job::Whole { request: request.clone(), reply });
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
            if job.is_cancelled() {
                continue;
            }
            match job {
                Job::Whole { request: Request::Loglikelihood(request), reply } => self.score(request, reply),
                Job::Whole { request: Request::Generate(request), reply } => {
                    let watch = Watch { cancelled: &|| reply.is_canceled(), written: &mut |_| () };
                    let result = self.write(&request, watch);
                    answer(reply, result);
                }
                Job::Whole { request: Request::Rolling(request), reply } => {
                    let result = self.engine.rolling(&request.text, &|| reply.is_canceled());
                    answer(reply, result);
                }
                Job::Pieces { request, reply } => {
                    let tell = |piece: Written| {
                        // Whoever asked may be gone; that is seen before the next token.
                        let _ = reply.unbounded_send(piece);
                    };
                    let mut written = |text: &str| tell(Written::Text(text.to_owned()));
                    let watch = Watch { cancelled: &|| reply.is_closed(), written: &mut written };
                    let result = self.write(&request, watch);
                    tell(Written::End(result.map_err(|error| model_error(&error))));
                }
            }
        }
    }

    fn write(&mut self, request: &Generate, mut watch: Watch<'_>) -> Result<ModelOutput, EngineError> {
        self.engine.generate(&mut self.session, request, &mut watch)
    }

    /// The next request; waits for one.
    fn next(&mut self) -> Option<Job> {
        while let Ok(job) = self.waiting.try_recv() {
            self.queue.push_back(job);
        }
        self.queue.pop_front().or_else(|| self.waiting.recv().ok())
    }

    /// Scores a request, together with those of its sort that wait behind it while that saves time.
    fn score(&mut self, first: Loglikelihood, reply: Reply) {
        let mut trees: Vec<Tree> = Vec::new();
        let mut replies = Vec::new();
        let mut tokens = 0;
        let mut next = Some((first, reply));
        while let Some((request, reply)) = next {
            match self.engine.tree(&request) {
                Ok(tree) => {
                    tokens += tree.tokens();
                    trees.push(tree);
                    replies.push(reply);
                }
                Err(error) => answer(reply, Err(error)),
            }
            while let Ok(job) = self.waiting.try_recv() {
                self.queue.push_back(job);
            }
            let more = tokens < WORTH_GATHERING && self.queue.front().is_some_and(Job::is_scored);
            next = match if more { self.queue.pop_front() } else { None } {
                Some(Job::Whole { request: Request::Loglikelihood(request), reply }) => {
                    Some((request, reply))
                }
                _ => None,
            };
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
fn answer(reply: Reply, result: Result<ModelOutput, EngineError>) {
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
