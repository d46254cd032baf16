//! The body of an answer: passed on as it comes, counted, and cut when that is ordered.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use crate::gate::Gate;
use crate::ledger::{Ending, Outcome, Recorded, RequestId, Reservation};
use crate::live::LiveGuard;
use crate::refusal::{Code, Dialect, Refusal};
use crate::report::Observed;
use crate::upstream::Coming;
use crate::usage::Meter;

/// A forwarded request, until its outcome is written. Dropping it writes that the caller left.
pub(crate) struct Ticket {
    pub(crate) gate: Arc<Gate>,
    /// Both are there until the end.
    pub(crate) recorded: Option<Recorded>,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) request: RequestId,
    pub(crate) model: Arc<str>,
    pub(crate) status: u16,
    pub(crate) meter: Meter,
    pub(crate) input_tokens: u64,
    pub(crate) max_output: Option<u64>,
    pub(crate) delivered: u64,
    pub(crate) observed: Arc<Observed>,
    /// The last to go: who waits for the end of this request waits for its outcome too.
    pub(crate) _live: LiveGuard,
}

impl Ticket {
    fn delivered(&mut self, bytes: &Bytes) {
        self.delivered += bytes.len() as u64;
        self.meter.feed(bytes);
        if let Some(recorded) = &mut self.recorded {
            recorded.content.write(bytes);
        }
    }

    /// Charges and writes what became of the request. Only the first end counts.
    pub(crate) fn end(&mut self, ending: Ending) {
        let Some(recorded) = self.recorded.take() else { return };
        // Who got an error pays nothing.
        let input = if self.status >= 400 { 0 } else { self.input_tokens };
        let used = self.meter.used(ending == Ending::Complete, input, self.max_output);
        if let Some(reservation) = self.reservation.take() {
            self.gate.base.quota.settle(reservation, used.total());
        }
        if ending == Ending::CallerLeft {
            self.gate.metrics.left.inc();
        }
        let (at_ms, status, delivered_bytes) = (self.gate.now().wall_ms, self.status, self.delivered);
        self.observed.note(|report, _| {
            (report.status, report.delivered_bytes) = (status, delivered_bytes);
            (report.ending, report.used) = (Some(ending), Some(used));
        });
        let outcome = Outcome { at_ms, status, ending, used, delivered_bytes };
        self.gate.base.audit.outcome(recorded, outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end(Ending::CallerLeft);
    }
}

/// Time limits of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    pub(crate) end: Instant,
}

/// An answer that comes from an upstream.
pub(crate) struct Relayed {
    pub(crate) first: Option<Bytes>,
    /// Dropping it closes the connection to the upstream, or ends the computation.
    pub(crate) upstream: Option<Coming>,
    pub(crate) ticket: Ticket,
    pub(crate) cut: oneshot::Receiver<Refusal>,
    pub(crate) dialect: Dialect,
    pub(crate) is_stream: bool,
    /// Bytes that may still come.
    pub(crate) left: u64,
    pub(crate) patience: Patience,
    pub(crate) last: Instant,
    pub(crate) timer: Pin<Box<Sleep>>,
    /// Exact length, where the upstream says it.
    pub(crate) length: Option<u64>,
}

type Next = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

impl Relayed {
    /// Ends with an event that says why, or by breaking off where there are no events.
    fn break_off(&mut self, ending: Ending, refusal: &Refusal) -> Next {
        self.upstream = None;
        self.first = None;
        self.ticket.end(ending);
        if self.is_stream {
            // An event that was under way ends here, whatever it was.
            let text = format!("\n\n{}", refusal.event(self.dialect, self.ticket.request));
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(text)))));
        }
        Poll::Ready(Some(Err(io::Error::other(refusal.to_string()))))
    }

    /// Ends at once when there is nothing to pass on.
    pub(crate) fn end_if_empty(&mut self) {
        if self.first.is_none() && self.upstream.as_ref().is_some_and(Coming::is_end_stream) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(coming) = self.upstream.take() {
            if let Some(used) = coming.finish() {
                self.ticket.meter.tell(used);
            }
            self.ticket.end(Ending::Complete);
        }
    }

    fn deliver(&mut self, bytes: Bytes) -> Next {
        let size = bytes.len() as u64;
        if size > self.left {
            let refusal =
                Refusal::new(Code::ResponseTooLarge, "the answer is larger than this gate passes on");
            return self.break_off(Ending::TooLarge, &refusal);
        }
        self.left -= size;
        self.ticket.delivered(&bytes);
        if self.upstream.as_ref().is_some_and(Coming::is_end_stream) {
            self.finish();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// One timer for both limits: it is moved only when it rings.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(context).is_ready() {
            let next = (self.last + self.patience.idle).min(self.patience.end);
            if next <= Instant::now() {
                return true;
            }
            self.timer.as_mut().reset(next);
        }
        false
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        let this = self.get_mut();
        if this.upstream.is_none() && this.first.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Ok(refusal)) = Pin::new(&mut this.cut).poll(context) {
            return this.break_off(Ending::Stopped, &refusal);
        }
        if let Some(first) = this.first.take() {
            return this.deliver(first);
        }
        loop {
            let Some(body) = &mut this.upstream else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not passed on.
                    let Ok(bytes) = frame.into_data() else { continue };
                    this.last = Instant::now();
                    return this.deliver(bytes);
                }
                Poll::Ready(None) => {
                    this.finish();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(_))) => {
                    let refusal = Refusal::new(
                        Code::UpstreamFailed,
                        "the upstream broke off in the middle of its answer",
                    );
                    return this.break_off(Ending::UpstreamFailed, &refusal);
                }
                Poll::Pending if this.is_late(context) => {
                    let refusal = Refusal::new(
                        Code::UpstreamTimedOut,
                        "the upstream stopped sending, or took too long",
                    );
                    return this.break_off(Ending::TimedOut, &refusal);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_none() && self.first.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The body of any answer.
pub(crate) enum Answer {
    /// Known at once.
    Whole(Option<Bytes>),
    /// From an upstream.
    Relayed(Box<Relayed>),
}

impl Answer {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relayed) => Pin::new(&mut **relayed).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Relayed(relayed) => relayed.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relayed(relayed) => relayed.size_hint(),
        }
    }
}
