//! Runs in a store: found by the beginning of an id, shown by the shortest one.

use std::path::{Path, PathBuf};

use loadline_evidence::{FindError, RecordError, RecordReader, ShortIds, Store};

use crate::exit::Exit;
use crate::failure::{Failure, io_hint};

/// Where records are.
#[derive(clap::Args, Clone, Debug)]
pub struct StoreArgs {
    /// Folder of the records
    #[arg(long, value_name = "DIR", env = "LOADLINE_STORE", default_value = "runs")]
    pub store: PathBuf,
}

impl StoreArgs {
    /// The store.
    pub fn open(&self) -> Store {
        Store::open(&self.store)
    }

    /// The folder of a run: the beginning of its id, or the path of its folder.
    ///
    /// # Errors
    /// When no run, or more than one, has such an id.
    pub fn run_dir(&self, text: &str) -> Result<PathBuf, Failure> {
        let path = Path::new(text);
        if text.contains('/') && path.is_dir() {
            return Ok(path.to_owned());
        }
        let store = self.open();
        let run = store.find(text).map_err(|error| find_failure(&error))?;
        Ok(store.run_dir(&run))
    }

    /// The record of a run, named as for [`StoreArgs::run_dir`].
    ///
    /// # Errors
    /// When there is none, or its beginning cannot be read.
    pub fn reader(&self, text: &str) -> Result<RecordReader, Failure> {
        RecordReader::open(self.run_dir(text)?).map_err(|error| record_failure(&error))
    }
}

/// The short names of a store's runs. Where the folder cannot be read the verb has said so already.
pub fn short_ids(store: &Path) -> ShortIds {
    Store::open(store).short_ids().unwrap_or_default()
}

/// What an error of a record means for the command.
pub fn record_failure(error: &RecordError) -> Failure {
    let (exit, fallback) = match error {
        RecordError::Stopped(cause) => return record_failure(cause),
        // A later format cannot be verified here: no other end would be honest.
        RecordError::Version { .. } => (Exit::EvidenceInvalid, None),
        _ if error.damage().is_some() => (Exit::EvidenceInvalid, None),
        RecordError::Missing { .. } | RecordError::NoSample { .. } | RecordError::NoRow { .. } => {
            (Exit::Usage, None)
        }
        RecordError::Io { source, .. } | RecordError::Write { source, .. } => {
            (place_exit(source), io_hint(source))
        }
        _ => (Exit::Unexpected, None),
    };
    Failure::of(exit, error).maybe_hint(fallback).maybe_hint(error.hint())
}

/// A folder that cannot hold records was named wrongly; anything else is the machine's fault.
fn place_exit(error: &std::io::Error) -> Exit {
    use std::io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    match error.kind() {
        AlreadyExists | NotADirectory | PermissionDenied | ReadOnlyFilesystem => Exit::Usage,
        _ => Exit::Unexpected,
    }
}

/// What it means that a run was not found.
pub fn find_failure(error: &FindError) -> Failure {
    Failure::of(Exit::Usage, error).maybe_hint(error.hint())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_store_that_cannot_be_used_is_the_command_lines_fault_and_has_advice() {
        for (kind, exit) in [
            (ErrorKind::NotADirectory, Exit::Usage),
            (ErrorKind::AlreadyExists, Exit::Usage),
            (ErrorKind::PermissionDenied, Exit::Usage),
            (ErrorKind::ReadOnlyFilesystem, Exit::Usage),
            (ErrorKind::StorageFull, Exit::Unexpected),
        ] {
            let error = RecordError::Io { action: "create", path: "runs".into(), source: Error::from(kind) };
            let failure = record_failure(&error);
            assert!(failure.exit == exit && failure.hint.is_some(), "{failure:?}");
        }
    }
}
