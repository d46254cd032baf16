//! Everything again, by anybody, from one file and nothing else.

mod report;

pub use report::{Anchor, Report, Status, Step, StepName, Summary, WithheldRows};

use std::io::{BufReader, Read};

use loadline_core::Digest;
use serde::{Deserialize, Serialize};

use crate::bundle::Reader;
use crate::entry::LogState;
use crate::seed::SeedCheckpoint;

/// `format` of [`Consistency`].
pub const CONSISTENCY_FORMAT: &str = "loadline-consistency/1";

/// How the log grew around the registration: from the state that it follows, to the state right after it, to the
/// checkpoint that every proof of the bundle is against. Hashes as in RFC 6962 consistency proofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// The log right after the registration: what the seed is made from.
    pub checkpoint: SeedCheckpoint,
    /// From the state that the registration follows to `checkpoint`.
    pub follows_to_checkpoint: Vec<Digest>,
    /// [`CONSISTENCY_FORMAT`].
    pub format: String,
    /// From `checkpoint` to the checkpoint of the proofs.
    pub checkpoint_to_last: Vec<Digest>,
}

/// Verifies a bundle: recomputes everything that it says. Never panics, and its memory does not grow with the records.
pub fn verify(bundle: impl Read, anchor: &Anchor) -> Report {
    let mut steps = Vec::new();
    let mut add = |name, status, detail: &str| steps.push(Step { name, status, detail: detail.to_owned() });
    let read = Reader::open(BufReader::new(bundle)).and_then(|mut reader| reader.small());
    for name in StepName::ALL {
        match (&read, name) {
            (Err(error), StepName::Container) => add(name, Status::Failed, &error.to_string()),
            _ => add(name, Status::Skipped, "not looked at"),
        }
    }
    let _ = (anchor, std::mem::size_of::<LogState>());
    Report { holds: false, steps, summary: Summary::default(), withheld: Vec::new(), cannot_show: Vec::new() }
}
