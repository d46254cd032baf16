//! A log in a folder, in the layout of C2SP tlog-tiles: any web server can serve it. The only module that does IO.
//!
//! What is on disk after a crash at each step is in `docs/formats/tlog.md`.

mod fsck;
mod log;
mod source;
mod system;
mod witness;

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint::CheckpointError;
use crate::note::NoteError;
use crate::tile::TileError;

pub use fsck::{Fsck, fsck};
pub use log::DiskLog;
pub use source::FolderSource;
pub use system::{Disk, Lock, LockError, RealDisk, Written};
pub use witness::WitnessFolder;

/// Why a log in a folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no log.
    #[error("there is no log in {}", .0.display())]
    Missing(PathBuf),
    /// There is a log already.
    #[error("there is a log in {} already", .0.display())]
    Exists(PathBuf),
    /// Another process writes.
    #[error("{} is being written by another process{}", dir.display(), pid.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    Locked {
        /// The folder of the log or the witness.
        dir: PathBuf,
        /// The process, if it said so.
        pid: Option<u32>,
    },
    /// What is in the folder is not what was signed.
    #[error("the log in {} is damaged: {what}", dir.display())]
    Damaged {
        /// The log's folder.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An earlier write failed; what is on disk is only known after opening the log again.
    #[error("{} is written no more after an earlier error", .0.display())]
    Stopped(PathBuf),
    /// What a witness kept is not what it wrote.
    #[error("{} is damaged: {what}", path.display())]
    WitnessDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An entry that no log can hold.
    #[error(transparent)]
    Entry(#[from] TileError),
    /// The new checkpoint was not signed. Nothing was added.
    #[error("the new checkpoint was not signed: {0}")]
    NotSigned(String),
    /// A note that is not of this log.
    #[error("this checkpoint cannot be published: {0}")]
    Unpublishable(String),
    /// A part of a file that is asked for is not there.
    #[error("{} is too short", .0.display())]
    Short(PathBuf),
    /// A name that no log can have.
    #[error(transparent)]
    Origin(#[from] CheckpointError),
    /// A file that is not a signed note.
    #[error("{}: {problem}", path.display())]
    Note {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: NoteError,
    },
}

impl DiskError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "make room on the disk, then try again"
            }
            Self::Io { .. } => "check the disk and the folder's permissions, then try again",
            Self::Missing(_) => "check the folder, or make a new log there",
            Self::Exists(_) => "give another folder, or open this log",
            Self::Locked { .. } => "only one process may write there: stop the other one",
            Self::WitnessDamaged { .. } => {
                "this witness must not cosign: restore a copy that is not older than its last cosignature, or give it a new key"
            }
            Self::Damaged { .. } | Self::Short(_) => {
                "do not sign anything with this log's key; run fsck to see what is wrong, and restore a full copy"
            }
            Self::Stopped(_) => "start again: what is on disk shows then",
            Self::Entry(_) => "log the hash of what is too long, and keep the thing itself elsewhere",
            Self::NotSigned(_) => "check the signing key; the entries were not added",
            Self::Unpublishable(_) => "publish the checkpoint that this log signed, with cosignatures added",
            Self::Origin(error) => error.hint(),
            Self::Note { problem, .. } => problem.hint(),
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
