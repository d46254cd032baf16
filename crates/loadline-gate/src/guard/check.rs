//! What is known as a whole goes through the guards: a request, and an answer that nothing has been passed on of.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::select_all;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::hold::Budget;
use super::own::Own;
use super::{Action, Did, Guard, OnFailure, Side, Texts, aside, text};
use crate::gate::Gate;
use crate::ledger::{Ending, Event, RequestId};
use crate::refusal::{Code, Refusal};
use crate::snapshot::Served;
use crate::upstream::{Coming, Upstream};

/// The largest answer that is held to be looked at.
const MAX_ANSWER_BYTES: u64 = 32 << 20;

/// The refusal of a guard.
pub(crate) fn refusal(guard: &Guard) -> Refusal {
    let what = match guard.side {
        Side::Input => "request",
        Side::Output => "answer",
    };
    Refusal::new(Code::GuardRefused, format!("guard `{}` does not let this {what} pass", guard.name))
}

/// Counts and writes down what a guard did.
pub(crate) fn note(gate: &Gate, request: RequestId, guard: &Guard, did: Did) {
    let counter = match did {
        Did::Refused | Did::Flagged => &gate.metrics.guard_matches,
        Did::FailedClosed | Did::FailedOpen => &gate.metrics.guard_failures,
    };
    counter.inc();
    let event = Event::Guard { request, guard: Arc::clone(&guard.name), side: guard.side, did };
    // The row is handed over at once; nobody waits until it is on the disk.
    drop(gate.base.audit.event(event));
}

/// Asks one guard about texts. A classifier or judge is not asked where a model that is forbidden now is served, and no
/// longer once it is.
///
/// # Errors
/// When there is no answer, in words.
pub(crate) async fn ask(gate: &Gate, guard: &Guard, texts: &Arc<Texts>) -> Result<bool, String> {
    let matched = guard.matches(texts, &*gate.base.dial, gate.now().passed_ms);
    let Some(upstream) = guard.asked() else { return matched.await };
    let snapshot = gate.snapshot();
    let there = |served: &&Arc<Served>| served.upstreams.iter().any(|known| known.is_where(upstream));
    let there = snapshot.models.values().filter(there).map(|served| Own::enter(gate, &served.name));
    let mut there = there.collect::<Result<Vec<_>, _>>().map_err(|refusal| refusal.to_string())?;
    if there.is_empty() {
        return matched.await;
    }
    tokio::select! {
        biased;
        (refusal, ..) = select_all(there.iter_mut().map(|own| Box::pin(own.cut()))) => Err(refusal.to_string()),
        matched = matched => matched,
    }
}

/// Asks guards about texts, in their order.
async fn pass(gate: &Gate, request: RequestId, guards: &[Arc<Guard>], texts: Texts) -> Result<(), Refusal> {
    let texts = Arc::new(texts);
    for guard in guards {
        let matched = ask(gate, guard, &texts).await;
        match (matched, guard.action, guard.on_failure) {
            (Ok(false), _, _) => {}
            (Ok(true), Action::Flag | Action::Score, _) => note(gate, request, guard, Did::Flagged),
            (Ok(true), Action::Refuse | Action::Cut, _) => {
                note(gate, request, guard, Did::Refused);
                return Err(refusal(guard));
            }
            (Err(_), _, OnFailure::Open) => note(gate, request, guard, Did::FailedOpen),
            (Err(_), _, OnFailure::Closed) => {
                note(gate, request, guard, Did::FailedClosed);
                // Why is the operator's matter: it may name what stands behind the gate.
                let message = format!("guard `{}` could not be asked", guard.name);
                return Err(Refusal::new(Code::GuardFailed, message));
            }
        }
    }
    Ok(())
}

/// Sends a request's texts through the guards of its model.
///
/// # Errors
/// The refusal of the first that does not let it pass.
pub(crate) async fn input(gate: &Gate, served: &Served, id: RequestId, body: &Bytes) -> Result<(), Refusal> {
    let whole = body.clone();
    let texts = aside(body.len(), move || text::texts_of_request(&whole)).await.map_err(undone)?;
    let Some(texts) = texts else {
        let message = "the prompt is given as numbers of tokens, and the guards of this model read text";
        return Err(Refusal::new(Code::GuardRefused, message));
    };
    pass(gate, id, &served.guards.input, texts).await
}

fn undone(_: String) -> Refusal {
    Refusal::new(Code::GuardFailed, "the guards of this model could not look at it")
}

/// Reads an answer to its end, and sends its texts through the guards of its model. `first` is what has come.
///
/// # Errors
/// The ending and the refusal; what was read for it comes with it, since it was written.
pub(crate) async fn output(
    gate: &Gate,
    served: &Served,
    id: RequestId,
    mut answer: Collect<'_>,
) -> Result<Bytes, (Ending, Refusal, Bytes)> {
    let is_stream = answer.is_stream;
    let whole = answer.whole(gate.limits.response_bytes.min(MAX_ANSWER_BYTES), &gate.held).await;
    let whole = whole.map_err(|(ending, refusal)| (ending, refusal, Bytes::new()))?;
    let looked_at = async {
        let answer = whole.clone();
        let texts = aside(answer.len(), move || text::texts_of_answer(&answer, is_stream)).await;
        pass(gate, id, &served.guards.output, texts.map_err(undone)?).await
    };
    let (ending, passed) = tokio::select! {
        biased;
        Ok(refusal) = answer.cut => (Ending::Stopped, Err(refusal)),
        passed = looked_at => (Ending::GuardRefused, passed),
    };
    match passed {
        Ok(()) => Ok(whole),
        Err(refusal) => Err((ending, refusal, whole)),
    }
}

/// An answer that is to be read to its end.
pub(crate) struct Collect<'a> {
    pub(crate) first: Option<Bytes>,
    pub(crate) rest: &'a mut Coming,
    pub(crate) from: &'a Upstream,
    pub(crate) cut: &'a mut oneshot::Receiver<Refusal>,
    pub(crate) is_stream: bool,
}

impl Collect<'_> {
    async fn whole(&mut self, most: u64, budget: &Budget) -> Result<Bytes, (Ending, Refusal)> {
        let mut held = budget.hold();
        let end = Instant::now() + self.from.total;
        let mut next = self.first.take();
        loop {
            if let Some(bytes) = next.take() {
                if (held.len() + bytes.len()) as u64 > most {
                    let why = "the answer is larger than this gate passes on";
                    return Err((Ending::TooLarge, Refusal::new(Code::ResponseTooLarge, why)));
                }
                if !held.push(&bytes) {
                    let why = "this gate's guards hold as many answers as there is room for";
                    return Err((Ending::TooLarge, Refusal::new(Code::GuardsBusy, why)));
                }
            }
            if self.rest.is_end_stream() {
                return Ok(held.freeze());
            }
            let patience = end.min(Instant::now() + self.from.idle);
            let frame = tokio::select! {
                biased;
                Ok(refusal) = &mut *self.cut => return Err((Ending::Stopped, refusal)),
                frame = tokio::time::timeout_at(patience, self.rest.frame()) => frame.map_err(|_| {
                    let why = "the upstream stopped sending, or took too long";
                    (Ending::TimedOut, Refusal::new(Code::UpstreamTimedOut, why))
                })?,
            };
            let Some(frame) = frame else { return Ok(held.freeze()) };
            let frame = frame.map_err(|_| {
                let why = "the upstream broke off in the middle of its answer";
                (Ending::UpstreamFailed, Refusal::new(Code::UpstreamFailed, why))
            })?;
            next = frame.into_data().ok();
        }
    }
}
