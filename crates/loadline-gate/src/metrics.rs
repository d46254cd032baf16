//! What is counted and timed, in the form that Prometheus reads.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::gate::Gate;
use crate::ledger::{Ending, UsageBasis};
use crate::refusal::Code;
use crate::report::Report;

/// Before each name.
const PREFIX: &str = "loadline_gate";
/// Upper ends of the buckets of every time, in seconds.
const TIMES_S: [f64; 18] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0, 60.0,
];

/// Everything that is counted. No label comes from outside, so their number is fixed; none is behind a lock.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests for answers.
    pub requests: IntCounter,
    /// Requests that were forwarded.
    pub forwarded: IntCounter,
    /// Streams among them.
    pub streams: IntCounter,
    /// Requests under way that were told to end.
    pub cut: IntCounter,
    /// Callers who left before the end.
    pub left: IntCounter,
    /// Standings that were offered and not accepted.
    pub standings_refused: IntCounter,
    /// Requests that were to be traced and are not.
    pub traces_lost: IntCounter,
    /// Refusals, by code.
    refused: [IntCounter; Code::ALL.len()],
    /// Forwarded requests, by how they ended.
    ended: [IntCounter; Ending::ALL.len()],
    /// Tokens of requests and of answers, by what the numbers rest on.
    tokens: [[IntCounter; UsageBasis::ALL.len()]; 2],
    /// From the whole request being here until it goes upstream.
    added: Histogram,
    /// How much of that was waiting for the disk.
    flush: Histogram,
    /// From the whole request being here until the first piece of an answer goes to the caller.
    first: [Histogram; 2],
    /// From the request's head to its end.
    whole: Histogram,
    gauges: Gauges,
}

/// Values that are asked for when they are read.
#[derive(Debug)]
struct Gauges {
    under_way: IntGauge,
    keys: IntGauge,
    models: IntGauge,
    models_open: IntGauge,
    stops: IntGauge,
    standing_epoch: IntGauge,
    standing_expires: IntGauge,
    standing_age: IntGauge,
    ready: IntGauge,
}

/// Makes and registers what is measured. A name that is not fit, or is there twice, shows itself in every test: then the
/// value is counted and not shown.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn keep<C: prometheus::core::Collector + Clone + 'static>(&self, collector: &C) {
        let _ = self.0.register(Box::new(collector.clone()));
    }

    #[expect(clippy::expect_used, reason = "the names stand in this file; a test makes all of them")]
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        let counter =
            IntCounter::with_opts(Opts::new(format!("{PREFIX}_{name}_total"), help)).expect("a name");
        self.keep(&counter);
        counter
    }

    #[expect(clippy::expect_used, reason = "the names stand in this file; a test makes all of them")]
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let opts = Opts::new(format!("{PREFIX}_{name}_total"), help);
        let counters = IntCounterVec::new(opts, labels).expect("a name and labels");
        self.keep(&counters);
        counters
    }

    #[expect(clippy::expect_used, reason = "the names stand in this file; a test makes all of them")]
    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        let gauge = IntGauge::with_opts(Opts::new(format!("{PREFIX}_{name}"), help)).expect("a name");
        self.keep(&gauge);
        gauge
    }

    #[expect(clippy::expect_used, reason = "the names stand in this file; a test makes all of them")]
    fn times(&self, name: &str, help: &str, label: Option<(&str, &str)>) -> Histogram {
        let mut opts = HistogramOpts::new(format!("{PREFIX}_{name}_seconds"), help).buckets(TIMES_S.to_vec());
        if let Some((label, value)) = label {
            opts = opts.const_label(label, value);
        }
        let histogram = Histogram::with_opts(opts).expect("a name and buckets");
        self.keep(&histogram);
        histogram
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let refused = make.counters("refused", "Refusals, by code", &["code"]);
        let ended = make.counters("ended", "Forwarded requests, by how they ended", &["ending"]);
        let tokens = make.counters(
            "tokens",
            "Tokens that were charged, and on what their number rests",
            &["kind", "basis"],
        );
        let first = "From a whole request to the first piece of its answer";
        let counted =
            |kind: &str| UsageBasis::ALL.map(|basis| tokens.with_label_values(&[kind, basis.name()]));
        Self {
            requests: make.counter("requests", "Requests for answers"),
            forwarded: make.counter("forwarded", "Requests that were forwarded"),
            streams: make.counter("streams", "Answers that were streams"),
            cut: make.counter("cut", "Requests under way that were told to end"),
            left: make.counter("callers_left", "Callers who left before the end"),
            standings_refused: make.counter("standings_refused", "Standings that were not accepted"),
            traces_lost: make.counter("traces_lost", "Requests that were to be traced and are not"),
            refused: std::array::from_fn(|at| refused.with_label_values(&[Code::ALL[at].name()])),
            ended: std::array::from_fn(|at| ended.with_label_values(&[Ending::ALL[at].name()])),
            tokens: [counted("input"), counted("output")],
            added: make.times(
                "added",
                "From a whole request to sending it on, the audit flush included",
                None,
            ),
            flush: make.times("audit_flush", "Waiting until an intent was on the disk", None),
            first: ["whole", "stream"].map(|kind| make.times("first_piece", first, Some(("answer", kind)))),
            whole: make.times("request", "From a request's head to its end", None),
            gauges: Gauges {
                under_way: make.gauge("under_way", "Requests under way"),
                keys: make.gauge("keys", "Keys"),
                models: make.gauge("models", "Models in the configuration"),
                models_open: make
                    .gauge("models_open", "Models that the authority's word and the stops allow now"),
                stops: make.gauge("stops", "Stops in force"),
                standing_epoch: make.gauge("standing_epoch", "Epoch of the standing"),
                standing_expires: make
                    .gauge("standing_expires", "When the standing ends, in seconds since 1970"),
                standing_age: make.gauge("standing_age_seconds", "How long ago the standing was issued"),
                ready: make.gauge("ready", "1 when new requests are taken"),
            },
            registry,
        }
    }
}

impl Metrics {
    /// One more refusal.
    pub(crate) fn refused(&self, code: Code) {
        self.refused[code as usize].inc();
    }

    /// How many refusals with this code.
    pub fn refusals(&self, code: Code) -> u64 {
        self.refused[code as usize].get()
    }

    /// Takes in a request that has ended.
    pub(crate) fn ended(&self, report: &Report) {
        let times = &report.times;
        if let Some(flush) = times.flush {
            self.flush.observe(flush.as_secs_f64());
        }
        if let (Some(read), Some(sent)) = (times.read, times.sent) {
            self.added.observe(sent.saturating_sub(read).as_secs_f64());
        }
        if let (Some(read), Some(first)) = (times.read, times.first) {
            self.first[usize::from(report.is_stream)].observe(first.saturating_sub(read).as_secs_f64());
        }
        self.whole.observe(times.ended.as_secs_f64());
        let ending = report.ending.and_then(|ending| Ending::ALL.iter().position(|known| *known == ending));
        if let Some(counter) = ending.and_then(|at| self.ended.get(at)) {
            counter.inc();
        }
        if let Some(used) = report.used {
            self.tokens[0][used.basis as usize].inc_by(used.input);
            self.tokens[1][used.basis as usize].inc_by(used.output);
        }
    }

    /// The text, with what is known of a gate now.
    pub fn text(&self, gate: &Gate) -> String {
        self.gauges.set(gate);
        let mut text = Vec::new();
        // Into memory, and of what was checked when it was registered.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Gauges {
    fn set(&self, gate: &Gate) {
        let (snapshot, now, readiness) = (gate.snapshot(), gate.now(), gate.readiness());
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let standing = snapshot.standing.as_ref();
        let seconds = now.wall_ms / 1_000;
        self.under_way.set(number(gate.under_way() as u64));
        self.keys.set(number(snapshot.callers.len() as u64));
        self.models.set(number(snapshot.models.len() as u64));
        self.models_open.set(number(readiness.models_open as u64));
        self.stops.set(number(snapshot.stops.targets.len() as u64));
        self.standing_epoch.set(number(standing.map_or(0, |fresh| fresh.mark.epoch)));
        self.standing_expires.set(number(standing.map_or(0, |fresh| fresh.standing.expires.seconds())));
        let age = standing.map_or(0, |fresh| seconds.saturating_sub(fresh.standing.issued.seconds()));
        self.standing_age.set(number(age));
        self.ready.set(i64::from(readiness.refusal.is_none()));
    }
}
