//! The required tests.

use loadline_core::Digest;
use loadline_core::model::Basis;
use loadline_stats::StatsError;

use super::{Case, Evidence, Outcome, Path, Reason};
use crate::basis::word;
use crate::bounds::{self, Judged, Shown};
use crate::instant::DAY_S;
use crate::policy::{IntervalMethod, Policy, Requirement, Test};

/// A reason for each test that the path asks, in the order of the policy.
pub(super) fn reasons(policy: &Policy, digest: Digest, case: &Case, path: Path) -> Vec<Reason> {
    let asked = policy.tests.iter().filter(|test| path == Path::Full || test.light);
    asked
        .map(|test| {
            let mut reason = reason(policy, digest, case, test);
            // An attempt too many is a breach of the rules, whatever the test is worth.
            let breach = reason.rule == ATTEMPTS;
            reason.blocks = breach || test.severity >= policy.blocks_from;
            reason
        })
        .collect()
}

const ATTEMPTS: &str = "attempts";

fn reason(policy: &Policy, digest: Digest, case: &Case, test: &Test) -> Reason {
    let open = |text: String| Reason::new(format!("test.{}", test.id), Outcome::Undetermined, text);
    let named: Vec<_> = case.evidence.iter().filter(|evidence| evidence.test == test.id).collect();
    let (own, foreign): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|evidence| evidence.model == case.subject && evidence.policy == digest);
    let Some(latest) = own.iter().max_by_key(|evidence| evidence.attempt) else {
        let Some(other) = foreign.first() else { return open("there is no evidence".to_owned()) };
        let text = if other.model == case.subject {
            format!("the evidence was registered under another policy, {}", other.policy)
        } else {
            format!("the evidence is of another model, {}", other.model)
        };
        return open(text).evidence(&other.id);
    };
    if latest.attempt > policy.attempts.most {
        let text = format!("test `{}` was tried {} times", test.id, latest.attempt);
        let reason = Reason::new(ATTEMPTS, Outcome::Deny, text).evidence(&latest.id);
        return reason.numbers(latest.attempt, format!("at most {}", policy.attempts.most));
    }
    if own.iter().filter(|evidence| evidence.attempt == latest.attempt).count() > 1 {
        return open(format!("two records claim to be attempt {}", latest.attempt)).evidence(&latest.id);
    }
    match usable(policy, case, test, latest) {
        Ok(()) => judged(policy, test, latest),
        Err((text, numbers)) => {
            let reason = open(text).evidence(&latest.id);
            match numbers {
                Some((found, required)) => reason.numbers(found, required),
                None => reason,
            }
        }
    }
}

type Unusable = (String, Option<(String, String)>);

/// Whether the evidence says anything of the test, before its numbers are looked at.
fn usable(policy: &Policy, case: &Case, test: &Test, evidence: &Evidence) -> Result<(), Unusable> {
    let plain = |text: String| Err((text, None));
    if evidence.basis != Basis::Verified {
        return plain(format!("the counts are {}, not recomputed from the record", word(evidence.basis)));
    }
    if !policy.identity.contains(&evidence.identity) {
        let text =
            format!("that it is this model is {}, which the policy does not accept", word(evidence.identity));
        return plain(text);
    }
    if evidence.asked.source != test.source {
        return plain(format!("asked was {}, not {}", evidence.asked.source, test.source));
    }
    if evidence.asked.metric != test.metric {
        return plain(format!("counted was `{}`, not `{}`", evidence.asked.metric, test.metric));
    }
    if evidence.finished > case.now {
        return plain(format!("the record was sealed at {}, after this decision", evidence.finished));
    }
    let age_s = case.now.seconds() - evidence.finished.seconds();
    if age_s > policy.max_age_days.saturating_mul(DAY_S) {
        let found = format!("{} days", age_s / DAY_S);
        let required = format!("at most {} days", policy.max_age_days);
        return Err((format!("the evidence is {found} old"), Some((found, required))));
    }
    let n = evidence.scored.saturating_add(evidence.unscored);
    let complete = match test.method {
        IntervalMethod::Anytime => (1..=test.n).contains(&n),
        _ => n == test.n,
    };
    if evidence.successes > evidence.scored || evidence.attempt == 0 {
        return plain("the counts contradict themselves".to_owned());
    }
    if !complete {
        let required = format!("{} samples", test.n);
        return Err((
            format!("{n} samples were asked, not {}", test.n),
            Some((format!("{n} samples"), required)),
        ));
    }
    Ok(())
}

/// By the bound. A sample without a score could have been either: it counts as wrong when the test is to be met, and
/// as right when it is to be shown as failed.
fn judged(policy: &Policy, test: &Test, evidence: &Evidence) -> Reason {
    let rule = format!("test.{}", test.id);
    let n = evidence.scored + evidence.unscored;
    let (worst, best, at_worst, at_best) = match both(policy, test, evidence.successes, evidence.unscored, n)
    {
        Ok(both) => both,
        Err(error) => {
            return Reason::new(rule, Outcome::Undetermined, error.to_string()).evidence(&evidence.id);
        }
    };
    let confidence = policy.confidence(test);
    let met = at_worst.judge(&test.requirement) == Judged::Met;
    let failed = at_best.judge(&test.requirement) == Judged::Failed;
    let (outcome, word, successes, shown) = match (met, failed) {
        (true, _) => (Outcome::Allow, "met", worst, at_worst),
        (false, true) => (Outcome::Deny, "not met", best, at_best),
        (false, false) => (Outcome::Undetermined, "neither met nor failed", worst, at_worst),
    };
    let unscored = match evidence.unscored {
        0 => String::new(),
        count if failed => format!(" ({count} without a score counted in its favour)"),
        count => format!(" ({count} without a score counted against it)"),
    };
    let which = test.requirement.which();
    let text = format!(
        "{word}: {successes} of {n}{unscored}, {shown}; its {which} bound must be {}",
        test.requirement
    );
    let found = format!("{successes}/{n}, {shown} at confidence {confidence}");
    Reason::new(rule, outcome, text).evidence(&evidence.id).numbers(found, &test.requirement)
}

/// What the counts show when the samples without a score are counted against the test, and when in its favour: the
/// successes either way, and what they show.
fn both(
    policy: &Policy,
    test: &Test,
    successes: u64,
    unscored: u64,
    n: u64,
) -> Result<(u64, u64, Shown, Shown), StatsError> {
    let (fewest, most) = (successes, successes + unscored);
    let (worst, best) = match test.requirement {
        Requirement::AtLeast(_) => (fewest, most),
        Requirement::AtMost(_) => (most, fewest),
    };
    let confidence = policy.confidence(test);
    let show = |successes| bounds::shown(test.method, &test.requirement, successes, n, &confidence);
    Ok((worst, best, show(worst)?, show(best)?))
}

/// Whether these counts decide a test either way, so that an exam by an anytime method may stop.
pub fn is_decided(policy: &Policy, test: &Test, successes: u64, scored: u64, unscored: u64) -> bool {
    let n = scored.saturating_add(unscored);
    both(policy, test, successes, unscored, n).is_ok_and(|(_, _, at_worst, at_best)| {
        at_worst.judge(&test.requirement) == Judged::Met || at_best.judge(&test.requirement) == Judged::Failed
    })
}
