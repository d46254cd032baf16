//! Task files: the YAML of lm-evaluation-harness 0.4.13, read into a [`Task`].

pub mod config;
pub mod include;
pub mod reader;
pub mod yaml;

use std::path::Path;

use crate::task::{Task, TaskError};

/// How a task file is turned into a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Seed of the few-shot choice. With 1234, lm_eval's own default, the prompts are those of lm_eval.
    pub seed: u64,
    /// Overrides the file's `num_fewshot`.
    pub num_fewshot: Option<u32>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { seed: 1234, num_fewshot: None }
    }
}

/// Reads a task file, what it includes and its data (once, for their digest and number), and makes the task.
///
/// # Errors
/// When the file is not there, is not YAML, has a key that is not known or a value that does not fit, needs what
/// is not supported, or when its data cannot be read. A group is an error here; see [`crate::Library`].
pub fn load(path: &Path, options: &LoadOptions) -> Result<Task, TaskError> {
    let _ = options;
    Err(TaskError::new(format!("{}: task files are not read yet", path.display())))
}
