//! One request, from its head to the first byte of its answer.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_policy::Named as _;
use loadline_policy::policy::Stage;
use serde_json::json;

use crate::admission::{Facts, admit, open_to};
use crate::ask::Ask;
use crate::body::Answer;
use crate::caller::{self, MAX_KEY_BYTES};
use crate::config::Api;
use crate::conn::ConnState;
use crate::forward::{Admitted, forward};
use crate::gate::Gate;
use crate::ledger::{IntentId, Keep, MAX_KEPT_BYTES, Refused, RequestId};
use crate::receipts::receipt;
use crate::refusal::{Code, Dialect, Refusal};
use crate::report::Observed;
use crate::trace::TRACEPARENT;

/// The header with the id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("loadline-request-id");
/// Behind it stands the place of a request in the audit log.
const RECEIPTS: &str = "/v1/receipts/";
const MIN_STAGE: &str = "loadline-min-stage";
const MIN_ASSURANCE: &str = "loadline-min-assurance";
/// What is passed on to an upstream. Nothing else is: no cookie, no key, no address of the caller.
const PASSED_ON: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
    HeaderName::from_static("openai-beta"),
];

/// A path that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Models,
    Receipt(IntentId),
    Ask { path: &'static str, upstream: &'static str, api: Api },
}

impl Route {
    /// The route of a path: exactly these, with no other spelling of them.
    fn find(method: &Method, path: &str) -> Result<Self, Refusal> {
        let ask = |path, upstream, api| (Method::POST, Self::Ask { path, upstream, api });
        let (needed, route) = match path {
            "/v1/chat/completions" => ask("/v1/chat/completions", "/chat/completions", Api::OpenAi),
            "/v1/completions" => ask("/v1/completions", "/completions", Api::OpenAi),
            "/v1/embeddings" => ask("/v1/embeddings", "/embeddings", Api::OpenAi),
            "/v1/messages" => ask("/v1/messages", "/messages", Api::Anthropic),
            "/v1/models" => (Method::GET, Self::Models),
            other => {
                if let Some(intent) = other.strip_prefix(RECEIPTS).and_then(decimal) {
                    return Self::with(method, path, &Method::GET, Self::Receipt(IntentId(intent)));
                }
                let message = format!("there is no `{}` here", one_line(other, 80));
                return Err(Refusal::new(Code::NoSuchPath, message));
            }
        };
        Self::with(method, path, &needed, route)
    }

    fn with(method: &Method, path: &str, needed: &Method, route: Self) -> Result<Self, Refusal> {
        match needed == method {
            true => Ok(route),
            false => Err(Refusal::new(Code::WrongMethod, format!("`{path}` is asked by {needed}"))),
        }
    }

    /// Its name in figures and logs: none comes from outside.
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Models => ("GET", "/v1/models"),
            Self::Receipt(_) => ("GET", "/v1/receipts"),
            Self::Ask { path, .. } => ("POST", path),
        }
    }

    fn dialect(path: &str) -> Dialect {
        if path == "/v1/messages" { Dialect::Anthropic } else { Dialect::OpenAi }
    }
}

/// A number in its one form.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// What a refusal is written down with.
#[derive(Default)]
struct Known {
    key: Option<Arc<str>>,
    model: Option<String>,
}

/// Answers one request.
pub(crate) async fn handle(
    gate: Arc<Gate>,
    connection: Arc<ConnState>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, io::Error> {
    let (id, number) = (gate.next_request(), connection.begin());
    gate.metrics.requests.inc();
    let observed = Observed::begin(&gate, id, &request);
    let dialect = Route::dialect(request.uri().path());
    let mut known = Known::default();
    let answered = answer(&gate, &connection, number, id, request, &mut known, &observed).await;
    Ok(answered.unwrap_or_else(|refusal| {
        gate.metrics.refused(refusal.code);
        observed.refused(refusal.code);
        let (at_ms, code) = (gate.now().wall_ms, refusal.code.name());
        gate.base.audit.refused(Refused { request: id, at_ms, key: known.key, model: known.model, code });
        refused(&refusal, dialect, id)
    }))
}

/// A refusal as an answer.
pub(crate) fn refused(refusal: &Refusal, dialect: Dialect, id: RequestId) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(refusal.body(dialect, id)));
    *response.status_mut() =
        StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(HeaderValue::from_str(&id.to_string()).map(|id| (REQUEST_ID, id)));
    headers.extend(refusal.retry_after_s.map(|wait| (header::RETRY_AFTER, HeaderValue::from(wait))));
    response
}

async fn answer(
    gate: &Arc<Gate>,
    connection: &Arc<ConnState>,
    number: u64,
    id: RequestId,
    request: Request<Incoming>,
    known: &mut Known,
    observed: &Arc<Observed>,
) -> Result<Response<Answer>, Refusal> {
    let route = Route::find(request.method(), request.uri().path())?;
    observed.note(|report, _| (report.method, report.route) = route.name());
    let key = key(request.headers())?;
    // Before the body: who has no key sends no bodies.
    let caller = Arc::clone(gate.snapshot().caller(key, gate.now())?);
    known.key = Some(Arc::clone(&caller.key));
    observed.note(|report, _| report.key = Some(Arc::clone(&caller.key)));
    let (path, upstream, api) = match route {
        Route::Models => return models(gate, key, id),
        Route::Receipt(intent) => return receipt(gate, intent, &caller.subject, id, observed).await,
        Route::Ask { path, upstream, api } => (path, upstream, api),
    };
    gate.ready()?;
    let (head, body) = request.into_parts();
    let body = read_body(gate, &head.headers, body).await?;
    observed.note(|report, passed| report.times.read = Some(passed));
    let ask = Ask::read(&body, gate.limits.depth)?;
    known.model = Some(ask.model.clone());

    let facts = facts(&ask, &head.headers, body.len())?;
    let (snapshot, now) = (gate.snapshot(), gate.now());
    let permit = admit(&snapshot, now, key, &facts)?;
    if permit.served.upstreams.iter().any(|upstream| upstream.api != api) {
        let message = format!("`{}` does not speak the protocol of `{path}`", permit.served.name);
        return Err(Refusal::new(Code::WrongApi, message));
    }
    if permit.served.keep == Keep::Full && body.len() as u64 > MAX_KEPT_BYTES {
        let message =
            format!("content is kept at this stage, and the body is larger than {MAX_KEPT_BYTES} bytes");
        return Err(Refusal::new(Code::TooLarge, message));
    }
    observed.admitted(&permit);
    let model = Arc::clone(&permit.served.name);
    let (live, cut) = gate.live.enter(key, model, Arc::clone(connection), number);
    // What was forbidden between the decision and this line is found here; what is forbidden later comes by `cut`.
    gate.snapshot().forbids(key, &permit.served.name, gate.now())?;
    let mut headers = passed_on(&head.headers);
    headers.extend(observed.trace_header().map(|trace| (HeaderName::from_static(TRACEPARENT), trace)));
    let observed = Arc::clone(observed);
    forward(gate, Admitted { id, path, upstream, headers, body, ask, permit, now, live, cut, observed }).await
}

/// The SHA-256 of the one key of a request.
fn key(headers: &HeaderMap) -> Result<Digest, Refusal> {
    let unclear = |why: &str| Refusal::new(Code::KeyUnclear, why);
    let mut found: Option<&str> = None;
    for (name, prefix) in [(header::AUTHORIZATION, "Bearer "), (HeaderName::from_static("x-api-key"), "")] {
        for value in headers.get_all(name) {
            let text = value.to_str().map_err(|_| unclear("the key has characters that no key has"))?;
            let start = text.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix));
            let key = start
                .map(|start| &text[start.len()..])
                .ok_or_else(|| unclear("`Authorization` is no `Bearer KEY`"))?;
            if found.is_some_and(|other| other != key) {
                return Err(unclear("two different keys came along"));
            }
            found = Some(key);
        }
    }
    let key = found
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Refusal::new(Code::KeyMissing, "no key came along"))?;
    if key.len() > MAX_KEY_BYTES {
        return Err(unclear("the key is longer than any key of this gate"));
    }
    Ok(caller::hash(key))
}

fn facts<'a>(ask: &'a Ask, headers: &'a HeaderMap, body_bytes: usize) -> Result<Facts<'a>, Refusal> {
    let floor = |name: &'static str| -> Result<Option<&'a str>, Refusal> {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().ok().filter(|_| values.next().is_none());
        text.map(|text| Some(text.trim()))
            .ok_or_else(|| Refusal::new(Code::BadRequest, format!("`{name}` is there twice, or is no text")))
    };
    let min_stage = match floor(MIN_STAGE)? {
        None => None,
        Some(text) => {
            Some(Stage::ALL.iter().copied().find(|stage| stage.name() == text).ok_or_else(|| {
                let known: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
                let (text, known) = (one_line(text, 40), known.join(", "));
                Refusal::new(Code::BadRequest, format!("`{MIN_STAGE}` is `{text}`, which is none of {known}"))
            })?)
        }
    };
    Ok(Facts {
        model: &ask.model,
        body_bytes: body_bytes as u64,
        max_output_tokens: ask.max_output_tokens,
        tools: ask.tools,
        min_stage,
        min_assurance: floor(MIN_ASSURANCE)?,
    })
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(8);
    for name in PASSED_ON {
        if let Some(value) = headers.get(&name) {
            passed.insert(name, value.clone());
        }
    }
    // Compressed answers could not be counted.
    passed.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    passed
}

/// The whole body: it is written down before anything is forwarded.
async fn read_body(gate: &Gate, headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Refusal> {
    let most = gate.limits.request_bytes;
    let too_large = || Refusal::new(Code::TooLarge, format!("the body is larger than {most} bytes"));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(Refusal::new(Code::BadRequest, "compressed bodies are not read"));
    }
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let collect = async {
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let broken = |_| Refusal::new(Code::BadRequest, "the body breaks off");
            let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
            if first.len() + whole.len() + bytes.len() > most {
                return Err(too_large());
            }
            // Most bodies come in one piece, which needs no copy.
            if first.is_empty() && whole.is_empty() {
                first = bytes;
                continue;
            }
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&bytes);
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    };
    let late =
        |_| Refusal::new(Code::TooSlow, format!("the body did not come within {:?}", gate.limits.body));
    tokio::time::timeout(gate.limits.body, collect).await.map_err(late)?
}

/// The models that this key may use now.
fn models(gate: &Gate, key: Digest, id: RequestId) -> Result<Response<Answer>, Refusal> {
    let (snapshot, now) = (gate.snapshot(), gate.now());
    let mut names: Vec<_> = snapshot.models.keys().collect();
    names.sort();
    let mut data = Vec::new();
    for name in names {
        match snapshot.forbids(key, name, now) {
            Ok((caller, served)) if open_to(&snapshot, caller, served).is_ok() => {
                let license = &served.license;
                data.push(json!({
                    "id": &**name, "object": "model", "created": license.validity.not_before.seconds(), "owned_by": "loadline",
                    "loadline": { "license": license.digest, "stage": license.stage, "assurance": license.assurance },
                }));
            }
            // What forbids the key forbids the list.
            Err(refusal) if is_about_the_key(refusal.code) => return Err(refusal),
            _ => {}
        }
    }
    let mut response = Response::new(Answer::whole(json!({ "object": "list", "data": data }).to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(HeaderValue::from_str(&id.to_string()).map(|id| (REQUEST_ID, id)));
    Ok(response)
}

fn is_about_the_key(code: Code) -> bool {
    matches!(code, Code::KeyUnknown | Code::KeyRevoked | Code::KeyExpired | Code::OutOfHours)
}
