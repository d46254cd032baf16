//! The tasks, groups and tags found in folders of task files.

mod expand;
mod member;
mod scan;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;

use self::expand::Expander;
use self::scan::Scanner;
use crate::task::{Task, TaskError};
use crate::taskfile::{self, LoadOptions};

/// Deepest nesting of groups.
const MAX_GROUP_DEPTH: usize = 32;
/// Keys of a group file that say what the group is; all others override its members' keys.
const GROUP_KEYS: &[&str] =
    &["group", "group_alias", "task", "aggregate_metric_list", "metadata", "include", "tag"];

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

/// What a group or tag comes down to.
#[derive(Default)]
struct Leaves<'l> {
    tasks: Vec<&'l Entry>,
    missing: Vec<String>,
    /// Groups that were looked into.
    seen: HashSet<&'l str>,
}

/// All task files of some folders.
#[derive(Debug, Default)]
pub struct Library {
    entries: BTreeMap<String, Entry>,
    problems: Vec<TaskError>,
    /// Tasks written inside groups, by group and name.
    written: BTreeMap<(String, String), Entry>,
}

impl Library {
    /// Reads every `*.yaml` below these folders (a path may also be a file). A later folder wins over an earlier
    /// one; in one folder the first file in path order wins. Files without a `task` or `group` are templates for
    /// others and stand for nothing.
    ///
    /// # Errors
    /// When a folder is not there or cannot be listed. A file that cannot be read is a [problem](Self::problems).
    pub fn scan(include_paths: &[PathBuf]) -> Result<Self, TaskError> {
        let mut library = Self::default();
        let mut scanner = Scanner::default();
        for root in include_paths {
            let mut files = Vec::new();
            scan::list(root, &mut files)?;
            files.sort();
            let mut found = BTreeMap::new();
            for file in &files {
                match scanner.read(file) {
                    Ok(Some(read)) => {
                        for task in read.written {
                            library.written.insert((read.entry.name.clone(), task.name.clone()), task);
                        }
                        scan::register(&mut found, read.entry, read.tags);
                    }
                    Ok(None) => {}
                    Err(e) => library.problems.push(e),
                }
            }
            library.entries.append(&mut found);
        }
        library.judge_collections();
        Ok(library)
    }

    /// A group or tag can be run when every task in it can.
    fn judge_collections(&mut self) {
        let names: Vec<String> =
            self.entries.values().filter(|e| e.kind != EntryKind::Task).map(|e| e.name.clone()).collect();
        for name in names {
            let mut leaves = Leaves::default();
            self.leaves(&name, &mut leaves);
            let Leaves { tasks, missing, .. } = leaves;
            let cannot = tasks.iter().filter(|t| !t.reasons.is_empty()).count();
            let mut reasons: Vec<String> = missing.iter().map(|m| format!("`{m}` is not there")).collect();
            if cannot > 0 {
                reasons.push(format!("{cannot} of its {} tasks cannot be run", tasks.len()));
            }
            if tasks.is_empty() && reasons.is_empty() {
                reasons.push("it has no tasks".to_owned());
            }
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.reasons = reasons;
            }
        }
    }

    fn leaves<'l>(&'l self, name: &str, leaves: &mut Leaves<'l>) {
        let Some(entry) = self.entries.get(name) else { return leaves.missing.push(name.to_owned()) };
        if entry.kind == EntryKind::Task {
            return leaves.tasks.push(entry);
        }
        if !leaves.seen.insert(&entry.name) {
            return;
        }
        for member in &entry.members {
            let written = || self.written.get(&(entry.name.clone(), member.clone()));
            match written().filter(|_| !self.entries.contains_key(member)) {
                Some(task) => leaves.tasks.push(task),
                None => self.leaves(member, leaves),
            }
        }
    }

    /// All entries by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Files that cannot be read as task files at all: YAML errors, includes that are not there.
    pub fn problems(&self) -> &[TaskError] {
        &self.problems
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// When there is none; the hint names the nearest.
    pub fn find(&self, name: &str) -> Result<&Entry, TaskError> {
        self.entries.get(name).ok_or_else(|| {
            let shown = loadline_core::untrusted::one_line(name, 80);
            let error = TaskError::new(format!("there is no task, group or tag `{shown}`"));
            match nearest(name, self.entries.keys().map(String::as_str)) {
                Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
                None => error.with_hint("`loadline tasks` lists what there is; --include-path adds folders"),
            }
        })
    }

    /// The tasks that a name (of a task, group or tag) or a path to a task file stands for, ready to run.
    ///
    /// # Errors
    /// When there is no such name or path, or one of the tasks cannot be run.
    pub fn load(&self, name_or_path: &str, options: &LoadOptions) -> Result<Vec<Task>, TaskError> {
        let mut expander = Expander::new(self);
        if self.entries.contains_key(name_or_path) || !is_path(name_or_path) {
            self.find(name_or_path)?;
            expander.name(name_or_path, &[], 0)?;
        } else {
            let config = expander.loader.load(Path::new(name_or_path))?;
            expander.config(config, &[], 0)?;
        }
        let mut seen = HashSet::new();
        let mut tasks = Vec::new();
        for config in expander.found {
            let task = taskfile::build(&config, options)?;
            if seen.insert((task.identity.name.clone(), task.identity.digest)) {
                tasks.push(task);
            }
        }
        Ok(tasks)
    }
}

/// Whether a text that is no known name is meant as a path.
fn is_path(text: &str) -> bool {
    text.ends_with(".yaml") || text.ends_with(".yml") || Path::new(text).is_file()
}
