//! What can be wrong with a key file, and what to do about it.

use std::io;
use std::path::PathBuf;

use loadline_trust::secret::SecretKeyError;
use loadline_trust::{EnvelopeError, PublicKeyError};

use super::Work;
use crate::exit::Exit;
use crate::failure::Failure;

/// Why a key file cannot be made or read. No message holds a part of a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The disk.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
    /// A key file is never overwritten.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// Not an age file with a passphrase.
    #[error("`{}` is no key file locked with a passphrase", .0.display())]
    Form(PathBuf),
    /// The first lock does not open.
    #[error("the passphrase does not open `{}`", .0.display())]
    Passphrase(PathBuf),
    /// The passphrase is right and the rest is not as it was written.
    #[error("`{}` was changed or is damaged", .0.display())]
    Damaged(PathBuf),
    /// It asks for more memory than is given.
    #[error("`{}` asks for 2^{log_n} blocks of work; at most 2^{} are done", path.display(), Work::MOST)]
    Work {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        log_n: u8,
    },
    /// What is inside is no key.
    #[error("`{}`: {error}", path.display())]
    Inside {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: SecretKeyError,
    },
    /// A key of the other kind.
    #[error("`{}` holds {found}, not {expected}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// The file of one key holds another.
    #[error("`{}` holds the key `{found}`", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The key's name.
        found: String,
    },
    /// The public file is not what it should be.
    #[error("`{}`: {error}", path.display())]
    Public {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: EnvelopeError,
    },
    /// A name that names no key.
    #[error(transparent)]
    BadName(#[from] PublicKeyError),
    /// A log's key that cannot be used.
    #[error("`{}`: {error}", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: loadline_tlog::KeyError,
    },
}

impl KeyFileError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Io { error, .. } => crate::failure::io_hint(error)
                .unwrap_or_else(|| "give the path of a key file made by `loadline key new`".to_owned()),
            Self::Exists(_) => "keys are never overwritten: choose another name".to_owned(),
            Self::Form(_) | Self::Kind { .. } => {
                "give the path of a key file made by `loadline key new`".to_owned()
            }
            Self::Passphrase(_) => {
                "try again; if you are sure of it, the file was changed: restore it from a backup".to_owned()
            }
            Self::Damaged(_) | Self::Work { .. } | Self::Note { .. } => {
                "restore it from a backup, or make a new key and rotate to it".to_owned()
            }
            Self::Inside { error, .. } => error.hint().to_owned(),
            Self::Name { .. } => "rename the file after its key, or give the right file".to_owned(),
            Self::Public { error, .. } => error.hint().to_owned(),
            Self::BadName(error) => error.hint().to_owned(),
        }
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        let exit = match &error {
            KeyFileError::Exists(_) | KeyFileError::Passphrase(_) | KeyFileError::BadName(_) => Exit::Usage,
            _ => Exit::TaskInvalid,
        };
        Self::of(exit, &error).hint(error.hint())
    }
}
