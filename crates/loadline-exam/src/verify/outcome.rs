//! Scope, sign-offs, decision, licence, and whether it counts now.

use loadline_core::digest::canonical_json;
use loadline_core::strict;
use loadline_core::{Digest, Instant};
use loadline_policy::decide::{Case, Decision, Drill, Outcome, SignOff, decide};
use loadline_policy::license::{Grant, License, Statement, Svr, issue};
use loadline_policy::{Ledger, Pack, Policy, ScopeVerdict};
use loadline_trust::{CLOCK_SKEW_S, Envelope, Role, RootChain, Standing};

use super::list::{Not, wrong};
use super::log::{Logged, Story};
use super::report::{Anchor, Status};
use crate::attest::{Exam, statement};
use crate::bundle::{PartName, SmallParts};
use crate::case::{self, Hearing, compute_basis};
use crate::drill::DrillReport;
use crate::entry::Entry;
use crate::manifest::Manifest;
use crate::signoff::SignOffStatement;

/// The compute test of each law, judged again.
pub(super) fn scope(
    parts: &SmallParts,
    policy: &Policy,
    ledger: Option<&Ledger>,
) -> Result<(Vec<ScopeVerdict>, String), Not> {
    let mut packs = Vec::new();
    for (name, bytes) in parts.iter() {
        let PartName::Rules(id) = name else { continue };
        let pack: Pack = strict::from_canonical_json(bytes).map_err(|error| wrong(name, error))?;
        if pack.id != *id || pack.format != loadline_policy::rules::RULES_FORMAT {
            return Err(wrong(name, "it is another rule pack than its name says"));
        }
        packs.push(pack);
    }
    let verdicts = case::scope(&packs, ledger).map_err(|error| wrong("rules", error))?;
    let open = policy.scope.laws.iter().filter(|law| !verdicts.iter().any(|verdict| verdict.law == **law));
    let open: Vec<&str> = open.map(String::as_str).collect();
    let said: Vec<_> =
        verdicts.iter().map(|verdict| format!("{} {}", verdict.law, verdict.verdict)).collect();
    let mut detail = if said.is_empty() { "no verdict".to_owned() } else { said.join(", ") };
    if !open.is_empty() {
        detail.push_str(&format!("; without a verdict, so treated as in: {}", open.join(", ")));
    }
    Ok((verdicts, detail))
}

/// Every sign-off, under the root that was in force when the decision was made public.
pub(super) fn sign_offs(
    parts: &SmallParts,
    chain: &RootChain,
    story: &Story,
) -> Result<(Vec<SignOff>, String), Not> {
    let root = story.root_at(chain, story.decided_at())?;
    let mut sign_offs = Vec::new();
    for (name, bytes) in parts.iter().filter(|(name, _)| matches!(name, PartName::SignOff(_))) {
        let sign_off = SignOffStatement::accept(bytes, root, story.finish.1.attestation);
        sign_offs.push(sign_off.map_err(|error| wrong(name, error))?);
    }
    let detail = match sign_offs.len() {
        1 => "1 sign-off".to_owned(),
        count => format!("{count} sign-offs"),
    };
    Ok((sign_offs, detail))
}

/// The drill that the decision rests on: its report, and what the log says of it.
pub(super) fn drill(
    parts: &SmallParts,
    chain: &RootChain,
    story: &Story,
    logged: &Logged,
    policy: &Policy,
) -> Result<Option<Drill>, Not> {
    let name = PartName::Drill;
    let entries = logged.entries.iter().filter_map(|(index, entry)| match entry {
        Entry::Drill(entry) => Some((*index, entry)),
        _ => None,
    });
    let (bytes, index, entry) = match (parts.get(&name), &entries.collect::<Vec<_>>()[..]) {
        (None, []) => return Ok(None),
        (Some(bytes), [(index, entry)]) => (bytes, *index, *entry),
        _ => return Err(wrong(&name, "a drill is there with its one log entry, or neither is")),
    };
    if policy.drill.is_none() {
        return Err(wrong(&name, "the policy asks for no drill"));
    }
    let root = story.root_at(chain, index)?;
    let (report, digest) = DrillReport::accept(bytes, root).map_err(|error| wrong(&name, error))?;
    if report.entry(digest) != *entry {
        return Err(wrong(format!("log entry {index}"), "it does not say what the drill's report says"));
    }
    if index >= story.decided_at() {
        return Err(wrong(format!("log entry {index}"), "the drill was logged after the licence"));
    }
    Ok(Some(entry.evidence(index)))
}

/// A decision that was made again.
pub(super) struct Decided {
    pub case: Case,
    pub decision: Decision,
    /// What it is when only what is shown counts, where withheld rows make it another.
    pub shown_alone: Option<Outcome>,
}

/// The decision that is in the bundle, for stage and moment; its bytes must be those that are made again.
pub(super) fn decided(
    parts: &SmallParts,
    policy: &Policy,
    story: &Story,
    (exam, shown): (&Exam, Option<&Exam>),
    (scope, sign_offs, drill): (&[ScopeVerdict], &[SignOff], Option<Drill>),
) -> Result<(Decided, String), Not> {
    let name = PartName::Decision;
    let bytes = parts.get(&name).unwrap_or_default();
    let said: Decision = strict::from_canonical_json(bytes).map_err(|error| wrong(&name, error))?;
    let hearing = Hearing {
        policy,
        model: story.registration.1.model,
        identity: story.registration.1.identity,
        exam,
        finish: story.finish.0,
        scope: scope.to_vec(),
        sign_offs: sign_offs.to_vec(),
        drill,
        stage: said.stage,
        now: said.now,
    };
    let case = case::case(&hearing).map_err(|error| wrong(PartName::Attestation, error))?;
    let decision = decide(policy, &case).map_err(|error| wrong(&name, error))?;
    let again = canonical_json(&decision).map_err(|error| wrong(&name, error))?;
    if again != bytes {
        let rule = decision.reasons.iter().zip(&said.reasons).find(|(again, said)| again != said);
        let rule = rule.map(|(again, _)| format!(", first in `{}`", again.rule)).unwrap_or_default();
        let what = format!("it says {}, and made again it is {}{rule}", said.outcome, decision.outcome);
        return Err(wrong(&name, what));
    }
    if said.now < story.finish.1.at {
        return Err(wrong(&name, "it was made before the exam ended"));
    }
    let mut detail = format!("{} for stage {}, byte for byte", decision.outcome, decision.stage);
    let shown = shown.map(|exam| case::case(&Hearing { exam, ..hearing })).transpose();
    let shown = shown.map_err(|error| wrong(PartName::Attestation, error))?;
    let shown = shown.map(|case| decide(policy, &case)).transpose().map_err(|error| wrong(&name, error))?;
    let shown_alone = shown.map(|shown| shown.outcome).filter(|outcome| *outcome != decision.outcome);
    if let Some(alone) = shown_alone {
        detail.push_str(&format!(
            ", if the withheld rows are as the examiner attests; by what is shown it is {alone}"
        ));
    }
    Ok((Decided { case, decision, shown_alone }, detail))
}

/// The licence: what the decision says and nothing else, signed and logged.
pub(super) fn license(
    parts: &SmallParts,
    chain: &RootChain,
    story: &Story,
    policy: &Policy,
    decided: &Decided,
    (manifest, ledger): (&Manifest, Option<&Ledger>),
) -> Result<((License, Digest), String), Not> {
    let name = PartName::License;
    let Some(bytes) = parts.get(&name) else { return Err(no_license(story, &decided.decision)) };
    let Some((index, entry)) = &story.license else {
        return Err(wrong(&name, "no `license` entry of the log is in the bundle"));
    };
    let root = story.root_at(chain, *index)?;
    let envelope = Envelope::parse(bytes).map_err(|error| wrong(&name, error))?;
    let signers = root.verify(&envelope, Role::Authority).map_err(|error| wrong(&name, error))?;
    let read: Statement<License> = statement(&envelope).map_err(|error| wrong(&name, error))?;
    let license = &read.predicate;
    license.check().map_err(|error| wrong(&name, error))?;
    let registration = &story.registration.1;
    let grant = Grant {
        issuer: license.issuer.value.clone(),
        model_name: registration.name.clone(),
        simulated: manifest.is_simulated(),
        compute_basis: compute_basis(ledger),
        conditions: license.conditions.value.clone(),
        standing_url: license.standing_url.as_ref().map(|url| url.value.clone()),
        supersedes: license.supersedes.as_ref().map(|digest| digest.value),
    };
    let (_, again) = issue(policy, &decided.case, grant).map_err(|error| wrong(&name, error))?;
    let again = Statement::about(&registration.name, registration.model, again);
    if again != read {
        return Err(wrong(&name, "it is not the licence that follows from the decision"));
    }
    let issued = license.issued.value;
    let logged = [
        ("license", entry.license == envelope.payload_digest()),
        ("model", entry.model == registration.model),
        ("stage", entry.stage == license.stage.value),
        ("at", entry.at >= issued),
    ];
    if let Some((field, _)) = logged.iter().find(|(_, holds)| !holds) {
        return Err(wrong(format!("log entry {index}"), format!("its `{field}` is not the licence's")));
    }
    let names: Vec<_> = signers.iter().map(|key| key.name()).collect();
    let detail = format!("log entry {index}, signed by {}", names.join(", "));
    Ok(((read.predicate, envelope.payload_digest()), detail))
}

/// A decision that is not an allow has no licence; one that is may not have been issued.
fn no_license(story: &Story, decision: &Decision) -> Not {
    if let Some((index, _)) = &story.license {
        return wrong(format!("log entry {index}"), "it logs a licence that is not in the bundle");
    }
    match decision.outcome {
        Outcome::Allow => {
            Not::Looked("the bundle has no licence, although the decision allows one".to_owned())
        }
        other => Not::Looked(format!("no licence: the decision is {other}")),
    }
}

/// The Simple Verification Result.
pub(super) fn svr(
    parts: &SmallParts,
    chain: &RootChain,
    story: &Story,
    license: &License,
) -> Result<((), String), Not> {
    let name = PartName::Svr;
    let root = story.root_at(chain, story.decided_at())?;
    let envelope =
        Envelope::parse(parts.get(&name).unwrap_or_default()).map_err(|error| wrong(&name, error))?;
    root.verify(&envelope, Role::Authority).map_err(|error| wrong(&name, error))?;
    let read: Statement<Svr> = statement(&envelope).map_err(|error| wrong(&name, error))?;
    let registration = &story.registration.1;
    let expected = Statement::about(&registration.name, registration.model, Svr::of(license));
    if read != expected {
        return Err(wrong(name, "it is not what the licence comes to"));
    }
    Ok(((), read.predicate.properties.join(", ")))
}

/// Whether licence, root and witnesses count at a moment.
pub(super) fn validity(
    chain: &RootChain,
    story: &Story,
    logged: &Logged,
    license: Option<&License>,
    now: Instant,
) -> Result<((), String), Not> {
    chain.check_at(now).map_err(|error| wrong("the root", error))?;
    let later = now.seconds().saturating_add(CLOCK_SKEW_S);
    if let Some((witness, time)) = logged.last.witnesses.iter().find(|(_, time)| *time > later) {
        let at = Instant::from_seconds(*time).map_or_else(|_| time.to_string(), |at| at.to_string());
        return Err(wrong(
            format!("witness `{witness}`"),
            format!("it cosigned at {at}, and it is only {now}"),
        ));
    }
    let Some(license) = license else {
        return Ok(((), "the root is current; there is no licence to be valid".to_owned()));
    };
    let validity = license.validity.value;
    if !validity.holds_at(now) {
        let what = format!("it holds from {} to {}, and it is {now}", validity.not_before, validity.expires);
        return Err(wrong(PartName::License, what));
    }
    let root = story.root_at(chain, story.decided_at())?;
    if !root.is_current(license.issued.value) {
        let what = format!(
            "it was issued at {}, when root version {} did not count",
            license.issued.value, root.version
        );
        return Err(wrong(PartName::License, what));
    }
    // A witness saw the entry after it was made: a later time in it comes from a wrong clock.
    let seen = logged.last.witnesses.iter().map(|(_, time)| *time).max().filter(|time| *time > 0);
    let logged_at = story.license.as_ref().map_or(0, |(_, entry)| entry.at.seconds());
    if seen.is_some_and(|seen| logged_at > seen.saturating_add(CLOCK_SKEW_S)) {
        return Err(wrong(PartName::License, "it was logged later than the witnesses saw it there"));
    }
    Ok((
        (),
        format!(
            "from {} to {}; next survey {}",
            validity.not_before, validity.expires, license.next_survey.value
        ),
    ))
}

/// What became of the licence: by a fresh standing where the verifier has one, else by the bundle's.
pub(super) fn standing(
    parts: &SmallParts,
    chain: &RootChain,
    story: &Story,
    logged: &Logged,
    license: Digest,
    anchor: &Anchor,
) -> Result<(Status, String), Not> {
    changed(logged, license)?;
    open(logged, story)?;
    let index = story.decided_at();
    let reflects = |standing: &Standing| standing.log_size > index;
    let own = parts.get(&PartName::Standing).map(|bytes| own_standing(bytes, chain)).transpose()?;
    if let Some(standing) = &own {
        clear(standing, license)?;
    }
    if let Some(bytes) = &anchor.standing {
        let at = "the standing that was given";
        let accepted = Standing::accept(bytes, chain, anchor.standing_seen, anchor.now);
        let (standing, _) = accepted.map_err(|error| wrong(at, error))?;
        if !reflects(&standing) {
            return Err(wrong(
                at,
                format!("it reflects {} log entries, and the licence is entry {index}", standing.log_size),
            ));
        }
        clear(&standing, license)?;
        return Ok((
            Status::Ok,
            format!("epoch {} of {}: not revoked, not suspended", standing.epoch, standing.issued),
        ));
    }
    let Some(standing) = own else {
        return Ok((Status::Skipped, "there is no standing: whether it was revoked is not known".to_owned()));
    };
    if standing.check_at(anchor.now).is_ok() && reflects(&standing) {
        return Ok((
            Status::Ok,
            format!("epoch {} of {}: not revoked, not suspended", standing.epoch, standing.issued),
        ));
    }
    let detail = format!(
        "as of {} neither revoked nor suspended; whether it was since needs a fresh standing",
        standing.issued
    );
    Ok((Status::Skipped, detail))
}

/// The bundle's standing, at its own moment.
fn own_standing(bytes: &[u8], chain: &RootChain) -> Result<Standing, Not> {
    let name = PartName::Standing;
    let envelope = Envelope::parse(bytes).map_err(|error| wrong(&name, error))?;
    let read: Standing = envelope.json(loadline_trust::STANDING_TYPE).map_err(|error| wrong(&name, error))?;
    let (standing, _) =
        Standing::accept(bytes, chain, None, read.issued).map_err(|error| wrong(&name, error))?;
    Ok(standing)
}

fn clear(standing: &Standing, license: Digest) -> Result<(), Not> {
    match standing.of(license) {
        None => Ok(()),
        Some(entry) => {
            let what =
                format!("the licence is {} since {}: {}", entry.state.name(), entry.since, entry.reason);
            Err(wrong(format!("standing of epoch {}", standing.epoch), what))
        }
    }
}

/// Whether the model is still open as far as the licence says, by the bundle's log entries.
fn open(logged: &Logged, story: &Story) -> Result<(), Not> {
    let Some((_, license)) = &story.license else { return Ok(()) };
    let stages = logged.entries.iter().rev().filter_map(|(index, entry)| match entry {
        Entry::Stage(entry) => Some((index, entry)),
        _ => None,
    });
    match stages.take(1).find(|(_, entry)| !entry.to.carries(license.stage)) {
        None => Ok(()),
        Some((index, entry)) => {
            let what =
                format!("the model stands at `{}`, and the licence is for `{}`", entry.to, license.stage);
            Err(wrong(format!("log entry {index}"), what))
        }
    }
}

/// Changes of the licence among the bundle's log entries: the last one counts.
fn changed(logged: &Logged, license: Digest) -> Result<(), Not> {
    let mut state = None;
    for (index, entry) in &logged.entries {
        let (change, word) = match entry {
            Entry::Revoke(change) => (change, Some("revoked")),
            Entry::Suspend(change) => (change, Some("suspended")),
            Entry::Reinstate(change) => (change, None),
            _ => continue,
        };
        if change.license != license {
            return Err(wrong(format!("log entry {index}"), "it is about another licence"));
        }
        // Nothing undoes a revocation.
        if !matches!(state, Some((_, "revoked"))) {
            state = word.map(|word| (index, word));
        }
    }
    match state {
        Some((index, word)) => Err(wrong(format!("log entry {index}"), format!("the licence is {word}"))),
        None => Ok(()),
    }
}
