//! Requests under way, so that what is forbidden from now on is cut now.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadline_core::Digest;
use tokio::sync::oneshot;

use crate::conn::ConnState;
use crate::refusal::Refusal;

/// Shards, so that requests on several cores do not wait for each other.
const SHARDS: usize = 16;

/// How soon it is looked again whether the system has sent everything.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A request under way.
struct Entry {
    key: Digest,
    model: Arc<str>,
    /// Tells it to end; taken when it is told.
    cut: Option<oneshot::Sender<Refusal>>,
    connection: Arc<ConnState>,
    request: u64,
}

/// Every request under way, and every connection that is open.
#[derive(Default)]
pub(crate) struct Live {
    shards: [Mutex<HashMap<u64, Entry>>; SHARDS],
    connections: Mutex<HashMap<u64, Arc<ConnState>>>,
    next: AtomicU64,
}

/// The place of a connection among those that are open; it leaves when dropped.
pub(crate) struct OpenGuard {
    live: Arc<Live>,
    id: u64,
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.live.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The answer of one request on one connection.
pub(crate) struct Leaving {
    connection: Arc<ConnState>,
    request: u64,
}

impl Leaving {
    /// Comes when its last byte has left.
    pub(crate) async fn left(&self) {
        self.connection.flushed(self.request).await;
        while !self.connection.is_drained() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Forbids every further byte. None leaves when this has returned.
    pub(crate) fn kill(&self) {
        self.connection.kill();
    }

    /// Comes when a killed connection has let go of it.
    pub(crate) async fn let_go(&self) {
        self.connection.let_go(self.request).await;
    }
}

/// The place of a request among those under way; it leaves when dropped.
pub(crate) struct LiveGuard {
    live: Arc<Live>,
    id: u64,
    connection: Arc<ConnState>,
    request: u64,
}

impl Live {
    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // The remainder is below SHARDS.
        self.shards[(id % SHARDS as u64) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection.
    pub(crate) fn open(self: &Arc<Self>, connection: &Arc<ConnState>) -> OpenGuard {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.insert(id, Arc::clone(connection));
        OpenGuard { live: Arc::clone(self), id }
    }

    /// Adds a request. It must look at the snapshot once more after this: what is forbidden before it was added is
    /// found by that look, what is forbidden later cuts it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        key: Digest,
        model: Arc<str>,
        connection: Arc<ConnState>,
        request: u64,
    ) -> (LiveGuard, oneshot::Receiver<Refusal>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (cut, told) = oneshot::channel();
        connection.answers(key, &model, request);
        let entry = Entry { key, model, cut: Some(cut), connection: Arc::clone(&connection), request };
        self.shard(id).insert(id, entry);
        (LiveGuard { live: Arc::clone(self), id, connection, request }, told)
    }

    /// Tells every request to end that is forbidden now. Those told, those told before that are still there, and answers
    /// that have ended and of which bytes still wait on their connections.
    pub(crate) fn cut(&self, forbidden: impl Fn(Digest, &str) -> Option<Refusal>) -> Vec<Leaving> {
        let mut leaving = Vec::new();
        for shard in &self.shards {
            for entry in shard.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
                let Some(refusal) = forbidden(entry.key, &entry.model) else { continue };
                if let Some(cut) = entry.cut.take() {
                    // A request that does not listen any more is at its end.
                    let _ = cut.send(refusal);
                }
                leaving.push(Leaving { connection: Arc::clone(&entry.connection), request: entry.request });
            }
        }
        // After the requests: one that ends meanwhile is found here.
        let open: Vec<_> = {
            let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.values().cloned().collect()
        };
        // Those told above may have ended since, and are counted once.
        let told: HashSet<_> =
            leaving.iter().map(|told| (Arc::as_ptr(&told.connection), told.request)).collect();
        let lingering = open.into_iter().filter_map(|connection| {
            let request = connection.lingering(|key, model| forbidden(key, model).is_some())?;
            let is_new = !told.contains(&(Arc::as_ptr(&connection), request));
            is_new.then_some(Leaving { connection, request })
        });
        let lingering: Vec<_> = lingering.collect();
        leaving.extend(lingering);
        leaving
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.live.shard(self.id).remove(&self.id);
        self.connection.end(self.request);
    }
}
