//! What a policy must not say, although each key is well formed.

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;

use super::{Below, IntervalMethod, Policy, Requirement, Stage, StageRule, Test};
use crate::bounds::{self, Judged};
use crate::decimal::{Decimal, Round};
use crate::document::Reader;
use crate::license::assurance::{self, Refusal};
use crate::rules;

/// The whole document.
pub(super) fn document(root: &Reader<'_, '_>, policy: &Policy) {
    if policy.identity.is_empty() {
        let hint = "write `identity = [\"verified\"]`, and add \"self_reported\" to admit remote models";
        root.problem("identity", "accepts no model", hint);
    }
    if policy.tests.is_empty() {
        root.problem("test", "there is no test", "write one under `[[test]]`; see docs/policy.md");
    }
    for (index, test) in policy.tests.iter().enumerate() {
        if policy.tests[..index].iter().any(|other| other.id == test.id) {
            root.problem("test", format!("two tests are called `{}`", one_line(&test.id, 60)), "");
        }
    }
    let light = policy.tests.iter().any(|test| test.light);
    if policy.scope.below == Below::Light && !light && !policy.tests.is_empty() {
        let hint = "mark some tests `light = true`, or write `below = \"full\"`";
        root.problem("scope", "the light path has no test", hint);
    }
    if policy.survey_days > policy.valid_days {
        let message = format!("{} days is after the licence ends", policy.survey_days);
        root.problem("survey_days", message, format!("at most {}", policy.valid_days));
    }
    if let Some(drill) = &policy.drill
        && !policy.stages.iter().any(|rule| drill.applies(rule.stage))
    {
        let hint =
            "name the first stage of this policy that asks for a drill; public weights cannot be stopped";
        root.problem("drill", format!("no stage asks for it from `{}` on", drill.from), hint);
    }
    stages(root, policy);
    levels(root, &policy.assurance);
}

fn stages(root: &Reader<'_, '_>, policy: &Policy) {
    if policy.stages.is_empty() {
        root.problem("stage", "there is no stage", "write one under `[[stage]]`; see docs/policy.md");
    }
    for pair in policy.stages.windows(2) {
        if pair[0].stage >= pair[1].stage {
            let message = format!("`{}` stands after `{}`", pair[1].stage, pair[0].stage);
            let hint = "each stage once, in this order: internal, red_team, external_audit, academic, limited, \
                        general, weights_released";
            root.problem("stage", message, hint);
        }
    }
}

fn levels(root: &Reader<'_, '_>, claimed: &[String]) {
    for level in claimed {
        if let Err(refusal) = assurance::check(level) {
            let hint = match refusal {
                Refusal::NoNamespace => {
                    "write it with its scheme, such as `loadline/al-0` or `averi.org/aal-1`"
                }
                Refusal::NotGranted => "no software can grant it; at most `averi.org/aal-1`",
                Refusal::Unknown => "known levels: loadline/al-0, loadline/al-1, averi.org/aal-1",
            };
            root.problem("assurance", format!("`{}` {refusal}", one_line(level, 60)), hint);
        }
    }
}

/// The rule packs that decide the path.
pub(super) fn laws(reader: &Reader<'_, '_>, laws: &[String]) {
    if laws.is_empty() {
        let hint = format!("write `laws = [\"eu-ai-act-1e25\"]`; known: {}", known().join(", "));
        reader.problem("laws", "names no law", hint);
    }
    for (index, law) in laws.iter().enumerate() {
        let shown = one_line(law, 60);
        match rules::find(law) {
            None => {
                let hint = match nearest(law, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", known().join(", ")),
                };
                reader.problem("laws", format!("there is no rule pack `{shown}`"), hint);
            }
            Some(pack) if !pack.status.is_law() => {
                let message = format!("`{shown}` is not law: {}", pack.status);
                reader.problem("laws", message, "take one that is in force or enacted");
            }
            Some(_) if laws[..index].contains(law) => {
                reader.problem("laws", format!("`{shown}` is there twice"), "");
            }
            Some(_) => {}
        }
    }
}

fn known() -> Vec<&'static str> {
    rules::SHIPPED.iter().map(|(id, _)| *id).collect()
}

/// One test: whether its numbers make sense, and whether anything could pass it.
pub(super) fn test(reader: &Reader<'_, '_>, policy: &Policy, test: &Test) {
    let key = match test.requirement {
        Requirement::AtLeast(_) => "at_least",
        Requirement::AtMost(_) => "at_most",
    };
    let bound = test.requirement.bound();
    let ends = [Decimal::zero(), Decimal::one()];
    if !bound.is_fraction() {
        reader.problem(key, format!("{bound} is not a rate"), "between 0 and 1; write 0.9 for 90 %");
        return;
    }
    if test.method == IntervalMethod::Anytime && ends.contains(bound) {
        reader.problem(key, format!("{bound} cannot be shown by `anytime`"), "above 0 and below 1");
        return;
    }
    let half = Decimal::one().divided_by(&Decimal::from(2), 1, Round::Down).unwrap_or_else(Decimal::one);
    if test.confidence < half || test.confidence >= Decimal::one() {
        let message = format!("{} is no confidence", test.confidence);
        reader.problem("confidence", message, "from 0.5 to below 1; write 0.95 for 95 %");
        return;
    }
    passable(reader, policy, test, key);
}

fn passable(reader: &Reader<'_, '_>, policy: &Policy, test: &Test, key: &str) {
    let confidence = policy.confidence(test);
    let best = match test.requirement {
        Requirement::AtLeast(_) => test.n,
        Requirement::AtMost(_) => 0,
    };
    match bounds::shown(test.method, &test.requirement, best, test.n, &confidence) {
        Err(error) => {
            let message = format!("held to {confidence} for each attempt: {error}");
            reader.problem("confidence", message, "lower it, or allow fewer attempts");
        }
        Ok(shown) if shown.judge(&test.requirement) != Judged::Met => {
            let message = format!("nothing can pass: {best} of {} gives {shown}", test.n);
            reader.problem(key, message, "ask more samples (`n`), or require less");
        }
        Ok(_) => {}
    }
}

/// One stage.
pub(super) fn stage(reader: &Reader<'_, '_>, rule: &StageRule) {
    if rule.stage == Stage::WeightsReleased && rule.min_days.is_some() {
        reader.problem(
            "min_days",
            "means nothing at this stage",
            "leave it out: nothing follows public weights",
        );
    }
    match (rule.stage, &rule.marks) {
        (Stage::WeightsReleased, Some(_)) => {
            let hint =
                "leave them out: once weights are public no gate limits them and no kill switch stops them";
            reader.problem("marks", "bind nobody at this stage", hint);
        }
        (Stage::WeightsReleased, None) | (_, Some(_)) => {}
        (_, None) => {
            reader.problem("marks", "are missing", "write `[stage.marks]` with tools, lease_s and log")
        }
    }
}
