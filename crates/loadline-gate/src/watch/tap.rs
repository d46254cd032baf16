//! A share of the traffic, scored off its way: nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use loadline_core::Digest;

use super::{Watch, Watcher, What};
use crate::gate::Gate;
use crate::guard::own::Own;
use crate::guard::{Guard, Side, check, texts_of_answer, texts_of_request};
use crate::ledger::RequestId;

/// The largest answer that is scored.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// What is taken of one request.
pub(crate) struct Tap {
    watches: Vec<Arc<Watch>>,
    request: RequestId,
    model: Arc<str>,
    body: Bytes,
    answer: BytesMut,
    is_stream: bool,
    is_too_large: bool,
}

impl Tap {
    /// The next bytes that were delivered.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.is_too_large |= self.answer.len() + bytes.len() > MAX_ANSWER_BYTES;
        if !self.is_too_large {
            self.answer.extend_from_slice(bytes);
        }
    }
}

impl Watcher {
    /// A tap for a request, where it is one of those that are looked at.
    pub(crate) fn tap(&self, request: RequestId, model: &Arc<str>, body: &Bytes) -> Option<Box<Tap>> {
        let mut watches = Vec::new();
        for watch in &self.watches {
            if let What::Live { share, .. } = watch.what
                && watch.models.contains(model)
                && self.draw(&watch.name, request) < share
            {
                watches.push(Arc::clone(watch));
            }
        }
        if watches.is_empty() {
            return None;
        }
        let (model, body) = (Arc::clone(model), body.clone());
        let tap = Tap {
            watches,
            request,
            model,
            body,
            answer: BytesMut::new(),
            is_stream: false,
            is_too_large: false,
        };
        Some(Box::new(tap))
    }

    /// A number from 0 to 1 that follows from the request and a key that no caller has.
    fn draw(&self, watch: &str, request: RequestId) -> f64 {
        let digest = Digest::of_parts("loadline-watch-draw/1", &[&self.key, watch.as_bytes(), &request.0]);
        let mut first = [0; 8];
        first.copy_from_slice(&digest.0[..8]);
        (u64::from_be_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Hands over what was taken of a request that came to its end. What nobody has time for is dropped.
    pub(crate) fn take(&self, mut tap: Box<Tap>, is_stream: bool) {
        tap.is_stream = is_stream;
        if self.samples.try_send(tap).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Scores what was taken of a request. Where its model is forbidden by now it is dropped: a judge is a model too.
    pub(super) async fn score(&self, gate: &Gate, tap: Tap) {
        for watch in &tap.watches {
            let What::Live { guard, .. } = &watch.what else { continue };
            let own = gate.ready().and_then(|()| Own::enter(gate, &tap.model));
            let right = match own {
                Err(_) => None,
                Ok(mut own) => tokio::select! {
                    biased;
                    _ = own.cut() => None,
                    right = right(gate, guard, &tap) => Some(right),
                },
            };
            let Some(right) = right else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            };
            self.record(gate, watch, &tap.model, tap.request, right).await;
        }
    }
}

/// Whether a guard finds nothing; none when it could not be asked.
async fn right(gate: &Gate, guard: &Guard, tap: &Tap) -> Option<bool> {
    let texts = match guard.side {
        Side::Input => texts_of_request(&tap.body),
        Side::Output if tap.is_too_large => None,
        Side::Output => Some(texts_of_answer(&tap.answer, tap.is_stream)),
    };
    let matched = check::ask(gate, guard, &Arc::new(texts?)).await;
    matched.ok().map(|matched| !matched)
}
