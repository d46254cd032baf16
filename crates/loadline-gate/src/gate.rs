//! The gate: one snapshot that everything goes by, and what happens when it changes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use futures_util::future::join_all;
use loadline_core::Digest;

use crate::clock::{Clock, Moment};
use crate::config::{LimitsConfig, Loaded};
use crate::door::Door;
use crate::guard::hold::Budget;
use crate::ledger::{Audit, Event, Quota, RequestId, StopError, StopStore, StopTarget, Stops};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::refusal::{Code, Refusal};
use crate::report::{Observers, Observing};
use crate::snapshot::{Fresh, Snapshot};
use crate::upstream::Dial;
use crate::watch::Watcher;

/// How long a cut answer may take to leave before its connection is reset.
const LEAVE_WITHIN: Duration = Duration::from_millis(60);
/// How long a connection that was reset may take to let go of its upstream before the order is answered all the same.
const LET_GO_WITHIN: Duration = Duration::from_millis(20);

/// What the gate stands on.
pub struct Foundations {
    /// The audit log.
    pub audit: Arc<dyn Audit>,
    /// The quotas.
    pub quota: Arc<dyn Quota>,
    /// The stops.
    pub stops: Arc<dyn StopStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Connections to upstreams.
    pub dial: Arc<dyn Dial>,
    /// 8 random bytes: with a counter they make the ids of requests.
    pub nonce: [u8; 8],
}

/// A gate.
pub struct Gate {
    snapshot: ArcSwap<Snapshot>,
    /// Where callers are spoken to by TLS. Whether they are does not change.
    pub(crate) door: ArcSwapOption<Door>,
    pub(crate) base: Foundations,
    pub(crate) live: Arc<Live>,
    pub(crate) limits: LimitsConfig,
    /// Counters.
    pub metrics: Metrics,
    /// What watches the traffic, where anything does.
    watcher: OnceLock<Arc<Watcher>>,
    pub(crate) observing: Observing,
    /// Answers that guards hold.
    pub(crate) held: Budget,
    requests: AtomicU64,
    draining: AtomicBool,
    /// A stop could not be made durable, or the disk failed: nothing is served any more.
    broken: AtomicBool,
    /// Held while the snapshot changes, so that no change is lost.
    changing: tokio::sync::Mutex<()>,
}

/// What a change of the snapshot came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Requests under way that were told to end.
    pub told: u64,
    /// Of them, those whose connection had to be reset since its caller did not read.
    pub reset: u64,
}

/// What following an order came to.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// What is stopped now.
    pub stops: Arc<Stops>,
    /// What was cut.
    pub cut: Cut,
    /// How long it took until the order was on the disk.
    pub kept_in: Duration,
    /// How long it took from then until the last byte had left.
    pub cut_in: Duration,
}

impl Gate {
    /// A gate that goes by what was loaded and by the stops that are kept. It has no standing yet, so it serves nothing.
    pub fn new(loaded: &Loaded, limits: LimitsConfig, base: Foundations) -> Arc<Self> {
        let snapshot = loaded.snapshot(None, base.stops.stops(), &limits);
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            door: ArcSwapOption::from_pointee(loaded.door.clone()),
            base,
            live: Arc::default(),
            limits,
            metrics: Metrics::default(),
            watcher: OnceLock::new(),
            observing: Observing::new(),
            held: Budget::default(),
            requests: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            changing: tokio::sync::Mutex::new(()),
        })
    }

    /// What it goes by now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Lets others look at requests that have ended. Only the first call counts.
    pub fn observe(&self, observers: Observers) {
        let _ = self.observing.set(observers);
    }

    /// Now.
    pub fn now(&self) -> Moment {
        self.base.clock.now()
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn next_request(&self) -> RequestId {
        let mut id = [0; 16];
        let count = self.requests.fetch_add(1, Ordering::Relaxed);
        id[..8].copy_from_slice(&self.base.nonce);
        id[8..].copy_from_slice(&count.to_be_bytes());
        RequestId(id)
    }

    /// Whether new requests can be taken.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), Refusal> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Refusal::new(Code::Draining, "the gate is ending"));
        }
        if self.broken.load(Ordering::Acquire) {
            return Err(Refusal::new(Code::AuditUnavailable, "an order to stop could not be written"));
        }
        self.base.audit.ready().map_err(|error| Refusal::new(Code::AuditUnavailable, error.to_string()))
    }

    /// Takes no new requests from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Goes by another configuration from now on. Nothing is cut that it still allows.
    pub async fn reload(&self, loaded: &Loaded) -> Cut {
        let changing = self.changing.lock().await;
        let now = self.snapshot();
        let mut next = loaded.snapshot(now.standing.clone(), Arc::clone(&now.stops), &self.limits);
        next.suspended = Arc::clone(&now.suspended);
        let config = next.config;
        self.snapshot.store(Arc::new(next));
        if let (Some(door), true) = (&loaded.door, self.door.load().is_some()) {
            // For connections from now on; those that are open keep what they were made with.
            self.door.store(Some(Arc::new(door.clone())));
        }
        drop(changing);
        let cut = self.sweep().await;
        self.note(Event::Reloaded(config)).await;
        cut
    }

    /// Goes by a newer standing from now on. It was accepted and is on the disk.
    pub async fn renew(&self, fresh: Fresh) -> Cut {
        let mark = fresh.mark;
        let cut = self.change(|snapshot| snapshot.standing = Some(Arc::new(fresh))).await;
        self.note(Event::Standing { epoch: mark.epoch, digest: mark.digest }).await;
        cut
    }

    /// Follows a signed order: keeps it, then goes by it, then cuts what it stops. When this returns, what is stopped
    /// is stopped to the last byte.
    ///
    /// # Errors
    /// When the order is not one. When it could not be kept, the gate serves nothing any more.
    pub async fn order(&self, order: Bytes) -> Result<Ordered, StopError> {
        let begun = tokio::time::Instant::now();
        let digest = Digest::of(&order);
        let kept = self.base.stops.order(order, self.now().wall()).await;
        let stops = match kept {
            Ok(stops) => stops,
            Err(error) => {
                if matches!(error, StopError::Disk(_)) {
                    self.broken.store(true, Ordering::Release);
                    // Nobody knows what the disk has: what is under way ends too.
                    self.change(|snapshot| {
                        let mut stops = Stops::clone(&self.base.stops.stops());
                        stops.targets.insert(StopTarget::All);
                        snapshot.stops = Arc::new(stops);
                    })
                    .await;
                }
                return Err(error);
            }
        };
        let kept = tokio::time::Instant::now();
        // The store's newest, not this order's: another order may have come in between.
        let cut = self.change(|snapshot| snapshot.stops = self.base.stops.stops()).await;
        let cut_in = kept.elapsed();
        self.note(Event::Stops { order: digest, cut: cut.told }).await;
        Ok(Ordered { stops, cut, kept_in: kept - begun, cut_in })
    }

    /// Is watched from now on. Only the first watcher counts.
    pub async fn watch(&self, watcher: Arc<Watcher>) {
        let _ = self.watcher.set(watcher);
        if let Some(watcher) = self.watcher.get() {
            self.suspend(|| watcher.suspended()).await;
        }
    }

    /// What watches the traffic.
    pub fn watcher(&self) -> Option<&Arc<Watcher>> {
        self.watcher.get()
    }

    /// Serves these models no more, and every other one that nothing else forbids.
    pub(crate) async fn suspend(&self, models: impl FnOnce() -> BTreeSet<Arc<str>>) -> Cut {
        // Asked while the snapshot changes: the newest counts.
        self.change(|snapshot| snapshot.suspended = Arc::new(models())).await
    }

    /// Cuts what time alone forbids: an expired key or licence, a lease that is over.
    pub async fn tick(&self) -> Cut {
        self.sweep().await
    }

    async fn change(&self, change: impl FnOnce(&mut Snapshot)) -> Cut {
        let changing = self.changing.lock().await;
        let mut next = Snapshot::clone(&self.snapshot());
        change(&mut next);
        self.snapshot.store(Arc::new(next));
        // An order must not wait until what another one cuts has left.
        drop(changing);
        self.sweep().await
    }

    /// Cuts every request under way that the snapshot forbids, and waits until the last byte of each has left. A
    /// connection that takes too long is reset.
    async fn sweep(&self) -> Cut {
        let (snapshot, now) = (self.snapshot(), self.now());
        let leaving = self.live.cut(|key, model| snapshot.cuts(key, model, now));
        if leaving.is_empty() {
            return Cut::default();
        }
        let told = leaving.len() as u64;
        let deadline = tokio::time::Instant::now() + LEAVE_WITHIN;
        let late = join_all(leaving.iter().map(|answer| async move {
            let late = tokio::time::timeout_at(deadline, answer.left()).await.is_err();
            late.then(|| answer.kill()).map(|()| answer)
        }));
        let late: Vec<_> = late.await.into_iter().flatten().collect();
        let reset = late.len() as u64;
        // No byte leaves any more; what is left is to stop asking for them.
        let let_go = join_all(late.into_iter().map(|answer| answer.let_go()));
        let _ = tokio::time::timeout(LET_GO_WITHIN, let_go).await;
        self.metrics.cut.inc_by(told);
        Cut { told, reset }
    }

    async fn note(&self, event: Event) {
        // A log that cannot be written says so in `ready`, and nothing is served then.
        let _ = self.base.audit.event(event).await;
    }
}
