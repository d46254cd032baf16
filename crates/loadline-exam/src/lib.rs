//! The exam and its proof. Pure: no IO, no clock, no randomness; a bundle is read from any [`std::io::Read`].
//!
//! Read in this order: [`entry`] (what the log says) → [`seed`] and [`witnessed`] (where the questions come from) →
//! [`manifest`] (which model) → [`attest`] (what the examiner signs) → [`signoff`] (who agrees) → [`stage`] (how far a
//! model is open) → [`drill`] (that stopping works) → [`rescore`] (a record, recomputed) →
//! [`case`](mod@case) (from all of it to a decision) → [`bundle`] (one file) → [`verify()`] (everything again, by anybody).

pub mod attest;
pub mod bundle;
pub mod case;
pub mod drill;
pub mod entry;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod manifest;
pub mod rescore;
pub mod seed;
pub mod signoff;
pub mod stage;
mod verify;
pub mod witnessed;

pub use attest::{Exam, Examined};
pub use bundle::{BundleError, Contents, LoggedEntry, RunParts};
pub use drill::DrillReport;
pub use entry::{Entry, EntryError, LogState};
pub use manifest::{Manifest, ManifestError};
pub use seed::{ExamSecret, ExamSeed, SeedCheckpoint};
pub use signoff::SignOffStatement;
pub use stage::Transition;
pub use verify::{
    Anchor, CONSISTENCY_FORMAT, Consistency, Report, Status, Step, StepName, Summary, WithheldRows, verify,
};
pub use witnessed::{Witnessed, WitnessedError};
