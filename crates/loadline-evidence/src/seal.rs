//! The seal: one small file that fixes how a record ended.

use std::io::Read as _;
use std::path::Path;

use loadline_core::digest::canonical_json;
use loadline_core::{Digest, RunId};
use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::error::{Damage, RecordError};
use crate::files::{self, NEW_SEAL, SEAL};

/// The format of the seal written by this build.
pub const SEAL_FORMAT: u32 = 1;
/// A seal is far smaller; more is not one.
const MAX_SEAL_LEN: u64 = 4096;

/// How a record ended. It is what a proof leads to, and what a person signs or cites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// [`SEAL_FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// Digest of the specification's canonical JSON; the run's id is its first 16 bytes.
    pub spec: Digest,
    /// How many rows there are.
    pub rows: u64,
    /// How many of them are samples'.
    pub samples: u64,
    /// The RFC 6962 root over all rows.
    pub root: Digest,
}

impl Seal {
    /// The file's bytes: canonical JSON and a line feed, so that one seal has one form.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, RecordError> {
        let mut bytes = canonical_json(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Writes the seal so that after a crash it is there whole or not at all.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), RecordError> {
        files::write_whole(disk, dir, NEW_SEAL, SEAL, &self.bytes()?)
    }

    /// Reads the seal in a run's folder; `None` when the record is not sealed.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, RecordError> {
        let path = dir.join(SEAL);
        if !disk.exists(&path).map_err(RecordError::io("look for", &path))? {
            return Ok(None);
        }
        let (file, _) = disk.read(&path).map_err(RecordError::io("open", &path))?;
        let mut bytes = Vec::new();
        file.take(MAX_SEAL_LEN).read_to_end(&mut bytes).map_err(RecordError::io("read", &path))?;
        Self::read_bytes(&bytes, &path).map(Some)
    }

    /// Reads a seal's bytes; `path` names it in messages.
    pub(crate) fn read_bytes(bytes: &[u8], path: &Path) -> Result<Self, RecordError> {
        Self::parse(bytes).map_err(|what| match what {
            Unread::Version(found) => RecordError::Version {
                path: path.to_path_buf(),
                found: found.to_string(),
                known: SEAL_FORMAT,
            },
            Unread::Form(what) => Damage { file: path.to_path_buf(), offset: None, row: None, what }.into(),
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, Unread> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        match serde_json::from_slice(bytes) {
            Ok(Version { format }) if format > SEAL_FORMAT => return Err(Unread::Version(format)),
            _ => {}
        }
        let seal: Self = serde_json::from_slice(bytes)
            .map_err(|error| Unread::Form(format!("this is not a seal: {error}")))?;
        match seal.bytes() {
            Ok(expected) if expected == bytes && seal.format == SEAL_FORMAT => Ok(seal),
            _ => Err(Unread::Form("the seal is not in the form it was written in".to_owned())),
        }
    }
}

enum Unread {
    Version(u32),
    Form(String),
}
