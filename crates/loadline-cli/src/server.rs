//! An HTTP server for a few small paths: the only one. Limits on connections, headers, bodies and time; it ends
//! gracefully on Ctrl-C. No TLS: beyond this machine a proxy belongs in front of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use loadline_core::Secret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::control::{Control, Respond, Watch};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// Connections at one time; more wait.
const CONNECTIONS: usize = 256;
/// Answers that are worked out at one time: they read and write files.
const WORKERS: usize = 8;
/// A request's first line and headers, in bytes.
const HEADER_BYTES: usize = 16 << 10;
/// How long a request's headers may take, and how long a connection may do nothing.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// How long a body may take.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may be used, slow readers included.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// How long answers that have begun may take when the server is to end.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// Where the address of a verb is chosen.
pub const LISTEN: &str = "`--listen 127.0.0.1:PORT`";

/// A request, with its body whole.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path as it was sent: nothing in it is decoded.
    pub path: String,
    /// The body; empty unless the method is POST.
    pub body: Bytes,
    /// What `Authorization` says, where it is there once.
    pub authorization: Option<Secret>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// What answers.
pub trait Service: Send + Sync + 'static {
    /// The most bytes of a body; 0 when none is read.
    fn longest_body(&self) -> usize;

    /// Answers. May take its time with files.
    fn answer(&self, asked: &Asked) -> Answer;
}

impl Answer {
    /// An answer with a body; a status that is none becomes 500.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// A line of words.
    pub fn words(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{text}\n"))
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// 405: these methods are the ones.
    pub fn not_allowed(allow: &'static str) -> Self {
        Self::words(405, "this method is not for this path").with(hyper::header::ALLOW, allow)
    }

    fn into_response(self, method: &Method) -> Response<Full<Bytes>> {
        let length = self.body.len();
        let body = if *method == Method::HEAD { Bytes::new() } else { self.body };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(hyper::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.extend(self.headers);
        response
    }
}

/// Where something is served.
pub struct Opening<'a> {
    /// The address; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// What answers there.
    pub service: Arc<dyn Service>,
    /// Its name.
    pub what: &'a str,
    /// Where another address is chosen.
    pub chosen: &'static str,
}

/// Serves until Ctrl-C. The address is printed to standard output once connections are taken, as a URL.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve(listen: SocketAddr, service: Arc<dyn Service>, what: &str, ui: &Ui) -> Result {
    serve_all(vec![Opening { listen, service, what, chosen: LISTEN }], ui)
}

/// The same at several addresses; each is printed on a line of its own, in this order.
///
/// # Errors
/// When one of them cannot be listened on.
pub fn serve_all(openings: Vec<Opening<'_>>, ui: &Ui) -> Result {
    let io = |error| Failure::io("cannot start", &error);
    let (stop, stopping) = watch::channel(false);
    let _control = Control::start(Watch::default(), Stop(stop)).map_err(io)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WORKERS)
        .build()
        .map_err(io)?;
    let ended = runtime.block_on(async {
        let mut taking = JoinSet::new();
        let mut serving = Vec::new();
        for opening in openings {
            let listener =
                TcpListener::bind(opening.listen).await.map_err(|error| cannot_listen(&opening, &error))?;
            let address = listener.local_addr().map_err(io)?;
            if !address.ip().is_loopback() {
                ui.warning("other machines can reach this server, and what it says is not encrypted");
            }
            serving.push((opening.what, address));
            taking.spawn(take_connections(listener, opening.service, stopping.clone()));
        }
        let mut out = ui.out();
        for (_, address) in &serving {
            out.line(format_args!("http://{address}"))?;
        }
        out.finish()?;
        for (what, address) in serving {
            ui.status("Serving", format_args!("{what} at http://{address} until Ctrl-C"));
        }
        while let Some(ended) = taking.join_next().await {
            // One address that is dead while another goes on would look like a server that works.
            ended.map_err(|error| Failure::because(Exit::Unexpected, "the server failed", &error))?;
        }
        Ok(Exit::Ok)
    });
    // A worker that hangs on a disk must not hold the end up.
    runtime.shutdown_timeout(LAST_LIMIT);
    ended
}

fn cannot_listen(opening: &Opening<'_>, error: &std::io::Error) -> Failure {
    Failure::because(Exit::Unexpected, format!("cannot listen on {}", opening.listen), error).hint(format!(
        "another process may listen there: choose another port with {}; port 0 takes any",
        opening.chosen
    ))
}

struct Stop(watch::Sender<bool>);

impl Respond for Stop {
    fn stop(&mut self) {
        let _nobody_listens = self.0.send(true);
    }

    fn in_flight(&mut self) {}
}

async fn take_connections(
    listener: TcpListener,
    service: Arc<dyn Service>,
    mut stopping: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let taken = tokio::select! {
            taken = async {
                let place = Arc::clone(&room).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            } => taken,
            _ = stopping.changed() => None,
        };
        match taken {
            None => break,
            Some((place, Ok((stream, _)))) => {
                let (service, stopping) = (Arc::clone(&service), stopping.clone());
                connections.spawn(async move {
                    converse(stream, service, stopping).await;
                    drop(place);
                });
            }
            // Out of file handles, most likely: connections that end give some back.
            Some((_, Err(_))) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One connection, from its first request to its end. Whatever breaks it is the other side's matter.
async fn converse(stream: TcpStream, service: Arc<dyn Service>, mut stopping: watch::Receiver<bool>) {
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(respond(request, service).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.changed() => {}
        () = tokio::time::sleep(CONNECTION_LIMIT) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended_or_cut = tokio::time::timeout(LAST_LIMIT, connection).await;
}

async fn respond(request: Request<Incoming>, service: Arc<dyn Service>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let answer = match read(&method, body, service.longest_body()).await {
        Err(refused) => refused,
        Ok(body) => {
            let authorization = authorization(&parts.headers);
            let asked =
                Asked { method: parts.method, path: parts.uri.path().to_owned(), body, authorization };
            let answered = tokio::task::spawn_blocking(move || service.answer(&asked)).await;
            answered.unwrap_or_else(|_| Answer::words(500, "the server failed"))
        }
    };
    answer.into_response(&method)
}

/// Two of them say nothing: a proxy may have read the other one.
fn authorization(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(Secret::new)
}

/// The body of a POST; others have none that is read.
async fn read(method: &Method, body: Incoming, longest: usize) -> std::result::Result<Bytes, Answer> {
    if *method != Method::POST {
        return Ok(Bytes::new());
    }
    let too_long = || Answer::words(413, "the body is too long").with(hyper::header::CONNECTION, "close");
    if body.size_hint().lower() > longest as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_LIMIT, Limited::new(body, longest).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => {
            Err(Answer::words(400, "the body was cut off").with(hyper::header::CONNECTION, "close"))
        }
        Err(_) => Err(Answer::words(408, "the body took too long").with(hyper::header::CONNECTION, "close")),
    }
}
