//! From what was checked to what a decision is made from. The authority decides with this code, and so does everybody
//! who decides again.

use loadline_core::model::Basis;
use loadline_core::{Digest, Instant};
use loadline_policy::decide::{Asked, Case, Drill, Evidence, Outcome, SignOff, decide};
use loadline_policy::policy::{Below, Source, Stage};
use loadline_policy::{Ledger, Pack, Policy, ScopeVerdict};

use crate::attest::{Exam, MAX_TESTS};

/// What a case is made from. Whoever makes it has recomputed the exam's counts from the records.
#[derive(Clone, Debug)]
pub struct Hearing<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The model.
    pub model: Digest,
    /// On what "this is that model" rests, as registered.
    pub identity: Basis,
    /// What the examiner attests.
    pub exam: &'a Exam,
    /// Log index of the exam's finish.
    pub finish: u64,
    /// The compute test of each law: [`scope`].
    pub scope: Vec<ScopeVerdict>,
    /// The sign-offs: [`crate::SignOffStatement::accept`].
    pub sign_offs: Vec<SignOff>,
    /// The newest drill of the model, where the policy asks for one: [`crate::DrillReport::accept`].
    pub drill: Option<Drill>,
    /// The stage it is to be licensed for.
    pub stage: Stage,
    /// The moment of the decision.
    pub now: Instant,
}

/// Why there is no case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// The exam has a test that the policy does not have.
    #[error("the exam has a test `{0}`, which the policy does not have")]
    NoSuchTest(String),
    /// The same test twice, or not in the policy's order.
    #[error("the exam has the test `{0}` twice, or not in the order of the policy")]
    Order(String),
    /// More tests than are read.
    #[error("the exam has {0} tests; 1 to {MAX_TESTS} are read")]
    Tests(usize),
    /// Something cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The compute test of each law that there is a pack of, over the declaration; none without a declaration, which
/// counts as in everywhere.
///
/// # Errors
/// Never in practice: when a pack cannot be written as JSON for its digest.
pub fn scope(packs: &[Pack], ledger: Option<&Ledger>) -> Result<Vec<ScopeVerdict>, serde_json::Error> {
    let Some(ledger) = ledger else { return Ok(Vec::new()) };
    let mut packs: Vec<&Pack> = packs.iter().collect();
    packs.sort_by(|a, b| a.id.cmp(&b.id));
    packs.into_iter().map(|pack| pack.judge(ledger)).collect()
}

/// The case: everything besides the policy that the decision depends on.
///
/// # Errors
/// See [`CaseError`].
pub fn case(hearing: &Hearing<'_>) -> Result<Case, CaseError> {
    Ok(Case {
        subject: hearing.model,
        stage: hearing.stage,
        now: hearing.now,
        scope: hearing.scope.clone(),
        evidence: evidence(hearing)?,
        sign_offs: hearing.sign_offs.clone(),
        drill: hearing.drill.clone(),
    })
}

fn evidence(hearing: &Hearing<'_>) -> Result<Vec<Evidence>, CaseError> {
    let Hearing { policy, exam, .. } = hearing;
    if !(1..=MAX_TESTS).contains(&exam.tests.len()) {
        return Err(CaseError::Tests(exam.tests.len()));
    }
    let digest = policy.digest()?;
    let mut evidence = Vec::with_capacity(exam.tests.len());
    let mut next = 0;
    for examined in &exam.tests {
        let shown = || loadline_core::untrusted::one_line(&examined.test, 80);
        let place = policy.tests.iter().position(|test| test.id == examined.test);
        let place = place.ok_or_else(|| CaseError::NoSuchTest(shown()))?;
        if place < next {
            return Err(CaseError::Order(shown()));
        }
        next = place + 1;
        let test = &policy.tests[place];
        // Fixed questions are not in the record's proof: that they were these is only said.
        let basis = match test.source {
            Source::Suite { .. } => Basis::Verified,
            Source::Task { .. } => Basis::SelfReported,
        };
        evidence.push(Evidence {
            id: format!("{}/{}", &exam.exam.hex()[..12], examined.test),
            test: examined.test.clone(),
            record: examined.record,
            log_index: Some(hearing.finish),
            basis,
            asked: Asked { source: test.source.clone(), metric: test.metric.clone() },
            successes: examined.counts.successes,
            scored: examined.counts.scored,
            unscored: examined.counts.unscored,
            attempt: exam.attempt,
            finished: examined.finished,
            model: hearing.model,
            identity: hearing.identity,
            policy: digest,
        });
    }
    Ok(evidence)
}

/// What each test of an exam comes to under the policy when it ends, before anybody signs: for in-toto's test result.
/// It is judged on the full path, whatever the policy's scope says: what was asked has an outcome.
///
/// # Errors
/// See [`CaseError`].
pub fn test_outcomes(
    policy: &Policy,
    model: Digest,
    identity: Basis,
    exam: &Exam,
) -> Result<Vec<(String, Outcome)>, CaseError> {
    let now = exam.tests.iter().map(|test| test.finished).max().unwrap_or(Instant::EPOCH);
    let mut full = policy.clone();
    full.scope.below = Below::Full;
    let hearing = Hearing {
        policy: &full,
        model,
        identity,
        exam,
        finish: 0,
        scope: Vec::new(),
        sign_offs: Vec::new(),
        drill: None,
        stage: policy.stages.first().map_or(Stage::Internal, |rule| rule.stage),
        now,
    };
    let case = case(&hearing)?;
    let decision = decide(&full, &case)?;
    let outcome = |evidence: &Evidence| {
        let about = |id: &&loadline_policy::decide::Reason| id.evidence.contains(&evidence.id);
        decision.reasons.iter().find(about).map_or(Outcome::Undetermined, |reason| reason.outcome)
    };
    Ok(case.evidence.iter().map(|evidence| (evidence.test.clone(), outcome(evidence))).collect())
}

/// On what a compute declaration rests: the weakest basis of its entries.
pub fn compute_basis(ledger: Option<&Ledger>) -> Basis {
    let weakness = |basis: &Basis| match basis {
        Basis::Verified => 0,
        Basis::Inferred => 1,
        Basis::SelfReported => 2,
        Basis::Absent => 3,
    };
    let bases = ledger.into_iter().flat_map(|ledger| &ledger.entries).map(|entry| entry.basis);
    bases.max_by_key(weakness).unwrap_or(Basis::Absent)
}
