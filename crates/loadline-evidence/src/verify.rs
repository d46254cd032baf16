//! Checking a whole record: every byte of it.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use loadline_core::record::{EvalSpec, Row};
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, RunId, SampleRecord};

use crate::disk::{Disk, RealDisk};
use crate::error::{Damage, RecordError};
use crate::files;
use crate::reader::{open_log, parse_row, parse_spec, spec_digest};
use crate::replay::replay;
use crate::scan::{Form, Scanner, Tail};
use crate::seal::Seal;

/// What a record that verifies holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The run.
    pub run: RunId,
    /// What was measured and how.
    pub spec: EvalSpec,
    /// How many rows there are.
    pub rows: u64,
    /// How many of them are samples'.
    pub samples: u64,
    /// The RFC 6962 root over all rows.
    pub root: Digest,
    /// The seal; `None` when the run is not finished.
    pub seal: Option<Seal>,
    /// Numbers of the rows whose content is withheld; their hashes are in the root.
    pub withheld: Vec<u64>,
    /// Bytes at the end of an unfinished log that are no whole row: the next run cuts them. No sealed log has any.
    pub torn_bytes: u64,
}

/// Checks a record: every frame's check, every checkpoint, the root, the seal; that the first row is the specification
/// and names the folder; that no other row is one; that each sample's row is one of those that the specification asks for;
/// and that no sample is answered twice.
///
/// # Errors
/// [`RecordError::Damaged`] with the place when anything differs; otherwise when the record cannot be read.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verified, RecordError> {
    verify_on(&RealDisk, dir.as_ref())
}

pub(crate) fn verify_on(disk: &dyn Disk, dir: &Path) -> Result<Verified, RecordError> {
    let seal = Seal::read(disk, dir)?;
    let scanner = open_log(disk, dir, seal.is_some())?;
    check(scanner, seal, folder_run(dir), dir, |_, _| {})
}

/// A sealed record as bytes, from anywhere.
pub struct Streamed<'a, R> {
    /// By which messages name it, as a folder: `NAME/log`, `NAME/seal.json`.
    pub name: &'a str,
    /// The run that it must be.
    pub run: RunId,
    /// Bytes of `seal.json`.
    pub seal: &'a [u8],
    /// The log, which is read once from beginning to end.
    pub log: R,
    /// How many bytes the log has.
    pub length: u64,
    /// The most rows that are read.
    pub most_rows: u64,
    /// The largest row that is read, in bytes.
    pub most_row_bytes: usize,
}

/// Checks a sealed record as [`verify`] does and gives each row that is not withheld, with its number, to `visit`. It is
/// given rows before it is known whether the record verifies. Memory is one row, and 40 bytes for each sample.
///
/// # Errors
/// As [`verify`], and when the record is larger than is read.
pub fn verify_stream<R: Read>(
    record: Streamed<'_, R>,
    visit: impl FnMut(u64, &Row),
) -> Result<Verified, RecordError> {
    let dir = Path::new(record.name);
    let seal = Seal::read_bytes(record.seal, &dir.join(files::SEAL))?;
    if seal.rows > record.most_rows {
        let what = format!("{} rows were sealed; at most {} are read here", seal.rows, record.most_rows);
        return Err(Damage { file: dir.join(files::SEAL), offset: None, row: None, what }.into());
    }
    let input = Forward(record.log);
    let mut scanner = Scanner::of(
        input,
        record.length,
        &dir.join(files::LOG),
        Form::Record { sealed: true },
        record.most_row_bytes,
    )?;
    scanner.most_rows = record.most_rows;
    check(scanner, Some(seal), Some(record.run), dir, visit)
}

/// A reader that cannot go back. A sealed log is never gone back in: nothing in it is a torn tail.
struct Forward<R>(R);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl<R> Seek for Forward<R> {
    fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// Checks all of a record, wherever its bytes come from.
fn check<R: Read + Seek>(
    mut scanner: Scanner<R>,
    seal: Option<Seal>,
    run: Option<RunId>,
    dir: &Path,
    mut visit: impl FnMut(u64, &Row),
) -> Result<Verified, RecordError> {
    let mut rows = RowCheck { named: run, spec: None, seen: HashMap::new() };
    let replayed = replay(&mut scanner, |number, payload| {
        let row = rows.check(number, payload)?;
        visit(number, &row);
        Ok(())
    })?;
    let Some((spec, run)) = rows.spec else {
        return Err(scanner.damage(scanner.offset(), 0, "the specification is not there").into());
    };
    if seal.is_some() && replayed.checkpointed < replayed.tree.size() {
        let what = "the log of a sealed record does not end with a checkpoint over all its rows";
        return Err(scanner.damage(replayed.end, scanner.rows(), what).into());
    }
    let torn_bytes = match replayed.tail {
        Tail::Whole => 0,
        Tail::Torn { bytes } => bytes,
    };
    let root = Digest(replayed.tree.root());
    let verified = Verified {
        run,
        rows: replayed.tree.size(),
        samples: replayed.samples,
        root,
        withheld: replayed.withheld,
        torn_bytes,
        seal,
        spec,
    };
    check_seal(dir, &verified)?;
    Ok(verified)
}

fn folder_run(dir: &Path) -> Option<RunId> {
    dir.file_name()?.to_str()?.parse().ok()
}

/// What must hold for the rows besides their hashes.
struct RowCheck {
    named: Option<RunId>,
    spec: Option<(EvalSpec, RunId)>,
    /// By index and epoch: whether it was answered.
    seen: HashMap<(u64, u32), bool>,
}

impl RowCheck {
    fn check(&mut self, number: u64, payload: &[u8]) -> Result<Row, String> {
        if number == 0 {
            let (spec, run) = parse_spec(payload)?;
            if self.named != Some(run) {
                return Err(format!(
                    "the specification is that of run {run}, but the folder has another name"
                ));
            }
            self.spec = Some((spec.clone(), run));
            return Ok(Row::Spec(Box::new(spec)));
        }
        let row = parse_row(payload)?;
        match &row {
            Row::Spec(_) => return Err("a second specification".to_owned()),
            Row::Sample(sample) => self.check_sample(sample)?,
            Row::Opened { .. } | Row::Recovered { .. } => {}
        }
        Ok(row)
    }

    /// A sample is one of those that the specification asks for. One that failed may be asked again in a later row;
    /// one that was answered may not.
    fn check_sample(&mut self, sample: &SampleRecord) -> Result<(), String> {
        let named = || format!("sample `{}`, epoch {},", one_line(&sample.id, 80), sample.epoch);
        let spec = self.spec.as_ref().map(|(spec, _)| spec).ok_or("a sample before the specification")?;
        if sample.index >= spec.samples {
            return Err(format!(
                "{} has index {}, but the run has {} samples",
                named(),
                sample.index,
                spec.samples
            ));
        }
        if sample.epoch >= spec.epochs {
            return Err(format!(
                "{} is one epoch too many: the run has {}, counted from 0",
                named(),
                spec.epochs
            ));
        }
        if self.seen.insert((sample.index, sample.epoch), sample.error.is_none()) == Some(true) {
            return Err(format!("{} is answered a second time", named()));
        }
        Ok(())
    }
}

/// Compares the seal with what the log holds, field by field.
fn check_seal(dir: &Path, verified: &Verified) -> Result<(), RecordError> {
    let Some(seal) = &verified.seal else { return Ok(()) };
    let spec = spec_digest(&verified.spec)?;
    let pairs = [
        ("run", seal.run.to_string(), verified.run.to_string()),
        ("spec", seal.spec.to_string(), spec.to_string()),
        ("rows", seal.rows.to_string(), verified.rows.to_string()),
        ("samples", seal.samples.to_string(), verified.samples.to_string()),
        ("root", seal.root.to_string(), verified.root.to_string()),
    ];
    for (field, sealed, found) in pairs {
        if sealed != found {
            let what = format!("the seal's `{field}` is {sealed}, but the log's is {found}");
            return Err(Damage { file: dir.join(files::SEAL), offset: None, row: None, what }.into());
        }
    }
    Ok(())
}
