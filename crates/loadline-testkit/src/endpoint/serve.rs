//! HTTP: connections, counting, faults.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::fault::Fault;
use super::reply::{self, Body, Reply};
use super::{Api, Ask, Seen, Shared, anthropic, openai};

/// Serves until `stopped`.
#[expect(clippy::expect_used, reason = "a test cannot go on without its endpoint")]
pub(super) fn run(listener: std::net::TcpListener, shared: &Arc<Shared>, stopped: oneshot::Receiver<()>) {
    listener.set_nonblocking(true).expect("a non-blocking socket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
        tokio::select! {
            _ = stopped => {}
            () = accept(&listener, shared) => {}
        }
    });
}

async fn accept(listener: &tokio::net::TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        // A second handle on the socket, to reset it behind hyper's back.
        let Ok(socket) = socket.into_std() else { continue };
        let Ok(handle) = socket.try_clone() else { continue };
        let Ok(socket) = tokio::net::TcpStream::from_std(socket) else { continue };
        shared.memory().counters.connections += 1;
        let (shared, handle) = (Arc::clone(shared), Arc::new(handle));
        tokio::spawn(async move {
            let service =
                service_fn(move |request| respond(Arc::clone(&shared), Arc::clone(&handle), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

/// An error here makes hyper drop the connection without an answer.
async fn respond(
    shared: Arc<Shared>,
    socket: Arc<TcpStream>,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    shared.memory().seen.push(seen.clone());
    let api = match (seen.method.as_str(), parts.uri.path()) {
        ("POST", "/v1/chat/completions") => Api::Chat,
        ("POST", "/v1/completions") => Api::Completions,
        ("POST", "/v1/messages") => Api::Messages,
        ("POST", "/v1/embeddings") => Api::Embeddings,
        ("GET", "/v1/models") => return Ok(openai::models(&shared.behaviour).into_http()),
        _ => return Ok(Reply::error(404, "not_found", "no such path").into_http()),
    };
    let reply = answer(&shared, &socket, api, &seen).await?;
    Ok(match reply.endless {
        Some(pause) => reply::endless(api, pause, shared),
        None => reply.into_http(),
    })
}

async fn answer(shared: &Shared, socket: &TcpStream, api: Api, seen: &Seen) -> Result<Reply, std::io::Error> {
    let (ask, _under_way) = begin(shared, api, seen);
    if let Some(round) = &shared.behaviour.together {
        round.wait().await;
    }
    if !shared.behaviour.latency.is_zero() {
        tokio::time::sleep(shared.behaviour.latency).await;
    }
    let fault = (shared.behaviour.fault)(&ask);
    if let Some(Fault::Endless(pause)) = fault {
        let mut reply = Reply::new(200, "text/event-stream", "");
        reply.endless = Some(pause);
        return Ok(reply);
    }
    if fault.is_some() {
        shared.memory().counters.faults += 1;
    }
    if let Some(fault) = &fault
        && let Some(reply) = instead(fault, seen)
    {
        return Ok(reply);
    }
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Close) => return Err(std::io::Error::other("closed on purpose")),
        Some(Fault::Reset) => {
            socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
            return Err(std::io::Error::other("reset on purpose"));
        }
        _ => {}
    }
    let good = match refused(shared, seen, &ask) {
        Some(refusal) => return Ok(refusal),
        None if api == Api::Messages => anthropic::answer(&shared.behaviour, &ask, fault.as_ref()),
        None if api == Api::Embeddings => openai::embeddings(&ask),
        None => openai::answer(&shared.behaviour, &ask, fault.as_ref()),
    };
    let is_answer = good.status == 200 && fault.as_ref().is_none_or(Fault::is_answered);
    if is_answer {
        let mut memory = shared.memory();
        memory.counters.answered += 1;
        memory.answered.insert(seen.body.clone());
    }
    Ok(spoil(good, fault.as_ref()))
}

/// Ends a request's count of those under way, however it ends.
struct UnderWay<'a>(&'a Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.memory().counters.in_flight -= 1;
    }
}

fn begin<'a>(shared: &'a Shared, api: Api, seen: &Seen) -> (Ask, UnderWay<'a>) {
    let body = seen.json();
    let mut memory = shared.memory();
    let asked = memory.asked.entry(seen.body.clone()).or_default();
    let seen_before = *asked;
    *asked += 1;
    let paid = memory.answered.contains(&seen.body);
    let counters = &mut memory.counters;
    let index = counters.requests;
    counters.requests += 1;
    counters.duplicates += usize::from(seen_before > 0);
    counters.paid_twice += usize::from(paid);
    counters.in_flight += 1;
    counters.max_concurrent = counters.max_concurrent.max(counters.in_flight);
    let ask = Ask {
        index,
        seen_before,
        api,
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        prompt: openai::prompt(&body),
        body,
    };
    (ask, UnderWay(shared))
}

/// What a good endpoint says to a bad request.
fn refused(shared: &Shared, seen: &Seen, ask: &Ask) -> Option<Reply> {
    let behaviour = &shared.behaviour;
    if let Some(key) = &behaviour.key {
        let bearer = format!("Bearer {key}");
        let sent = [seen.header("authorization") == Some(&bearer), seen.header("x-api-key") == Some(key)];
        if !sent.contains(&true) {
            return Some(Reply::error(401, "authentication_error", "invalid api key"));
        }
    }
    if ask.body.is_null() || ask.model.is_empty() {
        return Some(Reply::error(400, "invalid_request_error", "the body is not a request"));
    }
    if !behaviour.models.is_empty() && !behaviour.models.contains(&ask.model) {
        let message = format!("the model `{}` does not exist", ask.model);
        return Some(Reply::error(404, "not_found_error", &message));
    }
    None
}

/// The faults that need no good answer.
fn instead(fault: &Fault, seen: &Seen) -> Option<Reply> {
    Some(match fault {
        Fault::RateLimited(retry_after) => {
            let reply = Reply::error(429, "rate_limit_error", "too many requests");
            match retry_after {
                Some(wait) => reply.header("retry-after", wait),
                None => reply,
            }
        }
        Fault::Server => Reply::error(500, "server_error", "it broke"),
        Fault::Overloaded => Reply::error(529, "overloaded_error", "Overloaded"),
        Fault::Html(status) => {
            let page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Hello</body></html>";
            Reply::new(*status, "text/html; charset=utf-8", page)
        }
        Fault::WrongShape => Reply::json(200, &json!({ "result": ["something", "else"] })),
        Fault::EchoKey => {
            let key = seen.header("authorization").or(seen.header("x-api-key")).unwrap_or_default();
            Reply::error(401, "authentication_error", &format!("Incorrect API key provided: {key}"))
        }
        Fault::Redirect(to) => Reply::new(307, "text/plain", "").header("location", to),
        Fault::TooLong => {
            let message = "This model's maximum context length is 8192 tokens. Please reduce the length.";
            let error = json!({ "message": message, "type": "invalid_request_error", "code": "context_length_exceeded" });
            Reply::json(400, &json!({ "error": error }))
        }
        Fault::Raw { status, headers, body } => {
            let mut reply = Reply::new(*status, "", body.clone());
            reply.headers.clone_from(headers);
            reply
        }
        _ => return None,
    })
}

/// The faults that spoil a good answer on its way.
fn spoil(mut reply: Reply, fault: Option<&Fault>) -> Reply {
    match fault {
        Some(Fault::TruncatedJson) => {
            let body = reply.body();
            reply.pieces = vec![body.slice(..body.len() / 2)];
        }
        Some(Fault::CutBody) => {
            let body = reply.body();
            reply.headers.push(("content-length".to_owned(), body.len().to_string()));
            reply.pieces = vec![body.slice(..body.len() / 2)];
            reply.cut = true;
        }
        Some(Fault::TruncatedStream) => reply.pieces.truncate(reply.pieces.len() / 2),
        Some(Fault::ErrorMidStream) => {
            reply.pieces.truncate(reply.pieces.len() / 2);
            let error =
                json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
            reply.pieces.push(Bytes::from(format!("event: error\ndata: {error}\n\n")));
        }
        Some(Fault::SlowBytes(pause)) => {
            let body = reply.body();
            reply.pieces = body.chunks(7).map(Bytes::copy_from_slice).collect();
            reply.pause = *pause;
        }
        Some(Fault::HugeBody(bytes)) => reply.pieces.insert(0, Bytes::from(vec![b' '; *bytes])),
        _ => {}
    }
    reply
}

/// The last user message of a chat, or the (first) text to complete.
pub(super) fn last_text(messages: &Value) -> Option<String> {
    let last = messages.as_array()?.iter().rfind(|message| message["role"] == "user")?;
    match &last["content"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part["text"].as_str()).collect()),
        _ => None,
    }
}
