//! What an authority with all of its keys could try.

use loadline_exam::fixture::{Plan, at, make};
use loadline_exam::{Status, StepName};
use loadline_policy::decide::Outcome;
use loadline_policy::policy::Requirement;

use crate::forms::withheld;
use crate::support::{check, fails, ok, plan_fails};
use crate::witnessed::signed;

/// All answers but three are withheld, and the attested counts are better than the record's.
#[test]
fn withheld_rows_that_decide_are_not_a_decision_that_is_shown() {
    let mut plan = Plan {
        wrong_every: 4,
        exam: Some(|exam| {
            let counts = &mut exam.tests[0].counts;
            (counts.successes, counts.scored, counts.unscored) = (20, 20, 0);
        }),
        ..Plan::default()
    };
    // 20 of 20 show it, 15 of 20 do not.
    plan.policy.tests[0].requirement = Requirement::AtLeast("0.7".parse().unwrap());
    plan_fails(&plan, StepName::Counts, &["counted are 15 of 20"]);
    let rows: Vec<usize> = (2..22).collect();
    let report = check(&withheld(&plan, 0, &rows));
    let step = report.step(StepName::Decision);
    assert!(report.holds, "{:?}", report.failed());
    assert_eq!((report.summary.outcome, step.status), (Some(Outcome::Allow), Status::Skipped), "{step:?}");
    assert!(step.detail.contains("by what is shown it is undetermined"), "{step:?}");
    assert!(report.cannot_show[0].contains("withheld rows decide it"), "{:?}", report.cannot_show);
}

/// A row is withheld, so that the counts are only attested; they end before answers that are shown.
#[test]
fn an_early_stop_cannot_count_out_rows_that_are_shown() {
    let early = |exam: &mut loadline_exam::Exam| {
        let counts = &mut exam.tests[2].counts;
        (counts.successes, counts.scored, counts.unscored) = (9, 10, 0);
    };
    let plan = Plan { exam: Some(early), ..Plan::default() };
    fails(
        &check(&withheld(&plan, 2, &[40])),
        StepName::Counts,
        &["test `stopped`", "sample 10 has a row that is shown"],
    );
}

#[test]
fn old_answers_are_not_attested_as_fresh_ones() {
    let old = Plan { row: Some(|row| row.started_ms -= 3_000_000), ..Plan::default() };
    plan_fails(&old, StepName::Records, &["test `written`", "rows from before"]);
    let late = Plan { row: Some(|row| row.duration_ms = 11_000_000), ..Plan::default() };
    plan_fails(&late, StepName::Records, &["test `written`", "after"]);
    let kept = Plan {
        start: Some(|start| {
            start.at = at(0).unwrap();
            signed(start, &[("log", 0), ("one", 0)]);
        }),
        tried: Some(0),
        row: Some(|row| row.started_ms -= 69_990_000),
        exam: Some(|exam| {
            for test in &mut exam.tests {
                test.started = at(0).unwrap();
                test.finished = at(86_500).unwrap();
            }
        }),
        finish: Some(|finish| finish.at = at(86_500).unwrap()),
        ..Plan::default()
    };
    plan_fails(&kept, StepName::Records, &["more than a day after its last answer"]);
    let dated_back = Plan { start: Some(|start| start.at = at(0).unwrap()), ..Plan::default() };
    plan_fails(&dated_back, StepName::Seed, &["witness `one` cosigned at", "and the exam began at"]);
}

#[test]
fn a_policy_by_which_anything_is_shown_is_refused() {
    let mut plan = Plan::default();
    plan.policy.tests[0].confidence = "0".parse().unwrap();
    plan_fails(&plan, StepName::Policy, &["policy.json", "test `written`", "is no confidence"]);
    let mut plan = Plan::default();
    plan.policy.tests[1].requirement = Requirement::AtMost("1.5".parse().unwrap());
    plan_fails(&plan, StepName::Policy, &["test `chosen`", "1.5 is not a rate"]);
    let mut plan = Plan::default();
    plan.policy.max_age_days = (1 << 53) - 1;
    let report = check(&make(&plan).unwrap());
    assert!(ok(&report, StepName::Decision), "ages far beyond any clock do not overflow");
}

#[test]
fn an_endpoint_is_never_the_registered_weights() {
    let endpoint = |identity: &mut loadline_core::model::ModelIdentity| {
        identity.settings.insert("base_url".to_owned(), "https://models.example/v1".to_owned());
    };
    let endpoint = Plan { identity: Some(endpoint), ..Plan::default() };
    plan_fails(&endpoint, StepName::Records, &["an endpoint answered"]);
    let other =
        Plan { identity: Some(|who| who.weights = Some(loadline_core::Digest([1; 32]))), ..Plan::default() };
    plan_fails(&other, StepName::Records, &["are no file of the registered model"]);
    let set = |identity: &mut loadline_core::model::ModelIdentity| {
        identity.settings.insert("precision".to_owned(), "f16".to_owned());
    };
    let report = check(&make(&Plan { identity: Some(set), ..Plan::default() }).unwrap());
    let detail = &report.step(StepName::Records).detail;
    assert!(
        report.holds && detail.contains("answered from sha256:") && detail.contains("precision f16"),
        "{detail}"
    );
}
