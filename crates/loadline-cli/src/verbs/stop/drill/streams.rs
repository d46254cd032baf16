//! Many streams and one order, timed at their sockets by one thread.
//!
//! The streams are read without an HTTP client: what counts is when a byte comes out of the socket, and a client's
//! buffers would stand between. One thread waits for all sockets and for the gate's answer, and the system reports
//! sockets in the order in which something came, so a byte that is read after the answer came after it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use loadline_core::Secret;
use loadline_gate::upstream::Address;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// How long streams are watched after the gate's answer.
const WATCH: Duration = Duration::from_secs(1);
/// How long the gate may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The largest answer to an order that is read, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// What is to be done.
pub struct Plan {
    /// Where callers connect.
    pub serve: Address,
    /// The operator's door.
    pub gate: Address,
    /// A caller's key.
    pub caller_key: Secret,
    /// What each stream asks.
    pub body: String,
    /// How many.
    pub streams: usize,
    /// How long they may take to open.
    pub open_within: Duration,
    /// The signed order.
    pub order: Vec<u8>,
}

/// What came of it.
pub struct Measured {
    /// Right before the order was sent.
    pub ordered: Instant,
    /// When the last byte of the gate's answer was read.
    pub answered: Instant,
    /// The answer's status.
    pub status: u16,
    /// The answer's body.
    pub answer: Vec<u8>,
    /// Of each stream that was under way at the order, when its last byte was read.
    pub last_bytes: Vec<Instant>,
    /// Bytes that any stream brought after the answer.
    pub bytes_after: u64,
}

/// One stream, as its reader sees it.
#[derive(Default)]
struct Trace {
    opened: bool,
    ended: bool,
    /// What the first bytes were, where they are no good answer.
    refused: Option<String>,
    last: Option<Instant>,
    /// Every read, from the order on.
    reads: Vec<(Instant, u64)>,
}

#[derive(Default)]
struct State {
    traces: Vec<Trace>,
    ordered: bool,
}

type Shared = Rc<RefCell<State>>;

/// Opens the streams, gives the order, watches what comes.
///
/// # Errors
/// When a stream does not open, or the gate does not answer.
pub async fn measure(plan: &Plan) -> Result<Measured> {
    LocalSet::new().run_until(measure_here(plan)).await
}

async fn measure_here(plan: &Plan) -> Result<Measured> {
    let shared: Shared = Rc::default();
    shared.borrow_mut().traces.resize_with(plan.streams, Trace::default);
    // Connected before, so that the order is one write.
    let read_at = Rc::new(RefCell::new(Instant::now()));
    let mut door = connect_door(&plan.gate, Rc::clone(&read_at)).await?;
    let mut readers = JoinSet::new();
    for number in 0..plan.streams {
        let request = request(plan);
        let (shared, host) = (Rc::clone(&shared), plan.serve.clone());
        readers.spawn_local(async move { stream(&host, request, number, &shared).await });
    }
    opened(plan, &shared, &mut readers).await?;
    let under_way: Vec<usize> = {
        let mut state = shared.borrow_mut();
        state.ordered = true;
        (0..plan.streams).filter(|at| state.traces[*at].opened && !state.traces[*at].ended).collect()
    };
    let ordered = Instant::now();
    let (status, answer) = order(&mut door, plan).await?;
    let answered = *read_at.borrow();
    let _ended_or_not =
        tokio::time::timeout(WATCH, async { while readers.join_next().await.is_some() {} }).await;
    readers.abort_all();
    let state = shared.borrow();
    let last_bytes = under_way.iter().map(|at| state.traces[*at].last.unwrap_or(ordered)).collect();
    let late = state.traces.iter().flat_map(|trace| &trace.reads).filter(|(at, _)| *at > answered);
    let bytes_after = late.map(|(_, bytes)| bytes).sum();
    Ok(Measured { ordered, answered, status, answer, last_bytes, bytes_after })
}

fn unreachable(what: &str, address: &Address, error: &std::io::Error) -> Failure {
    Failure::because(Exit::ModelUnreachable, format!("{what} at `{}`", address.authority), error)
        .hint("check the address, and that the gate runs")
}

fn request(plan: &Plan) -> String {
    let Address { authority, path, .. } = &plan.serve;
    let (key, length) = (plan.caller_key.expose(), plan.body.len());
    format!(
        "POST {path}/v1/chat/completions HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{}",
        plan.body
    )
}

/// Asks, and notes each read until the end.
async fn stream(address: &Address, request: String, number: usize, shared: &Shared) -> std::io::Result<()> {
    let read = async {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 16 << 10];
        loop {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            note(&mut shared.borrow_mut(), number, &buffer[..read]);
        }
    };
    let ended = read.await;
    shared.borrow_mut().traces[number].ended = true;
    ended
}

fn note(state: &mut State, number: usize, bytes: &[u8]) {
    let (now, ordered) = (Instant::now(), state.ordered);
    let trace = &mut state.traces[number];
    if trace.last.is_none() && !bytes.starts_with(b"HTTP/1.1 200 ") {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]);
        trace.refused = Some(loadline_core::untrusted::one_line(&text, 600));
    }
    (trace.opened, trace.last) = (trace.refused.is_none(), Some(now));
    if ordered {
        trace.reads.push((now, bytes.len() as u64));
    }
}

/// Waits until every stream has brought something.
async fn opened(plan: &Plan, shared: &Shared, readers: &mut JoinSet<std::io::Result<()>>) -> Result<()> {
    let all = async {
        loop {
            if let Some(Ok(Err(error))) = readers.try_join_next() {
                return Err(unreachable("a stream broke", &plan.serve, &error));
            }
            {
                let state = shared.borrow();
                if let Some(refused) = state.traces.iter().find_map(|trace| trace.refused.as_ref()) {
                    return Err(Failure::new(Exit::ModelUnreachable, "the gate refused a stream")
                        .cause(refused.clone())
                        .hint(
                            "check the caller's key, its quota and the model's name; nothing was stopped",
                        ));
                }
                if state.traces.iter().all(|trace| trace.opened) {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(plan.open_within, all).await.unwrap_or_else(|_| {
        let open = shared.borrow().traces.iter().filter(|trace| trace.opened).count();
        Err(Failure::new(
            Exit::ModelUnreachable,
            format!("{open} of {} streams opened in time", plan.streams),
        )
        .hint("give more time with `--open-within`, or ask for fewer streams; nothing was stopped"))
    })
}

type Sender = http1::SendRequest<Full<Bytes>>;

async fn connect_door(address: &Address, read_at: Rc<RefCell<Instant>>) -> Result<Sender> {
    let connected = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = connected.map_err(|error| unreachable("no gate", address, &error))?;
    stream.set_nodelay(true).map_err(|error| unreachable("no gate", address, &error))?;
    let broken = |error: hyper::Error| {
        Failure::because(Exit::ModelUnreachable, "the operator's door does not speak HTTP", &error)
    };
    let (sender, connection) =
        http1::handshake(TokioIo::new(Timed { stream, read_at })).await.map_err(broken)?;
    // It ends with the local set.
    drop(tokio::task::spawn_local(connection));
    Ok(sender)
}

/// Gives the order and reads the answer.
async fn order(door: &mut Sender, plan: &Plan) -> Result<(u16, Vec<u8>)> {
    let lost = |why: String| {
        Failure::new(Exit::ModelUnreachable, "the gate did not answer the order: it may have been followed")
            .cause(why)
            .hint("look with `loadline stop show`")
    };
    let request = hyper::Request::post(format!("{}/orders", plan.gate.path))
        .header(hyper::header::HOST, &plan.gate.authority)
        .body(Full::from(plan.order.clone()))
        .map_err(|error| lost(error.to_string()))?;
    let exchange = async {
        let response = door.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes().to_vec()))
    };
    let answered = tokio::time::timeout(ANSWER_WITHIN, exchange).await;
    answered.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(lost)
}

/// A connection that notes when it last read something.
struct Timed {
    stream: TcpStream,
    read_at: Rc<RefCell<Instant>>,
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            *self.read_at.borrow_mut() = Instant::now();
        }
        polled
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
