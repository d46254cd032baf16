//! What is known of a request when it has ended: for figures, a line of a log, a span. It holds no content and no key.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use loadline_policy::policy::Stage;

use crate::admission::Permit;
use crate::gate::Gate;
use crate::ledger::{Ending, IntentId, RequestId, Used};
use crate::refusal::Code;
use crate::trace::{Exporter, Trace};

/// A request that has ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The request.
    pub request: RequestId,
    /// When its head came, in milliseconds since 1970.
    pub at_ms: u64,
    /// The method; `other` for one that is never served.
    pub method: &'static str,
    /// The path as it stands in this gate; `other` for one that is not served.
    pub route: &'static str,
    /// The id of the caller's key, where it is one of the gate's. Not the key.
    pub key: Option<Arc<str>>,
    /// The model's public name, where it was admitted.
    pub model: Option<Arc<str>>,
    /// The stage that it was admitted at.
    pub stage: Option<Stage>,
    /// Its place in the audit log, where it was forwarded.
    pub intent: Option<IntentId>,
    /// Whether the answer was a stream.
    pub is_stream: bool,
    /// The status that the caller saw.
    pub status: u16,
    /// Why it was refused, if it was.
    pub code: Option<Code>,
    /// How it ended, where it was forwarded.
    pub ending: Option<Ending>,
    /// What was charged.
    pub used: Option<Used>,
    /// Bytes of an upstream's answer that went to the caller.
    pub delivered_bytes: u64,
    /// How long each step took.
    pub times: Times,
    /// Its place in a trace, where traces are on.
    pub trace: Option<Trace>,
}

/// Times since the head of a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// All of the request was here.
    pub read: Option<Duration>,
    /// How long it was waited for the audit log.
    pub flush: Option<Duration>,
    /// It goes upstream.
    pub sent: Option<Duration>,
    /// The first piece of an answer goes to the caller.
    pub first: Option<Duration>,
    /// The last piece has gone, or nothing more comes.
    pub ended: Duration,
}

/// Takes what is known of a request that has ended. It must not wait.
pub type Log = Arc<dyn Fn(&Report) + Send + Sync>;

/// Who looks at requests that have ended, besides the figures.
#[derive(Default)]
pub struct Observers {
    /// Where traces go.
    pub traces: Option<Exporter>,
    /// A log of requests.
    pub log: Option<Log>,
}

/// The observers of a gate: set once, before it serves.
pub(crate) type Observing = OnceLock<Observers>;

/// A request under way. When the last that holds it lets go, it has ended.
pub(crate) struct Observed {
    gate: Arc<Gate>,
    begun: Instant,
    report: Mutex<Report>,
}

impl Observed {
    /// A request whose head is here.
    pub(crate) fn begin(
        gate: &Arc<Gate>,
        request: RequestId,
        head: &hyper::Request<hyper::body::Incoming>,
    ) -> Arc<Self> {
        let traces = gate.observing.get().and_then(|observers| observers.traces.as_ref());
        let report = Report {
            request,
            at_ms: gate.now().wall_ms,
            method: "other",
            route: "other",
            key: None,
            model: None,
            stage: None,
            intent: None,
            is_stream: false,
            status: 200,
            code: None,
            ending: None,
            used: None,
            delivered_bytes: 0,
            times: Times::default(),
            trace: traces.map(|traces| traces.begin(head.headers(), request)),
        };
        Arc::new(Self { gate: Arc::clone(gate), begun: Instant::now(), report: Mutex::new(report) })
    }

    /// Notes something, with the time that has passed.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Report, Duration)) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut report, self.begun.elapsed());
    }

    /// It may be served.
    pub(crate) fn admitted(&self, permit: &Permit) {
        self.note(|report, _| {
            report.model = Some(Arc::clone(&permit.served.name));
            report.stage = Some(permit.served.license.stage);
        });
    }

    /// It is refused.
    pub(crate) fn refused(&self, code: Code) {
        self.note(|report, _| (report.code, report.status) = (Some(code), code.status()));
    }

    /// What says to the upstream which trace it is part of.
    pub(crate) fn trace_header(&self) -> Option<hyper::header::HeaderValue> {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.trace.as_ref().and_then(Trace::header)
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let ended = self.begun.elapsed();
        let report = self.report.get_mut().unwrap_or_else(PoisonError::into_inner);
        report.times.ended = ended;
        self.gate.metrics.ended(report);
        let Some(observers) = self.gate.observing.get() else { return };
        if let Some(log) = &observers.log {
            log(report);
        }
        if let Some(traces) = &observers.traces {
            traces.export(report, &self.gate.metrics);
        }
    }
}
