//! Counters, in the text form that Prometheus reads.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::Code;

/// Everything that is counted. No label comes from outside, so their number is fixed.
#[derive(Debug)]
pub struct Metrics {
    /// Requests for answers.
    pub requests: AtomicU64,
    /// Requests that were forwarded.
    pub forwarded: AtomicU64,
    /// Streams among them.
    pub streams: AtomicU64,
    /// Requests under way that were told to end.
    pub cut: AtomicU64,
    /// Callers who left before the end.
    pub left: AtomicU64,
    /// Tokens that were charged.
    pub tokens: AtomicU64,
    /// Standings that were offered and not accepted.
    pub standings_refused: AtomicU64,
    /// Matches of guards.
    pub guard_matches: AtomicU64,
    /// Classifiers and judges that gave no answer.
    pub guard_failures: AtomicU64,
    /// Refusals, by code.
    refused: [AtomicU64; Code::ALL.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            requests: zero(),
            forwarded: zero(),
            streams: zero(),
            cut: zero(),
            left: zero(),
            tokens: zero(),
            standings_refused: zero(),
            guard_matches: zero(),
            guard_failures: zero(),
            refused: std::array::from_fn(|_| zero()),
        }
    }
}

impl Metrics {
    /// One more refusal.
    pub(crate) fn refused(&self, code: Code) {
        self.refused[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many refusals with this code.
    pub fn refusals(&self, code: Code) -> u64 {
        self.refused[code as usize].load(Ordering::Relaxed)
    }

    /// The text. `gauges` are values that are known elsewhere.
    pub fn text(&self, gauges: &[(&str, u64)]) -> String {
        let mut text = String::new();
        let counters = [
            ("requests", &self.requests),
            ("forwarded", &self.forwarded),
            ("streams", &self.streams),
            ("cut", &self.cut),
            ("callers_left", &self.left),
            ("tokens", &self.tokens),
            ("standings_refused", &self.standings_refused),
            ("guard_matches", &self.guard_matches),
            ("guard_failures", &self.guard_failures),
        ];
        for (name, value) in counters {
            let value = value.load(Ordering::Relaxed);
            let _ = writeln!(
                text,
                "# TYPE loadline_gate_{name}_total counter\nloadline_gate_{name}_total {value}"
            );
        }
        text.push_str("# TYPE loadline_gate_refused_total counter\n");
        for code in Code::ALL {
            let (name, count) = (code.name(), self.refusals(*code));
            let _ = writeln!(text, "loadline_gate_refused_total{{code=\"{name}\"}} {count}");
        }
        for (name, value) in gauges {
            let _ = writeln!(text, "# TYPE loadline_gate_{name} gauge\nloadline_gate_{name} {value}");
        }
        text
    }
}
