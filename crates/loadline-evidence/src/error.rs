//! Why a record cannot be written or read, each with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::RunId;

/// Why a record cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb (`open`, `rename`).
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Rows could not be written.
    #[error("cannot write {bytes} bytes to {}: {source}", path.display())]
    Write {
        /// To which file.
        path: PathBuf,
        /// How many bytes were to be written.
        bytes: u64,
        /// Why it failed.
        source: io::Error,
    },
    /// An earlier write or fsync failed, and the writer stopped for ever.
    #[error(transparent)]
    Stopped(#[from] Arc<RecordError>),
    /// A run of this specification has a record already.
    #[error("run {run} has a record already, in {}", dir.display())]
    Exists {
        /// The run.
        run: RunId,
        /// Its folder.
        dir: PathBuf,
    },
    /// There is no record.
    #[error("there is no record in {}", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// A sealed record takes no more rows.
    #[error("the record in {} is sealed: nothing can be added", dir.display())]
    Sealed {
        /// The folder.
        dir: PathBuf,
    },
    /// Only a sealed record has a root that a proof can lead to.
    #[error("the record in {} is not sealed yet", dir.display())]
    NotSealed {
        /// The folder.
        dir: PathBuf,
    },
    /// Another writer has the record open.
    #[error("the record in {} is being written by {}", dir.display(), Holder(*pid))]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// The process that writes it, where known.
        pid: Option<u32>,
    },
    /// The bytes are not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The file is a record, but of a later format.
    #[error("{} has record format {found}; this program reads up to {known}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: String,
        /// The latest version known here.
        known: u32,
    },
    /// The row holds a number that JSON has no form for.
    #[error("{what} is {value}: a record holds finite numbers only")]
    NotFinite {
        /// Which number.
        what: String,
        /// NaN or an infinity.
        value: f64,
    },
    /// The row is larger than a record's rows may be.
    #[error("a row of {bytes} bytes is more than a record holds ({limit} bytes)")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most allowed.
        limit: u64,
    },
    /// The row or the specification cannot be written as JSON.
    #[error("a row cannot be written as JSON: {0}")]
    Encode(#[from] serde_json::Error),
    /// No row is of this sample.
    #[error("run {run} has no sample `{id}`{}", Epoch(*epoch))]
    NoSample {
        /// The run.
        run: RunId,
        /// The sample asked for, made safe for showing.
        id: String,
        /// The repetition asked for, when one was.
        epoch: Option<u32>,
        /// The nearest sample id there is, made safe for showing.
        nearest: Option<String>,
    },
    /// The record has fewer rows.
    #[error("row {row} is not there: the record has {rows} rows")]
    NoRow {
        /// The row asked for.
        row: u64,
        /// How many there are.
        rows: u64,
    },
}

impl RecordError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Stopped(cause) => return cause.hint(),
            Self::Io { source, .. } | Self::Write { source, .. } => return io_hint(source),
            Self::Exists { .. } => "the same command goes on with it; `--fresh` starts another run beside it",
            Self::Sealed { .. } => "`--fresh` starts another run of the same specification beside it",
            Self::Missing { .. } => {
                "give a run's folder, which has a file `log`, or the beginning of a run's id"
            }
            Self::NotSealed { .. } => "finish the run first: the same command goes on where it stopped",
            Self::Locked { .. } => "wait until it has ended, or stop it; two writers never share a record",
            Self::Damaged(_) => {
                "what was written safely has changed since, so nothing is added to it or taken from it: \
                 restore the folder from a copy, or measure again with `--fresh`"
            }
            Self::Version { .. } => "read it with a later version of loadline",
            Self::NoSample { nearest: Some(near), .. } => return Some(format!("did you mean `{near}`?")),
            Self::NoSample { epoch: Some(_), .. } => "epochs count from 0",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The place of the damage, where the record's bytes are at fault (rather than the disk, or the question).
    pub fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Damaged(damage) => Some(damage),
            Self::Stopped(cause) => cause.damage(),
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

fn io_hint(source: &io::Error) -> Option<String> {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let hint = match source.kind() {
        StorageFull | QuotaExceeded => {
            "make room on that disk and give the same command again: it goes on after the last row that was \
             written"
        }
        PermissionDenied | ReadOnlyFilesystem => "`--store DIR` keeps records in another folder",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Where a record's bytes are not what was written, and how that shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}{what}", file.display(), Place(*offset, *row))]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in it the frame begins that does not check, in bytes from 0.
    pub offset: Option<u64>,
    /// The number of the row there, or of the next row where the frame is not a row's.
    pub row: Option<u64>,
    /// What differs.
    pub what: String,
}

struct Place(Option<u64>, Option<u64>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(offset), Some(row)) => write!(f, "byte {offset}, row {row}: "),
            (Some(offset), None) => write!(f, "byte {offset}: "),
            (None, Some(row)) => write!(f, "row {row}: "),
            (None, None) => Ok(()),
        }
    }
}

struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

struct Epoch(Option<u32>);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |epoch| write!(f, ", epoch {epoch}"))
    }
}

/// Why a prefix does not name a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No run's id begins with it.
    #[error("no run begins with `{prefix}`")]
    NoMatch {
        /// What was asked for, made safe for showing.
        prefix: String,
        /// The run whose id begins most like it.
        nearest: Option<RunId>,
        /// Where runs were looked for.
        root: PathBuf,
    },
    /// Several runs begin with it.
    #[error("`{prefix}` begins the ids of {} runs", candidates.len())]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The runs, in order.
        candidates: Vec<RunId>,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] RecordError),
}

impl FindError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            // One digit in common is chance: such a run is not what anybody meant.
            Self::NoMatch { prefix, nearest: Some(near), root }
                if !prefix
                    .get(..2)
                    .is_some_and(|start| near.to_string().starts_with(&start.to_ascii_lowercase())) =>
            {
                Some(format!("`loadline runs` lists the runs in {}", root.display()))
            }
            Self::NoMatch { nearest: Some(near), .. } => {
                Some(format!("did you mean {near}? `loadline runs` lists all"))
            }
            Self::NoMatch { nearest: None, root, .. } => {
                Some(format!("there are no runs in {}; `--store DIR` names another folder", root.display()))
            }
            Self::Ambiguous { candidates, .. } => {
                let shown: Vec<String> = candidates.iter().take(8).map(ToString::to_string).collect();
                let more = if candidates.len() > 8 { ", …" } else { "" };
                Some(format!("one of {}{more}", shown.join(", ")))
            }
            Self::Store(error) => error.hint(),
        }
    }
}
