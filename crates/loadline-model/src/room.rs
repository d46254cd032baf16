//! How much memory the answers that are being read may take together.
//!
//! An answer is read whole before it is understood, and hundreds are read at once, so a limit on each alone would
//! bound nothing. Small answers, as nearly all are, go ahead. One that grows beyond that waits until one of
//! [`LARGE_AT_ONCE`] turns is free: what the endpoint goes on sending waits in its own buffers. A turn is kept until
//! the answer is done with, and nobody waits for a second one, so all come to an end.

use std::ops::Deref;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Largest answer that is read, in bytes.
pub(crate) const BODY_LIMIT: usize = 64 << 20;

/// An answer up to so many bytes needs no turn.
const SMALL: usize = 256 << 10;

/// So many answers may be larger than that at once.
const LARGE_AT_ONCE: usize = 2;

/// The turns of all answers of one endpoint.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(LARGE_AT_ONCE))
    }

    /// Room for one answer of at most `limit` bytes.
    pub(crate) fn room(&self, limit: usize) -> Room<'_> {
        Room { turns: self, limit, bytes: 0, turn: None }
    }
}

/// What one answer takes.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    turns: &'a Turns,
    limit: usize,
    bytes: usize,
    turn: Option<SemaphorePermit<'a>>,
}

/// The answer is larger than what is read, in bytes.
pub(crate) struct TooBig(pub(crate) usize);

impl Room<'_> {
    /// Makes room for so many more bytes; may wait for a turn.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), TooBig> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limit {
            return Err(TooBig(self.limit));
        }
        if self.bytes > SMALL && self.turn.is_none() {
            // The semaphore is never closed.
            self.turn = self.turns.0.acquire().await.ok();
        }
        Ok(())
    }

    /// Keeps the room as long as the bytes.
    pub(crate) fn of(self, bytes: Bytes) -> Body<Self> {
        Body { bytes, _room: self }
    }
}

/// A whole answer, in its room.
#[derive(Debug)]
pub(crate) struct Body<R> {
    bytes: Bytes,
    _room: R,
}

impl<R> Deref for Body<R> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn large_answers_wait_for_their_turn_and_small_ones_do_not() {
        let turns = Turns::new();
        let waits = async |room: &mut Room<'_>, bytes| {
            // Nothing runs beside this test: what is not ready at once waits.
            tokio::time::timeout(Duration::ZERO, room.grow(bytes)).await.is_err()
        };
        let mut large: Vec<_> = (0..LARGE_AT_ONCE).map(|_| turns.room(BODY_LIMIT)).collect();
        for room in &mut large {
            assert!(!waits(room, SMALL).await && !waits(room, 1).await);
            assert!(!waits(room, SMALL).await, "one turn is enough");
        }
        let (mut small, mut next) = (turns.room(BODY_LIMIT), turns.room(BODY_LIMIT));
        assert!(!waits(&mut small, SMALL).await);
        assert!(waits(&mut next, SMALL + 1).await, "more large answers at once than there are turns");
        let body = large.pop().unwrap().of(Bytes::from_static(b"done"));
        assert_eq!(&*body, b"done");
        assert!(waits(&mut next, 1).await, "the turn is given back before the answer is done with");
        drop(body);
        assert!(!waits(&mut next, 1).await);
    }

    #[tokio::test]
    async fn an_answer_beyond_its_limit_is_refused() {
        let turns = Turns::new();
        let mut room = turns.room(10);
        assert!(room.grow(10).await.is_ok());
        assert!(matches!(room.grow(usize::MAX).await, Err(TooBig(10))));
    }
}
