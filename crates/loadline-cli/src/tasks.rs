//! From a name on the command line to tasks: suites, task files, names found below `--include-path`.

use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_measure::suite_task::{self, SuiteTask};
use loadline_measure::{Library, LoadOptions, Task, TaskError};

use crate::authority::sequential::Sequential;
use crate::exit::Exit;
use crate::failure::Failure;

/// A task, and what it was made with.
pub struct Ready {
    /// The task.
    pub task: Task,
    /// Its seed.
    pub seed: u64,
    /// Only the first so many samples.
    pub limit: Option<u64>,
    /// What stops it early, where it may.
    pub sequential: Option<Sequential>,
}

/// What finds tasks.
pub struct Finder<'a> {
    /// `--include-path`.
    pub include: &'a [PathBuf],
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--limit`.
    pub limit: Option<u64>,
    /// Read only when a name needs it: there may be thousands of files.
    library: Option<Library>,
}

impl<'a> Finder<'a> {
    /// A finder that has read nothing yet.
    pub fn new(include: &'a [PathBuf], seed: Option<u64>, limit: Option<u64>) -> Self {
        Self { include, seed, limit, library: None }
    }

    /// The tasks that a name stands for: one suite or task file, or the members of a group or tag.
    ///
    /// # Errors
    /// When there is no such task, or it cannot be run: with the reason.
    pub fn find(&mut self, text: &str) -> Result<Vec<Ready>, Failure> {
        if let Some(suite) = SuiteTask::parse(text).map_err(|error| task_failure(&error))? {
            let seed = self.seed.unwrap_or(0);
            return Ok(vec![Ready {
                task: suite.task(seed, self.limit),
                seed,
                limit: self.limit,
                sequential: None,
            }]);
        }
        let seed = self.seed.unwrap_or(LoadOptions::default().seed);
        let options = LoadOptions { seed, ..LoadOptions::default() };
        if !is_path(text) && self.include.is_empty() {
            return Err(no_task(text));
        }
        let tasks = self.library()?.load(text, &options).map_err(|error| task_failure(&error))?;
        Ok(tasks.into_iter().map(|task| Ready { task, seed, limit: self.limit, sequential: None }).collect())
    }

    fn library(&mut self) -> Result<&Library, Failure> {
        let library = match self.library.take() {
            Some(library) => library,
            None => Library::scan(self.include).map_err(|error| task_failure(&error))?,
        };
        Ok(self.library.insert(library))
    }
}

/// Whether a task is named by the path of its file.
fn is_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(".yaml") || text.ends_with(".yml") || Path::new(text).is_file()
}

fn no_task(text: &str) -> Failure {
    let suites: Vec<String> = suite_task::all().iter().map(SuiteTask::name).collect();
    let hint = match nearest(text, suites.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`loadline tasks` lists the suites; give the path of a task file, or `--include-path DIR` and its name"
            .to_owned(),
    };
    Failure::new(Exit::TaskInvalid, format!("no suite `{}`", one_line(text, 80))).hint(hint)
}

/// What an error of a task means for the command.
pub fn task_failure(error: &TaskError) -> Failure {
    let hint = error.hint.clone().unwrap_or_else(|| {
        "mend it and give the same command again; `loadline tasks --include-path DIR --all` checks task files without \
         running them"
            .to_owned()
    });
    Failure::of(Exit::TaskInvalid, error).hint(hint)
}
