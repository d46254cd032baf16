//! Runs in a store: found by the beginning of an id, shown by the shortest one.

use std::path::{Path, PathBuf};

use loadline_core::RunId;
use loadline_evidence::{FindError, RecordError, RecordReader, Store};

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

/// The shortest beginnings (at least 4 digits) that tell the runs of a store apart.
pub struct Prefixes {
    ids: Vec<String>,
}

impl Prefixes {
    /// Reads the names in the store's folder, and nothing else.
    pub fn of(store: &Path) -> Self {
        let names = std::fs::read_dir(store).into_iter().flatten().flatten();
        let mut ids: Vec<String> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.parse::<RunId>().is_ok())
            .collect();
        ids.sort_unstable();
        Self { ids }
    }

    /// How a run is shown.
    pub fn short(&self, run: &RunId) -> String {
        let id = run.to_string();
        let at = self.ids.partition_point(|other| *other < id);
        let neighbours =
            [at.checked_sub(1).and_then(|i| self.ids.get(i)), self.ids[at..].iter().find(|o| **o != id)];
        let common = |other: &String| other.bytes().zip(id.bytes()).take_while(|(a, b)| a == b).count();
        let longest = neighbours.into_iter().flatten().map(common).max().unwrap_or(0);
        id.chars().take((longest + 1).max(4)).collect()
    }
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
            (Exit::Unexpected, io_hint(source))
        }
        _ => (Exit::Unexpected, None),
    };
    Failure::of(exit, error).maybe_hint(fallback).maybe_hint(error.hint())
}

/// What it means that a run was not found.
pub fn find_failure(error: &FindError) -> Failure {
    Failure::of(Exit::Usage, error).maybe_hint(error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_short_as_the_store_allows() {
        let id = |start: &str| format!("{start}{}", "0".repeat(32 - start.len()));
        let prefixes = Prefixes { ids: vec![id("7f3a"), id("7f3b1"), id("7f3b2")] };
        let short = |start: &str| prefixes.short(&id(start).parse().unwrap());
        assert_eq!(short("7f3a"), "7f3a");
        assert_eq!(short("7f3b1"), "7f3b1");
        assert_eq!(short("7f3b2"), "7f3b2");
        // A run that is not in the store (another one's folder) is told apart all the same.
        assert_eq!(short("7f3b3"), "7f3b3");
        assert_eq!(short("0123"), "0123");
    }
}
