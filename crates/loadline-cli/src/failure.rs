//! What ends a command: a message, its causes, advice, and the exit code.

use std::error::Error;

use crate::exit::Exit;

/// The result of a verb.
pub type Result<T = Exit> = std::result::Result<T, Failure>;

/// Why a command cannot go on.
#[derive(Debug)]
pub struct Failure {
    /// What the process ends with.
    pub exit: Exit,
    /// What is wrong, without a final full stop. May have several lines (a place in a file, with a caret).
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The reader of standard output went away: end without a word.
    pub closed_pipe: bool,
}

impl Failure {
    /// A failure without causes or advice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None, closed_pipe: false }
    }

    /// An error with its whole chain of causes.
    pub fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        failure.add_causes(error.source());
        failure
    }

    /// What was being done, with an error as its cause.
    pub fn because(exit: Exit, message: impl Into<String>, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(exit, message);
        failure.add_causes(Some(error));
        failure
    }

    /// An input or output error, with advice where the machine's state explains it.
    pub fn io(message: impl Into<String>, error: &std::io::Error) -> Self {
        let mut failure = Self::because(Exit::Unexpected, message, error);
        failure.hint = io_hint(error);
        failure
    }

    /// The same failure with one more cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with advice, where there is any.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Adds an error and its sources. A source whose text the error above it already ends with says nothing new.
    fn add_causes(&mut self, mut error: Option<&(dyn Error + 'static)>) {
        while let Some(cause) = error {
            let text = cause.to_string();
            let above = self.causes.last().unwrap_or(&self.message);
            if !above.ends_with(&text) {
                self.causes.push(text);
            }
            error = cause.source();
        }
    }
}

/// What a person can do about an operating-system error.
pub fn io_hint(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind::{
        AlreadyExists, FileTooLarge, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let hint = match error.kind() {
        StorageFull | QuotaExceeded => {
            "free some space, or choose another place with `--store DIR`; then run the same command again: it resumes"
        }
        FileTooLarge => {
            "a limit on the size of files stopped it (`ulimit -f`); raise it, then run the same command again: it resumes"
        }
        NotADirectory | AlreadyExists => {
            "a file stands where a folder should be; choose another place with `--store DIR`"
        }
        PermissionDenied | ReadOnlyFilesystem => "choose a folder you can write to",
        _ => return None,
    };
    Some(hint.to_owned())
}
