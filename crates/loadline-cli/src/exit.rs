//! Exit codes: one enum, and the public contract of `docs/exit-codes.md`.

/// What the process ends with. Scripts may rely on each number; a run that did not finish never ends with 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    #[default]
    Ok = 0,
    /// Something unforeseen: a fault of the machine or of Loadline.
    Unexpected = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Some samples have no answer after every attempt.
    SamplesErrored = 10,
    /// Cancelled; the same command resumes.
    Cancelled = 11,
    /// The budget is used up; the same command with a larger budget resumes.
    BudgetReached = 12,
    /// A policy denies it, or a stop that was tried out did not hold.
    Denied = 20,
    /// The evidence does not decide it.
    Undetermined = 21,
    /// The evidence does not verify.
    EvidenceInvalid = 30,
    /// A task, suite, policy or data file is invalid.
    TaskInvalid = 40,
    /// A model, a log or a gate is not there, or does not answer as one.
    ModelUnreachable = 50,
}

impl Exit {
    /// All codes in order, each with the line that `--help` and `docs/exit-codes.md` have for it.
    pub const TABLE: &[(u8, &str)] = &[
        (0, "done"),
        (1, "unexpected: a fault of the machine or of Loadline"),
        (2, "usage: the command line is wrong"),
        (10, "some samples have no answer after every attempt"),
        (11, "cancelled; the same command resumes"),
        (12, "budget reached; the same command with a larger budget resumes"),
        (20, "denied by a policy, or a drill failed"),
        (21, "undetermined: the evidence does not decide it"),
        (30, "evidence does not verify"),
        (40, "a task, policy or data file is invalid"),
        (50, "a model, a log or a gate is not there, or does not answer as one"),
    ];

    /// The end of several runs in one command: what went wrong outright counts more than what can go on.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let rank = |exit: Self| match exit {
            Self::Ok => 0,
            Self::SamplesErrored => 1,
            Self::BudgetReached => 2,
            Self::Cancelled => 3,
            Self::Undetermined => 4,
            Self::Denied => 5,
            Self::ModelUnreachable => 6,
            Self::TaskInvalid => 7,
            Self::Usage => 8,
            Self::EvidenceInvalid => 9,
            Self::Unexpected => 10,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// The lines of [`Exit::TABLE`] as `--help` shows them.
    pub fn help() -> String {
        let mut text = String::from("Exit codes:");
        for (code, meaning) in Self::TABLE {
            text.push_str(&format!("\n  {code:>2}  {meaning}"));
        }
        text
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_this_one() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/exit-codes.md"))
            .unwrap();
        let rows: Vec<_> =
            page.lines().filter(|l| l.starts_with("| ") && l.as_bytes()[2].is_ascii_digit()).collect();
        let expected: Vec<_> =
            Exit::TABLE.iter().map(|(code, text)| format!("| {code} | {text} |")).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn an_unfinished_run_is_never_hidden_by_a_finished_one() {
        assert_eq!(Exit::Ok.worst(Exit::Cancelled).worst(Exit::Ok), Exit::Cancelled);
        assert_eq!(Exit::SamplesErrored.worst(Exit::TaskInvalid), Exit::TaskInvalid);
    }
}
