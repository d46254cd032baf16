//! The decision: policy, scope and evidence in; allow, deny or undetermined out, with every reason.
//!
//! Pure and exact. A verdict uses the unfavourable bound of an interval, never its middle. What is missing, stale,
//! of another model or of another policy is undetermined, which closes the gate as a deny does.

mod drilled;
mod evidence;
mod signatures;
mod tests_of;

pub use evidence::{Asked, Case, Drill, Evidence, SignOff};
pub use signatures::{Place, places};
pub use tests_of::is_decided;

use loadline_core::Digest;
use serde::{Deserialize, Serialize};

use crate::instant::Instant;
use crate::license::assurance;
use crate::names::names;
use crate::policy::{Below, Marks, Policy, Role, Stage};
use crate::rules::Scope;

/// Version of the decision's format.
pub const DECISION_FORMAT: &str = "loadline-decision/1";

names! {
    /// What is decided, of one rule or of all. Ordered: the later one prevails.
    Outcome {
        /// Shown.
        Allow = "allow",
        /// Not shown either way. Closes the gate.
        Undetermined = "undetermined",
        /// Shown to be otherwise, or not allowed at all.
        Deny = "deny",
    }
}

names! {
    /// How much was asked.
    Path {
        /// The tests that are marked light.
        Light = "light",
        /// Everything.
        Full = "full",
    }
}

/// One reason. All of it is text or a closed word: no float.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Which rule of the policy, such as `test.arithmetic`.
    pub rule: String,
    /// What it says.
    pub outcome: Outcome,
    /// Whether it stops a licence; otherwise it is disclosed in it.
    pub blocks: bool,
    /// Which evidence, by id.
    pub evidence: Vec<String>,
    /// What was found, as a number with its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What is required, as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
    /// In words.
    pub text: String,
}

impl Reason {
    fn new(rule: impl Into<String>, outcome: Outcome, text: impl AsRef<str>) -> Self {
        Self {
            rule: rule.into(),
            outcome,
            blocks: true,
            evidence: Vec::new(),
            found: None,
            required: None,
            text: loadline_core::untrusted::one_line(text.as_ref(), 400),
        }
    }

    fn evidence(mut self, id: &str) -> Self {
        self.evidence.push(id.to_owned());
        self
    }

    fn numbers(mut self, found: impl ToString, required: impl ToString) -> Self {
        self.found = Some(found.to_string());
        self.required = Some(required.to_string());
        self
    }
}

/// Which policy, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
}

/// What was decided. Its canonical JSON is the same for the same input, everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// [`DECISION_FORMAT`].
    pub format: String,
    /// Under which policy.
    pub policy: PolicyRef,
    /// About which model.
    pub subject: Digest,
    /// For which stage.
    pub stage: Stage,
    /// How much was asked.
    pub path: Path,
    /// At which moment.
    pub now: Instant,
    /// What.
    pub outcome: Outcome,
    /// Why: scope, stage, tests, signatures, in the order of the policy.
    pub reasons: Vec<Reason>,
    /// Assurance levels that the evidence carries; empty unless allowed.
    pub assurance: Vec<String>,
    /// The stage's limits; absent unless allowed, and for released weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
}

impl Decision {
    /// Rules that are not met and do not stop the licence: it discloses them.
    pub fn disclosed(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().filter(|reason| !reason.blocks && reason.outcome != Outcome::Allow)
    }
}

/// Decides. The same input gives the same decision, to the byte.
///
/// # Errors
/// Never in practice: when the policy cannot be written as JSON for its digest.
pub fn decide(policy: &Policy, case: &Case) -> Result<Decision, serde_json::Error> {
    let digest = policy.digest()?;
    let (path, mut reasons) = scope(policy, case);
    reasons.extend(pieces(case));
    let rule = policy.stage(case.stage);
    if rule.is_none() {
        let text = format!("the policy has no stage `{}`", case.stage);
        reasons.push(Reason::new("stage", Outcome::Deny, text));
    }
    let too_many = case.evidence.len().max(case.sign_offs.len()) > MOST_PIECES;
    let none = Case { evidence: Vec::new(), sign_offs: Vec::new(), scope: Vec::new(), drill: None, ..*case };
    let case = if too_many { &none } else { case };
    reasons.extend(drilled::reason(policy, case));
    reasons.extend(tests_of::reasons(policy, digest, case, path));
    let needed = rule.map_or(&[][..], |rule| match path {
        Path::Full => &rule.sign_off,
        Path::Light => &rule.light_sign_off,
    });
    let signed = signatures::count(needed, policy, digest, case);
    reasons.extend(signed.reasons);

    let blocking = reasons.iter().filter(|reason| reason.blocks).map(|reason| reason.outcome);
    let outcome = blocking.max().unwrap_or(Outcome::Undetermined);
    let allowed = outcome == Outcome::Allow;
    let assurance = if allowed { granted(policy, &signed.roles) } else { Vec::new() };
    Ok(Decision {
        format: DECISION_FORMAT.to_owned(),
        policy: PolicyRef { name: policy.name.clone(), version: policy.version.clone(), digest },
        subject: case.subject,
        stage: case.stage,
        path,
        now: case.now,
        outcome,
        reasons,
        assurance,
        marks: rule.filter(|_| allowed).and_then(|rule| rule.marks.clone()),
    })
}

/// How much is asked, and why. A law without a verdict counts as one that says in.
fn scope(policy: &Policy, case: &Case) -> (Path, Vec<Reason>) {
    let mut full = policy.scope.below == Below::Full;
    let mut reasons = Vec::new();
    for law in &policy.scope.laws {
        let verdicts: Vec<_> = case.scope.iter().filter(|verdict| verdict.law == *law).collect();
        let out = !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.verdict == Scope::Out);
        full |= !out;
        let text = match verdicts.first() {
            None => "there is no verdict of its compute test: treated as in".to_owned(),
            Some(verdict) => format!(
                "{}: {} FLOP compared with {}",
                verdict.verdict, verdict.compared_flop, verdict.threshold_flop
            ),
        };
        let mut reason = Reason::new(format!("scope.{law}"), Outcome::Allow, text);
        if let Some(verdict) = verdicts.first() {
            reason = reason.numbers(&verdict.compared_flop, &verdict.threshold_flop);
        }
        reasons.push(reason);
    }
    (if full { Path::Full } else { Path::Light }, reasons)
}

/// Most pieces of evidence, and most signatures, of one case.
const MOST_PIECES: usize = 1_000;

/// An id names one thing, or a reason that cites it says nothing.
fn pieces(case: &Case) -> Option<Reason> {
    let most = case.evidence.len().max(case.sign_offs.len());
    if most > MOST_PIECES {
        let text = format!("{most} pieces of evidence; at most {MOST_PIECES} are looked at");
        return Some(Reason::new("evidence", Outcome::Undetermined, text));
    }
    let mut ids: Vec<&str> = case.evidence.iter().map(|e| e.id.as_str()).collect();
    ids.extend(case.drill.iter().map(|drill| drill.id.as_str()));
    ids.extend(case.sign_offs.iter().map(|s| s.id.as_str()));
    ids.sort_unstable();
    let twice = ids.windows(2).find(|pair| pair[0] == pair[1])?;
    let text = format!("two pieces of evidence have the id `{}`", twice[0]);
    Some(Reason::new("evidence", Outcome::Undetermined, text))
}

/// The levels that the policy claims and the signatures carry. Software alone has the lowest.
fn granted(policy: &Policy, roles: &[Role]) -> Vec<String> {
    let mut levels = vec![assurance::LOWEST.to_owned()];
    let external = roles.contains(&Role::ExternalAuditor);
    for level in &policy.assurance {
        if assurance::carried(level, external) && !levels.contains(level) {
            levels.push(level.clone());
        }
    }
    levels
}
