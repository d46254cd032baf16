//! The portable evidence as one file: `license.bundle`. `docs/formats/bundle.md` is the page of this format.
//!
//! A first line, one line of canonical JSON that lists the parts, then the parts back to back and nothing after them.
//! The order of the parts is fixed and everything small comes before the records, so a reader needs one pass and
//! bounded memory.

mod name;
mod read;
mod write;

pub use name::{PartName, parse_name};
pub use read::{NextRecord, Reader, SmallParts};
pub use write::{Contents, LoggedEntry, RunParts, write};

use loadline_core::strict::StrictError;
use loadline_policy::license::Sha256;
use serde::{Deserialize, Serialize};

/// The first line; its number is the version of the format.
pub const FIRST_LINE: &str = "loadline-bundle 1\n";
/// The longest table of contents, in bytes.
pub const MAX_TABLE_BYTES: usize = 2 << 20;
/// The most parts.
pub const MAX_PARTS: usize = 10_000;
/// The largest part that is not the log of a record, in bytes.
pub const MAX_SMALL_BYTES: u64 = 4 << 20;
/// The most bytes that all parts together have that are not logs of records.
pub const MAX_SMALL_TOTAL: u64 = 64 << 20;
/// The largest log of one record, in bytes.
pub const MAX_LOG_BYTES: u64 = 1 << 40;

/// One line of the table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    bytes: u64,
    name: String,
    sha256: Sha256,
}

/// The table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    parts: Vec<Listed>,
}

/// Why a file is no bundle, or none can be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be read or written.
    #[error("the bundle cannot be read or written at {at}: {source}")]
    Io {
        /// Which part, or `the beginning`.
        at: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another kind of file, or a later version.
    #[error("the first line is not `loadline-bundle 1`")]
    FirstLine,
    /// The table of contents is longer than is read, or does not end.
    #[error("the table of contents does not end within {MAX_TABLE_BYTES} bytes")]
    TableLength,
    /// The table of contents is not in its one form.
    #[error("the table of contents: {0}")]
    Table(#[from] StrictError),
    /// It cannot be written as JSON.
    #[error("the table of contents cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// Too many parts.
    #[error("the bundle lists {0} parts; at most {MAX_PARTS} are read")]
    Parts(usize),
    /// A part that no bundle has.
    #[error("`{0}` is no part of a bundle")]
    Unknown(String),
    /// A part twice, or before one that it must follow.
    #[error("`{name}` is listed after `{before}`: a part is there twice, or the parts are not in order")]
    Order {
        /// The part.
        name: String,
        /// The one before it.
        before: String,
    },
    /// A part that every bundle has is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A part that is there only with another.
    #[error("`{name}` is there and `{without}` is not")]
    Alone {
        /// The part.
        name: String,
        /// What must be there with it.
        without: String,
    },
    /// Larger than is read.
    #[error("`{name}` has {bytes} bytes; at most {most} are read")]
    TooLarge {
        /// The part.
        name: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// The file ends inside a part.
    #[error("the file ends inside `{name}`: {missing} bytes are missing")]
    CutOff {
        /// The part.
        name: String,
        /// How many bytes are missing of it.
        missing: u64,
    },
    /// The part's bytes are not those that are listed.
    #[error("`{0}` is not what the table of contents lists: its SHA-256 differs")]
    Digest(String),
    /// Something stands after the last part.
    #[error("bytes follow the last part")]
    Trailing,
}

impl BundleError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check the file and its disk",
            Self::FirstLine => "give a `license.bundle`; a later version of it needs a later loadline",
            Self::Digest(_) | Self::CutOff { .. } => "the file was changed or cut off: get it again",
            _ => "the file was changed, or was not written by loadline: get it again from who issued it",
        }
    }
}
