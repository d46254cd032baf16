//! The tasks, groups and tags found in folders of task files.

use std::path::PathBuf;

use crate::task::{Task, TaskError};
use crate::taskfile::LoadOptions;

/// What kind of thing a name in the library is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// One task.
    Task,
    /// A file that names several tasks.
    Group,
    /// The tasks whose files carry the tag.
    Tag,
}

/// A name in the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name it is asked for by.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its file; a tag has none.
    pub path: Option<PathBuf>,
    /// For a task: `generate_until`, `multiple_choice`, `loglikelihood` or `loglikelihood_rolling`.
    pub output_type: Option<&'static str>,
    /// For a group or a tag: the names it stands for.
    pub members: Vec<String>,
    /// Why it cannot be run; empty when it can.
    pub reasons: Vec<String>,
}

/// All task files of some folders.
#[derive(Debug, Default)]
pub struct Library {
    entries: std::collections::BTreeMap<String, Entry>,
    problems: Vec<TaskError>,
}

impl Library {
    /// Reads every `*.yaml` below these folders. A later folder wins over an earlier one; in one folder the first
    /// file in path order wins.
    ///
    /// # Errors
    /// When a folder is not there or cannot be listed. A file that cannot be read is a [problem](Self::problems).
    pub fn scan(include_paths: &[PathBuf]) -> Result<Self, TaskError> {
        let _ = include_paths;
        Ok(Self::default())
    }

    /// All entries by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Files that are not task files at all (YAML errors, unknown keys).
    pub fn problems(&self) -> &[TaskError] {
        &self.problems
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// When there is none; the hint names the nearest.
    pub fn find(&self, name: &str) -> Result<&Entry, TaskError> {
        self.entries.get(name).ok_or_else(|| TaskError::new(format!("no task `{name}`")))
    }

    /// The tasks that a name (of a task, group or tag) or a path to a task file stands for, ready to run.
    ///
    /// # Errors
    /// When there is no such name or path, or one of the tasks cannot be run.
    pub fn load(&self, name_or_path: &str, options: &LoadOptions) -> Result<Vec<Task>, TaskError> {
        let _ = options;
        self.find(name_or_path)?;
        Ok(Vec::new())
    }
}
