//! The runner: task files, datasets, scorers, scheduler, budget, resume.

pub mod task;

pub use task::{Aggregation, MetricSpec, SampleSource, Scorer, Task, TaskError};
