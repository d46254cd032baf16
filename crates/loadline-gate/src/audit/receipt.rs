//! Receipts: one row of the log, with what shows that it is in it, signed.

use std::sync::Arc;

use loadline_core::Digest;
use loadline_evidence::endless::{self, LogMark};
use loadline_tlog::{Checkpoint, InclusionProof, Note, VerifierKey, leaf_hash};
use serde::{Deserialize, Serialize};

use super::{Inner, audit_error, signer};
use crate::ledger::{AuditError, Durable, IntentId};

/// `format` of a receipt.
pub const RECEIPT_FORMAT: &str = "loadline-receipt/1";

/// One row of the log, and what shows that it is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: String,
    /// The row's number.
    pub row: u64,
    /// Its JSON, byte for byte.
    pub payload: String,
    /// The sibling hashes from its leaf up to the root (RFC 9162, section 2.1.3).
    pub path: Vec<Digest>,
    /// The signed checkpoint that the path leads to.
    pub checkpoint: String,
}

impl Receipt {
    /// Checks it with nothing else at hand but the log's public key, and gives the size of the log then.
    ///
    /// # Errors
    /// In words, when it does not hold.
    pub fn check(&self, key: &VerifierKey) -> Result<u64, String> {
        if self.format != RECEIPT_FORMAT {
            return Err(format!("`format` is not `{RECEIPT_FORMAT}`"));
        }
        let note = Note::parse(self.checkpoint.as_bytes()).map_err(|error| error.to_string())?;
        note.verify([key]).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if checkpoint.origin() != key.name() {
            return Err(format!("the checkpoint is of the log `{}`", checkpoint.origin()));
        }
        let path = self.path.iter().map(|hash| hash.0).collect();
        let proof = InclusionProof { index: self.row, size: checkpoint.size(), path };
        proof
            .verify(&leaf_hash(self.payload.as_bytes()), checkpoint.root())
            .map_err(|error| error.to_string())?;
        Ok(checkpoint.size())
    }
}

/// Makes the receipt for an intent on a thread of its own: it reads the log from the intent's segment on.
pub(super) fn make(inner: Arc<Inner>, intent: IntentId) -> Durable<Vec<u8>> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("audit-receipt".to_owned());
    let spawned = thread.spawn(move || {
        // Whoever asked may have gone.
        let _ = sender.send(read(&inner, intent.0));
    });
    Box::pin(async move {
        spawned.map_err(|error| AuditError::Failed(error.to_string()))?;
        receiver.await.map_err(|error| AuditError::Failed(error.to_string()))?
    })
}

fn read(inner: &Inner, row: u64) -> Result<Vec<u8>, AuditError> {
    let mark: LogMark = inner.log.mark();
    if row >= mark.rows {
        return Err(AuditError::Unknown(row));
    }
    let shown = endless::prove(inner.disk.as_ref(), inner.log.dir(), row, mark.rows)
        .map_err(|error| audit_error(&error))?;
    let checkpoint = signer::sign(&inner.signing.key, shown.mark).map_err(AuditError::Failed)?;
    let receipt = Receipt {
        format: RECEIPT_FORMAT.to_owned(),
        row,
        payload: String::from_utf8(shown.payload).map_err(|error| AuditError::Failed(error.to_string()))?,
        path: shown.path,
        checkpoint,
    };
    serde_json::to_vec(&receipt).map_err(|error| AuditError::Failed(error.to_string()))
}
