//! What happens while a run runs, for whoever watches. Losing a watcher never fails a run.

use std::time::Duration;

use loadline_core::{RunId, Untrusted};
use loadline_stats::Estimate;

use super::in_flight::InFlight;

/// Something happened. Sent as it happens; whoever shows them decides how often to look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunEvent {
    /// The record is open.
    Started {
        /// The run.
        run: RunId,
        /// Answers that were there already and are not asked again.
        resumed: u64,
        /// Answers needed in all: samples times epochs.
        total: u64,
        /// What is in flight, to look at any time until the run ends.
        in_flight: InFlight,
    },
    /// An answer was written to the record: sent before the [`RunEvent::Progress`] that counts it.
    Answered {
        /// Its sample's place in the dataset, from 0.
        index: u64,
        /// Which repetition, from 0.
        epoch: u32,
        /// Its first score, if it has one.
        value: Option<f64>,
    },
    /// An answer, or an error for good, was written to the record.
    Progress(Box<Progress>),
    /// An attempt failed and will be made again.
    Retrying {
        /// The sample.
        sample: Untrusted,
        /// Which repetition, from 0.
        epoch: u32,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Why; may quote the server.
        why: Untrusted,
        /// Until the next attempt.
        wait: Duration,
    },
    /// A sample was given up. It is asked again when the run is resumed.
    SampleError {
        /// The sample.
        sample: Untrusted,
        /// Which repetition, from 0.
        epoch: u32,
        /// Attempts made.
        attempts: u32,
        /// Why; may quote the server.
        why: Untrusted,
    },
    /// Nothing more will be asked; the record is flushed, and sealed if it is complete.
    Finished,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Answers in the record.
    pub done: u64,
    /// Answers needed in all.
    pub total: u64,
    /// Samples given up in this process.
    pub errors: u64,
    /// Answers in the record without a value for the first metric.
    pub unscored: u64,
    /// Most requests in flight now.
    pub concurrency: usize,
    /// Requests sent by this process, retries included.
    pub requests: u64,
    /// Tokens read and written by this process.
    pub tokens: u64,
    /// The first metric so far, of all answers in the record; up to a tenth of a second old. `None` before the
    /// first value, and where all epochs of a sample are scored together.
    pub estimate: Option<Estimate>,
}
