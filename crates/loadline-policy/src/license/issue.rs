//! From a decision that allows to the licence that says so.

use loadline_core::Digest;
use loadline_core::model::Basis;

use super::{
    Based, DecisionRef, EvidenceRef, Issuer, License, LicenseError, Limitation, LimitationCode, Limitations,
    SignOffRef, SubjectModel, Validity,
};
use crate::decide::{Case, Decision, Outcome, decide};
use crate::policy::{Policy, Stage};

/// What a licence says beyond its decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who issues.
    pub issuer: Issuer,
    /// What the model is called.
    pub model_name: String,
    /// Whether the registered model is a simulated subject.
    pub simulated: bool,
    /// On what the compute declaration rests.
    pub compute_basis: Basis,
    /// What the licensee must do.
    pub conditions: Vec<String>,
    /// Where the fresh list of what is revoked is published.
    pub standing_url: Option<String>,
    /// The licence that this one replaces.
    pub supersedes: Option<Digest>,
}

/// Why there is no licence.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The decision is not an allow; it has the reasons.
    #[error("the decision is `{}`: only an allow is licensed", .0.outcome)]
    NotAllowed(Box<Decision>),
    /// The licence would contradict itself.
    #[error(transparent)]
    License(#[from] LicenseError),
    /// Something cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Decides, and makes the licence when the decision allows it. A licence is made from what it rests on and from
/// nothing else, so none can be made for another model, another stage or an outcome that was not allowed.
///
/// # Errors
/// See [`IssueError`].
pub fn issue(policy: &Policy, case: &Case, grant: Grant) -> Result<(Decision, License), IssueError> {
    let decision = decide(policy, case)?;
    if decision.outcome != Outcome::Allow {
        return Err(IssueError::NotAllowed(Box::new(decision)));
    }
    let cited = |id: &str| decision.reasons.iter().any(|reason| reason.evidence.iter().any(|e| e == id));
    let used: Vec<_> = case.evidence.iter().filter(|evidence| cited(&evidence.id)).collect();
    // The weakest identity of any exam is the identity of the licence; with none it is only claimed.
    let identity = used.iter().map(|evidence| evidence.identity).max_by_key(|basis| weakness(*basis));
    let identity = identity.unwrap_or(Basis::SelfReported);
    let limitations = limitations(&decision, identity, &grant);
    let sign_offs = case.sign_offs.iter().filter(|sign_off| cited(&sign_off.id));
    let license = License {
        issuer: Based::self_reported(grant.issuer),
        subject: Based {
            value: SubjectModel { digest: decision.subject, name: grant.model_name },
            basis: identity,
        },
        stage: Based::verified(decision.stage),
        marks: Based::verified(decision.marks.clone()),
        conditions: Based::self_reported(grant.conditions),
        policy: Based::verified(decision.policy.clone()),
        decision: Based::verified(DecisionRef {
            digest: Digest::of_json(&decision)?,
            outcome: decision.outcome,
        }),
        sign_offs: sign_offs
            .map(|s| SignOffRef { id: s.id.clone(), signer: s.signer.clone(), role: s.role })
            .map(Based::verified)
            .collect(),
        evidence: used
            .into_iter()
            .map(|e| {
                let (id, test) = (e.id.clone(), e.test.clone());
                let value =
                    EvidenceRef { id, test, record: e.record, log_index: e.log_index, attempt: e.attempt };
                Based { value, basis: e.basis }
            })
            .collect(),
        scope: case
            .scope
            .iter()
            .map(|verdict| Based { value: verdict.clone(), basis: grant.compute_basis })
            .collect(),
        assurance: Based::verified(decision.assurance.clone()),
        issued: Based::verified(decision.now),
        validity: Based::verified(Validity {
            not_before: decision.now,
            expires: decision.now.plus_days(policy.valid_days),
        }),
        next_survey: Based::verified(decision.now.plus_days(policy.survey_days)),
        standing_url: grant.standing_url.map(Based::self_reported),
        supersedes: grant.supersedes.map(Based::self_reported),
        limitations,
    };
    license.check()?;
    Ok((decision, license))
}

fn weakness(basis: Basis) -> u8 {
    match basis {
        Basis::Verified => 0,
        Basis::Inferred => 1,
        Basis::SelfReported => 2,
        Basis::Absent => 3,
    }
}

/// What follows from the decision, beyond what every licence has.
fn limitations(decision: &Decision, identity: Basis, grant: &Grant) -> Limitations {
    let mut more = Vec::new();
    if grant.simulated {
        more.push(Limitation::known(LimitationCode::SimulatedSubject));
    }
    if identity != Basis::Verified {
        more.push(Limitation::known(LimitationCode::RemoteIdentity));
    }
    if decision.stage == Stage::WeightsReleased {
        more.push(Limitation::known(LimitationCode::WeightsPublic));
    }
    if grant.compute_basis != Basis::Verified {
        more.push(Limitation::known(LimitationCode::ComputeDeclared));
    }
    for reason in decision.disclosed() {
        let text = format!("{}: {}", reason.rule, reason.text);
        more.push(Limitation { code: LimitationCode::DisclosedFailure, text });
    }
    Limitations::with(more)
}
