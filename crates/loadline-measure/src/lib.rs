//! The runner: task files, datasets, scorers, scheduler, budget, resume.
//!
//! A [`Task`] comes from a file or a [suite](suite_task); [`run::measure`] puts it to a model and writes the record;
//! [`results`] and [`export`] read records.

pub mod catalog;
mod dataset;
pub mod export;
mod filter;
mod metric;
mod python;
pub mod results;
pub mod run;
pub mod simulated;
pub mod suite_task;
pub mod task;
pub mod taskfile;
mod template;

pub use catalog::{Entry, EntryKind, Library};
pub use simulated::Simulated;
pub use suite_task::SuiteTask;
pub use task::{Aggregation, MetricSpec, SampleSource, Scorer, Task, TaskError};
pub use taskfile::LoadOptions;
