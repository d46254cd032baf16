//! Opening the log: what a process that ended left behind is found, written down, and settled.

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadline_evidence::disk::Disk;
use loadline_evidence::endless::{self, EndlessLog, LogMark, LogRow};

use super::book::Book;
use super::cosign::{COSIGNED, Cosigner, Cosigning, Kept, Witnesses};
use super::rows::Row;
use super::signer::{self, CHECKPOINT, Signer, Signing};
use super::subjects::Subjects;
use super::{AuditLog, AuditOpenError, Clock, Inner, Random, State, damage};

/// How a log is opened.
#[derive(Clone)]
pub struct AuditOptions {
    /// The folder, made when it is not there.
    pub dir: PathBuf,
    /// The name of the log: a URL without scheme, such as `gate.example.org/audit`.
    pub name: String,
    /// Which program writes.
    pub program: String,
    /// When a segment is full.
    pub segment_bytes: u64,
    /// A checkpoint is signed after so many rows …
    pub sign_rows: u64,
    /// … and after this time.
    pub sign_every: Duration,
    /// Where moments come from.
    pub clock: Clock,
    /// Where keys come from.
    pub random: Random,
    /// Who cosigns the log. They are asked when it is opened, before anything is added: a log that one of them saw
    /// longer, or otherwise, is not opened. One that does not answer holds nothing up for longer than some seconds.
    pub witnesses: Option<Witnesses>,
}

impl AuditOptions {
    /// With the figures of `docs/formats/audit.md`.
    pub fn new(dir: impl Into<PathBuf>, name: &str, clock: Clock, random: Random) -> Self {
        Self {
            dir: dir.into(),
            name: name.to_owned(),
            program: format!("loadline {}", env!("CARGO_PKG_VERSION")),
            segment_bytes: 8 << 20,
            sign_rows: 1024,
            sign_every: Duration::from_secs(5),
            clock,
            random,
            witnesses: None,
        }
    }
}

/// What was found in a log that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows that were there.
    pub rows: u64,
    /// Bytes of a torn tail that were cut.
    pub bytes_cut: u64,
    /// Intents that a process left without an outcome, by their rows.
    pub unsettled: Vec<u64>,
}

impl AuditLog {
    /// Opens the log, or begins it. What a process that ended left is recovered: a torn tail is cut, and intents
    /// without an outcome become unsettled; both are written down, durable when this returns. Blocks.
    ///
    /// # Errors
    /// When another process writes it, what was durable has changed, or the disk refuses.
    pub fn open(disk: Arc<dyn Disk>, options: AuditOptions) -> Result<(Self, Found), AuditOpenError> {
        let AuditOptions { dir, name, random, clock, .. } = &options;
        let lock = endless::lock(disk.as_ref(), dir)?;
        let is_there = endless::has_log(disk.as_ref(), dir)?;
        let key = signer::key(disk.as_ref(), dir, name, !is_there, random)?;
        let mut subjects = Subjects::read(disk.as_ref(), dir)?;
        let cosigned = Kept::read(disk.as_ref(), dir, key.verifier())?;
        let mut erased = Vec::new();
        let (mut found, mut book, mut cut) = (Found::default(), Book::default(), None);
        let opened = Row::Opened { at_ms: clock(), program: options.program.clone(), name: name.clone() };
        let opened = opened.to_json().map_err(loadline_evidence::RecordError::from)?;
        let log = if is_there {
            let known = known(disk.as_ref(), dir, &key)?;
            let mut first = true;
            let visit = |row: LogRow<'_>| {
                if row.payload.starts_with(b"{\"erased\"")
                    && let Row::Erased { subject, .. } = Row::parse(row.payload)?
                {
                    erased.push(subject);
                }
                fold(&mut book, &row, std::mem::take(&mut first))
            };
            if let Some(cosigned) = &cosigned {
                cosigned.check(disk.as_ref(), dir)?;
            }
            let (at_open, log) = EndlessLog::open(Arc::clone(&disk), dir, known, visit, lock)?;
            if at_open.name != *name {
                let (dir, found, expected) = (dir.clone(), at_open.name, name.clone());
                return Err(AuditOpenError::Name { dir, found, expected });
            }
            (found.rows, cut) = (at_open.rows, at_open.cut);
            log
        } else if cosigned.is_some() {
            return Err(damage(&dir.join(COSIGNED), "the log that was cosigned is gone, all of it"));
        } else {
            EndlessLog::begin(Arc::clone(&disk), dir, name, &opened, lock)?
        };
        // Erasing was cut off between the row and the key.
        subjects.forget(disk.as_ref(), &erased)?;
        let cosigning = options.witnesses.clone();
        let cosigning =
            cosigning.map(|witnesses| Cosigning::new(witnesses, key.verifier(), cosigned)).transpose()?;
        let signing = Signing::new(key, Arc::clone(&disk), dir, options.sign_rows.max(1), options.sign_every);
        let inner = Inner {
            state: Mutex::new(State { book, ..State::default() }),
            subjects: Mutex::new(subjects),
            disk,
            dir: dir.clone(),
            random: Arc::clone(random),
            clock: Arc::clone(clock),
            segment_bytes: options.segment_bytes,
            log,
            signing: Arc::new(signing),
            cosigning,
            receipts: AtomicUsize::new(0),
        };
        if let Some(cosigning) = &inner.cosigning {
            cosigning.ask(&inner)?;
        }
        if is_there {
            // A log of one row that ended before it was signed: from the second row on it must be.
            inner.signing.sign_first(inner.log.mark())?;
            found.bytes_cut = cut.map_or(0, |cut| cut.bytes);
            found.unsettled = inner.recover(&opened, cut)?;
        }
        inner.signing.sign(inner.log.mark())?;
        let inner = Arc::new(inner);
        let signer = Some(Signer::start(&inner.signing, &inner)?);
        let cosigner = Cosigner::start(&inner)?;
        Ok((Self { cosigner, signer, inner }, found))
    }
}

impl Inner {
    /// Writes down what was found, and settles what is open.
    fn recover(
        &self,
        opened: &[u8],
        cut: Option<endless::Cut>,
    ) -> Result<Vec<u64>, loadline_evidence::RecordError> {
        let at_ms = (self.clock)();
        if let Some(cut) = cut {
            self.append(&Row::Recovered { at_ms, bytes_cut: cut.bytes, cut: cut.digest }, false)?;
        }
        let mut state = self.state();
        self.add(&state, opened, false)?;
        let open: Vec<u64> = state.book.open.keys().copied().collect();
        for intent in &open {
            let bytes = Row::Unsettled { intent: *intent, at_ms }.to_json()?;
            self.add(&state, &bytes, false)?;
            state.book.settle(*intent, None);
        }
        drop(state);
        self.log.flush()?;
        Ok(open)
    }
}

/// What the signed checkpoint says. Only a log that has not come to its second row may be without.
fn known(
    disk: &dyn Disk,
    dir: &std::path::Path,
    key: &loadline_tlog::SignerKey,
) -> Result<Option<LogMark>, AuditOpenError> {
    if let Some((mark, _)) = signer::signed(disk, dir, key.verifier())? {
        return Ok(Some(mark));
    }
    let read = endless::read(disk, dir, u64::MAX, None, |_| Ok(()))?;
    if read.mark.rows > 1 {
        return Err(AuditOpenError::NoCheckpoint { path: dir.join(CHECKPOINT), rows: read.mark.rows });
    }
    Ok(None)
}

/// Takes a row into the book. The first that is read is believed for what it carries over, unless it is row 0.
pub(super) fn fold(book: &mut Book, row: &LogRow<'_>, first: bool) -> Result<(), String> {
    let parsed = Row::parse(row.payload)?;
    match parsed {
        Row::Carried(carried) if first && row.number > 0 && row.begins_segment => {
            *book = carried;
            Ok(())
        }
        parsed => book.apply(row.number, row.begins_segment, &parsed),
    }
}
