//! Receipts: what was asked and what became of it, as the log has it, with what shows that it is there, signed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_evidence::endless::{self, LogMark, LogRow};
use loadline_tlog::{InclusionProof, Note, Policy, leaf_hash};
use serde::{Deserialize, Serialize};

use super::rows::{IntentRow, OutcomeRow, Row};
use super::{Inner, audit_error, signer};
use crate::ledger::{AuditError, Durable, IntentId};

/// `format` of a receipt.
pub const RECEIPT_FORMAT: &str = "loadline-receipt/1";
/// The largest receipt that is read, in bytes: two rows with content that is kept in full.
pub const MAX_RECEIPT_BYTES: u64 = 192 << 20;
/// Receipts that are made at one time: each reads a part of the log.
const MOST_AT_ONCE: usize = 2;

/// One request, and what shows that it is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: String,
    /// The intent, and what became of it.
    pub rows: [ReceiptRow; 2],
    /// The signed checkpoint that both paths lead to.
    pub checkpoint: String,
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptRow {
    /// The row's number.
    pub row: u64,
    /// Its JSON, byte for byte.
    pub payload: String,
    /// The sibling hashes from its leaf up to the root (RFC 9162, section 2.1.3).
    pub path: Vec<Digest>,
}

/// What a receipt that holds shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown<'r> {
    /// The name of the log.
    pub log: String,
    /// How many rows it had.
    pub size: u64,
    /// The witnesses that cosigned, and when (seconds since 1970).
    pub witnesses: Vec<(String, u64)>,
    /// What was asked.
    pub intent: IntentRow<'r>,
    /// What became of it; none when nobody knows.
    pub outcome: Option<OutcomeRow<'r>>,
}

impl Receipt {
    /// Reads a receipt. Nothing of it is believed before [`Receipt::check`].
    ///
    /// # Errors
    /// In words, when it is none of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let receipt: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("not a receipt: {}", one_line(&error.to_string(), 200)))?;
        if receipt.format != RECEIPT_FORMAT {
            let found = one_line(&receipt.format, 60);
            return Err(format!("`format` is `{found}`, not `{RECEIPT_FORMAT}`"));
        }
        Ok(receipt)
    }

    /// Checks it with nothing else at hand but whose signatures count: the log's, and its witnesses' where the policy
    /// asks for them.
    ///
    /// # Errors
    /// In words, when it does not hold.
    pub fn check(&self, policy: &Policy) -> Result<Shown<'_>, String> {
        let note = Note::parse(self.checkpoint.as_bytes()).map_err(|error| error.to_string())?;
        let accepted = policy.check(&note).map_err(|error| error.to_string())?;
        let checkpoint = accepted.checkpoint;
        for ReceiptRow { row, payload, path } in &self.rows {
            let path = path.iter().map(|hash| hash.0).collect();
            let proof = InclusionProof { index: *row, size: checkpoint.size(), path };
            let held = proof.verify(&leaf_hash(payload.as_bytes()), checkpoint.root());
            held.map_err(|error| format!("row {row}: {error}"))?;
        }
        let [first, second] = &self.rows;
        let Row::Intent(intent) = Row::parse(first.payload.as_bytes())? else {
            return Err(format!("row {} is no intent", first.row));
        };
        let (of, outcome) = match Row::parse(second.payload.as_bytes())? {
            Row::Outcome(outcome) => (outcome.intent, Some(*outcome)),
            Row::Unsettled { intent, .. } => (intent, None),
            _ => return Err(format!("row {} is no outcome", second.row)),
        };
        if of != first.row {
            return Err(format!("row {} is about row {of}, not about row {}", second.row, first.row));
        }
        let (log, size) = (checkpoint.origin().to_owned(), checkpoint.size());
        Ok(Shown { log, size, witnesses: accepted.witnesses, intent: *intent, outcome })
    }
}

/// Makes the receipt for an intent of this subject on a thread of its own: it reads a part of the log.
pub(super) fn make(inner: Arc<Inner>, intent: IntentId, subject: &str) -> Durable<Vec<u8>> {
    let Some(turn) = Turn::take(&inner) else { return Box::pin(std::future::ready(Err(AuditError::Behind))) };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("audit-receipt".to_owned());
    let subject = subject.to_owned();
    let spawned = thread.spawn(move || {
        let made = read(&turn.0, intent.0, &subject);
        drop(turn);
        // Whoever asked may have gone.
        let _ = sender.send(made);
    });
    Box::pin(async move {
        spawned.map_err(|error| AuditError::Failed(error.to_string()))?;
        receiver.await.map_err(|error| AuditError::Failed(error.to_string()))?
    })
}

/// One of the receipts that are being made.
struct Turn(Arc<Inner>);

impl Turn {
    fn take(inner: &Arc<Inner>) -> Option<Self> {
        let more = |count: usize| (count < MOST_AT_ONCE).then_some(count + 1);
        let taken = inner.receipts.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Self(Arc::clone(inner)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.receipts.fetch_sub(1, Ordering::AcqRel);
    }
}

fn read(inner: &Inner, row: u64, subject: &str) -> Result<Vec<u8>, AuditError> {
    let mark = inner.log.mark();
    let pseudonym = inner.subjects().find(subject).map(|subject| Arc::clone(&subject.pseudonym));
    let pseudonym = pseudonym.ok_or(AuditError::Unknown(row))?;
    if row >= mark.rows {
        let coming = row < inner.log.rows();
        return Err(if coming { AuditError::Pending } else { AuditError::Unknown(row) });
    }
    let is_open = inner.state().book.open.contains_key(&row);
    let found = Search { row, pseudonym: &pseudonym, is_open, outcome: None, next_segment: None };
    let (outcome, end) = found.run(inner, mark.rows)?;
    let (mark, checkpoint) = match inner.cosigned() {
        None => (LogMark { rows: end, ..mark }, None),
        Some((cosigned, note)) if cosigned.rows > outcome => (cosigned, Some(note)),
        Some(_) => return Err(AuditError::Pending),
    };
    let rows = endless::prove_rows(inner.disk.as_ref(), inner.log.dir(), &[row, outcome], mark.rows)
        .map_err(|error| audit_error(&error))?;
    let failed = |why: &str| AuditError::Failed(why.to_owned());
    let Ok([first, second]) = <[_; 2]>::try_from(rows) else { return Err(failed("a row is not there")) };
    let checkpoint = match checkpoint {
        None => signer::sign(&inner.signing.key, first.mark).map_err(AuditError::Failed)?,
        Some(_) if first.mark != mark => return Err(failed("the witnesses cosigned another log")),
        Some(note) => note,
    };
    let receipt = |number, shown: endless::RowPath| {
        let payload = String::from_utf8(shown.payload).map_err(|_| failed("a row is no text"))?;
        Ok(ReceiptRow { row: number, payload, path: shown.path })
    };
    let rows = [receipt(row, first)?, receipt(outcome, second)?];
    let receipt = Receipt { format: RECEIPT_FORMAT.to_owned(), rows, checkpoint };
    serde_json::to_vec(&receipt).map_err(|error| AuditError::Failed(error.to_string()))
}

/// Goes through the log from an intent on until its outcome is there and the segment of that has ended.
struct Search<'s> {
    row: u64,
    pseudonym: &'s str,
    is_open: bool,
    outcome: Option<u64>,
    next_segment: Option<u64>,
}

/// Why nothing further is read.
enum Stop {
    /// It is an intent of this subject, and has no outcome yet.
    Open,
    /// It is no intent of this subject.
    Foreign,
    /// Everything is there.
    Enough,
    Damaged(String),
}

impl Search<'_> {
    /// The outcome's row, and a size of the log that counts it and is not far from it.
    fn run(mut self, inner: &Inner, rows: u64) -> Result<(u64, u64), AuditError> {
        let mut stop = None;
        let read = endless::read(inner.disk.as_ref(), inner.log.dir(), self.row, None, |seen| {
            self.look(&seen, rows).map_err(|why| {
                let said = if let Stop::Damaged(what) = &why { what.clone() } else { String::new() };
                stop = Some(why);
                said
            })
        });
        match (stop, read) {
            (Some(Stop::Foreign), _) => Err(AuditError::Unknown(self.row)),
            (Some(Stop::Open), _) => Err(AuditError::Pending),
            (Some(Stop::Damaged(_)) | None, Err(error)) => Err(audit_error(&error)),
            _ => {
                let outcome = self.outcome.ok_or(AuditError::Pending)?;
                Ok((outcome, self.next_segment.unwrap_or(rows)))
            }
        }
    }

    fn look(&mut self, seen: &LogRow<'_>, rows: u64) -> Result<(), Stop> {
        if seen.number >= rows {
            return Err(Stop::Enough);
        }
        if seen.number < self.row {
            return Ok(());
        }
        if self.outcome.is_some() && seen.begins_segment {
            self.next_segment = Some(seen.number);
            return Err(Stop::Enough);
        }
        let may_matter = seen.number == self.row
            || (self.outcome.is_none()
                && [&b"{\"outcome\""[..], b"{\"unsettled\""]
                    .iter()
                    .any(|start| seen.payload.starts_with(start)));
        if !may_matter {
            return Ok(());
        }
        let settled = match Row::parse(seen.payload).map_err(Stop::Damaged)? {
            Row::Intent(intent) if seen.number == self.row && *intent.subject == *self.pseudonym => {
                return if self.is_open { Err(Stop::Open) } else { Ok(()) };
            }
            _ if seen.number == self.row => return Err(Stop::Foreign),
            Row::Outcome(outcome) => outcome.intent,
            Row::Unsettled { intent, .. } => intent,
            _ => return Ok(()),
        };
        if settled == self.row {
            self.outcome = Some(seen.number);
        }
        Ok(())
    }
}
