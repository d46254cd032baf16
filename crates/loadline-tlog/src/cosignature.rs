//! What a cosigner signs: a checkpoint, and when it saw it (C2SP tlog-cosignature).
//!
//! No clock is read here: the time comes from the caller.

use crate::checkpoint::Checkpoint;
use crate::key::{self, Algorithm, VerifierKey};

/// The latest time a cosignature can carry, in seconds since 1970 (2⁶³ − 1).
pub const MAX_TIMESTAMP: u64 = i64::MAX as u64;

/// The message that a cosigner of this name signs over a checkpoint; `time` is in seconds since 1970.
///
/// `None` for [`Algorithm::Ed25519`], whose message is the note's text, and for a time after [`MAX_TIMESTAMP`].
pub fn message(
    algorithm: Algorithm,
    cosigner: &str,
    time: u64,
    note_text: &str,
    checkpoint: &Checkpoint,
) -> Option<Vec<u8>> {
    if time > MAX_TIMESTAMP {
        return None;
    }
    match algorithm {
        Algorithm::Ed25519 => None,
        Algorithm::CosignatureEd25519 => {
            Some(format!("cosignature/v1\ntime {time}\n{note_text}").into_bytes())
        }
        Algorithm::CosignatureMlDsa44 => subtree_message(cosigner, time, checkpoint),
    }
}

/// `cosigned_message` of tlog-cosignature for a whole tree: start 0, end the size.
fn subtree_message(cosigner: &str, time: u64, checkpoint: &Checkpoint) -> Option<Vec<u8>> {
    let mut message = b"subtree/v1\n\0".to_vec();
    message.push(u8::try_from(cosigner.len()).ok()?);
    message.extend_from_slice(cosigner.as_bytes());
    message.extend_from_slice(&time.to_be_bytes());
    message.push(u8::try_from(checkpoint.origin().len()).ok()?);
    message.extend_from_slice(checkpoint.origin().as_bytes());
    message.extend_from_slice(&0u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size().to_be_bytes());
    message.extend_from_slice(checkpoint.root());
    Some(message)
}

/// Checks a `timestamped_signature` over the text of a checkpoint and gives its time. `None` when it does not hold.
pub(crate) fn verify(key: &VerifierKey, note_text: &str, signature: &[u8]) -> Option<u64> {
    if signature.len() != 8 + key::signature_bytes(key.algorithm()) {
        return None;
    }
    let (time, raw) = signature.split_at(8);
    let time = time.iter().fold(0, |time, byte| time << 8 | u64::from(*byte));
    let checkpoint = Checkpoint::parse(note_text).ok()?;
    let message = message(key.algorithm(), key.name(), time, note_text, &checkpoint)?;
    key.verify(&message, raw).then_some(time)
}
