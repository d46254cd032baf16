//! A reply before it becomes HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::{Api, Shared};

/// A body that may break on purpose.
pub(super) type Body = BoxBody<Bytes, std::io::Error>;

/// A reply before it becomes HTTP.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) pieces: Vec<Bytes>,
    /// Pause before each piece but the first.
    pub(super) pause: Duration,
    /// The connection ends before the last piece.
    pub(super) cut: bool,
    /// An event again and again, with this pause, instead of the pieces.
    pub(super) endless: Option<Duration>,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, pieces: vec![body.into()], pause: Duration::ZERO, cut: false, endless: None }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// An error in the shape that OpenAI's and Anthropic's clients both read.
    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        let error = json!({ "message": message, "type": kind, "code": null, "param": null });
        Self::json(status, &json!({ "type": "error", "error": error }))
    }

    /// A server-sent event stream of these events.
    pub(super) fn events(events: Vec<String>) -> Self {
        let mut reply = Self::new(200, "text/event-stream; charset=utf-8", Bytes::new());
        reply.pieces = events.into_iter().map(Bytes::from).collect();
        reply
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The whole body.
    pub(super) fn body(&self) -> Bytes {
        Bytes::from(self.pieces.concat())
    }

    pub(super) fn into_http(self) -> Response<Body> {
        let Self { status, headers, mut pieces, pause, cut, endless: _ } = self;
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let body = match pieces.pop() {
            Some(only) if pieces.is_empty() && !cut => Full::new(only).map_err(infallible).boxed(),
            last => {
                pieces.extend(last);
                in_pieces(pieces, pause, cut)
            }
        };
        response.body(body).unwrap_or_else(|error| {
            let text = format!("the scripted reply is not HTTP: {error}");
            Response::new(Full::new(Bytes::from(text)).map_err(infallible).boxed())
        })
    }
}

fn in_pieces(pieces: Vec<Bytes>, pause: Duration, cut: bool) -> Body {
    let count = pieces.len();
    let pieces = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    let end = cut.then(|| Err(std::io::Error::other("cut on purpose")));
    let all = stream::unfold((pieces.chain(end), 0), move |(mut rest, done)| async move {
        let piece = rest.next()?;
        if done > 0 && done < count && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        } else if done > 0 {
            // Lets what was written so far leave as a piece of its own.
            tokio::task::yield_now().await;
        }
        Some((piece, (rest, done + 1)))
    });
    StreamBody::new(stream_sync(all)).boxed()
}

/// The stream is polled by one task only, so a lock that never waits makes it `Sync`.
fn stream_sync<S: stream::Stream + Send>(stream: S) -> impl stream::Stream<Item = S::Item> + Send + Sync {
    let cell = std::sync::Mutex::new(Box::pin(stream));
    stream::poll_fn(move |context| {
        cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut().poll_next(context)
    })
}

/// Counts an endless stream while it is there.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut memory = self.0.memory();
        memory.counters.streams -= 1;
        memory.counters.streams_left += 1;
    }
}

/// See [`super::Fault::Endless`].
pub(super) fn endless(api: Api, pause: Duration, shared: Arc<Shared>) -> Response<Body> {
    shared.memory().counters.streams += 1;
    let counted = Counted(shared);
    let event = match api {
        Api::Messages => {
            r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word "}}"#
        }
        _ => r#"data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}"#,
    };
    let event = Bytes::from(format!("{event}\n\n"));
    let events = stream::unfold(0_u64, move |sent| {
        let (event, _) = (event.clone(), &counted);
        async move {
            if sent > 0 {
                tokio::time::sleep(pause).await;
            }
            Some((Ok(Frame::data(event)), sent + 1))
        }
    });
    let mut response = Response::new(StreamBody::new(stream_sync(events)).boxed());
    let kind = hyper::header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}

fn infallible(never: Infallible) -> std::io::Error {
    match never {}
}
