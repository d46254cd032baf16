//! What the gate itself asks of a model: under way like a caller's request, so that what forbids the model cuts it too.

use std::sync::Arc;

use loadline_core::Digest;
use tokio::sync::oneshot;

use crate::admission::{ITSELF, PROBES};
use crate::conn::ConnState;
use crate::gate::Gate;
use crate::live::LiveGuard;
use crate::refusal::Refusal;

/// A question of the gate's own that is under way until this is dropped.
pub(crate) struct Own {
    cut: oneshot::Receiver<Refusal>,
    connection: Arc<ConnState>,
    place: Option<LiveGuard>,
}

impl Own {
    /// Begins one of a guard.
    ///
    /// # Errors
    /// What forbids the model now.
    pub(crate) fn enter(gate: &Gate, model: &Arc<str>) -> Result<Self, Refusal> {
        Self::enter_as(gate, ITSELF, model)
    }

    /// Begins one of a watch, which has a key of its own.
    ///
    /// # Errors
    /// What forbids that key or the model now.
    pub(crate) fn probe(gate: &Gate, model: &Arc<str>) -> Result<Self, Refusal> {
        Self::enter_as(gate, PROBES, model)
    }

    fn enter_as(gate: &Gate, who: Digest, model: &Arc<str>) -> Result<Self, Refusal> {
        let connection = Arc::<ConnState>::default();
        let number = connection.begin();
        let (place, cut) = gate.live.enter(who, Arc::clone(model), Arc::clone(&connection), number);
        let own = Self { cut, connection, place: Some(place) };
        // What was forbidden before it entered is found here; what is forbidden later comes by `cut`.
        gate.snapshot().cuts(who, model, gate.now()).map_or(Ok(own), Err)
    }

    /// Comes when it is forbidden.
    pub(crate) async fn cut(&mut self) -> Refusal {
        match (&mut self.cut).await {
            Ok(refusal) => refusal,
            // Nobody is left who could say so.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.place.take());
        // Nothing of it goes to a caller: with its end everything has left.
        self.connection.kill();
    }
}
