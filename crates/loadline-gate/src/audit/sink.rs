//! Takes a response as it is delivered.

use std::sync::{Arc, Mutex, PoisonError};

use super::Inner;
use super::content::{Content, Digester, Part};
use super::subjects::SubjectKey;
use crate::ledger::ContentSink;

/// A response that is under way.
pub(super) struct Response {
    key: Arc<SubjectKey>,
    request: [u8; 16],
    digester: Option<Digester>,
    keep: bool,
}

/// What the row has of a response that has ended.
pub(super) struct Finished {
    pub row: Content<'static>,
    /// Whether the stage's policy says that it is kept.
    pub kept: bool,
}

impl Response {
    pub(super) fn new(key: Arc<SubjectKey>, request: [u8; 16], keep: bool) -> Self {
        let digester = Some(Digester::new(&key, Part::Response, keep));
        Self { key, request, digester, keep }
    }

    /// What the row has of it; `None` the second time.
    pub(super) fn finish(&mut self, nonce: impl FnOnce() -> Option<[u8; 24]>) -> Option<Finished> {
        let row = self.digester.take()?.finish(&self.key, &self.request, nonce);
        Some(Finished { row, kept: self.keep })
    }
}

/// The gate's end of a response. When it is dropped before there was an outcome, the intent is given up: it stays
/// charged at what was reserved.
pub(super) struct Sink {
    inner: Arc<Inner>,
    intent: u64,
    response: Arc<Mutex<Response>>,
}

impl Sink {
    pub(super) fn new(inner: Arc<Inner>, intent: u64, response: Arc<Mutex<Response>>) -> Self {
        Self { inner, intent, response }
    }
}

impl ContentSink for Sink {
    fn write(&mut self, bytes: &[u8]) {
        let mut response = self.response.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digester) = &mut response.digester {
            digester.update(bytes);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.inner.abandon(self.intent);
    }
}
