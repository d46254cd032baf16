//! A model that computes in this process, as an upstream. It works on one request at a time, in the order they came, and
//! on none that nobody waits for.
//!
//! The gate does not know how a model computes: whoever links one gives the gate a [`Writer`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hyper::Response;
use hyper::body::SizeHint;
use hyper::header::{self, HeaderValue};
use loadline_core::model::{Generate, StopReason, Usage};
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, ModelError, ModelErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Outgoing;
use super::openai::{self, Form};
use crate::config::ResidentConfig;
use crate::refusal::{Code, Refusal};

/// When to come again to a resident that is busy, in seconds.
const COME_AGAIN_S: u64 = 1;

/// What comes while an answer is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The next piece of its text.
    Text(String),
    /// Its end. Nothing follows.
    End(StopReason, Usage),
}

/// An answer that is being written.
pub type Writing = Pin<Box<dyn Stream<Item = Result<Written, ModelError>> + Send>>;

/// What a licence says of its model.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What the model is called.
    pub name: &'a str,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// The manifest, where the configuration names it.
    pub manifest: Option<&'a [u8]>,
}

/// Something that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// In words.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

/// Computes answers.
pub trait Writer: Send + Sync {
    /// Writes an answer. Once what this gives is dropped, nothing of it is computed from the next token on.
    fn write(&self, request: Generate) -> Writing;

    /// Whether these weights are the model that a licence is about. They were hashed when they were loaded.
    ///
    /// # Errors
    /// Why they are not, or why that cannot be told.
    fn is(&self, subject: Subject<'_>) -> Result<(), Wrong>;
}

/// For a gate without models of its own.
///
/// # Errors
/// Always: that there are none.
pub fn none(_: &ResidentConfig) -> Result<Arc<Resident>, Wrong> {
    let message = "this gate was built without models of its own".to_owned();
    Err(Wrong { message, hint: "put a server in front of the model and name its `url`".to_owned() })
}

/// A model that computes in this process.
pub struct Resident {
    writer: Box<dyn Writer>,
    /// Whose turn it is.
    turn: Arc<Semaphore>,
    /// Requests that wait for theirs.
    waiting: AtomicUsize,
}

impl Resident {
    /// A resident that nobody has asked yet.
    pub fn new(writer: impl Writer + 'static) -> Self {
        Self { writer: Box::new(writer), turn: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0) }
    }

    /// Requests that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// See [`Writer::is`].
    ///
    /// # Errors
    /// As there.
    pub fn is(&self, subject: Subject<'_>) -> Result<(), Wrong> {
        self.writer.is(subject)
    }

    /// Answers a request: of a stream its beginning, otherwise all of it.
    pub(super) async fn answer(
        self: &Arc<Self>,
        outgoing: &Outgoing,
        most_waiting: usize,
    ) -> Result<Response<Answering>, Refusal> {
        let (request, form) = openai::read(outgoing)?;
        let turn = self.turn(most_waiting).await?;
        let mut pieces = pump(self.writer.write(request), turn);
        let (kind, answering) = match form.is_stream {
            true => {
                // What cannot be answered shows before the first piece, so that it gets a status of its own.
                let first = next(&mut pieces).await?;
                let mut answering = Answering { pieces, form, ready: None, usage: None, is_over: false };
                answering.ready = Some(answering.events(first, true));
                ("text/event-stream; charset=utf-8", answering)
            }
            false => {
                let (mut text, mut end) = (String::new(), None);
                while end.is_none() {
                    match next(&mut pieces).await? {
                        Written::Text(more) => text.push_str(&more),
                        Written::End(reason, usage) => end = Some((reason, usage)),
                    }
                }
                let (reason, usage) = end.unwrap_or_default();
                let ready = Some(Bytes::from(form.whole(&text, reason, usage)));
                ("application/json", Answering { pieces, form, ready, usage: Some(usage), is_over: true })
            }
        };
        let mut response = Response::new(answering);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(response)
    }

    /// Waits for a turn, behind at most so many others.
    async fn turn(&self, most_waiting: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            return Ok(turn);
        }
        let ahead = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = Place(&self.waiting);
        if ahead >= most_waiting {
            let message =
                format!("the model works on one request at a time, and {ahead} are waiting already");
            let refusal = Refusal::new(Code::UpstreamBusy, message);
            return Err(Refusal { retry_after_s: Some(COME_AGAIN_S), ..refusal });
        }
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.map_err(|_| Refusal::new(Code::UpstreamFailed, "the model has ended"))
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

/// A place in the queue.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

type Pieces = mpsc::UnboundedReceiver<Result<Written, ModelError>>;

/// Takes what is written as fast as it comes, so that the turn ends with the computation and not when a slow caller has
/// read it. Needs no bound: an answer is not longer than a context. Ends when the receiver is dropped.
fn pump(mut writing: Writing, turn: OwnedSemaphorePermit) -> Pieces {
    let (give, pieces) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                biased;
                () = give.closed() => break,
                piece = writing.next() => piece,
            };
            let Some(piece) = piece else { break };
            let goes_on = matches!(piece, Ok(Written::Text(_)));
            if !goes_on {
                break drop(give.send(piece));
            }
            // That nobody takes it is seen above.
            let _ = give.send(piece);
        }
        // The computation first: the next one begins when this one has ended.
        drop(writing);
        drop(turn);
    });
    pieces
}

async fn next(pieces: &mut Pieces) -> Result<Written, Refusal> {
    match pieces.recv().await {
        Some(piece) => piece.map_err(|error| refusal(&error)),
        None => Err(refusal(&ended())),
    }
}

fn ended() -> ModelError {
    ModelError::new(ModelErrorKind::Internal, "the model stopped before the end of its answer")
}

/// An error of the model in words for the caller.
fn refusal(error: &ModelError) -> Refusal {
    let code = match error.kind {
        ModelErrorKind::TooLong => Code::ContextTooLong,
        ModelErrorKind::Refused | ModelErrorKind::Unsupported => Code::UpstreamRefused,
        _ => Code::UpstreamFailed,
    };
    Refusal::new(code, one_line(&error.message, 500))
}

/// An answer on its way to the caller.
pub(crate) struct Answering {
    pieces: Pieces,
    form: Form,
    /// Bytes that go out next.
    ready: Option<Bytes>,
    usage: Option<Usage>,
    /// Nothing comes after what is ready.
    is_over: bool,
}

impl Answering {
    /// The events of a piece.
    fn events(&mut self, piece: Written, is_first: bool) -> Bytes {
        let mut events = if is_first { self.form.begin() } else { String::new() };
        match piece {
            Written::Text(text) => events.push_str(&self.form.text(&text)),
            Written::End(reason, usage) => {
                events.push_str(&self.form.end(reason, usage));
                self.usage = Some(usage);
                self.is_over = true;
            }
        }
        Bytes::from(events)
    }

    pub(super) fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ModelError>>> {
        if let Some(bytes) = self.ready.take() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(context)).unwrap_or_else(|| Err(ended()));
        Poll::Ready(Some(piece.map(|piece| self.events(piece, false))))
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over && self.ready.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.ready {
            Some(bytes) if self.is_over => SizeHint::with_exact(bytes.len() as u64),
            None if self.is_over => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    /// What was used, at the end.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}
