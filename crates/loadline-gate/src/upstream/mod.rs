//! Where models are, and one attempt at a request: a server by HTTP, or a resident of this process.

mod address;
mod http;
mod openai;
pub mod resident;

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use loadline_core::Secret;
use loadline_core::model::Usage;

pub use address::{Address, Connecting, Dial, Io, Plain};
pub use resident::{Resident, Writer};

use self::http::{Http, Lease};
use self::resident::Answering;
use crate::clock::Moment;
use crate::config::{Api, HttpConfig, UpstreamConfig};
use crate::ledger::{Ending, RequestId};
use crate::refusal::{Code, Refusal};

/// A place where models are.
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// Its protocol.
    pub api: Api,
    /// Longest wait for the first byte.
    pub first_byte: Duration,
    /// Longest silence.
    pub idle: Duration,
    /// Longest answer.
    pub total: Duration,
    way: Way,
    /// Until when another upstream is tried first, by [`crate::clock::Moment::passed_ms`].
    failed_until_ms: AtomicU64,
}

/// How it is reached.
enum Way {
    Http(Arc<Http>),
    Resident { resident: Arc<Resident>, most_waiting: usize },
}

/// What goes upstream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The path behind the base address, such as `/chat/completions`.
    pub path: &'static str,
    /// Headers that are passed on.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whose request it is: a resident makes the answer's id of it, and the seed where the caller gave none.
    pub request: RequestId,
    /// When it came.
    pub at: Moment,
    /// Tokens that are set aside for the answer where the request names no limit; a resident keeps to it.
    pub default_output_tokens: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error("no connection to upstream `{upstream}`: {error}")]
    Connect {
        /// Which.
        upstream: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The connection broke before the first byte of an answer.
    #[error("upstream `{upstream}` broke off before it answered: {error}")]
    Broken {
        /// Which.
        upstream: String,
        /// Why.
        #[source]
        error: hyper::Error,
    },
    /// No byte of an answer in time.
    #[error("upstream `{0}` did not answer in time")]
    TimedOut(String),
    /// Its key cannot stand in a header.
    #[error("the key of upstream `{0}` cannot be sent: it has characters that a header may not have")]
    Key(String),
    /// A resident does not take the request, or gave up on it.
    #[error("{0}")]
    Refused(Refusal),
}

impl SendError {
    /// How the request ends, in words for the caller, and whether another upstream may be tried.
    pub(crate) fn refusal(&self) -> (Ending, Refusal, bool) {
        let words = |code| Refusal::new(code, self.to_string());
        match self {
            Self::Connect { .. } | Self::Key(_) => {
                (Ending::UpstreamFailed, words(Code::UpstreamUnreachable), true)
            }
            Self::Broken { .. } => (Ending::UpstreamFailed, words(Code::UpstreamFailed), true),
            // The time is used up.
            Self::TimedOut(_) => (Ending::TimedOut, words(Code::UpstreamTimedOut), false),
            // What is wrong with the request is wrong everywhere.
            Self::Refused(refusal) => {
                let elsewhere = matches!(refusal.code, Code::UpstreamBusy | Code::UpstreamFailed);
                (Ending::UpstreamFailed, refusal.clone(), elsewhere)
            }
        }
    }

    /// Whether the upstream is at fault.
    fn is_failure(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } => true,
            Self::Refused(refusal) => refusal.code == Code::UpstreamFailed,
            Self::TimedOut(_) | Self::Key(_) => false,
        }
    }
}

impl Upstream {
    fn new(config: &UpstreamConfig, way: Way) -> Self {
        Self {
            name: config.name.clone(),
            api: config.api,
            first_byte: config.first_byte,
            idle: config.idle,
            total: config.total,
            way,
            failed_until_ms: AtomicU64::new(0),
        }
    }

    /// A server with the key that belongs to it.
    ///
    /// # Errors
    /// When the address is none, in words.
    pub fn http(config: &UpstreamConfig, http: &HttpConfig, key: Option<Secret>) -> Result<Self, String> {
        let http = Http {
            name: config.name.clone(),
            address: Address::parse(&http.url)?,
            api: config.api,
            connect: http.connect,
            key,
            most_kept: http.kept_connections,
            kept: Mutex::default(),
        };
        Ok(Self::new(config, Way::Http(Arc::new(http))))
    }

    /// A model of this process, for which at most so many requests may wait.
    pub fn resident(config: &UpstreamConfig, resident: Arc<Resident>, most_waiting: usize) -> Self {
        Self::new(config, Way::Resident { resident, most_waiting })
    }

    /// The model of this process that it is.
    pub fn as_resident(&self) -> Option<&Arc<Resident>> {
        match &self.way {
            Way::Http(_) => None,
            Way::Resident { resident, .. } => Some(resident),
        }
    }

    /// Whether both are one place: the same address, or the same model of this process.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        match (&self.way, &other.way) {
            (Way::Http(one), Way::Http(other)) => one.address == other.address,
            (Way::Resident { resident: one, .. }, Way::Resident { resident: other, .. }) => {
                Arc::ptr_eq(one, other)
            }
            _ => false,
        }
    }

    /// A text without the upstream's key: servers repeat keys in their errors.
    pub fn mask(&self, text: &str) -> String {
        match &self.way {
            Way::Http(http) => http.key.as_ref().map_or_else(|| text.to_owned(), |key| key.mask(text)),
            Way::Resident { .. } => text.to_owned(),
        }
    }

    /// Whether it failed a moment ago.
    pub fn is_failing(&self, passed_ms: u64) -> bool {
        passed_ms < self.failed_until_ms.load(Ordering::Relaxed)
    }

    fn note(&self, worked: bool, passed_ms: u64) {
        let until = if worked { 0 } else { passed_ms.saturating_add(1_000) };
        self.failed_until_ms.store(until, Ordering::Relaxed);
    }

    /// Sends a request and waits for the head of its answer; of a resident, for the first of its text.
    ///
    /// # Errors
    /// Why there is no answer. Nothing of one has arrived then.
    pub(crate) async fn send(
        &self,
        dial: &dyn Dial,
        outgoing: &Outgoing,
        passed_ms: u64,
    ) -> Result<Response<Coming>, SendError> {
        let late = || SendError::TimedOut(self.name.clone());
        let sent = tokio::time::timeout(self.first_byte, self.attempt(dial, outgoing)).await;
        let sent = sent.unwrap_or_else(|_| Err(late()));
        self.note(!sent.as_ref().is_err_and(SendError::is_failure), passed_ms);
        sent
    }

    async fn attempt(&self, dial: &dyn Dial, outgoing: &Outgoing) -> Result<Response<Coming>, SendError> {
        match &self.way {
            Way::Http(http) => {
                let (response, lease) = http.attempt(dial, outgoing).await?;
                Ok(response.map(|body| Coming::Wire(body, lease)))
            }
            Way::Resident { resident, most_waiting } => {
                let answer = resident.answer(outgoing, *most_waiting).await.map_err(SendError::Refused)?;
                Ok(answer.map(Coming::Resident))
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Upstream");
        debug.field("name", &self.name);
        match &self.way {
            Way::Http(http) => debug.field("address", &http.address),
            Way::Resident { resident, .. } => debug.field("resident", resident),
        };
        debug.finish()
    }
}

/// The body of an answer as it comes. Dropping it drops what it comes from: a connection, a computation.
pub(crate) enum Coming {
    Wire(Incoming, Lease),
    Resident(Answering),
}

impl Coming {
    /// It was read to its end: its connection is kept for another request. What was used, where that is known exactly.
    pub(crate) fn finish(self) -> Option<Usage> {
        match self {
            Self::Wire(_, lease) => {
                lease.give_back();
                None
            }
            Self::Resident(answering) => answering.usage(),
        }
    }
}

impl Body for Coming {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Wire(body, _) => {
                Pin::new(body).poll_frame(context).map(|frame| Some(frame?.map_err(Into::into)))
            }
            Self::Resident(answering) => answering
                .poll_bytes(context)
                .map(|bytes| bytes.map(|bytes| bytes.map(Frame::data).map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Wire(body, _) => body.is_end_stream(),
            Self::Resident(answering) => answering.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Wire(body, _) => body.size_hint(),
            Self::Resident(answering) => answering.size_hint(),
        }
    }
}
