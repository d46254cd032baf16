//! The runner: task files, datasets, scorers, scheduler, budget, resume.

pub mod catalog;
pub mod task;
pub mod taskfile;

pub use catalog::{Entry, EntryKind, Library};
pub use task::{Aggregation, MetricSpec, SampleSource, Scorer, Task, TaskError};
pub use taskfile::LoadOptions;
