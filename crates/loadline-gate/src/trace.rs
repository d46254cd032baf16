//! Traces: a request's place in a trace of its caller (W3C Trace Context), and spans on their way to a collector (OTLP over
//! HTTP). Nothing here holds a request up: what does not fit into the queue is not traced, and counted.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderValue};
use loadline_core::Digest;
use loadline_core::digest::hex;

use crate::config::TraceConfig;
use crate::ledger::RequestId;
use crate::metrics::Metrics;
use crate::otlp;
use crate::post::Post;
use crate::report::Report;

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// Most requests in one export.
const BATCH: usize = 256;
/// Longest wait until a batch is full.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer of a collector that is read.
const MOST_ANSWER_BYTES: usize = 64 << 10;

/// A request's place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 16],
    /// The span of the caller, where it said so.
    pub parent: Option<[u8; 8]>,
    /// The span of this request.
    pub span: [u8; 8],
    /// The span of what the upstream does.
    pub upstream_span: [u8; 8],
    /// Whether it is exported.
    pub sampled: bool,
}

impl Trace {
    /// The place of a request: in the caller's trace, or in one of its own. `one_in` decides by the trace's id alone, as
    /// others do (the ratio sampler of OpenTelemetry), whatever the caller says of sampling.
    fn begin(headers: &HeaderMap, request: RequestId, one_in: u64) -> Self {
        // Bytes that no other request has, for three ids.
        let Digest(bytes) = Digest::of(&request.0);
        let part = |from: usize| <[u8; 8]>::try_from(&bytes[from..from + 8]).unwrap_or([1; 8]);
        let mut own = [0; 16];
        own.copy_from_slice(&bytes[..16]);
        let mut said = headers.get_all(TRACEPARENT).iter();
        let parent = said.next().filter(|_| said.next().is_none()).and_then(|value| parse(value.as_bytes()));
        let id = parent.map_or(own, |(id, _)| id);
        let mut low = [0; 8];
        low.copy_from_slice(&id[8..]);
        let sampled = u64::from_be_bytes(low) >> 1 < (1 << 63) / one_in.max(1);
        Self { id, parent: parent.map(|(_, span)| span), span: part(16), upstream_span: part(24), sampled }
    }

    /// What goes to the upstream.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let text = format!("00-{}-{}-0{}", hex(&self.id), hex(&self.upstream_span), u8::from(self.sampled));
        HeaderValue::from_str(&text).ok()
    }
}

/// Trace and span of a `traceparent`; none when it is not in form, as its page says (W3C Trace Context, section 3.2).
fn parse(value: &[u8]) -> Option<([u8; 16], [u8; 8])> {
    let (first, more) = value.split_at_checked(55)?;
    let text = std::str::from_utf8(first).ok()?;
    let mut parts = text.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let [version]: [u8; 1] = unhex(version)?;
    let [_]: [u8; 1] = unhex(flags)?;
    let (id, span): ([u8; 16], [u8; 8]) = (unhex(id)?, unhex(span)?);
    // Later versions may say more, behind another dash.
    let whole = if version == 0 {
        more.is_empty()
    } else {
        version != 0xff && more.first().is_none_or(|b| *b == b'-')
    };
    (whole && parts.next().is_none() && id != [0; 16] && span != [0; 8]).then_some((id, span))
}

fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    crate::audit::unhex(digits)
}

/// Sends what is known of requests to a collector, on a thread of its own. Dropping it sends what waits.
pub struct Exporter {
    one_in: u64,
    sender: Option<SyncSender<Report>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Begins to export as the configuration says, for a gate of this name. `notice` is told when the collector cannot be
    /// reached, once until it can.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        config: &TraceConfig,
        gate_name: &str,
        post: Arc<dyn Post>,
        lost: prometheus::IntCounter,
        notice: Arc<dyn Fn(String) + Send + Sync>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(config.queue);
        let sending = Sending { url: config.url.clone(), name: gate_name.to_owned(), post, lost, notice };
        let thread =
            std::thread::Builder::new().name("traces".to_owned()).spawn(move || sending.run(&receiver))?;
        Ok(Self { one_in: config.one_in, sender: Some(sender), thread: Some(thread) })
    }

    /// The place of a request in a trace.
    pub(crate) fn begin(&self, headers: &HeaderMap, request: RequestId) -> Trace {
        Trace::begin(headers, request, self.one_in)
    }

    /// Takes a request that has ended. Never waits.
    pub(crate) fn export(&self, report: &Report, metrics: &Metrics) {
        if !report.trace.as_ref().is_some_and(|trace| trace.sampled) {
            return;
        }
        let Some(sender) = &self.sender else { return };
        if sender.try_send(report.clone()).is_err() {
            metrics.traces_lost.inc();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, spans would be lost and nothing else.
            let _ = thread.join();
        }
    }
}

struct Sending {
    url: String,
    name: String,
    post: Arc<dyn Post>,
    lost: prometheus::IntCounter,
    notice: Arc<dyn Fn(String) + Send + Sync>,
}

impl Sending {
    fn run(&self, receiver: &Receiver<Report>) {
        let mut failing = false;
        while let Ok(first) = receiver.recv() {
            let (mut batch, full_at) = (vec![first], Instant::now() + GATHER);
            let ended = loop {
                if batch.len() == BATCH {
                    break false;
                }
                match receiver.recv_timeout(full_at.saturating_duration_since(Instant::now())) {
                    Ok(report) => batch.push(report),
                    Err(RecvTimeoutError::Timeout) => break false,
                    Err(RecvTimeoutError::Disconnected) => break true,
                }
            };
            match self.send(&batch) {
                Ok(()) => failing = false,
                Err(why) => {
                    self.lost.inc_by(batch.len() as u64);
                    if !std::mem::replace(&mut failing, true) {
                        (self.notice)(format!("traces are lost: {why}"));
                    }
                    // At the end nobody waits for a collector that does not answer.
                    if ended {
                        return;
                    }
                }
            }
        }
    }

    fn send(&self, batch: &[Report]) -> Result<(), String> {
        let body = otlp::encode(&self.name, batch);
        let answer = self.post.post(&self.url, otlp::CONTENT_TYPE, body, MOST_ANSWER_BYTES, PATIENCE)?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(format!("the collector at {} answered {status}", self.url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_strictly() {
        let (id, span) = parse(GOOD.as_bytes()).unwrap();
        assert_eq!((hex(&id), hex(&span)), (GOOD[3..35].to_owned(), GOOD[36..52].to_owned()));
        assert!(parse(GOOD.replacen("00", "cc", 1).as_bytes()).is_some(), "a later version");
        assert!(parse(format!("{}-more", GOOD.replacen("00", "01", 1)).as_bytes()).is_some());
        for bad in [
            "",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &format!("{}more", GOOD.replacen("00", "01", 1)),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace('-', "_"),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b\u{fc}-1",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    fn begin(headers: &HeaderMap, number: u64, one_in: u64) -> Trace {
        let mut request = [7; 16];
        request[8..].copy_from_slice(&number.to_be_bytes());
        Trace::begin(headers, RequestId(request), one_in)
    }

    #[test]
    fn a_request_goes_on_with_its_caller_s_trace_or_begins_one() {
        let mut headers = HeaderMap::new();
        let own = begin(&headers, 1, 1);
        assert!(own.parent.is_none() && own.sampled && own.span != own.upstream_span);
        assert_ne!(own.id, begin(&headers, 2, 1).id);
        headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
        let within = begin(&headers, 1, 1);
        assert_eq!(hex(&within.parent.unwrap()), "00f067aa0ba902b7");
        let sent = within.header().unwrap();
        let (id, span) = parse(sent.as_bytes()).unwrap();
        assert_eq!((id, span), (within.id, within.upstream_span));
        assert!(sent.to_str().unwrap().ends_with("-01"));
        // Two are one too many.
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(begin(&headers, 1, 1).parent.is_none());
    }

    #[test]
    fn one_in_so_many_is_traced_whatever_the_caller_says() {
        let none = HeaderMap::new();
        let sampled = (0..20_000).filter(|number| begin(&none, *number, 100).sampled).count();
        // 200 are expected, with a standard deviation of 14; the ids are the same in every run.
        assert!((120..280).contains(&sampled), "{sampled}");
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
        // Its caller asks for it, and its id is not among those.
        let asked = begin(&headers, 1, 1_000_000);
        assert!(!asked.sampled && asked.header().unwrap().to_str().unwrap().ends_with("-00"));
    }
}
