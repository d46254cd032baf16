//! The decision: may this caller use this model now? Pure: from one snapshot and one moment.
//!
//! Two functions. [`Snapshot::forbids`] says what forbids, and is asked again for everything under way whenever the
//! snapshot changes. [`admit`] asks it first, so that forbid beats permit, and then for what permits.

use std::sync::Arc;

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_policy::Named as _;
use loadline_policy::policy::Stage;
use loadline_trust::StandingState;

use crate::caller::Caller;
use crate::clock::Moment;
use crate::ledger::{Account, Charge, Limits, StopTarget};
use crate::refusal::{Code, Refusal};
use crate::snapshot::{Served, Snapshot};
use crate::watch::ASKER;

/// What is known of a request before it is decided.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// The model that is asked for, by its public name.
    pub model: &'a str,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// The most tokens that the answer may have, over all its choices, where the request says so.
    pub max_output_tokens: Option<u64>,
    /// Whether the model is to use tools.
    pub tools: bool,
    /// The caller's floor: at least this open.
    pub min_stage: Option<Stage>,
    /// The caller's floor: at least this assured.
    pub min_assurance: Option<&'a str>,
}

/// A request that may be served.
#[derive(Clone, Debug)]
pub struct Permit {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The model.
    pub served: Arc<Served>,
    /// The standing's epoch.
    pub epoch: u64,
    /// What it is charged to.
    pub charges: Vec<Charge>,
    /// Tokens that the request is estimated to have.
    pub input_tokens: u64,
    /// Tokens that are set aside, with those of the answer.
    pub reserved: u64,
}

/// Bytes of text for each token, when tokens are estimated.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Whose the gate's own questions are among the requests under way: no key has this hash.
pub(crate) const ITSELF: Digest = Digest([0; 32]);
/// The same for the questions of probes, which an order can stop by the name of their key.
pub(crate) const PROBES: Digest = Digest([1; 32]);

impl Snapshot {
    /// The caller behind a key that is given as its SHA-256.
    ///
    /// # Errors
    /// When there is none, or the key does not count at this moment.
    pub fn caller(&self, hash: Digest, now: Moment) -> Result<&Arc<Caller>, Refusal> {
        let unknown = || Refusal::new(Code::KeyUnknown, "this gate does not know the key");
        let caller = self.callers.find(hash).ok_or_else(unknown)?;
        let (key, at) = (&caller.key, now.wall());
        if caller.revoked {
            return Err(Refusal::new(Code::KeyRevoked, format!("key `{key}` is revoked")));
        }
        if at < caller.not_before {
            let from = caller.not_before;
            return Err(Refusal::new(Code::KeyExpired, format!("key `{key}` counts from {from} on")));
        }
        if let Some(expires) = caller.expires.filter(|expires| at > *expires) {
            return Err(Refusal::new(Code::KeyExpired, format!("key `{key}` expired at {expires}")));
        }
        if caller.hours.is_some_and(|hours| !hours.holds_at(at)) {
            return Err(Refusal::new(Code::OutOfHours, format!("key `{key}` does not work at this hour")));
        }
        Ok(caller)
    }

    /// Whether anything forbids this key and this model now: a stop, a key or licence that does not count, an
    /// authority that is silent.
    ///
    /// # Errors
    /// What forbids it.
    pub fn forbids(
        &self,
        hash: Digest,
        model: &str,
        now: Moment,
    ) -> Result<(&Arc<Caller>, &Arc<Served>), Refusal> {
        self.stopped(&StopTarget::All, "everything is stopped")?;
        let caller = self.caller(hash, now)?;
        self.stopped(&StopTarget::Key(caller.key.to_string()), "this key is stopped")?;
        let served = self.models.get(model).ok_or_else(|| {
            Refusal::new(Code::ModelUnknown, format!("no model is named `{}` here", one_line(model, 80)))
        })?;
        let words = match served.license.stage {
            Stage::WeightsReleased => "this model is stopped at this gate; its weights are public",
            _ => "this model is stopped",
        };
        self.stopped(&StopTarget::Model(model.to_owned()), words)?;
        self.stopped(&StopTarget::License(served.license.digest), "the licence of this model is stopped")?;
        self.license_counts(served, now)?;
        Ok((caller, served))
    }

    /// Whether a stop or the authority forbids a model to everybody now.
    ///
    /// # Errors
    /// What forbids it.
    pub(crate) fn allows(&self, served: &Served, now: Moment) -> Result<(), Refusal> {
        self.stopped(&StopTarget::All, "everything is stopped")?;
        self.stopped(&StopTarget::Model(served.name.to_string()), "this model is stopped")?;
        self.stopped(&StopTarget::License(served.license.digest), "the licence of this model is stopped")?;
        self.license_counts(served, now)
    }

    /// What forbids a request that is under way. What the gate itself asks is forbidden where its model is.
    pub(crate) fn cuts(&self, hash: Digest, model: &str, now: Moment) -> Option<Refusal> {
        if hash != ITSELF && hash != PROBES {
            return self.forbids(hash, model, now).err();
        }
        if hash == PROBES
            && let Err(refusal) = self.stopped(&StopTarget::Key(ASKER.to_owned()), "this key is stopped")
        {
            return Some(refusal);
        }
        match self.models.get(model) {
            Some(served) => self.allows(served, now).err(),
            None => Some(Refusal::new(Code::ModelUnknown, format!("`{model}` is not served any more"))),
        }
    }

    fn stopped(&self, target: &StopTarget, message: &str) -> Result<(), Refusal> {
        match self.stops.targets.contains(target) {
            true => Err(Refusal::new(Code::Stopped, message)),
            false => Ok(()),
        }
    }

    /// Whether a model's licence counts now: valid, fresh, unrevoked, and not suspended here by an alarm.
    fn license_counts(&self, served: &Served, now: Moment) -> Result<(), Refusal> {
        let (license, at) = (&served.license, now.wall());
        let name = &served.name;
        if self.suspended.contains(name) {
            let message =
                format!("`{name}` answers worse than it must: a watch of this gate has suspended it");
            return Err(Refusal::new(Code::DriftAlarm, message));
        }
        let missing = || Refusal::new(Code::StandingMissing, "the gate holds no standing of the authority");
        let fresh = self.standing.as_ref().ok_or_else(missing)?;
        if let Some(entry) = fresh.standing.of(license.digest) {
            let code = match entry.state {
                StandingState::Revoked => Code::LicenseRevoked,
                StandingState::Suspended => Code::LicenseSuspended,
            };
            let (state, since, reason) = (entry.state.name(), entry.since, one_line(&entry.reason, 200));
            return Err(Refusal::new(
                code,
                format!("the licence of `{name}` is {state} since {since}: {reason}"),
            ));
        }
        if !license.validity.holds_at(at) {
            let (from, to) = (license.validity.not_before, license.validity.expires);
            let message = format!("the licence of `{name}` holds from {from} to {to}, and it is {at}");
            return Err(Refusal::new(Code::LicenseExpired, message));
        }
        let lease = license.marks.as_ref().map(|marks| marks.lease_s);
        if at > self.root_expires || !fresh.holds(lease, now) {
            let (epoch, issued) = (fresh.mark.epoch, fresh.standing.issued);
            let message =
                format!("the last word of the authority is epoch {epoch} of {issued}: too long ago");
            return Err(Refusal::new(Code::StandingStale, message));
        }
        Ok(())
    }
}

/// Decides. Nothing is reserved yet: see [`Permit::charges`].
///
/// # Errors
/// Why not.
pub fn admit(snapshot: &Snapshot, now: Moment, hash: Digest, facts: &Facts<'_>) -> Result<Permit, Refusal> {
    let (caller, served) = snapshot.forbids(hash, facts.model, now)?;
    open_to(snapshot, caller, served)?;
    floors(served, facts)?;
    let input_tokens = facts.body_bytes.div_ceil(BYTES_PER_TOKEN);
    within_marks(snapshot, served, facts, input_tokens)?;
    let output = facts.max_output_tokens.unwrap_or(snapshot.default_output_tokens);
    Ok(Permit {
        charges: charges(caller, served),
        caller: Arc::clone(caller),
        served: Arc::clone(served),
        epoch: snapshot.standing.as_ref().map_or(0, |fresh| fresh.mark.epoch),
        input_tokens,
        reserved: input_tokens.saturating_add(output),
    })
}

/// Whether the model is open to this caller at all.
///
/// # Errors
/// Why not.
pub fn open_to(snapshot: &Snapshot, caller: &Caller, served: &Served) -> Result<(), Refusal> {
    let (name, stage) = (&served.name, served.license.stage);
    if !caller.may_use(name) {
        return Err(Refusal::new(
            Code::ModelNotAllowed,
            format!("key `{}` may not use `{name}`", caller.key),
        ));
    }
    let roles = snapshot.roles.get(&stage);
    let open = roles.is_some_and(|roles| roles.contains(&caller.role));
    if !open || !(caller.stages.is_empty() || caller.stages.contains(&stage)) {
        let message = format!("`{name}` is at stage `{stage}`, which is not open to role `{}`", caller.role);
        return Err(Refusal::new(Code::StageNotAllowed, message));
    }
    Ok(())
}

fn floors(served: &Served, facts: &Facts<'_>) -> Result<(), Refusal> {
    let (name, license) = (&served.name, &served.license);
    if let Some(floor) = facts.min_stage.filter(|floor| license.stage < *floor) {
        let message = format!("`{name}` is at stage `{}`, below `{floor}`", license.stage);
        return Err(Refusal::new(Code::BelowMinStage, message));
    }
    if let Some(floor) = facts.min_assurance
        && !license.assurance.iter().any(|level| reaches(level, floor))
    {
        let has = license.assurance.join(", ");
        let message = format!("`{name}` has assurance {has}, not `{}`", one_line(floor, 60));
        return Err(Refusal::new(Code::BelowMinAssurance, message));
    }
    Ok(())
}

/// Whether a level is at least another one of the same scheme: `loadline/al-1` reaches `loadline/al-0`. Levels of
/// different schemes mean different things and never reach each other.
fn reaches(level: &str, floor: &str) -> bool {
    let parts = |text: &str| {
        let (scheme, number) = text.rsplit_once('-')?;
        Some((scheme.to_owned(), number.parse::<u32>().ok()?))
    };
    match (parts(level), parts(floor)) {
        (Some((scheme, number)), Some((wanted, least))) => scheme == wanted && number >= least,
        _ => level == floor,
    }
}

fn within_marks(snapshot: &Snapshot, served: &Served, facts: &Facts<'_>, input: u64) -> Result<(), Refusal> {
    let Some(marks) = &served.license.marks else { return Ok(()) };
    let (name, stage) = (&served.name, served.license.stage.name());
    let region = snapshot.region.as_deref();
    if !marks.regions.is_empty() && !region.is_some_and(|here| marks.regions.iter().any(|r| r == here)) {
        let (here, allowed) = (region.unwrap_or("not declared"), marks.regions.join(", "));
        let message = format!("`{name}` may be served in {allowed}; the region of this gate is {here}");
        return Err(Refusal::new(Code::RegionNotAllowed, message));
    }
    if facts.tools && !marks.tools {
        return Err(Refusal::new(
            Code::ToolsNotAllowed,
            format!("`{name}` may not use tools at stage `{stage}`"),
        ));
    }
    if let Some(most) = marks.context_tokens {
        let asked = input.saturating_add(facts.max_output_tokens.unwrap_or(0));
        if asked > most {
            let message =
                format!("about {asked} tokens are asked for; `{name}` may use {most} at stage `{stage}`");
            return Err(Refusal::new(Code::ContextTooLong, message));
        }
    }
    Ok(())
}

fn charges(caller: &Caller, served: &Served) -> Vec<Charge> {
    let mut charges = Vec::with_capacity(2);
    if caller.limits != Limits::default() {
        charges.push(Charge { account: Account::quota(&caller.quota), limits: caller.limits });
    }
    if let Some(marks) = &served.license.marks {
        let limits = Limits {
            requests_per_minute: marks.requests_per_minute,
            tokens_per_day: marks.tokens_per_day,
            ..Limits::default()
        };
        if limits != Limits::default() {
            charges.push(Charge { account: Account::marks(served.license.digest, &caller.key), limits });
        }
    }
    charges
}
