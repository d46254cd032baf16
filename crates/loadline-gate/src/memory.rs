//! The ledgers in memory, for tests and measurements: nothing of them survives the process.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use loadline_core::{Digest, Instant};

use crate::ledger::{
    Account, Audit, AuditError, Charge, ContentSink, Durable, Event, Exceeded, Intent, IntentId, Outcome,
    Quota, Recorded, Refused, Reservation, StopError, StopStore, StopTarget, Stops, Terms,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An audit log in memory.
#[derive(Default)]
pub struct MemoryAudit {
    next: AtomicU64,
    /// Whether everything is kept, or only counted.
    keeps: bool,
    failing: AtomicBool,
    /// Held while intents are kept on their way.
    slow: Arc<tokio::sync::RwLock<()>>,
    entries: Mutex<Entries>,
}

/// What a [`MemoryAudit`] was told.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Intents, by place.
    pub intents: Vec<(IntentId, Intent)>,
    /// Outcomes, by the place of their intents.
    pub outcomes: HashMap<IntentId, Outcome>,
    /// Refusals.
    pub refused: Vec<Refused>,
    /// Events.
    pub events: Vec<Event>,
}

impl MemoryAudit {
    /// One that keeps everything.
    pub fn keeping() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    /// What it was told.
    pub fn entries(&self) -> Entries {
        lock(&self.entries).clone()
    }

    /// Intents are on their way to the disk until what comes back is dropped. None when somebody else holds them up.
    pub fn hold(&self) -> Option<tokio::sync::OwnedRwLockWriteGuard<()>> {
        Arc::clone(&self.slow).try_write_owned().ok()
    }

    /// From now on, writing fails; or it works again.
    pub fn fail(&self, fails: bool) {
        self.failing.store(fails, Ordering::Release);
    }
}

/// Throws content away.
struct Nothing;

impl ContentSink for Nothing {
    fn write(&mut self, _: &[u8]) {}
}

impl Audit for MemoryAudit {
    fn intent(&self, intent: Intent) -> Durable<Recorded> {
        let id = IntentId(self.next.fetch_add(1, Ordering::Relaxed));
        let ready = self.ready();
        if self.keeps && ready.is_ok() {
            lock(&self.entries).intents.push((id, intent));
        }
        let slow = Arc::clone(&self.slow);
        Box::pin(async move {
            drop(slow.read().await);
            // As with a disk, the answer never comes at once.
            tokio::task::yield_now().await;
            ready.map(|()| Recorded { id, content: Box::new(Nothing) })
        })
    }

    fn outcome(&self, recorded: Recorded, outcome: Outcome) {
        if self.keeps {
            lock(&self.entries).outcomes.insert(recorded.id, outcome);
        }
    }

    fn refused(&self, refused: Refused) {
        if self.keeps {
            lock(&self.entries).refused.push(refused);
        }
    }

    fn event(&self, event: Event) -> Durable<()> {
        lock(&self.entries).events.push(event);
        Box::pin(std::future::ready(Ok(())))
    }

    fn ready(&self) -> Result<(), AuditError> {
        if self.failing.load(Ordering::Acquire) { Err(AuditError::Full) } else { Ok(()) }
    }

    fn receipt(&self, _: IntentId, _: &str) -> Durable<Vec<u8>> {
        Box::pin(std::future::ready(Err(AuditError::Unsupported("receipts"))))
    }
}

/// Quotas in memory. Only requests in a minute and tokens in all are held to, and no minute ever ends.
#[derive(Default)]
pub struct MemoryQuota(Mutex<HashMap<Account, (u64, u64)>>);

impl MemoryQuota {
    /// Requests and tokens that an account was charged.
    pub fn charged(&self, account: &Account) -> (u64, u64) {
        lock(&self.0).get(account).copied().unwrap_or_default()
    }
}

impl Quota for MemoryQuota {
    fn reserve(&self, charges: &[Charge], tokens: u64, now_ms: u64) -> Result<Reservation, Exceeded> {
        let mut accounts = lock(&self.0);
        for Charge { account, limits } in charges {
            let (requests, used) = accounts.get(account).copied().unwrap_or_default();
            let exceeded = |limit, most, used, asked| Exceeded {
                account: account.clone(),
                limit,
                most,
                used,
                asked,
                retry_after_ms: None,
            };
            if let Some(most) = limits.requests_per_minute.filter(|most| requests >= *most) {
                return Err(exceeded("requests_per_minute", most, requests, 1));
            }
            let limit = [
                ("tokens_per_minute", limits.tokens_per_minute),
                ("tokens_per_day", limits.tokens_per_day),
                ("tokens_per_term", limits.tokens_per_term),
            ];
            for (name, most) in limit {
                if let Some(most) = most.filter(|most| used.saturating_add(tokens) > *most) {
                    return Err(exceeded(name, most, used, tokens));
                }
            }
        }
        for charge in charges {
            let (requests, used) = accounts.entry(charge.account.clone()).or_default();
            (*requests, *used) = (*requests + 1, used.saturating_add(tokens));
        }
        let accounts = charges.iter().map(|charge| charge.account.clone()).collect();
        Ok(Reservation { accounts, tokens, at_ms: now_ms })
    }

    fn settle(&self, reservation: Reservation, used: u64) {
        let mut accounts = lock(&self.0);
        for account in &reservation.accounts {
            if let Some((_, charged)) = accounts.get_mut(account) {
                *charged = charged.saturating_sub(reservation.tokens).saturating_add(used);
            }
        }
    }
}

/// Stops in memory. An order is the JSON of a [`StopTarget`], and nobody has to sign it.
#[derive(Default)]
pub struct MemoryStops {
    stops: Mutex<Arc<Stops>>,
    failing: AtomicBool,
}

impl MemoryStops {
    /// From now on, writing fails; or it works again.
    pub fn fail(&self, fails: bool) {
        self.failing.store(fails, Ordering::Release);
    }

    /// Starts everything again.
    pub fn clear(&self) {
        *lock(&self.stops) = Arc::default();
    }
}

impl StopStore for MemoryStops {
    fn stops(&self) -> Arc<Stops> {
        Arc::clone(&lock(&self.stops))
    }

    fn terms(&self) -> Terms {
        Terms { gate: "memory".to_owned(), start_needs: 1, stop_keys: BTreeSet::new() }
    }

    fn order(&self, order: Bytes, _: Instant) -> Durable<Arc<Stops>, StopError> {
        let result = if self.failing.load(Ordering::Acquire) {
            Err(StopError::Disk("no space".to_owned()))
        } else {
            let refused = |error: serde_json::Error| StopError::Refused {
                message: format!("this is no order: {error}"),
                hint: "send a target".to_owned(),
            };
            serde_json::from_slice::<StopTarget>(&order).map_err(refused).map(|target| {
                let mut stops = lock(&self.stops);
                let mut next = Stops::clone(&stops);
                next.named = Some(target.clone());
                next.targets.insert(target);
                next.last = Some(Digest::of(&order));
                *stops = Arc::new(next);
                Arc::clone(&stops)
            })
        };
        Box::pin(std::future::ready(result))
    }
}
