//! An admitted request: reserved, written down, forwarded, and its answer passed on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Body as _;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::admission::Permit;
use crate::ask::Ask;
use crate::body::{Answer, Patience, Relayed, Ticket};
use crate::clock::Moment;
use crate::config::Api;
use crate::gate::Gate;
use crate::guard::check::{self, Collect};
use crate::guard::screen::Screen;
use crate::ledger::{
    AuditError, Durable, Ending, Intent, IntentId, Keep, MAX_KEPT_BYTES, Outcome, Recorded, RequestId,
    Reservation, UsageBasis, Used,
};
use crate::live::LiveGuard;
use crate::proxy::REQUEST_ID;
use crate::refusal::{Code, Dialect, Refusal};
use crate::report::Observed;
use crate::upstream::{Coming, Outgoing, Upstream};
use crate::usage::Meter;

/// The header with the place of a request in the audit log.
const INTENT: HeaderName = HeaderName::from_static("loadline-intent");
/// The largest error of an upstream that is passed on.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// A request that may be served.
pub(crate) struct Admitted {
    pub(crate) id: RequestId,
    pub(crate) path: &'static str,
    pub(crate) upstream: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) ask: Ask,
    pub(crate) permit: Permit,
    pub(crate) now: Moment,
    pub(crate) live: LiveGuard,
    pub(crate) cut: oneshot::Receiver<Refusal>,
    pub(crate) observed: Arc<Observed>,
}

/// An intent on its way to the disk. When the caller leaves meanwhile, its outcome is written all the same.
struct Writing {
    gate: Arc<Gate>,
    intent: Option<Durable<Recorded>>,
    reservation: Option<Reservation>,
}

impl Future for Writing {
    type Output = (Result<Recorded, AuditError>, Option<Reservation>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(intent) = &mut self.intent else { return Poll::Pending };
        let written = std::task::ready!(intent.as_mut().poll(context));
        self.intent = None;
        Poll::Ready((written, self.reservation.take()))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let Some(intent) = self.intent.take() else { return };
        let (gate, reservation) = (Arc::clone(&self.gate), self.reservation.take());
        tokio::spawn(async move {
            let written = intent.await;
            if let Some(reservation) = reservation {
                gate.base.quota.settle(reservation, 0);
            }
            if let Ok(recorded) = written {
                gate.base.audit.outcome(recorded, nothing(&gate, Ending::CallerLeft, 0));
            }
        });
    }
}

/// The outcome of a request that was not forwarded after all.
fn nothing(gate: &Gate, ending: Ending, status: u16) -> Outcome {
    let used = Used { input: 0, output: 0, basis: UsageBasis::Estimated };
    Outcome { at_ms: gate.now().wall_ms, status, ending, used, delivered_bytes: 0 }
}

/// Forwards a request.
pub(crate) async fn forward(gate: &Arc<Gate>, mut admitted: Admitted) -> Result<Response<Answer>, Refusal> {
    let (recorded, reservation) = write_down(gate, &admitted).await?;
    if let Ok(refusal) = admitted.cut.try_recv() {
        if let Some(reservation) = reservation {
            gate.base.quota.settle(reservation, 0);
        }
        gate.base.audit.outcome(recorded, nothing(gate, Ending::Stopped, refusal.code.status()));
        return Err(refusal);
    }
    let intent = recorded.id;
    let Admitted { id, upstream, headers, body, ask, permit, now, live, mut cut, observed, .. } = admitted;
    observed.note(|report, passed| (report.intent, report.times.sent) = (Some(intent), Some(passed)));
    let mut ticket = Ticket {
        gate: Arc::clone(gate),
        recorded: Some(recorded),
        reservation,
        request: id,
        model: Arc::clone(&permit.served.name),
        status: 0,
        meter: Meter::new(false),
        input_tokens: permit.input_tokens,
        max_output: ask.max_output_tokens,
        delivered: 0,
        tap: gate.watcher().and_then(|watcher| watcher.tap(id, &permit.served.name, &body)),
        observed,
        _live: live,
    };
    let passed = look_at_request(gate, &permit, id, &body, &mut cut).await;
    if let Err((ending, refusal)) = passed {
        // No model has seen it.
        ticket.input_tokens = 0;
        ticket.status = refusal.code.status();
        ticket.end(ending);
        return Err(refusal);
    }
    if !permit.served.guards.input.is_empty() {
        // What the guards took is time that the gate adds.
        ticket.observed.note(|report, passed| report.times.sent = Some(passed));
    }
    gate.metrics.forwarded.inc();
    let body = ask.with_model(&body, &permit.served.upstream_model);
    let default_output_tokens = gate.limits.default_output_tokens;
    let outgoing = Outgoing { path: upstream, headers, body, request: id, at: now, default_output_tokens };
    let sent = tokio::select! {
        biased;
        Ok(refusal) = &mut cut => Err((Ending::Stopped, refusal)),
        sent = send(gate, &permit, &outgoing) => sent,
    };
    let begun = match sent {
        Ok((response, from)) => begin(response, from, &permit, &mut ticket, &mut cut).await,
        Err(failed) => Err(failed),
    };
    match begun {
        Ok(begun) => Ok(respond(begun, ticket, cut, intent, &permit)),
        Err((ending, refusal)) => {
            ticket.status = refusal.code.status();
            ticket.end(ending);
            Err(refusal)
        }
    }
}

/// Sends the request through the guards of its model, where there are any.
async fn look_at_request(
    gate: &Gate,
    permit: &Permit,
    id: RequestId,
    body: &Bytes,
    cut: &mut oneshot::Receiver<Refusal>,
) -> Result<(), Failed> {
    if permit.served.guards.input.is_empty() {
        return Ok(());
    }
    tokio::select! {
        biased;
        Ok(refusal) = &mut *cut => Err((Ending::Stopped, refusal)),
        passed = check::input(gate, &permit.served, id, body) => {
            passed.map_err(|refusal| (Ending::GuardRefused, refusal))
        }
    }
}

/// Reserves, and writes the intent. It is on the disk when this returns.
async fn write_down(
    gate: &Arc<Gate>,
    admitted: &Admitted,
) -> Result<(Recorded, Option<Reservation>), Refusal> {
    let Admitted { id, path, body, permit, now, .. } = admitted;
    let Permit { caller, served, epoch, charges, reserved, .. } = permit;
    let reservation = match charges.is_empty() {
        true => None,
        false => Some(gate.base.quota.reserve(charges, *reserved, now.wall_ms)?),
    };
    let intent = gate.base.audit.intent(Intent {
        request: *id,
        at_ms: now.wall_ms,
        key: Arc::clone(&caller.key),
        subject: Arc::clone(&caller.subject),
        route: path,
        model: Arc::clone(&served.name),
        model_digest: Some(served.license.model),
        license: Some(served.license.digest),
        stage: Some(served.license.stage),
        standing_epoch: *epoch,
        charges: charges.clone(),
        reserved: *reserved,
        keep: served.keep,
        content: body.clone(),
    });
    let waiting = Instant::now();
    let (written, reservation) = Writing { gate: Arc::clone(gate), intent: Some(intent), reservation }.await;
    admitted.observed.note(|report, _| report.times.flush = Some(waiting.elapsed()));
    match written {
        Ok(recorded) => Ok((recorded, reservation)),
        Err(error) => {
            if let Some(reservation) = reservation {
                gate.base.quota.settle(reservation, 0);
            }
            Err(Refusal::new(Code::AuditUnavailable, error.to_string()))
        }
    }
}

type Failed = (Ending, Refusal);

/// Sends to the upstreams of a model in turn, those that failed a moment ago last, until one answers. Another one is
/// tried only while nothing of an answer has come.
async fn send(
    gate: &Gate,
    permit: &Permit,
    outgoing: &Outgoing,
) -> Result<(Response<Coming>, Arc<Upstream>), Failed> {
    let passed_ms = gate.now().passed_ms;
    let all = &permit.served.upstreams;
    let (failing, well): (Vec<_>, Vec<_>) = all.iter().partition(|upstream| upstream.is_failing(passed_ms));
    let order: Vec<_> = well.into_iter().chain(failing).collect();
    let mut failed = None;
    for (at, upstream) in order.iter().enumerate() {
        let is_last = at + 1 == order.len();
        match upstream.send(&*gate.base.dial, outgoing, passed_ms).await {
            Ok(response) if matches!(response.status().as_u16(), 502..=504) && !is_last => {}
            Ok(response) => return Ok((response, Arc::clone(upstream))),
            Err(error) => {
                let (ending, refusal, may_go_on) = error.refusal();
                failed = Some((ending, refusal));
                if !may_go_on {
                    break;
                }
            }
        }
    }
    let none = || (Ending::UpstreamFailed, Refusal::new(Code::UpstreamUnreachable, "no upstream"));
    Err(failed.unwrap_or_else(none))
}

/// An answer whose first bytes are here.
struct Begun {
    head: hyper::http::response::Parts,
    first: Option<Bytes>,
    rest: Coming,
    from: Arc<Upstream>,
}

/// Waits for the first bytes of an answer, so that they leave together with its head. An error is read whole.
async fn begin(
    response: Response<Coming>,
    from: Arc<Upstream>,
    permit: &Permit,
    ticket: &mut Ticket,
    cut: &mut oneshot::Receiver<Refusal>,
) -> Result<Begun, Failed> {
    let (head, mut rest) = response.into_parts();
    ticket.status = head.status.as_u16();
    ticket.meter = Meter::new(is_stream(&head.headers));
    if !head.status.is_success() {
        let model = Arc::clone(&ticket.model);
        return Err(tokio::select! {
            biased;
            Ok(refusal) = &mut *cut => (Ending::Stopped, refusal),
            failed = error_of(&head, rest, &from, &model) => failed,
        });
    }
    let broken = || {
        let refusal =
            Refusal::new(Code::UpstreamFailed, "the upstream broke off before the first byte of its answer");
        (Ending::UpstreamFailed, refusal)
    };
    let late =
        || (Ending::TimedOut, Refusal::new(Code::UpstreamTimedOut, "the upstream sent a head and no answer"));
    let mut first = None;
    while first.is_none() && !rest.is_end_stream() {
        let frame = tokio::select! {
            biased;
            Ok(refusal) = &mut *cut => return Err((Ending::Stopped, refusal)),
            frame = tokio::time::timeout(from.idle, rest.frame()) => frame.map_err(|_| late())?,
        };
        let Some(frame) = frame else { break };
        first = frame.map_err(|_| broken())?.into_data().ok().filter(|bytes| !bytes.is_empty());
    }
    let (guards, is_stream) = (&permit.served.guards, is_stream(&head.headers));
    if !guards.output.is_empty() && (!is_stream || guards.need_all()) {
        let answer = Collect { first, rest: &mut rest, from: &from, cut, is_stream };
        let (gate, id) = (Arc::clone(&ticket.gate), ticket.request);
        match check::output(&gate, &permit.served, id, answer).await {
            Ok(whole) => first = Some(whole).filter(|whole| !whole.is_empty()),
            Err((ending, refusal, written)) => {
                // The model has written it, whoever reads it.
                ticket.meter.feed(&written);
                return Err((ending, refusal));
            }
        }
    }
    Ok(Begun { head, first, rest, from })
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// An upstream's error, in words for the caller. The upstream's own words follow where they may be of use; its key is
/// masked in them.
async fn error_of(
    head: &hyper::http::response::Parts,
    mut body: Coming,
    from: &Upstream,
    model: &str,
) -> Failed {
    let mut said = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.into_data().unwrap_or_default();
            said.extend_from_slice(&bytes[..bytes.len().min(MAX_ERROR_BYTES - said.len())]);
            if said.len() == MAX_ERROR_BYTES {
                break;
            }
        }
    };
    // What has come by then is enough.
    let _ = tokio::time::timeout(from.idle, read).await;
    let status = head.status.as_u16();
    let text = from.mask(&String::from_utf8_lossy(&said));
    let words = serde_json::from_str::<serde_json::Value>(&text).ok();
    let words =
        words.as_ref().and_then(|json| json["error"]["message"].as_str().or(json["message"].as_str()));
    let words = loadline_core::untrusted::one_line(words.unwrap_or_default(), 1_000);
    let (code, words) = match status {
        // It is the gate's key that is wrong, and no matter of the caller.
        401 | 403 => (Code::UpstreamFailed, String::new()),
        429 => (Code::UpstreamBusy, words),
        400..=499 => (Code::UpstreamRefused, words),
        _ => (Code::UpstreamFailed, words),
    };
    let colon = if words.is_empty() { "" } else { ": " };
    let mut refusal =
        Refusal::new(code, format!("the upstream of `{model}` answered {status}{colon}{words}"));
    let wait = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    refusal.retry_after_s = wait;
    (Ending::UpstreamFailed, refusal)
}

/// The answer to the caller.
fn respond(
    begun: Begun,
    ticket: Ticket,
    cut: oneshot::Receiver<Refusal>,
    intent: IntentId,
    permit: &Permit,
) -> Response<Answer> {
    let Begun { head, first, rest, from } = begun;
    let (id, is_stream) = (ticket.request, is_stream(&head.headers));
    if is_stream {
        ticket.gate.metrics.streams.inc();
    }
    ticket.observed.note(|report, passed| (report.is_stream, report.times.first) = (is_stream, Some(passed)));
    let mut most = ticket.gate.limits.response_bytes;
    if permit.served.keep == Keep::Full {
        most = most.min(MAX_KEPT_BYTES);
    }
    let now = Instant::now();
    let left = first.as_ref().map_or(0, |first| first.len() as u64);
    let length = rest.size_hint().exact().filter(|_| !is_stream).map(|rest| rest + left);
    let patience = Patience { idle: from.idle, end: now + from.total };
    let mut relayed = Relayed {
        first,
        upstream: Some(rest),
        ticket,
        cut,
        dialect: if from.api == Api::Anthropic { Dialect::Anthropic } else { Dialect::OpenAi },
        is_stream,
        left: most,
        patience,
        last: now,
        screen: if is_stream && !permit.served.guards.need_all() {
            Screen::of(&permit.served.guards.output)
        } else {
            None
        },
        timer: Box::pin(tokio::time::sleep_until((now + patience.idle).min(patience.end))),
        length,
    };
    relayed.end_if_empty();
    let mut response = Response::new(Answer::Relayed(Box::new(relayed)));
    *response.status_mut() = head.status;
    let headers = response.headers_mut();
    if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    if is_stream {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    headers.extend(HeaderValue::from_str(&id.to_string()).map(|id| (REQUEST_ID, id)));
    headers.insert(INTENT, HeaderValue::from(intent.0));
    let stage = loadline_policy::Named::name(permit.served.license.stage);
    headers.insert(HeaderName::from_static("loadline-stage"), HeaderValue::from_static(stage));
    response
}
