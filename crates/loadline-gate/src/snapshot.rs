//! What the gate goes by at one moment: one immutable value, swapped whole. Every decision is made from one of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use loadline_core::{Digest, Instant};
use loadline_policy::license::Validity;
use loadline_policy::policy::{Marks, Stage};
use loadline_trust::{Standing, StandingMark};

use crate::caller::Callers;
use crate::clock::Moment;
use crate::guard::Guards;
use crate::ledger::{Keep, StopTarget, Stops};
use crate::upstream::Upstream;
use crate::watch::ASKER;

/// What a licence comes to for the gate. It was verified before it got here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licensed {
    /// Payload digest of the licence: its name in standings and orders.
    pub digest: Digest,
    /// Digest of the model that it is about.
    pub model: Digest,
    /// Digest of the decision that it was issued on.
    pub decision: Digest,
    /// How far the model is opened.
    pub stage: Stage,
    /// The stage's limits; none once weights are public.
    pub marks: Option<Marks>,
    /// From when to when.
    pub validity: Validity,
    /// Assurance levels, each with its scheme.
    pub assurance: Vec<String>,
}

/// A model that the gate serves.
#[derive(Debug)]
pub struct Served {
    /// Its public name.
    pub name: Arc<str>,
    /// Its name at the upstream.
    pub upstream_model: String,
    /// Where it is, the first choice first. Never empty.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Its licence.
    pub license: Licensed,
    /// How content is kept.
    pub keep: Keep,
    /// Its guards.
    pub guards: Guards,
}

/// The newest standing, and when it came.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// What it says.
    pub standing: Standing,
    /// By what it is remembered.
    pub mark: StandingMark,
    /// When it was accepted.
    pub accepted: Moment,
}

impl Fresh {
    /// Whether it carries a licence with this lease, in seconds. Both clocks must agree: the wall clock because others
    /// go by it, and the time that has passed because a wall clock can be set back.
    pub fn holds(&self, lease_s: Option<u64>, now: Moment) -> bool {
        let Standing { issued, expires, .. } = self.standing;
        let end_s = lease_s
            .map_or(expires.seconds(), |lease| expires.seconds().min(issued.seconds().saturating_add(lease)));
        let left_ms = (end_s.saturating_add(1)).saturating_mul(1_000).saturating_sub(self.accepted.wall_ms);
        let passed_ms = now.passed_ms.saturating_sub(self.accepted.passed_ms);
        now.wall().seconds() <= end_s && passed_ms < left_ms
    }
}

impl Snapshot {
    /// The models that an order with this target is about, by name; and whether the gate knows what it names at all.
    pub fn covered(&self, target: &StopTarget) -> (Vec<&Arc<Served>>, bool) {
        let covers = |served: &&Arc<Served>| match target {
            StopTarget::All => true,
            StopTarget::Model(name) => *served.name == **name,
            StopTarget::License(digest) => served.license.digest == *digest,
            StopTarget::Key(_) => false,
        };
        let mut models: Vec<_> = self.models.values().filter(covers).collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        let known = match target {
            StopTarget::All => true,
            StopTarget::Key(id) => self.callers.has_key(id) || id == ASKER,
            StopTarget::Model(_) | StopTarget::License(_) => !models.is_empty(),
        };
        (models, known)
    }
}

/// What the gate goes by at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The keys.
    pub callers: Arc<Callers>,
    /// The models, by public name.
    pub models: Arc<HashMap<Arc<str>, Arc<Served>>>,
    /// Which roles each stage is open to. A stage that is not here is open to nobody.
    pub roles: Arc<BTreeMap<Stage, BTreeSet<String>>>,
    /// Where this gate stands, as its operator declares.
    pub region: Option<Arc<str>>,
    /// The last moment at which the authority's root counts.
    pub root_expires: Instant,
    /// The newest standing.
    pub standing: Option<Arc<Fresh>>,
    /// What is stopped.
    pub stops: Arc<Stops>,
    /// Models that an alarm has suspended here.
    pub suspended: Arc<BTreeSet<Arc<str>>>,
    /// Tokens that are set aside for an answer whose request names no limit.
    pub default_output_tokens: u64,
    /// Digest of the configuration.
    pub config: Digest,
}
