//! What the operator sees of what is watched, and how an alarm is cleared.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use loadline_policy::Named as _;
use loadline_stats::Level;
use loadline_stats::proportion::Proportion;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Watch, Watcher, What, kind};
use crate::gate::Gate;

/// The largest answer of an operator's door.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// An alarm that is to be cleared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear {
    watch: String,
    model: String,
}

impl Watcher {
    /// Every figure with its interval, and every alarm; and what watches that are not there any more suspended.
    pub fn report(&self, gate: &Gate) -> Value {
        let tracks = self.tracks();
        let mut rows = Vec::new();
        for watch in &self.watches {
            for model in &watch.models {
                let Some(track) = tracks.get(&(watch.name.clone(), model.clone())) else { continue };
                let estimate =
                    Proportion::new(track.right, track.scored).ok().map(|right| right.wilson(Level::P95));
                let share = match watch.what {
                    What::Live { share, .. } => Some(share),
                    What::Probe { .. } => None,
                };
                rows.push(json!({
                    "watch": &*watch.name, "model": &**model, "scored_by": kind(&watch.what), "share": share,
                    "right": track.right, "estimate": estimate.map(|e| e.with_unscored(track.unscored)),
                    "unscored": track.unscored, "least": watch.figure.least,
                    "source": watch.figure.source.to_string(), "licensed": licensed(watch),
                    "alpha": watch.alpha, "ln_e": track.alarm.ln_e_value(),
                    "raised_at": track.alarm.raised_at(), "on_alarm": watch.on_alarm.name(),
                    "suspended": track.suspended, "rests": watch.rests(gate, model),
                }));
            }
        }
        let gone = self.gone();
        let gone = gone.iter().filter(|track| track.suspended);
        let gone: Vec<_> = gone.map(|track| json!({ "watch": track.watch, "model": track.model })).collect();
        json!({ "watched": rows, "suspended_by_watches_gone": gone, "dropped": self.dropped.load(Ordering::Relaxed) })
    }
}

/// The test that a figure is of, for programs; nothing for the operator's own.
fn licensed(watch: &Watch) -> Option<Value> {
    let test = watch.figure.source.licensed()?;
    Some(json!({ "test": test.id, "decision": test.decision, "policy": test.policy }))
}

/// Answers `GET /watch` and `POST /watch/clear`. The operator's key was checked.
pub(crate) async fn answer(gate: &Gate, method: &Method, body: &[u8]) -> (StatusCode, Value) {
    let said = |status, message: &str, hint: &str| (status, json!({ "error": message, "hint": hint }));
    let Some(watcher) = gate.watcher() else {
        return said(
            StatusCode::NOT_FOUND,
            "this gate watches nothing",
            "add `[[watch]]` and start it again",
        );
    };
    if *method == Method::GET {
        return (StatusCode::OK, watcher.report(gate));
    }
    let Ok(Clear { watch, model }) = serde_json::from_slice(body) else {
        return said(StatusCode::BAD_REQUEST, "no alarm is named", "`{\"watch\":\"…\",\"model\":\"…\"}`");
    };
    match watcher.clear(gate, &watch, &model).await {
        Ok(true) => (StatusCode::OK, json!({ "cleared": { "watch": watch, "model": model } })),
        Ok(false) => said(StatusCode::NOT_FOUND, "no such watch of this model", "`GET /watch` lists them"),
        Err(error) => {
            let why = format!("what is watched cannot be kept: {error}");
            said(StatusCode::INTERNAL_SERVER_ERROR, &why, "free the disk of the state folder")
        }
    }
}

/// Asks the operator's door of a gate on this machine.
///
/// # Errors
/// When there is no answer, in words.
pub async fn ask(
    door: SocketAddr,
    key: &str,
    path: &str,
    body: Option<Value>,
) -> Result<(u16, Value), String> {
    let said = |error: hyper::Error| error.to_string();
    let stream =
        TcpStream::connect(door).await.map_err(|error| format!("no connection to {door}: {error}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let driver = tokio::spawn(connection);
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, door.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(said)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    driver.abort();
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    serde_json::from_slice(&body).map(|json| (status, json)).map_err(|_| "its answer is not JSON".to_owned())
}
