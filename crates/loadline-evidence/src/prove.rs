//! Showing that one row is in a sealed record, without the others.

use std::path::Path;

use loadline_core::digest::hex;
use loadline_core::record::Row;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, RunId};
use loadline_tlog::{InclusionProof, ProofError, leaf_hash};
use serde::{Deserialize, Serialize};

use crate::error::{Damage, RecordError};
use crate::files;
use crate::reader::{RecordReader, parse_row};

/// The format of the proofs made by this build.
pub const PROOF_FORMAT: u32 = 1;

/// One row of a sealed record, with what shows that it is in it. As JSON it is a file that [`RowProof::check`] checks
/// with nothing else at hand but the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowProof {
    /// [`PROOF_FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// How many rows the record has.
    pub rows: u64,
    /// The root that the proof leads to.
    pub root: Digest,
    /// The number of the row.
    pub row: u64,
    /// The row's RFC 6962 leaf hash.
    pub leaf: Digest,
    /// The sibling hashes from the leaf up to the root.
    pub path: Vec<Digest>,
    /// The row's JSON, byte for byte; absent when it is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Why a proof does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// It is of another format.
    #[error("the proof has format {0}; this program reads format {PROOF_FORMAT}")]
    Version(u32),
    /// It is about another record than the one asked about.
    #[error("the proof leads to root {found}, not to {expected}")]
    OtherRoot {
        /// The root asked about.
        expected: Digest,
        /// The root the proof names.
        found: Digest,
    },
    /// The row is not the one that was recorded.
    #[error("the row's content hashes to {found}, but row {row} of the record is {leaf}")]
    OtherRow {
        /// Its number.
        row: u64,
        /// The leaf hash in the proof.
        leaf: Digest,
        /// The leaf hash of the content.
        found: Digest,
    },
    /// The hashes do not lead to the root.
    #[error("row {row} is not shown to be in the record: {source}")]
    Path {
        /// Its number.
        row: u64,
        /// What is wrong.
        source: ProofError,
    },
    /// The row is in the record, but cannot be read.
    #[error("{0}")]
    Row(String),
}

impl RowProof {
    /// Checks that the row is in the record with this root, and gives it; `None` when it is withheld. The root must
    /// come from somewhere trusted: a seal that was signed, logged or cited, not from the proof itself.
    ///
    /// # Errors
    /// Says which step does not hold.
    pub fn check(&self, root: &Digest) -> Result<Option<Row>, ProofFault> {
        if self.format != PROOF_FORMAT {
            return Err(ProofFault::Version(self.format));
        }
        if self.root != *root {
            return Err(ProofFault::OtherRoot { expected: *root, found: self.root });
        }
        if let Some(payload) = &self.payload {
            let found = Digest(leaf_hash(payload.as_bytes()));
            if found != self.leaf {
                return Err(ProofFault::OtherRow { row: self.row, leaf: self.leaf, found });
            }
        }
        let path = self.path.iter().map(|digest| digest.0).collect();
        let proof = InclusionProof { index: self.row, size: self.rows, path };
        let shown = proof.verify(&self.leaf.0, &root.0);
        shown.map_err(|source| ProofFault::Path { row: self.row, source })?;
        self.payload
            .as_deref()
            .map(|payload| parse_row(payload.as_bytes()).map_err(ProofFault::Row))
            .transpose()
    }
}

/// Shows that a row is in the sealed record in a run's folder. Reads the log once; memory is O(log rows).
///
/// # Errors
/// When there is no record, it is not sealed or has fewer rows, or the log is not the one that was sealed.
pub fn prove(dir: impl AsRef<Path>, row: u64) -> Result<RowProof, RecordError> {
    prove_row(&RecordReader::open(dir)?, row)
}

/// Shows that a sample is in the sealed record in a run's folder.
///
/// # Errors
/// As [`prove`], and when the record has no such sample (a withheld one cannot be found by its id).
pub fn prove_sample(dir: impl AsRef<Path>, id: &str, epoch: u32) -> Result<RowProof, RecordError> {
    let reader = RecordReader::open(dir)?;
    let row = find_in(&reader, id, epoch)?;
    prove_row(&reader, row)
}

/// The number of the row that holds a sample; the last one, where a failed sample was asked again.
///
/// # Errors
/// When there is no record, it cannot be read, or it has no such sample; the error then names the nearest id.
pub fn find_sample(dir: impl AsRef<Path>, id: &str, epoch: u32) -> Result<u64, RecordError> {
    find_in(&RecordReader::open(dir)?, id, epoch)
}

fn prove_row(reader: &RecordReader, row: u64) -> Result<RowProof, RecordError> {
    let Some(seal) = reader.seal() else {
        return Err(RecordError::NotSealed { dir: reader.dir().to_path_buf() });
    };
    if row >= seal.rows {
        return Err(RecordError::NoRow { row, rows: seal.rows });
    }
    let mut raw = reader.raw()?;
    let (mut failed, mut found) = (None, None);
    let leaves = std::iter::from_fn(|| match raw.next_row() {
        Ok(next) => next.map(|at| {
            if at.number == row {
                found = Some((at.leaf, at.payload.map(<[u8]>::to_vec)));
            }
            at.leaf.0
        }),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let built = InclusionProof::build(row, seal.rows, leaves);
    if let Some(error) = failed {
        return Err(error);
    }
    let shown =
        built.ok().zip(found).filter(|(proof, (leaf, _))| proof.verify(&leaf.0, &seal.root.0).is_ok());
    let Some((proof, (leaf, payload))) = shown else {
        let what = format!("the log does not have the sealed root {}", seal.root);
        return Err(Damage { file: reader.dir().join(files::LOG), offset: None, row: None, what }.into());
    };
    let payload = payload.map(|bytes| {
        String::from_utf8(bytes).map_err(|error| Damage {
            file: reader.dir().join(files::LOG),
            offset: None,
            row: Some(row),
            what: format!(
                "the row is not UTF-8 ({})",
                hex(&error.as_bytes()[..error.as_bytes().len().min(16)])
            ),
        })
    });
    Ok(RowProof {
        format: PROOF_FORMAT,
        run: seal.run,
        rows: seal.rows,
        root: seal.root,
        row,
        leaf,
        path: proof.path.into_iter().map(Digest).collect(),
        payload: payload.transpose()?,
    })
}

/// The part of a sample's row that names it.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    sample: Option<Name<'a>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    epoch: u32,
}

/// Gives `visit` the id and epoch of a row, when it is a sample's that can be read.
pub(crate) fn with_name<T>(payload: &[u8], visit: impl FnOnce(&str, u32) -> T) -> Option<T> {
    let named: Named<'_> = serde_json::from_slice(payload).ok()?;
    named.sample.map(|name| visit(&name.id, name.epoch))
}

fn find_in(reader: &RecordReader, id: &str, epoch: u32) -> Result<u64, RecordError> {
    let mut raw = reader.raw()?;
    let mut found = None;
    while let Some(row) = raw.next_row()? {
        let Some(payload) = row.payload else { continue };
        if with_name(payload, |its_id, its_epoch| its_id == id && its_epoch == epoch) == Some(true) {
            found = Some(row.number);
        }
    }
    match found {
        Some(row) => Ok(row),
        None => Err(no_sample(reader, id, Some(epoch))?),
    }
}

/// The error for a sample that is not there, with the nearest id that is.
pub(crate) fn no_sample(
    reader: &RecordReader,
    id: &str,
    epoch: Option<u32>,
) -> Result<RecordError, RecordError> {
    let mut raw = reader.raw()?;
    let mut ids = std::collections::BTreeSet::new();
    while let Some(row) = raw.next_row()? {
        let Some(payload) = row.payload else { continue };
        with_name(payload, |its_id, _| {
            if !ids.contains(its_id) {
                ids.insert(its_id.to_owned());
            }
        });
    }
    let nearest = if ids.contains(id) {
        None
    } else {
        loadline_core::suggest::nearest(id, ids.iter().map(String::as_str))
    };
    let nearest = nearest.map(|near| one_line(near, 80));
    Ok(RecordError::NoSample { run: reader.run(), id: one_line(id, 80), epoch, nearest })
}
