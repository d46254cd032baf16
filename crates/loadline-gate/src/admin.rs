//! The operator's own door: health, figures, reload, and orders to stop. It listens on a loopback address only.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use loadline_core::Digest;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::caller;
use crate::gate::{Gate, Ordered};
use crate::ledger::StopError;
use crate::readiness::Readiness;
use crate::watch::door;

/// The largest order.
const MAX_ORDER_BYTES: usize = 256 << 10;
/// Most connections at once.
const CONNECTIONS: usize = 64;
/// Longest wait for a head or an order.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the configuration again. What it came to, or why it stays as it was.
pub type Reload = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// The key of an operator's door, as its SHA-256.
#[derive(Clone)]
pub struct OperatorKey(Digest);

impl OperatorKey {
    /// Of this key, without blanks around it. None when nothing is left: no header could carry it.
    pub fn of(key: &str) -> Option<Self> {
        let key = key.trim();
        (!key.is_empty()).then(|| Self(caller::hash(key)))
    }

    /// Whether a value of `Authorization` has it.
    pub fn opens(&self, authorization: Option<&str>) -> bool {
        // Hashes are compared: how long that takes says nothing about the key.
        authorization
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|key| caller::hash(key) == self.0)
    }
}

/// The operator's door.
#[derive(Clone)]
pub struct Admin {
    gate: Arc<Gate>,
    key: OperatorKey,
    reload: Reload,
}

impl Admin {
    /// A door with this key.
    pub fn new(gate: Arc<Gate>, key: OperatorKey, reload: Reload) -> Self {
        Self { gate, key, reload }
    }

    /// Serves until `ending` says so.
    pub async fn serve(self, listener: TcpListener, mut ending: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accept = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                _ = ending.wait_for(|ends| *ends) => return,
                accepted = accept => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let admin = admin.clone();
                    async move { Ok::<_, Infallible>(admin.answer(request).await) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
                // Who breaks off ends the connection and nothing else.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                drop(permit);
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/health") => json_of(StatusCode::OK, &json!({ "status": "alive" })),
            (&Method::GET, "/ready") => self.ready(),
            // An order is signed: whoever brings it needs no key.
            (&Method::POST, "/orders") => self.order(request).await,
            (&Method::GET, "/stops") => self.stops(),
            (&Method::GET, "/metrics") if self.knows(&request) => self.metrics(),
            (&Method::POST, "/reload") if self.knows(&request) => match (self.reload)().await {
                Ok(done) => json_of(StatusCode::OK, &json!({ "reloaded": done })),
                Err(why) => error(StatusCode::UNPROCESSABLE_ENTITY, &why, "the gate goes on as before"),
            },
            (&Method::GET, "/watch") | (&Method::POST, "/watch/clear") if self.knows(&request) => {
                self.watch(request).await
            }
            (_, "/metrics" | "/reload" | "/watch" | "/watch/clear") => error(
                StatusCode::UNAUTHORIZED,
                "no key, or not the operator's",
                "send `Authorization: Bearer KEY`",
            ),
            _ => error(
                StatusCode::NOT_FOUND,
                "no such path",
                "/health, /ready, /stops, /orders, /metrics, /reload, /watch, /watch/clear",
            ),
        }
    }

    fn knows(&self, request: &Request<Incoming>) -> bool {
        self.key.opens(request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()))
    }

    fn alarms(&self) -> u64 {
        self.gate.watcher().map_or(0, |watcher| watcher.alarms())
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let Readiness { refusal, epoch, models, models_open } = self.gate.readiness();
        match refusal {
            None => {
                let said = json!({
                    "status": "ready", "epoch": epoch, "models": models, "open": models_open,
                    "alarms": self.alarms(),
                });
                json_of(StatusCode::OK, &said)
            }
            Some(refusal) => error(StatusCode::SERVICE_UNAVAILABLE, &refusal.message, refusal.code.hint()),
        }
    }

    async fn watch(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let method = request.method().clone();
        let body = Limited::new(request.into_body(), MAX_ORDER_BYTES).collect();
        let body = tokio::time::timeout(PATIENCE, body).await.ok().and_then(Result::ok);
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let (status, answer) = door::answer(&self.gate, &method, &body).await;
        json_of(status, &answer)
    }

    fn stops(&self) -> Response<Full<Bytes>> {
        let (stops, terms) = (self.gate.base.stops.stops(), self.gate.base.stops.terms());
        let said = json!({
            "gate": terms.gate, "stopped": stops.targets, "last": stops.last, "start_needs": terms.start_needs,
            "stop_keys": terms.stop_keys,
        });
        json_of(StatusCode::OK, &said)
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let text = self.gate.metrics.text(&self.gate);
        let mut response = Response::new(Full::new(Bytes::from(text)));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    async fn order(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = Limited::new(request.into_body(), MAX_ORDER_BYTES).collect();
        let Ok(Ok(body)) = tokio::time::timeout(PATIENCE, body).await else {
            return error(
                StatusCode::BAD_REQUEST,
                "no order came, or too large a one",
                "send a signed order",
            );
        };
        // It runs to its end whether or not whoever brought it waits for that.
        let gate = Arc::clone(&self.gate);
        let ordered = tokio::spawn(async move { gate.order(body.to_bytes()).await }).await;
        match ordered {
            Ok(Ok(ordered)) => json_of(StatusCode::OK, &self.followed(&ordered)),
            Ok(Err(StopError::Refused { message, hint })) => error(StatusCode::FORBIDDEN, &message, &hint),
            Ok(Err(other)) => error(
                StatusCode::INTERNAL_SERVER_ERROR,
                &other.to_string(),
                "the gate serves nothing any more",
            ),
            Err(_) => {
                error(StatusCode::INTERNAL_SERVER_ERROR, "the order was not followed to its end", "try again")
            }
        }
    }

    /// What an order came to, and which models it is about.
    fn followed(&self, ordered: &Ordered) -> Value {
        let Ordered { stops, cut, kept_in, cut_in } = ordered;
        let snapshot = self.gate.snapshot();
        let (models, known) = match &stops.named {
            Some(target) => snapshot.covered(target),
            None => (Vec::new(), false),
        };
        let covers = models.iter().map(|served| {
            let license = &served.license;
            json!({
                "name": &*served.name, "model": license.model, "license": license.digest, "stage": license.stage,
            })
        });
        json!({
            "gate": self.gate.base.stops.terms().gate, "known": known, "covers": covers.collect::<Vec<_>>(),
            "stopped": stops.targets, "last": stops.last, "cut": cut.told, "reset": cut.reset,
            "kept_in_us": micros(*kept_in), "cut_in_us": micros(*cut_in),
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn json_of(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error(status: StatusCode, message: &str, hint: &str) -> Response<Full<Bytes>> {
    json_of(status, &json!({ "error": { "message": message, "hint": hint } }))
}
