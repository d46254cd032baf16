//! An upstream that answers at once, or after a pause, or as a stream that says in each event when it was written.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

static OPEN: AtomicU64 = AtomicU64::new(0);
static LEFT: AtomicU64 = AtomicU64::new(0);
static LAST_LEFT_US: AtomicU64 = AtomicU64::new(0);
static ASKED: AtomicU64 = AtomicU64::new(0);
/// What requests that name themselves (`mock.name`) are called.
static NAMED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

struct Stream {
    whole: bool,
}

impl Stream {
    fn is_whole(&mut self) {
        self.whole = true;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::SeqCst);
        if !self.whole {
            LAST_LEFT_US.store(now_us(), Ordering::SeqCst);
            LEFT.fetch_add(1, Ordering::SeqCst);
        }
    }
}

type Events = std::pin::Pin<Box<dyn stream::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;
type Body = Either<Full<Bytes>, StreamBody<Events>>;

fn events(chunks: u64, pause: Duration) -> Events {
    OPEN.fetch_add(1, Ordering::SeqCst);
    Box::pin(stream::unfold((0, Stream { whole: false }), move |(sent, mut guard)| async move {
        if sent == chunks {
            guard.is_whole();
            return None;
        }
        if sent > 0 {
            tokio::time::sleep(pause).await;
        }
        let now = now_us();
        let event = format!(
            "data: {{\"t\":{now},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word \"}}}}]}}\n\n"
        );
        Some((Ok(Frame::data(Bytes::from(event))), (sent + 1, guard)))
    }))
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let json = |value: Value| {
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(value.to_string()))));
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        response
    };
    if request.uri().path() == "/stats" {
        let counts = [&OPEN, &LEFT, &LAST_LEFT_US, &ASKED];
        let [open, left, last, asked] = counts.map(|value| value.load(Ordering::SeqCst));
        return Ok(json(json!({ "open": open, "left": left, "last_left_us": last, "asked": asked })));
    }
    if request.uri().path() == "/named" {
        return Ok(json(json!(*NAMED.lock().unwrap())));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    ASKED.fetch_add(1, Ordering::SeqCst);
    NAMED.lock().unwrap().extend(body["mock"]["name"].as_u64());
    let number = |name: &str| body["mock"][name].as_u64().unwrap_or(0);
    if number("latency_ms") > 0 {
        tokio::time::sleep(Duration::from_millis(number("latency_ms"))).await;
    }
    if body["stream"] == true {
        let events = events(number("chunks"), Duration::from_millis(number("pause_ms")));
        let mut response = Response::new(Either::Right(StreamBody::new(events)));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        return Ok(response);
    }
    let usage = json!({ "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17 });
    let message = json!({ "role": "assistant", "content": "The answer is 42." });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    Ok(json(
        json!({ "id": "1", "object": "chat.completion", "model": body["model"], "choices": choices, "usage": usage }),
    ))
}

/// Serves on a free port, which it prints.
pub fn run() {
    let listener = loadline_gate::serve::bind(([127, 0, 0, 1], 0).into()).unwrap();
    println!("http://{}/v1", listener.local_addr().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
}
