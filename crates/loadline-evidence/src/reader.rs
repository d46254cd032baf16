//! Streaming the rows of a record.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::record::{EvalSpec, Row};
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, RunId};

use crate::disk::{Disk, RealDisk};
use crate::error::RecordError;
use crate::files;
use crate::scan::{Form, Frame, Scanner, Tail};
use crate::seal::Seal;

/// Reads one record, sealed or not. Every row is checked against its frame's check as it is read; the root and the
/// checkpoints are for [`verify`](crate::verify()).
pub struct RecordReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    spec: EvalSpec,
    run: RunId,
    seal: Option<Seal>,
}

impl RecordReader {
    /// Opens the record in a run's folder and reads its specification and its seal.
    ///
    /// # Errors
    /// When there is no record, or its beginning is damaged or of a later format.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, RecordError> {
        Self::open_on(Arc::new(RealDisk), dir.as_ref())
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, RecordError> {
        let seal = Seal::read(disk.as_ref(), dir)?;
        let mut scanner = open_log(disk.as_ref(), dir, seal.is_some())?;
        let (spec, run) = match scanner.next()? {
            Ok(Frame::Row { number, offset, .. }) => {
                parse_spec(scanner.payload()).map_err(|what| scanner.damage(offset, number, what))?
            }
            Ok(_) => {
                return Err(scanner.damage(scanner.offset(), 0, "the specification is not there").into());
            }
            Err(damage) => return Err(damage.into()),
        };
        Ok(Self { disk, dir: dir.to_path_buf(), spec, run, seal })
    }

    /// What was measured and how.
    pub fn spec(&self) -> &EvalSpec {
        &self.spec
    }

    /// The run that the specification names.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The seal, when the record is sealed.
    pub fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The rows with their numbers, in order, read as they are asked for. Withheld rows are left out. A torn tail of
    /// a record that is not sealed ends the rows; anything else that does not check is an error, after which
    /// nothing follows.
    pub fn rows(&self) -> Rows {
        Rows { raw: Some(self.raw()) }
    }

    /// The rows as bytes, for reading only a part of each.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn raw(&self) -> Result<RawRows, RecordError> {
        let scanner = open_log(self.disk.as_ref(), &self.dir, self.seal.is_some())?;
        Ok(RawRows { scanner, sealed_rows: self.seal.as_ref().map(|seal| seal.rows), ended: false })
    }
}

/// Opens a run's log, saying so when there is none.
pub(crate) fn open_log(disk: &dyn Disk, dir: &Path, sealed: bool) -> Result<Scanner, RecordError> {
    Scanner::open(disk, &dir.join(files::LOG), Form::Record { sealed }).map_err(|error| match error {
        RecordError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            RecordError::Missing { dir: dir.to_path_buf() }
        }
        other => other,
    })
}

/// Reads a row, or says why it is none.
pub(crate) fn parse_row(payload: &[u8]) -> Result<Row, String> {
    serde_json::from_slice(payload).map_err(|error| {
        format!("the row is whole, but not of a form known here: {}", one_line(&error.to_string(), 200))
    })
}

/// Reads the first row.
pub(crate) fn parse_spec(payload: &[u8]) -> Result<(EvalSpec, RunId), String> {
    let Row::Spec(spec) = parse_row(payload)? else {
        return Err("the first row is not the specification".to_owned());
    };
    let run = spec.run_id().map_err(|error| format!("the specification names no run: {error}"))?;
    Ok((*spec, run))
}

/// The digest behind a run's id.
pub(crate) fn spec_digest(spec: &EvalSpec) -> Result<Digest, RecordError> {
    Ok(Digest::of_json(spec)?)
}

/// The rows of a record as bytes. Not an [`Iterator`]: each row borrows the reader's buffer.
pub struct RawRows {
    scanner: Scanner,
    sealed_rows: Option<u64>,
    ended: bool,
}

/// One row as bytes.
#[derive(Clone, Copy, Debug)]
pub struct RawRow<'a> {
    /// Its number, from 0.
    pub number: u64,
    /// Where its frame begins in the log, in bytes.
    pub offset: u64,
    /// Its RFC 6962 leaf hash.
    pub leaf: Digest,
    /// Its JSON; `None` when it is withheld.
    pub payload: Option<&'a [u8]>,
}

impl RawRows {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// As for [`RecordReader::rows`]; nothing follows an error.
    pub fn next_row(&mut self) -> Result<Option<RawRow<'_>>, RecordError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let (number, offset, leaf, withheld) = loop {
            match self.scanner.next()? {
                Ok(Frame::Row { number, offset, leaf }) => break (number, offset, leaf, false),
                Ok(Frame::Withheld { number, offset, leaf }) => break (number, offset, leaf, true),
                Ok(Frame::Checkpoint { .. } | Frame::Begin { .. }) => {}
                Ok(Frame::End) => return self.end().map(|()| None),
                Err(fault) => return self.scanner.tail(fault).map(|_: Tail| None),
            }
        };
        self.ended = false;
        let payload = (!withheld).then_some(self.scanner.payload());
        Ok(Some(RawRow { number, offset, leaf: Digest(leaf), payload }))
    }

    fn end(&self) -> Result<(), RecordError> {
        let rows = self.scanner.rows();
        match self.sealed_rows {
            Some(sealed) if sealed != rows => {
                let what = format!("the log ends after {rows} rows, but {sealed} were sealed");
                Err(self.scanner.damage(self.scanner.offset(), rows, what).into())
            }
            _ => Ok(()),
        }
    }
}

/// The rows of a record with their numbers.
pub struct Rows {
    raw: Option<Result<RawRows, RecordError>>,
}

impl Rows {
    fn step(raw: &mut RawRows) -> Result<Option<(u64, Row)>, RecordError> {
        while let Some(row) = raw.next_row()? {
            let Some(payload) = row.payload else { continue };
            let (number, offset) = (row.number, row.offset);
            return match parse_row(payload) {
                Ok(parsed) => Ok(Some((number, parsed))),
                Err(what) => Err(raw.scanner.damage(offset, number, what).into()),
            };
        }
        Ok(None)
    }
}

impl Iterator for Rows {
    type Item = Result<(u64, Row), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut raw = match self.raw.take()? {
            Ok(raw) => raw,
            Err(error) => return Some(Err(error)),
        };
        match Self::step(&mut raw) {
            Ok(Some(row)) => {
                self.raw = Some(Ok(raw));
                Some(Ok(row))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
