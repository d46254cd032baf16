//! Whether new requests are taken, as load balancers and operators ask.

use crate::gate::Gate;
use crate::refusal::{Code, Refusal};

/// Whether new requests are taken.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// Why not.
    pub refusal: Option<Refusal>,
    /// Epoch of the standing.
    pub epoch: Option<u64>,
    /// Models in the configuration.
    pub models: usize,
    /// Models that the authority's word and the stops allow now.
    pub models_open: usize,
}

impl Gate {
    /// Whether new requests are taken: not while the gate ends, when the audit log cannot be written, or when the
    /// authority's word, or a stop, allows no model at all.
    pub fn readiness(&self) -> Readiness {
        let (snapshot, now) = (self.snapshot(), self.now());
        let mut forbidden = None;
        let mut models_open = 0;
        for served in snapshot.models.values() {
            match snapshot.allows(served, now) {
                Ok(()) => models_open += 1,
                Err(refusal) => forbidden = Some(refusal),
            }
        }
        let none = || Refusal::new(Code::ModelUnknown, "no model is configured");
        let refusal = match self.ready() {
            Err(refusal) => Some(refusal),
            Ok(()) if models_open == 0 => Some(forbidden.unwrap_or_else(none)),
            Ok(()) => None,
        };
        let epoch = snapshot.standing.as_ref().map(|fresh| fresh.mark.epoch);
        Readiness { refusal, epoch, models: snapshot.models.len(), models_open }
    }
}
