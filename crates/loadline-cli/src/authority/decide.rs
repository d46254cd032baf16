//! From an exam that has ended to a decision: the same code that everybody decides again with.

use std::path::PathBuf;

use loadline_core::digest::canonical_json;
use loadline_core::{Digest, Instant};
use loadline_exam::case::{self, Hearing};
use loadline_policy::Decision;
use loadline_policy::decide::{Case, Drill, SignOff, decide as decide_case};
use loadline_policy::policy::Stage;
use loadline_trust::Envelope;
use serde::{Deserialize, Serialize};

use super::exams::Sitting;
use super::office::Office;
use super::signing::{self, Attested};
use super::{drills, finish, folder, licenses};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// `format` of `decided-STAGE.json`.
const FORMAT: &str = "loadline-decided/1";

/// A decision and what it was made from.
#[derive(Debug)]
pub struct Decided {
    /// What was decided.
    pub decision: Decision,
    /// Everything besides the policy that it depends on.
    pub case: Case,
    /// The exam's attestation.
    pub attested: Attested,
    /// The envelopes of the sign-offs that were looked at.
    pub sign_offs: Vec<Envelope>,
    /// The envelope of the drill that was looked at.
    pub drill: Option<Vec<u8>>,
    /// Payload digest of the licence, where one was issued.
    pub license: Option<Digest>,
}

/// What is kept of a decision, so that it can be made again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Minutes {
    format: String,
    /// SHA-256 over the decision's canonical JSON.
    decision: Digest,
    stage: Stage,
    now: Instant,
    /// The sign-offs that were looked at, by [`signing::digest`].
    sign_offs: Vec<Digest>,
    /// Payload digest of the drill that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drill: Option<Digest>,
    /// Payload digest of the licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    license: Option<Digest>,
}

fn minutes_path(sitting: &Sitting, stage: Stage) -> PathBuf {
    sitting.dir.join(format!("decided-{stage}.json"))
}

fn decision_path(sitting: &Sitting, stage: Stage) -> PathBuf {
    sitting.dir.join(format!("decision-{stage}.json"))
}

/// Decides about an exam, with every sign-off about it that is here. Nothing is written.
///
/// # Errors
/// When the exam has not ended, or something it rests on is not what was written.
pub fn decide(office: &Office, sitting: &Sitting, stage: Stage) -> Result<Decided> {
    let attested = finish::attested(office, &sitting.history, &sitting.dir)?;
    let sign_offs = signing::collect(&office.folder, office.chain.current(), attested.digest)?;
    let drill = drill(office, sitting, None)?;
    make(sitting, stage, office.now, Heard { attested, sign_offs, drill })
}

/// The newest drill of the model before an entry of the log, where the policy asks for one.
fn drill(office: &Office, sitting: &Sitting, before: Option<u64>) -> Result<Option<(Drill, Vec<u8>)>> {
    match sitting.policy.drill {
        Some(_) => drills::newest(office, sitting.history.start.model, before),
        None => Ok(None),
    }
}

/// What is heard besides the exam.
struct Heard {
    attested: Attested,
    sign_offs: Vec<(SignOff, Envelope)>,
    drill: Option<(Drill, Vec<u8>)>,
}

fn make(sitting: &Sitting, stage: Stage, now: Instant, heard: Heard) -> Result<Decided> {
    let Heard { attested, sign_offs, drill } = heard;
    let (finish, _) = sitting
        .history
        .finish
        .as_ref()
        .ok_or_else(|| Failure::new(Exit::Unexpected, "an exam that has not ended cannot be decided"))?;
    let (sign_offs, envelopes): (Vec<_>, Vec<_>) = sign_offs.into_iter().unzip();
    let (drill, report) = drill.unzip();
    let hearing = Hearing {
        policy: &sitting.policy,
        model: sitting.history.start.model,
        identity: sitting.registration.identity,
        exam: &attested.statement.predicate,
        finish: *finish,
        scope: sitting.scope.clone(),
        sign_offs,
        drill,
        stage,
        now,
    };
    let case = case::case(&hearing).map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))?;
    let decision =
        decide_case(&sitting.policy, &case).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    Ok(Decided { decision, case, attested, sign_offs: envelopes, drill: report, license: None })
}

/// Writes a decision down, and what it takes to make it again.
///
/// # Errors
/// When the disk refuses.
pub fn keep(sitting: &Sitting, decided: &Decided) -> Result<PathBuf> {
    let unexpected = |error: serde_json::Error| Failure::of(Exit::Unexpected, &error);
    let decision = canonical_json(&decided.decision).map_err(unexpected)?;
    let stage = decided.decision.stage;
    let path = decision_path(sitting, stage);
    folder::write(&path, &decision, folder::PUBLIC)?;
    let minutes = Minutes {
        format: FORMAT.to_owned(),
        decision: Digest::of(&decision),
        stage,
        now: decided.decision.now,
        sign_offs: decided.sign_offs.iter().map(signing::digest).collect::<Result<_>>()?,
        drill: decided.case.drill.as_ref().map(|drill| drill.report),
        license: decided.license,
    };
    // Last: it names the decision that is there.
    folder::write_json(&minutes_path(sitting, stage), &minutes)?;
    Ok(path)
}

/// A decision that was written down for this stage, made again.
///
/// # Errors
/// When there is none, or what it rested on gives another decision now.
pub fn kept(office: &Office, sitting: &Sitting, stage: Stage) -> Result<Option<Decided>> {
    let path = minutes_path(sitting, stage);
    if !path.exists() {
        return Ok(None);
    }
    let minutes: Minutes = folder::read_json(&path)?;
    let attested = finish::attested(office, &sitting.history, &sitting.dir)?;
    let logged = minutes.license.and_then(|license| office.history.logged(license));
    let mut sign_offs = signing::collect(&office.folder, office.root_at(logged)?, attested.digest)?;
    sign_offs.retain(|(_, envelope)| {
        signing::digest(envelope).is_ok_and(|digest| minutes.sign_offs.contains(&digest))
    });
    let drill = match minutes.drill {
        Some(report) => drill(office, sitting, office.history.drilled(report).map(|index| index + 1))?,
        None => None,
    };
    let mut decided = make(sitting, minutes.stage, minutes.now, Heard { attested, sign_offs, drill })?;
    let decision_path = decision_path(sitting, stage);
    let bytes = folder::read_addressed(&decision_path, minutes.decision)?;
    let again = canonical_json(&decided.decision).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    if minutes.format != FORMAT || minutes.stage != stage || again != bytes {
        return Err(folder::not_as_written(&path)
            .cause(format!("made again, the decision is not the one in `{}`", decision_path.display())));
    }
    // One that was not logged, and had to make room for another, is none: its stage is decided again.
    decided.license = match logged {
        Some(_) => minutes.license,
        None => licenses::unlogged(&office.folder)?.filter(|license| minutes.license == Some(*license)),
    };
    Ok(Some(decided))
}

/// The stages for which something was decided.
pub fn stages(sitting: &Sitting) -> Vec<Stage> {
    let stages = sitting.policy.stages.iter().map(|rule| rule.stage);
    stages.filter(|stage| minutes_path(sitting, *stage).exists()).collect()
}
