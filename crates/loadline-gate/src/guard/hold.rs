//! Answers that are held until they were looked at: how much memory they may take, over all requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

/// The most bytes of answers that are held at one time.
const MAX_HELD_BYTES: usize = 128 << 20;

/// What all answers take together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// An answer that is held. Its bytes count until the last of them has left.
pub(crate) struct Held {
    bytes: BytesMut,
    budget: Budget,
    taken: usize,
}

impl Budget {
    /// An answer with nothing in it yet.
    pub(crate) fn hold(&self) -> Held {
        Held { bytes: BytesMut::new(), budget: self.clone(), taken: 0 }
    }
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next bytes in. False when all answers together would be too large.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let more = |held: usize| held.checked_add(bytes.len()).filter(|sum| *sum <= MAX_HELD_BYTES);
        if self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return false;
        }
        self.taken += bytes.len();
        self.bytes.extend_from_slice(bytes);
        true
    }

    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.taken, Ordering::Relaxed);
    }
}
