//! Why an audit log is not opened.

use std::path::PathBuf;

use loadline_evidence::RecordError;

/// Why an audit log cannot be opened, or does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditOpenError {
    /// The log itself: damaged, locked, or the disk refuses.
    #[error(transparent)]
    Log(#[from] RecordError),
    /// There is none.
    #[error("there is no audit log in {}", .0.display())]
    Missing(PathBuf),
    /// A file beside the log is not what it should be.
    #[error("{}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The signed checkpoint is not there.
    #[error("{} is gone, and the log has {rows} rows", path.display())]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
        /// Rows of the log.
        rows: u64,
    },
    /// The log is of another name.
    #[error("the log in {} is named `{found}`, not `{expected}`", dir.display())]
    Name {
        /// The folder.
        dir: PathBuf,
        /// Its name.
        found: String,
        /// The name asked for.
        expected: String,
    },
    /// It is not the log that witnesses cosigned.
    #[error("the log in {} is not the one of {rows} rows that its witnesses cosigned: {error}", dir.display())]
    NotCosigned {
        /// The folder.
        dir: PathBuf,
        /// Rows that were cosigned.
        rows: u64,
        /// What differs.
        error: RecordError,
    },
    /// A witness saw another history of it.
    #[error("the log in {} is not the one that witness `{witness}` cosigned: {what}", dir.display())]
    Fork {
        /// The folder.
        dir: PathBuf,
        /// By its name in the policy.
        witness: String,
        /// What it says.
        what: String,
    },
    /// Too few witnesses cosigned it.
    #[error("what is cosigned of the log in {} is not what the policy asks for: {error}", dir.display())]
    Unwitnessed {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        error: loadline_tlog::Refused,
    },
    /// No policy of witnesses.
    #[error("the policy of witnesses: {0}")]
    Policy(String),
    /// Nobody of that name.
    #[error("no subject is named `{0}`")]
    NoSubject(String),
    /// What was asked for cannot be written.
    #[error("cannot write the export: {0}")]
    Write(std::io::Error),
}

impl AuditOpenError {
    /// Whether bytes are not what was written: somebody changed them, or the disk did.
    pub fn is_tampered(&self) -> bool {
        match self {
            Self::Log(error) => error.damage().is_some(),
            Self::NotCosigned { error, .. } => error.damage().is_some(),
            Self::NoCheckpoint { .. } | Self::Form { .. } | Self::Fork { .. } | Self::Unwitnessed { .. } => {
                true
            }
            _ => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Log(RecordError::Locked { .. }) => {
                "a gate is writing it; `verify` and `export` work meanwhile, the rest when it has ended".to_owned()
            }
            Self::Log(error) if error.damage().is_none() => match error.hint() {
                Some(hint) if hint.contains("make room") => {
                    "make room on that disk and start the gate again".to_owned()
                }
                _ => "see that the folder is there, and that this user may write in it".to_owned(),
            },
            Self::Fork { .. } | Self::NotCosigned { .. } => "somebody put an older or another log there, or it runs \
                 twice. Put the log back that was cosigned; keep both folders for whoever examines this"
                .to_owned(),
            Self::Unwitnessed { .. } => {
                "see that the witnesses can be reached, and that each knows the log's key (`signer.vkey`)".to_owned()
            }
            Self::Log(_) | Self::NoCheckpoint { .. } => {
                "what was written safely has changed since. Nothing is added to it: keep the folder as it is for \
                 whoever examines this, and begin another log in an empty folder"
                    .to_owned()
            }
            Self::Policy(_) => "lines are `witness NAME VKEY [URL]`, `group NAME all|any|K NAME…`, `quorum NAME`".to_owned(),
            Self::Missing(_) => "`audit` in the gate's configuration names the folder".to_owned(),
            Self::Form { .. } => "restore the file from a copy".to_owned(),
            Self::Name { .. } => "each gate has its own folder and its own name".to_owned(),
            Self::NoSubject(_) => "`loadline gate audit erase --list` shows all names".to_owned(),
            Self::Write(_) => "see that there is room, and that this user may write there".to_owned(),
        }
    }
}
