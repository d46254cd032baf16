//! Stages: a model is opened step by step, each step signed and logged. Opening further takes a licence for the stage and
//! the signatures of its rule; going back takes one signer.

use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_exam::entry::StageEntry;
use loadline_exam::stage::{TRANSITION_FORMAT, TransitionError};
use loadline_exam::{Entry, Transition};
use loadline_policy::Policy;
use loadline_policy::decide::{Decision, Path};
use loadline_policy::policy::{ModelStage, SignOffRule, Stage, Step};
use loadline_trust::{CLOCK_SKEW_S, Envelope};

use super::history::{LicenseHistory, ModelHistory};
use super::office::Office;
use super::{folder, licenses};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

const DAY_S: u64 = 86_400;

/// How much of a digest must be given: what is named is opened or closed, and a typing error must not be another one.
const LEAST_DIGITS: usize = 8;

/// What a transition is to be about.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The model.
    pub model: Digest,
    /// The licence that was named, if one was.
    pub license: Option<Digest>,
    /// Where the model is to go.
    pub to: ModelStage,
    /// Why.
    pub reason: String,
}

/// What came of a transition.
#[derive(Debug)]
pub enum Outcome {
    /// It is logged.
    Logged(u64),
    /// More must sign.
    Missing(String),
}

fn usage(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message).hint(hint)
}

fn refused(error: &TransitionError) -> Failure {
    Failure::of(Exit::Usage, error).hint(error.hint())
}

/// The model, and the licence where one is meant, that a name or the beginning of a digest names.
///
/// # Errors
/// When it names nothing, or several things.
pub fn resolve(office: &Office, text: &str) -> Result<(Digest, Option<Digest>)> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_beginning = |digest: Digest| hex.len() >= LEAST_DIGITS && digest.hex().starts_with(hex);
    let mut found: Vec<(Digest, Option<Digest>)> = Vec::new();
    for entry in office.history.entries() {
        match entry {
            Entry::Registration(known) if known.name == text || is_beginning(known.model) => {
                found.push((known.model, None));
            }
            Entry::License(known) if is_beginning(known.license) => {
                found.push((known.model, Some(known.license)));
            }
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    match found[..] {
        [only] => Ok(only),
        [] => Err(usage(
            format!("no model and no licence is named `{}`", one_line(text, 80)),
            format!(
                "give a model as it was registered, or at least {LEAST_DIGITS} digits of its digest or of a licence's"
            ),
        )),
        _ => Err(usage(
            format!("`{}` names {} models and licences", one_line(text, 80), found.len()),
            "give more digits of the digest that is meant",
        )),
    }
}

/// Makes a transition from where the model stands.
///
/// # Errors
/// When there is no such way from there, or the licence that it takes is not there.
pub fn propose(office: &Office, wish: &Wish) -> Result<Transition> {
    let stands = office.history.stages(wish.model);
    let step = stands.stage.step(wish.to).map_err(|error| refused(&error.into()))?;
    let license = match step {
        Step::Promotion(stage) => Some(license_for(office, wish, stage)?),
        Step::Demotion => None,
    };
    let transition = Transition {
        at: office.now,
        authority: office.chain.authority(),
        format: TRANSITION_FORMAT.to_owned(),
        from: stands.stage,
        license,
        model: wish.model,
        previous: stands.last,
        reason: wish.reason.clone(),
        to: wish.to,
    };
    transition.check().map_err(|error| refused(&error))?;
    rules(office, &transition, &stands)?;
    Ok(transition)
}

/// The licence that a promotion rests on: the one that was named, else the newest of the stage.
fn license_for(office: &Office, wish: &Wish, stage: Stage) -> Result<Digest> {
    let is_of = |license: &LicenseHistory| {
        license.entry.model == wish.model
            && license.entry.stage == stage
            && wish.license.is_none_or(|named| named == license.entry.license)
    };
    let changed = office.history.changes();
    let licenses = office.history.licenses();
    let good = |license: &&LicenseHistory| is_of(license) && !changed.contains_key(&license.entry.license);
    licenses.iter().rev().find(good).map(|license| license.entry.license).ok_or_else(|| {
        usage(
            format!(
                "no licence for stage `{stage}` of this model stands: there is no decision that allows it"
            ),
            format!("decide with `loadline license issue --stage {stage}`"),
        )
    })
}

/// The signatures that a transition takes; empty for a demotion.
fn rules(office: &Office, transition: &Transition, stands: &ModelHistory) -> Result<Vec<SignOffRule>> {
    let (Step::Promotion(stage), Some(license)) =
        (transition.check().map_err(|error| refused(&error))?, transition.license)
    else {
        return Ok(Vec::new());
    };
    let entry = office.history.licenses().into_iter().find(|known| known.entry.license == license);
    let logged = entry.filter(|known| known.entry.model == transition.model && known.entry.stage == stage);
    let changed = office.history.changes();
    if logged.is_none() || changed.contains_key(&license) {
        return Err(usage(
            format!("licence {license} is not one of this model for stage `{stage}` that stands"),
            "`loadline license show` lists them",
        ));
    }
    let terms = licenses::read(office, license)?.statement.predicate;
    if !terms.validity.value.holds_at(office.now) {
        return Err(usage(
            format!("licence {license} does not hold now"),
            "renew it with `loadline license renew`",
        ));
    }
    let policy = office.policy(terms.policy.value.digest)?;
    climbs(&policy, stage, transition, stands, office.now)?;
    let decision: Decision = folder::read_json(&office.folder.license(license).join("decision.json"))?;
    let rule = policy.stage(stage).ok_or_else(|| {
        usage(format!("the policy has no stage `{stage}`"), "`loadline policy explain` lists its stages")
    })?;
    Ok(match decision.path {
        Path::Full => rule.sign_off.clone(),
        Path::Light => rule.light_sign_off.clone(),
    })
}

/// No stage of the policy is left out, none is left too soon, and no old proposal is taken out of a drawer.
fn climbs(
    policy: &Policy,
    to: Stage,
    transition: &Transition,
    stands: &ModelHistory,
    now: Instant,
) -> Result<()> {
    let from = stands.reached;
    let between = |stage: Stage| stage < to && from.is_none_or(|from| stage > from);
    if let Some(rule) = policy.stages.iter().find(|rule| between(rule.stage)) {
        return Err(usage(
            format!("stage `{}` of the policy would be left out", rule.stage),
            format!("propose `--to {}` first", rule.stage),
        ));
    }
    // Else whoever suspends it gets around the days that it must stand where it was.
    if let (ModelStage::Suspended, Some(reached)) = (stands.stage, from)
        && to > reached
    {
        return Err(usage(
            format!("the model was suspended at `{reached}` and goes back to at most that"),
            format!("propose `--to {reached}` first"),
        ));
    }
    let least = stands.stage.stage().and_then(|stage| policy.stage(stage)).and_then(|rule| rule.min_days);
    if let (Some(days), Some(since)) = (least, stands.since)
        && now.seconds().saturating_sub(since.seconds()) < days.saturating_mul(DAY_S)
    {
        return Err(usage(
            format!("the model stands at `{}` since {since}; the policy asks for {days} days", stands.stage),
            "propose it again when they are over",
        ));
    }
    let (at, now) = (transition.at.seconds(), now.seconds());
    if at > now.saturating_add(CLOCK_SKEW_S)
        || now.saturating_sub(at) > policy.max_age_days.saturating_mul(DAY_S)
    {
        return Err(usage(
            format!("the proposal is of {}, which is too old or not yet", transition.at),
            "propose it again",
        ));
    }
    Ok(())
}

/// The model's last step, if it is the one that is wished: whoever gives a command again may have been killed after the log.
///
/// # Errors
/// When what was signed is not here, or is not what was logged.
pub fn done(office: &Office, wish: &Wish) -> Result<Option<(u64, Transition, Digest)>> {
    let stands = office.history.stages(wish.model);
    let Some((index, step)) = stands.steps.last() else { return Ok(None) };
    let is_licence = step.license.is_none() || wish.license.is_none() || wish.license == step.license;
    if (step.to, &step.reason) != (wish.to, &wish.reason) || !is_licence {
        return Ok(None);
    }
    let (transition, _) = read(office, step)?;
    Ok(Some((*index, transition, step.transition)))
}

/// Logs a transition, when it is about the state that the model is in and enough have signed. The model's last one is not
/// logged again.
///
/// # Errors
/// When it is about something else, somebody signed who has no say, the disk refuses, or a key cannot be opened.
pub fn log(office: &mut Office, envelope: &Envelope) -> Result<Outcome> {
    let transition = Transition::read(envelope).map_err(|error| refused(&error))?;
    let stands = office.history.stages(transition.model);
    if transition.authority != office.chain.authority() {
        return Err(usage("the transition is for another authority", "bring it to the one that it names"));
    }
    let digest = envelope.payload_digest();
    if let Some((index, step)) = stands.steps.last()
        && step.transition == digest
    {
        return Ok(Outcome::Logged(*index));
    }
    if (transition.from, transition.previous) != (stands.stage, stands.last) {
        let message = format!(
            "the transition is from `{}`, and since it was proposed the model went on: it stands at `{}`",
            transition.from, stands.stage
        );
        return Err(usage(message, "propose it again from where the model stands"));
    }
    let rules = rules(office, &transition, &stands)?;
    match transition.signed(envelope, office.chain.current(), &rules) {
        Ok(()) => {}
        Err(error @ TransitionError::TooFew { .. }) => return Ok(Outcome::Missing(error.to_string())),
        Err(error) => {
            return Err(Failure::of(Exit::EvidenceInvalid, &error).hint(error.hint()));
        }
    }
    folder::write(&path(office, digest), &envelope.to_bytes(), folder::PUBLIC)?;
    // A clock that went back a little must not make a history that goes back.
    let at = stands.since.map_or(office.now, |since| since.max(office.now));
    office.log(vec![Entry::Stage(transition.entry(digest, at))]).map(Outcome::Logged)
}

/// Where a transition is kept.
fn path(office: &Office, digest: Digest) -> PathBuf {
    office.folder.path().join("stages").join(format!("{}.json", digest.hex()))
}

/// A logged transition, checked against the log.
///
/// # Errors
/// When it is not here, or is not what was logged.
pub fn read(office: &Office, entry: &StageEntry) -> Result<(Transition, usize)> {
    let path = path(office, entry.transition);
    let envelope = Envelope::parse(&folder::read(&path)?).map_err(|error| folder::changed(&path, &error))?;
    let transition = Transition::read(&envelope).map_err(|error| folder::changed(&path, &error))?;
    if transition.entry(envelope.payload_digest(), entry.at) != *entry {
        return Err(folder::not_as_written(&path).cause("it does not say what the log says"));
    }
    Ok((transition, envelope.claimed().count()))
}
