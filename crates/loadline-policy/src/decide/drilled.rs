//! Whether stopping was tried out, and how that went.

use super::{Case, Drill, Outcome, Reason};
use crate::instant::DAY_S;
use crate::policy::{DrillRule, Policy};

/// The reason, where the policy asks for a drill at this stage.
pub(super) fn reason(policy: &Policy, case: &Case) -> Option<Reason> {
    let rule = policy.drill.as_ref().filter(|rule| rule.applies(case.stage))?;
    let Some(drill) = &case.drill else {
        return Some(Reason::new("drill", Outcome::Undetermined, "no stop of this model was tried out"));
    };
    let (outcome, text) = judge(rule, drill, case);
    let reason = Reason::new("drill", outcome, text).evidence(&drill.id);
    Some(reason.numbers(format!("{} ms", drill.last_byte_ms), format!("at most {} ms", rule.last_byte_ms)))
}

fn judge(rule: &DrillRule, drill: &Drill, case: &Case) -> (Outcome, String) {
    let Drill { streams, last_byte_ms, bytes_after, at, .. } = *drill;
    if drill.model != case.subject {
        return (Outcome::Undetermined, "the drill is of another model".to_owned());
    }
    if at > case.now {
        return (Outcome::Undetermined, format!("the drill is of {at}, later than the decision"));
    }
    if case.now.seconds() - at.seconds() > rule.max_age_days.saturating_mul(DAY_S) {
        return (
            Outcome::Undetermined,
            format!("the drill is of {at}, more than {} days ago", rule.max_age_days),
        );
    }
    if bytes_after > 0 {
        return (
            Outcome::Deny,
            format!("{bytes_after} bytes came after the gate had answered that it stopped"),
        );
    }
    if last_byte_ms > rule.last_byte_ms {
        return (Outcome::Deny, format!("the last byte came {last_byte_ms} ms after the order"));
    }
    if streams < rule.streams {
        let text = format!("{streams} streams were under way, and {} are asked for", rule.streams);
        return (Outcome::Undetermined, text);
    }
    let text =
        format!("{streams} streams were stopped on {at}, the last byte {last_byte_ms} ms after the order");
    (Outcome::Allow, text)
}
