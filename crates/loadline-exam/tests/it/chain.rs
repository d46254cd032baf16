//! What the log says of the exam besides the seed: earlier attempts, interruptions, the policy's name.

use loadline_core::Digest;
use loadline_exam::entry::{Entry, Start, exam_id};
use loadline_exam::fixture::{Fixture, Plan, make};
use loadline_exam::{Report, StepName};

use crate::support::{check, fails, plan_fails};

/// A second attempt.
fn second() -> Plan {
    Plan { attempts: 2, ..Plan::default() }
}

fn renamed(start: &mut Start) {
    start.exam = exam_id(start.model, start.policy, start.commitment, start.registration, start.attempt);
}

/// Leaves an entry out of the bundle; its proof goes with it.
pub fn without(fixture: &mut Fixture, index: u64) {
    fixture.contents.entries.retain(|entry| entry.index != index);
}

/// The log index of the first entry of a kind.
pub fn first(fixture: &Fixture, kind: &str) -> u64 {
    let entries = &fixture.contents.entries;
    let found = entries.iter().find(|entry| Entry::parse(&entry.entry).unwrap().kind() == kind);
    found.unwrap().index
}

fn not_shown(report: &Report, words: &str) -> bool {
    assert!(report.holds, "{:?}", report.failed());
    report.cannot_show.iter().any(|text| text.contains(words))
}

#[test]
fn a_secret_makes_the_questions_of_one_attempt_only() {
    let again = Plan { secret: Some(1), ..second() };
    plan_fails(
        &again,
        StepName::Order,
        &["log entry 5", "its secret is the one of entry 2", "earlier attempt"],
    );
    let third = Plan { attempts: 3, secret: Some(1), ..Plan::default() };
    plan_fails(&third, StepName::Order, &["log entry 8", "entry 2"]);
    let good = make(&second()).unwrap();
    assert!(!not_shown(&check(&good), "same secret"));
    let mut hidden = good;
    without(&mut hidden, 2);
    fails(&check(&hidden), StepName::Order, &["log entry 2", "cited and is not in the bundle"]);
    // Bundles of before that have no earlier commitments, and say so.
    let older = check(&make(&Plan { older: true, ..second() }).unwrap());
    assert!(not_shown(&older, "that no earlier attempt had the same secret"));
    assert!(!not_shown(&check(&make(&Plan { older: true, ..Plan::default() }).unwrap()), "same secret"));
}

#[test]
fn earlier_attempts_have_their_own_ids_and_places() {
    let id = Plan { earlier: Some(|start| start.exam = Digest([7; 32])), ..second() };
    plan_fails(&id, StepName::Order, &["log entry 4", "`exam` is not the id of this attempt"]);
    let of_other = Plan { earlier: Some(|start| start.registration = 1), ..second() };
    plan_fails(&of_other, StepName::Order, &["log entry 4", "`exam`"]);
    let before = |start: &mut Start| {
        start.registration = 1;
        renamed(start);
    };
    plan_fails(&Plan { earlier: Some(before), ..second() }, StepName::Order, &["does not stand after"]);
    let cited = |start: &mut Start| {
        start.commitment = 1;
        renamed(start);
    };
    plan_fails(&Plan { earlier: Some(cited), ..second() }, StepName::Order, &["log entry 1", "`policy`"]);
}

#[test]
fn an_interruption_cannot_be_left_out() {
    let twice = make(&Plan { resumes: 2, ..Plan::default() }).unwrap();
    let report = check(&twice);
    assert!(not_shown(&report, "interrupted more often than the log says"));
    assert!(!not_shown(&report, "every logged interruption"));
    assert_eq!(report.summary.resumes, 2);
    let mut hidden = twice;
    let resume = first(&hidden, "resume");
    without(&mut hidden, resume);
    let words = ["it counts 2 entries of kind `resume`, and 1 are in the bundle"];
    fails(&check(&hidden), StepName::Order, &words);
    let lied = Plan { resumes: 1, finish: Some(|finish| finish.resumes = Some(0)), ..Plan::default() };
    plan_fails(&lied, StepName::Order, &["counts 0", "and 1 are"]);
    let older = check(&make(&Plan { older: true, resumes: 1, ..Plan::default() }).unwrap());
    assert!(not_shown(&older, "every logged interruption") && older.summary.resumes == 1);
}

#[test]
fn the_log_calls_the_policy_by_its_name() {
    let name = Plan { published: Some(|policy| policy.name.push('s')), ..Plan::default() };
    plan_fails(&name, StepName::Order, &["log entry 1", "`fixtures` version 1", "`fixture` version 1"]);
    let version = Plan { published: Some(|policy| policy.version = "2".to_owned()), ..Plan::default() };
    plan_fails(&version, StepName::Order, &["log entry 1", "version 2"]);
}
