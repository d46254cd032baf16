//! Requests out, bodies in: the connection pool, limits, masking.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, RANGE, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use loadline_core::untrusted::one_line;
use loadline_core::{ModelError, ModelErrorKind, ModelOutput, Secret};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::base_url::BaseUrl;
use crate::causes::{self, chain, find};
use crate::classify::{self, Complaint};
use crate::connect::{self, Dial};
use crate::options::Environment;
use crate::room::{BODY_LIMIT, Body, Room, TooBig, Turns};

/// Largest error body that is read, in bytes.
const ERROR_LIMIT: usize = 1 << 20;

/// Most response headers, and most bytes of them.
const HEADERS_LIMIT: usize = 128;
const HEADER_BYTES_LIMIT: usize = 256 << 10;

/// How long an endpoint may take to say what models it has.
const ADVICE_LIMIT: Duration = Duration::from_secs(5);

/// Answers in a foreign shape, with never a good one, after which the endpoint counts as the wrong one.
const STRANGE_LIMIT: u32 = 3;

/// Where the key comes from, for advice.
#[derive(Clone, Debug)]
pub(crate) struct KeySource {
    /// The variable that is read.
    pub(crate) variable: String,
    /// Whether a key was found there and is sent.
    pub(crate) sent: bool,
}

/// A connection to one endpoint.
pub(crate) struct Transport {
    client: Client<Dial, Full<Bytes>>,
    turns: Turns,
    base: BaseUrl,
    models: Uri,
    headers: HeaderMap,
    secrets: Vec<Secret>,
    key: KeySource,
    /// The endpoint has answered as the protocol says at least once.
    has_answered: AtomicBool,
    /// 2xx answers in a foreign shape so far.
    strange: AtomicU32,
    /// The name of the model that is asked for, to tell whether it is among those offered.
    model: String,
    /// What the endpoint says it has, asked for once, when a model is not found.
    offered: OnceCell<String>,
}

/// A 2xx answer.
pub(crate) enum Answer<'a> {
    /// The whole body.
    Whole(Body<Room<'a>>),
    /// A stream of events that is still coming in.
    Events(Incoming),
}

impl Transport {
    /// Prepares requests to `base` that carry `secret_headers` (each masked in every error). Makes no call.
    pub(crate) fn new(
        base: BaseUrl,
        environment: &Environment,
        secret_headers: Vec<(HeaderName, String, Secret)>,
        key: KeySource,
    ) -> Result<Self, ModelError> {
        let way = connect::way(&base, environment)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Without it any content coding would be welcome (RFC 9110, section 12.5.3).
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("loadline/", env!("CARGO_PKG_VERSION"))));
        let host = HeaderValue::from_str(base.authority().as_str());
        headers.insert(HOST, host.map_err(|_| internal("the host is not a header value"))?);
        let mut secrets = Vec::new();
        if let Some(value) = way.proxy_authorization {
            let word = value.to_str().ok().and_then(|value| value.split(' ').next_back());
            secrets.extend(word.map(Secret::new));
            headers.insert(PROXY_AUTHORIZATION, value);
        }
        for (name, prefix, secret) in secret_headers {
            let value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose()));
            let mut value = value.map_err(|_| internal("the key is not a header value"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
            secrets.push(secret);
        }
        let client = Client::builder(TokioExecutor::new())
            .http1_max_headers(HEADERS_LIMIT)
            .http1_max_buf_size(HEADER_BYTES_LIMIT)
            .set_host(false)
            .build(way.dial);
        let models = base.join("/models")?;
        Ok(Self {
            client,
            turns: Turns::new(),
            base,
            models,
            headers,
            secrets,
            key,
            has_answered: AtomicBool::new(false),
            strange: AtomicU32::new(0),
            model: String::new(),
            offered: OnceCell::new(),
        })
    }

    /// Names the model, for advice.
    pub(crate) fn for_model(mut self, name: &str) -> Self {
        name.clone_into(&mut self.model);
        self
    }

    /// A header for every request.
    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// The endpoint, as the user knows it.
    pub(crate) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Makes one attempt: any status but 2xx, and any web page, is an error.
    pub(crate) async fn post(&self, uri: &Uri, body: Vec<u8>) -> Result<Answer<'_>, ModelError> {
        let response = self.send(self.request(Method::POST, uri, Bytes::from(body))).await?;
        if !response.status().is_success() {
            let error = self.refusal(response).await;
            return Err(self.advise(error, uri).await);
        }
        let status = response.status();
        if let Some(coding) = coding(response.headers()) {
            return Err(self.encoded(&coding));
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if content_type.starts_with(b"text/event-stream") {
            return Ok(Answer::Events(response.into_body()));
        }
        let body = self.read(response.into_body(), BODY_LIMIT).await?;
        if body.is_empty() && status != StatusCode::OK {
            return Err(self.strange(&format!("{} answered {status}, and no answer came with it", self.base)));
        }
        if classify::looks_like_html(&body) { Err(self.web_page(&body)) } else { Ok(Answer::Whole(body)) }
    }

    fn request(&self, method: Method, uri: &Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        request.headers_mut().clone_from(&self.headers);
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ModelError> {
        self.client.request(request).await.map_err(|error| self.broken(&error))
    }

    /// Asks for a file or, by `HEAD`, for what is said of it; from a byte on when `from` is not 0. Any status comes
    /// back as it is.
    pub(crate) async fn file(
        &self,
        method: Method,
        uri: &Uri,
        from: u64,
    ) -> Result<Response<Incoming>, ModelError> {
        let mut request = self.request(method, uri, Bytes::new());
        request.headers_mut().remove(CONTENT_TYPE);
        if from > 0 {
            let range = HeaderValue::try_from(format!("bytes={from}-"));
            request
                .headers_mut()
                .insert(RANGE, range.map_err(|_| internal("a byte range is no header value"))?);
        }
        self.send(request).await
    }

    /// Sends bytes of a content type and reads the answer whole, whatever its status.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        uri: &Uri,
        content_type: &'static str,
        body: Bytes,
        most: usize,
    ) -> Result<(u16, Bytes), ModelError> {
        let mut request = self.request(method, uri, body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let response = self.send(request).await?;
        let status = response.status().as_u16();
        let body = self.read(response.into_body(), most).await?;
        Ok((status, Bytes::copy_from_slice(&body)))
    }

    /// The error for a response whose status is not what was hoped for.
    pub(crate) async fn refusal(&self, response: Response<Incoming>) -> ModelError {
        let (parts, body) = response.into_parts();
        // What the status says stands, even when the words behind it do not arrive.
        let read = self.read(body, ERROR_LIMIT).await.ok();
        let body = read.as_deref().filter(|_| coding(&parts.headers).is_none()).unwrap_or_default();
        let mask = |text: &str| self.mask(text);
        classify::reply(parts.status, &parts.headers, body, &self.base.to_string(), &mask)
    }

    /// Reads a body whole, up to `limit` bytes.
    async fn read(&self, mut body: Incoming, limit: usize) -> Result<Body<Room<'_>>, ModelError> {
        let (mut first, mut all, mut room) = (Bytes::new(), BytesMut::new(), self.turns.room(limit));
        if usize::try_from(body.size_hint().lower()).is_ok_and(|size| size > limit) {
            return Err(self.too_big(&TooBig(limit)));
        }
        while let Some(bytes) = self.piece(&mut body, &mut room).await? {
            if first.is_empty() && all.is_empty() {
                first = bytes;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&bytes);
        }
        Ok(room.of(if all.is_empty() { first } else { all.freeze() }))
    }

    /// Room for an answer that is read piece by piece.
    pub(crate) fn room(&self) -> Room<'_> {
        self.turns.room(BODY_LIMIT)
    }

    /// The next piece of an answer, or `None` at its end.
    pub(crate) async fn piece(
        &self,
        body: &mut Incoming,
        room: &mut Room<'_>,
    ) -> Result<Option<Bytes>, ModelError> {
        let piece = self.next_piece(body).await?;
        if let Some(bytes) = &piece {
            room.grow(bytes.len()).await.map_err(|big| self.too_big(&big))?;
        }
        Ok(piece)
    }

    /// The next piece of any body, which the caller does not keep.
    pub(crate) async fn next_piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, ModelError> {
        loop {
            match body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.cut(&error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Reads a JSON answer.
    pub(crate) fn parse<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T, ModelError> {
        match serde_json::from_slice(body) {
            Ok(answer) => Ok(answer),
            Err(error) if !error.is_data() => {
                let message = format!("{} sent JSON that is cut short or broken: {error}", self.base);
                Err(self.error(ModelErrorKind::Malformed, &message))
            }
            Err(error) => Err(self.foreign(body, &error)),
        }
    }

    /// Notes that the endpoint speaks the protocol.
    pub(crate) fn answered(&self) {
        self.has_answered.store(true, Relaxed);
    }

    /// Good JSON that is not an answer: an error object sent with a 200, or another protocol.
    pub(crate) fn foreign(&self, body: &[u8], why: &dyn std::fmt::Display) -> ModelError {
        // Masked before it is cut to a quotation: a cut would leave half a key unrecognised.
        let body = self.mask(&String::from_utf8_lossy(&body[..body.len().min(ERROR_LIMIT)]));
        if let Some(complaint) = serde_json::from_str(&body).ok().as_ref().and_then(Complaint::from_json) {
            let kind = classify::kind(StatusCode::OK, &complaint);
            return self.error(kind, &format!("{} sent an error: {}", self.base, complaint.message));
        }
        let message =
            format!("{} sent JSON that is not an answer ({why}): {}", self.base, one_line(&body, 100));
        self.strange(&message)
    }

    /// One odd answer may be a gateway's; several and never a good one is the wrong endpoint.
    fn strange(&self, message: &str) -> ModelError {
        let strange = self.strange.fetch_add(1, Relaxed) + 1;
        let wrong_place = strange >= STRANGE_LIMIT && !self.has_answered.load(Relaxed);
        let kind = if wrong_place { ModelErrorKind::NotFound } else { ModelErrorKind::Malformed };
        self.error(kind, message)
            .with_hint("does this endpoint speak the protocol? Check --base-url and --model")
    }

    fn web_page(&self, body: &[u8]) -> ModelError {
        let page = Complaint::read(self.mask(&String::from_utf8_lossy(body)).as_bytes()).message;
        // From an endpoint that has answered before it is a gateway's hiccup.
        let transient = self.has_answered.load(Relaxed);
        let kind = if transient { ModelErrorKind::Malformed } else { ModelErrorKind::NotFound };
        self.error(kind, &format!("{} sent {page} instead of an answer", self.base))
            .with_hint("is --base-url right? It usually ends in /v1, for example http://127.0.0.1:8000/v1")
    }

    /// An answer in a content coding. None was asked for: `Accept-Encoding` says so.
    fn encoded(&self, coding: &str) -> ModelError {
        let transient = self.has_answered.load(Relaxed);
        let kind = if transient { ModelErrorKind::Malformed } else { ModelErrorKind::NotFound };
        self.error(
            kind,
            &format!("{} sent an answer encoded as `{coding}`, although none was asked for", self.base),
        )
        .with_hint(
            "a proxy on the way may do that: turn it off there, or name the endpoint itself in --base-url",
        )
    }

    fn too_big(&self, &TooBig(limit): &TooBig) -> ModelError {
        let most = if limit < 1 << 20 { format!("{limit} bytes") } else { format!("{} MiB", limit >> 20) };
        let message = format!("{} sent more than {most}, which is more than is read", self.base);
        self.error(ModelErrorKind::Refused, &message)
    }

    /// An error with every secret masked.
    pub(crate) fn error(&self, kind: ModelErrorKind, message: &str) -> ModelError {
        ModelError::new(kind, self.mask(message))
    }

    /// The output with every secret masked in its text: a server that echoes the key into an answer would else put
    /// it into a record.
    pub(crate) fn masked(&self, mut output: ModelOutput) -> ModelOutput {
        if self.secrets.iter().any(|secret| output.completion.contains(secret.expose())) {
            output.completion = self.mask(&output.completion);
        }
        output
    }

    fn mask(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| secret.mask(&text))
    }

    /// Adds what the user can do.
    async fn advise(&self, mut error: ModelError, uri: &Uri) -> ModelError {
        if error.hint.is_some() {
            return error;
        }
        error.hint = match error.kind {
            ModelErrorKind::Unauthorized if self.key.sent => {
                Some(format!("check the key in {}", self.key.variable))
            }
            ModelErrorKind::Unauthorized => Some(format!(
                "no key was sent: set {}, or name another variable with --model-arg key_env=NAME",
                self.key.variable
            )),
            ModelErrorKind::NotFound => {
                let offered = self.offered.get_or_init(|| self.offered(uri)).await;
                Some(offered.clone())
            }
            _ => None,
        };
        error
    }

    /// Asks once what models there are, for a hint.
    async fn offered(&self, uri: &Uri) -> String {
        let asked = async {
            let response = self.send(self.request(Method::GET, &self.models, Bytes::new())).await.ok()?;
            let body = if response.status().is_success() { response.into_body() } else { return None };
            Some(classify::model_names(&self.read(body, ERROR_LIMIT).await.ok()?))
        };
        // Advice is not worth a long wait.
        let listed = tokio::time::timeout(ADVICE_LIMIT, asked).await.ok().flatten().unwrap_or_default();
        if listed.is_empty() {
            return format!("there may be nothing at {uri}: check --base-url, which usually ends in /v1");
        }
        if listed.contains(&self.model) {
            return format!(
                "it has the model `{}`, but nothing at {uri}: try --model-arg api=completions",
                self.model
            );
        }
        let shown: Vec<_> = listed.iter().take(10).map(String::as_str).collect();
        let more = listed.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        self.mask(&format!("it offers: {}{more}", shown.join(", ")))
    }

    /// No response at all.
    fn broken(&self, error: &hyper_util::client::legacy::Error) -> ModelError {
        let base = &self.base;
        let why = chain(error);
        if let Some(tls) = find::<rustls::Error>(error) {
            let (kind, hint) = causes::tls(tls);
            return self.error(kind, &format!("no secure connection to {base}: {why}")).with_hint(hint);
        }
        if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse_too_large) {
            let message = format!(
                "{base} sent more than {HEADERS_LIMIT} headers, or more than {} KiB of them",
                HEADER_BYTES_LIMIT >> 10
            );
            return self.error(ModelErrorKind::Malformed, &message).with_hint(
                "something on the way may add them (cookies, traces): name the endpoint itself in --base-url",
            );
        }
        if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
            let spoke = self.has_answered.load(Relaxed);
            let kind = if spoke { ModelErrorKind::Malformed } else { ModelErrorKind::NotFound };
            return self
                .error(kind, &format!("{base} does not speak HTTP: {why}"))
                .with_hint("check the port and whether the URL starts with http:// or https://");
        }
        if find::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return self.error(ModelErrorKind::Timeout, &format!("no connection to {base}: {why}"));
        }
        if error.is_connect() {
            return self
                .error(ModelErrorKind::Connection, &format!("no connection to {base}: {why}"))
                .with_hint("is the server running, and are host and port right?");
        }
        self.error(ModelErrorKind::Connection, &format!("the connection to {base} broke: {why}"))
    }

    /// A body that stopped.
    fn cut(&self, error: &hyper::Error) -> ModelError {
        let ended = error.is_incomplete_message()
            || find::<std::io::Error>(error)
                .is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof);
        let kind = if ended { ModelErrorKind::Malformed } else { ModelErrorKind::Connection };
        self.error(kind, &format!("the answer of {} was cut short: {}", self.base, chain(error)))
    }
}

/// The content coding of a body, when it has one.
fn coding(headers: &HeaderMap) -> Option<String> {
    let coding = one_line(&String::from_utf8_lossy(headers.get(CONTENT_ENCODING)?.as_bytes()), 40);
    (!coding.is_empty() && !coding.eq_ignore_ascii_case("identity")).then_some(coding)
}

fn internal(message: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Internal, message)
}
