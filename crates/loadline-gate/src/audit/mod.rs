//! The audit log: every request is in it before it is forwarded. `docs/formats/audit.md` has its bytes, and what is on
//! disk after a crash at each step.
//!
//! [`rows`] is what is written, [`book`] what it comes to, [`content`] and [`subjects`] keep bodies out of it.
//! [`AuditLog`] writes it for a gate, [`verify()`] checks it for anybody.

pub mod book;
pub mod content;
mod cosign;
mod error;
mod open;
mod receipt;
pub mod rows;
mod signer;
mod sink;
pub mod subjects;
mod verify;

pub use cosign::{COSIGNED, Witnesses, policy};
pub use error::AuditOpenError;
pub use open::{AuditOptions, Found};
pub use receipt::{MAX_RECEIPT_BYTES, RECEIPT_FORMAT, Receipt, ReceiptRow, Shown};
pub use signer::{CHECKPOINT, SIGNER_KEY, SIGNER_VKEY};
pub use verify::{Believed, ExportFilter, Verified, export, verify, verify_with};

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loadline_core::untrusted::one_line;
use loadline_evidence::disk::Disk;
use loadline_evidence::endless::{EndlessLog, LogMark};
use loadline_evidence::{Damage, RecordError};

use crate::ledger::{Audit, AuditError, Durable, Event, Intent, IntentId, Keep, Outcome, Recorded, Refused};
use book::{Book, OpenIntent};
use content::{Digester, Part};
use cosign::{Cosigner, Cosigning};
use rows::{IntentRow, MAX_TEXT_CHARS, OutcomeRow, Row, What};
use signer::Signer;
use sink::{Response, Sink};
use subjects::{Subject, Subjects, read_small};

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// Milliseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The audit log of one gate; its only writer. Dropping it writes what waits and a checkpoint over all of it.
pub struct AuditLog {
    // Dropped in this order: both threads end before the log does.
    cosigner: Option<Cosigner>,
    signer: Option<Signer>,
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    subjects: Mutex<Subjects>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    random: Random,
    clock: Clock,
    segment_bytes: u64,
    log: EndlessLog,
    signing: Arc<signer::Signing>,
    /// Where the log has witnesses.
    cosigning: Option<Cosigning>,
    /// Receipts that are being made.
    receipts: AtomicUsize,
}

/// Changes only together with a row: the order of the rows is the order of the changes.
#[derive(Default)]
struct State {
    book: Book,
    /// Responses that are under way, by their intents.
    responses: HashMap<u64, Arc<Mutex<Response>>>,
    refusals: Refusals,
}

/// How many refusals are written down in a second: whoever has no key is not to fill the disk.
const MAX_REFUSALS_PER_S: u64 = 100;

/// Refusals of this second.
#[derive(Default)]
struct Refusals {
    second: u64,
    written: u64,
    skipped: u64,
}

impl Refusals {
    /// How many were skipped before this one; `None` when it is skipped too.
    fn next(&mut self, at_ms: u64) -> Option<u64> {
        if at_ms / 1000 != self.second {
            (self.second, self.written) = (at_ms / 1000, 0);
        }
        if self.written >= MAX_REFUSALS_PER_S {
            self.skipped = self.skipped.saturating_add(1);
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

/// The name of the log in a folder.
///
/// # Errors
/// When there is no log, or its public key cannot be read.
pub fn name(disk: &dyn Disk, dir: &Path) -> Result<String, AuditOpenError> {
    if !loadline_evidence::endless::has_log(disk, dir)? {
        return Err(AuditOpenError::Missing(dir.to_path_buf()));
    }
    Ok(signer::vkey(disk, dir)?.name().to_owned())
}

impl AuditLog {
    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// What the log comes to now: what a quota ledger begins with.
    pub fn book(&self) -> Book {
        self.inner.state().book.clone()
    }

    /// Makes keys for these subjects, so that no request waits for that. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn know<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<(), RecordError> {
        let inner = &self.inner;
        inner.subjects().add(inner.disk.as_ref(), names, inner.random.as_ref())
    }

    /// Writes down that a subject's key is erased, and erases it. False when nobody has the name. When this fails or
    /// the process is killed between both, the next opening of the log finishes it. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn erase(&self, name: &str) -> Result<bool, RecordError> {
        let inner = &self.inner;
        let pseudonym = inner.subjects().find(name).map(|subject| subject.pseudonym.to_string());
        let Some(subject) = pseudonym else { return Ok(false) };
        inner.append(&Row::Erased { at_ms: (inner.clock)(), subject }, true)?;
        inner.log.flush()?;
        inner.subjects().erase(inner.disk.as_ref(), name)?;
        Ok(true)
    }

    /// Makes everything durable and signs a checkpoint over it. Blocks.
    ///
    /// # Errors
    /// When a write or an fsync failed, now or earlier.
    pub fn close(mut self) -> Result<(), RecordError> {
        self.inner.log.flush()?;
        drop(self.cosigner.take());
        self.signer.take().map_or(Ok(()), Signer::end)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest checkpoint that the witnesses cosigned, where the log has witnesses: what it says, and the note. A
    /// mark of no rows before there is one.
    fn cosigned(&self) -> Option<(LogMark, String)> {
        let none = || (LogMark { rows: 0, root: loadline_core::Digest([0; 32]) }, String::new());
        let kept = self.cosigning.as_ref()?.kept();
        Some(kept.map_or_else(none, |kept| (kept.mark, kept.note.to_text())))
    }

    fn subjects(&self) -> MutexGuard<'_, Subjects> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subject of that name, made if it is new.
    fn subject(&self, name: &str) -> Result<Subject, RecordError> {
        let mut subjects = self.subjects();
        if subjects.find(name).is_none() {
            subjects.add(self.disk.as_ref(), [name], self.random.as_ref())?;
        }
        let gone = || std::io::Error::other("the subject is not there");
        let missing =
            || RecordError::Io { action: "find a subject in", path: self.dir.clone(), source: gone() };
        subjects.find(name).cloned().ok_or_else(missing)
    }

    /// Adds a row that changes nothing in the book.
    fn append(&self, row: &Row<'_>, wanted: bool) -> Result<u64, RecordError> {
        let bytes = row.to_json()?;
        let state = self.state();
        let number = self.add(&state, &bytes, wanted)?;
        Ok(number)
    }

    /// Adds a row, beginning a segment before it when it is time.
    fn add(&self, state: &State, bytes: &[u8], wanted: bool) -> Result<u64, RecordError> {
        if self.log.segment_len() >= self.segment_bytes {
            self.log.turn(&Row::Carried(state.book.clone()).to_json()?)?;
        }
        let number = self.log.append(bytes, wanted)?;
        self.signing.rows(number + 1);
        Ok(number)
    }

    /// Writes an intent; gives its row and what takes the response.
    fn intend(self: &Arc<Self>, intent: &Intent) -> Result<(u64, Sink), AuditError> {
        if self.log.is_behind() {
            return Err(AuditError::Behind);
        }
        let failed = |error: RecordError| audit_error(&error);
        self.signing.outcome().map_err(failed)?;
        let subject = self.subject(&intent.subject).map_err(|error| {
            let told = audit_error(&error);
            self.signing.fail(error);
            told
        })?;
        let keep = intent.keep == Keep::Full;
        let mut digester = Digester::new(&subject.key, Part::Request, keep);
        digester.update(&intent.content);
        let content = digester.finish(&subject.key, &intent.request.0, || self.nonce());
        if keep && content.sealed.is_none() {
            return Err(AuditError::Unsupported("this content"));
        }
        let request = intent.request.to_string();
        let row = Row::Intent(Box::new(IntentRow {
            request: Cow::Borrowed(&request),
            at_ms: intent.at_ms,
            key: Cow::Borrowed(&intent.key),
            subject: Cow::Borrowed(&subject.pseudonym),
            route: Cow::Borrowed(intent.route),
            model: Cow::Borrowed(&intent.model),
            model_digest: intent.model_digest,
            license: intent.license,
            stage: intent.stage,
            standing_epoch: intent.standing_epoch,
            accounts: intent.charges.iter().map(|charge| Cow::Borrowed(charge.account.name())).collect(),
            reserved: intent.reserved,
            content,
        }));
        let bytes = row.to_json().map_err(|error| failed(error.into()))?;
        let accounts = intent.charges.iter().map(|charge| charge.account.name().to_owned()).collect();
        let open = OpenIntent { at_ms: intent.at_ms, accounts, reserved: intent.reserved };
        let response = Response::new(Arc::clone(&subject.key), intent.request.0, keep);
        let response = Arc::new(Mutex::new(response));
        let mut state = self.state();
        let number = self.add(&state, &bytes, true).map_err(failed)?;
        state.book.intent(number, open);
        state.responses.insert(number, Arc::clone(&response));
        drop(state);
        Ok((number, Sink::new(Arc::clone(self), number, response)))
    }

    /// A nonce; none without randomness, and then nothing is encrypted.
    fn nonce(&self) -> Option<[u8; 24]> {
        let mut nonce = [0; 24];
        (self.random)(&mut nonce).ok().map(|()| nonce)
    }

    fn settle(&self, intent: u64, outcome: &Outcome) -> Result<(), RecordError> {
        let Some(response) = self.state().responses.remove(&intent) else { return Ok(()) };
        let content = response.lock().unwrap_or_else(PoisonError::into_inner).finish(|| self.nonce());
        let Some(content) = content else { return Ok(()) };
        if content.kept && content.row.sealed.is_none() {
            // What is to be kept cannot be encrypted: nothing more is taken.
            let source = std::io::Error::other("there are no random bytes");
            self.signing.fail(RecordError::Io { action: "encrypt for", path: self.dir.clone(), source });
        }
        let content = content.row;
        let row = Row::Outcome(Box::new(OutcomeRow {
            intent,
            at_ms: outcome.at_ms,
            status: outcome.status,
            ending: outcome.ending,
            input: outcome.used.input,
            output: outcome.used.output,
            basis: outcome.used.basis,
            delivered_bytes: outcome.delivered_bytes,
            content,
        }));
        let bytes = row.to_json()?;
        let mut state = self.state();
        self.add(&state, &bytes, false)?;
        state.book.settle(intent, Some(outcome.used.total()));
        Ok(())
    }

    /// An intent whose request ended without an outcome: nobody asks for it any more.
    fn abandon(&self, intent: u64) {
        if self.state().responses.remove(&intent).is_none() {
            return;
        }
        let Ok(bytes) = (Row::Unsettled { intent, at_ms: (self.clock)() }).to_json() else { return };
        let mut state = self.state();
        if self.add(&state, &bytes, false).is_ok() {
            state.book.settle(intent, None);
        }
    }
}

impl Audit for AuditLog {
    fn intent(&self, intent: Intent) -> Durable<Recorded> {
        // The row is handed over now, whenever the future is polled: several callers share one fsync.
        let written = self.inner.intend(&intent);
        let durable = written.map(|(row, sink)| (row, sink, self.inner.log.durable(row)));
        Box::pin(async move {
            let (row, sink, durable) = durable?;
            durable.await.map_err(|error| audit_error(&error))?;
            Ok(Recorded { id: IntentId(row), content: Box::new(sink) })
        })
    }

    fn outcome(&self, recorded: Recorded, outcome: Outcome) {
        // A log that has stopped says so in `ready`; the intent stays without an outcome.
        let _ = self.inner.settle(recorded.id.0, &outcome);
    }

    fn refused(&self, refused: Refused) {
        // Nobody pays for what is refused: a flood of refusals is not to fill the memory.
        if self.inner.log.is_behind() {
            return;
        }
        let Some(skipped) = self.inner.state().refusals.next(refused.at_ms) else { return };
        let row = Row::Refused {
            request: refused.request.to_string(),
            at_ms: refused.at_ms,
            key: refused.key.map(|key| key.to_string()),
            model: refused.model.map(|model| one_line(&model, MAX_TEXT_CHARS)),
            code: refused.code.to_owned(),
            skipped,
        };
        let _ = self.inner.append(&row, false);
    }

    fn event(&self, event: Event) -> Durable<()> {
        let written = self.inner.append(&Row::Event { at_ms: (self.inner.clock)(), what: what(event) }, true);
        let durable = written.map(|row| self.inner.log.durable(row));
        Box::pin(async move {
            durable.map_err(|error| audit_error(&error))?.await.map_err(|error| audit_error(&error))
        })
    }

    fn ready(&self) -> Result<(), AuditError> {
        self.inner.log.outcome().map_err(|error| audit_error(&error))?;
        self.inner.signing.outcome().map_err(|error| audit_error(&error))?;
        if self.inner.log.is_behind() { Err(AuditError::Behind) } else { Ok(()) }
    }

    fn receipt(&self, intent: IntentId, subject: &str) -> Durable<Vec<u8>> {
        receipt::make(Arc::clone(&self.inner), intent, subject)
    }
}

fn what(event: Event) -> What {
    match event {
        Event::Started(digest) => What::Started(digest),
        Event::Reloaded(digest) => What::Reloaded(digest),
        Event::Standing { epoch, digest } => What::Standing { epoch, digest },
        Event::StandingRefused(why) => What::StandingRefused(one_line(&why, MAX_TEXT_CHARS)),
        Event::Stops { order, cut } => What::Stops { order, cut },
        Event::Ended => What::Ended,
    }
}

/// What callers of the log are told.
fn audit_error(error: &RecordError) -> AuditError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error {
        RecordError::Stopped(cause) => audit_error(cause),
        RecordError::Io { source, .. } | RecordError::Write { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded) =>
        {
            AuditError::Full
        }
        RecordError::NoRow { row, .. } => AuditError::Unknown(*row),
        other => AuditError::Failed(other.to_string()),
    }
}

fn damage(path: &Path, what: impl Into<String>) -> AuditOpenError {
    let damage = Damage { file: path.to_path_buf(), offset: None, row: None, what: what.into() };
    AuditOpenError::Log(damage.into())
}

/// Bytes from lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 2 * N || !digits.bytes().all(plain) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
