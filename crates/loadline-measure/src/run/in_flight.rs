//! What is in flight: the table that `t` and SIGUSR1 show.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What a run is waiting for. Clones show the same run.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Slot {
    id: Arc<str>,
    epoch: u32,
    attempt: u32,
    began: Instant,
    waits_until: Option<Instant>,
}

/// One sample that was started and has no row yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlightSample {
    /// The sample's id, as the dataset wrote it: untrusted text.
    pub id: loadline_core::Untrusted,
    /// Which repetition, from 0.
    pub epoch: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Since the first attempt began.
    pub elapsed: Duration,
    /// What it is waiting for.
    pub state: InFlightState,
}

/// What a sample in flight is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlightState {
    /// For the model's answer.
    Answer,
    /// Until the next attempt, so long.
    Retry(Duration),
}

/// Names a row of the table until it is released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotId(usize);

impl SlotId {
    /// No row: the sample was not started yet.
    pub(crate) const NONE: Self = Self(usize::MAX);
}

impl InFlight {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is in flight now, the oldest first.
    pub fn snapshot(&self) -> Vec<InFlightSample> {
        let now = Instant::now();
        let table = self.lock();
        let mut rows: Vec<&Slot> = table.slots.iter().flatten().collect();
        rows.sort_by_key(|slot| slot.began);
        let row = |slot: &Slot| InFlightSample {
            id: slot.id.as_ref().into(),
            epoch: slot.epoch,
            attempt: slot.attempt,
            elapsed: now.saturating_duration_since(slot.began),
            state: match slot.waits_until {
                Some(until) => InFlightState::Retry(until.saturating_duration_since(now)),
                None => InFlightState::Answer,
            },
        };
        rows.into_iter().map(row).collect()
    }

    pub(crate) fn enter(&self, id: &str, epoch: u32, began: Instant) -> SlotId {
        let slot = Slot { id: id.into(), epoch, attempt: 1, began, waits_until: None };
        let mut table = self.lock();
        if let Some(free) = table.free.pop() {
            table.slots[free] = Some(slot);
            return SlotId(free);
        }
        table.slots.push(Some(slot));
        SlotId(table.slots.len() - 1)
    }

    /// The attempt failed; the next one is at this time.
    pub(crate) fn waits(&self, slot: SlotId, until: Instant) {
        if let Some(Some(slot)) = self.lock().slots.get_mut(slot.0) {
            slot.waits_until = Some(until);
        }
    }

    /// A further attempt begins.
    pub(crate) fn attempts(&self, slot: SlotId, attempt: u32) {
        if let Some(Some(slot)) = self.lock().slots.get_mut(slot.0) {
            slot.attempt = attempt;
            slot.waits_until = None;
        }
    }

    pub(crate) fn leave(&self, slot: SlotId) {
        let mut table = self.lock();
        if let Some(place) = table.slots.get_mut(slot.0)
            && place.take().is_some()
        {
            table.free.push(slot.0);
        }
    }

    /// The run ended: nothing is in flight.
    pub(crate) fn clear(&self) {
        *self.lock() = Table::default();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_shows_who_waits_for_what() {
        let table = InFlight::new();
        let a = table.enter("a", 0, Instant::now());
        tokio::time::advance(Duration::from_secs(2)).await;
        let b = table.enter("b", 1, Instant::now());
        table.waits(a, Instant::now() + Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(1)).await;
        let rows = table.snapshot();
        assert_eq!((rows[0].id.raw(), rows[0].elapsed), ("a", Duration::from_secs(3)));
        assert_eq!(rows[0].state, InFlightState::Retry(Duration::from_secs(4)));
        assert_eq!((rows[1].epoch, rows[1].attempt, rows[1].state), (1, 1, InFlightState::Answer));
        table.attempts(a, 2);
        table.leave(b);
        table.leave(b);
        let rows = table.snapshot();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].attempt, rows[0].state), (2, InFlightState::Answer));
    }
}
