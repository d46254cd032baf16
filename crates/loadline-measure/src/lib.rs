//! The runner: task files, datasets, scorers, scheduler, budget, resume.

pub mod catalog;
mod dataset;
mod filter;
mod metric;
mod python;
pub mod task;
pub mod taskfile;
mod template;

pub use catalog::{Entry, EntryKind, Library};
pub use task::{Aggregation, MetricSpec, SampleSource, Scorer, Task, TaskError};
pub use taskfile::LoadOptions;
