//! Who chooses the questions: what the witnesses saw right before the start goes into the seed.

use loadline_core::Digest;
use loadline_exam::entry::Start;
use loadline_exam::fixture::{Plan, at, make, signer};
use loadline_exam::{Anchor, Report, StepName, verify};
use loadline_tlog::{Checkpoint, Note};

use crate::support::{check, fails, plan_fails};

/// Two of three witnesses.
pub fn two_of_three() -> Plan {
    Plan {
        witnesses: &["one", "two", "three"],
        quorum: "group most 2 one two three\nquorum most",
        ..Plan::default()
    }
}

fn checkpoint(start: &Start) -> Checkpoint {
    let note = Note::parse(start.witnessed.as_ref().unwrap().as_bytes()).unwrap();
    Checkpoint::parse(note.text()).unwrap()
}

/// Writes the start's note anew, signed by these, each at its second.
fn sign(start: &mut Start, checkpoint: &Checkpoint, by: &[(&str, u64)]) {
    let mut note = Note::unsigned(&checkpoint.to_text()).unwrap();
    for (name, second) in by {
        note.sign(&signer(name).unwrap(), at(*second).unwrap().seconds()).unwrap();
    }
    start.witnessed = Some(note.to_text());
}

pub fn signed(start: &mut Start, by: &[(&str, u64)]) {
    let checkpoint = checkpoint(start);
    sign(start, &checkpoint, by);
}

pub fn of_another_state(start: &mut Start) {
    let of = checkpoint(start);
    let other = Checkpoint::new(of.origin(), of.size(), [9; 32]).unwrap();
    sign(start, &other, &[("log", 0), ("one", 995)]);
}

fn seed_fails(change: fn(&mut Start), words: &[&str]) {
    plan_fails(&Plan { start: Some(change), ..Plan::default() }, StepName::Seed, words);
}

/// What the report says that no bundle shows of who chose the questions.
fn choice(report: &Report) -> &str {
    assert!(report.holds, "{:?}", report.failed());
    let said: Vec<_> = report.cannot_show.iter().filter(|text| text.contains("questions")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    said[0]
}

#[test]
fn a_start_without_its_witnesses_is_refused() {
    let place = "log entry 4, `witnessed`";
    seed_fails(|start| signed(start, &[("log", 0)]), &[place, "too few witnesses: nobody"]);
    seed_fails(|start| signed(start, &[("log", 0), ("stranger", 995)]), &[place, "too few witnesses"]);
    seed_fails(|start| signed(start, &[("one", 995)]), &[place, "did not sign this checkpoint"]);
    seed_fails(|start| start.witnessed = Some("x".repeat(50_000)), &[place, "50000 bytes, more than 49152"]);
    seed_fails(|start| start.witnessed = Some("x\n".to_owned()), &[place, "not a signed note"]);
    // A cosignature that was changed.
    let changed = |start: &mut Start| {
        let text = start.witnessed.as_ref().unwrap();
        let end = text.len() - 20;
        let other = if text.as_bytes()[end] == b'A' { "B" } else { "A" };
        start.witnessed = Some(format!("{}{other}{}", &text[..end], &text[end + 1..]));
    };
    seed_fails(changed, &[place, "signature of `witness.example/one` does not hold"]);
    plan_fails(
        &Plan { start: Some(|start| signed(start, &[("log", 0), ("one", 995)])), ..two_of_three() },
        StepName::Seed,
        &["too few witnesses: one cosigned"],
    );
}

#[test]
fn what_was_witnessed_has_one_form() {
    let form = "it is not the log's signature and then";
    seed_fails(|start| signed(start, &[("one", 995), ("log", 0)]), &[form]);
    seed_fails(|start| signed(start, &[("log", 0), ("one", 995), ("one", 996)]), &[form]);
    seed_fails(|start| signed(start, &[("log", 0), ("one", 995), ("stranger", 995)]), &[form]);
    for by in [
        |start: &mut Start| signed(start, &[("log", 0), ("two", 995), ("one", 995)]),
        // One more than needed: with or without it there would be other questions.
        |start: &mut Start| signed(start, &[("log", 0), ("one", 995), ("two", 995), ("three", 995)]),
    ] {
        plan_fails(&Plan { start: Some(by), ..two_of_three() }, StepName::Seed, &[form]);
    }
}

#[test]
fn another_state_of_the_log_than_right_before_the_start_is_refused() {
    seed_fails(of_another_state, &["`witnessed`", "another state of the log"]);
    let other = |start: &mut Start| {
        let of = checkpoint(start);
        let other = Checkpoint::new("log.example/other", of.size(), *of.root()).unwrap();
        sign(start, &other, &[("log", 0), ("one", 995)]);
    };
    seed_fails(other, &["does not know a log `log.example/other`"]);
}

/// Whoever has several registrations waiting, or adds entries until it likes the seed, would choose.
#[test]
fn a_start_is_right_after_its_registration() {
    let words = ["log entry 6", "not the next entry after its registration, entry 3: 2 others"];
    plan_fails(&Plan { start_late: 2, ..Plan::default() }, StepName::Order, &words);
    plan_fails(&Plan { seed_late: 2, ..Plan::default() }, StepName::Order, &words);
}

#[test]
fn what_was_once_witnessed_or_counted_stays_so() {
    let second = Plan { attempts: 2, ..Plan::default() };
    let words = ["it has no `witnessed`, and the attempt before, entry 4, has"];
    plan_fails(&Plan { start: Some(|start| start.witnessed = None), ..second }, StepName::Order, &words);
    let uncounted = Plan { finish: Some(|finish| finish.resumes = None), ..Plan::default() };
    plan_fails(&uncounted, StepName::Order, &["log entry 5", "it has no `resumes`", "entry 4"]);
    // After starts of the older form come witnessed ones.
    let mixed = Plan { earlier: Some(|start| start.witnessed = None), attempts: 2, ..Plan::default() };
    choice(&check(&make(&mixed).unwrap()));
}

#[test]
fn a_verifier_can_insist_on_witnesses() {
    let insists = |plan: &Plan| {
        let fixture = make(plan).unwrap();
        let anchor = Anchor { root: Some(fixture.root), witnessed: true, ..Anchor::at(fixture.now) };
        verify(fixture.bundle().unwrap().as_slice(), &anchor)
    };
    assert!(insists(&Plan::default()).holds && insists(&two_of_three()).holds);
    for (plan, by) in [
        (Plan { older: true, ..Plan::default() }, "by no witness (an older form)"),
        (Plan { quorum: "quorum none", ..Plan::default() }, "by no witness"),
    ] {
        fails(&insists(&plan), StepName::Seed, &["log entry 4", by, "asks for an exam that witnesses"]);
    }
}

#[test]
fn cosignatures_are_of_the_moment_of_the_start() {
    let at_second = |second| Plan { tried: Some(second), ..Plan::default() };
    let held = [
        (880, (|start| signed(start, &[("log", 0), ("one", 880)])) as fn(&mut Start)),
        (1_060, |start| signed(start, &[("log", 0), ("one", 1_060)])),
    ];
    for (second, start) in held {
        choice(&check(&make(&Plan { start: Some(start), ..at_second(second) }).unwrap()));
    }
    let words = ["witness `one` cosigned at 2026-11-01T00:14:39Z", "began at 2026-11-01T00:16:40Z"];
    seed_fails(|start| signed(start, &[("log", 0), ("one", 879)]), &words);
    seed_fails(|start| signed(start, &[("log", 0), ("one", 1_061)]), &["cosigned at 2026-11-01T00:17:41Z"]);
    let apart = |start: &mut Start| signed(start, &[("log", 0), ("one", 980), ("three", 996)]);
    plan_fails(
        &Plan { start: Some(apart), ..two_of_three() },
        StepName::Seed,
        &["16 seconds apart; at most 15"],
    );
}

/// The authority liked other questions better: those of a cosignature of another second, or of none.
#[test]
fn questions_of_another_try_are_refused() {
    for plan in [
        Plan { tried: Some(994), ..Plan::default() },
        Plan { start: Some(|start| start.witnessed = None), ..Plan::default() },
        Plan { start: Some(|start| signed(start, &[("log", 0), ("one", 994)])), ..Plan::default() },
        Plan {
            start: Some(|start| signed(start, &[("log", 0), ("two", 995), ("three", 995)])),
            ..two_of_three()
        },
    ] {
        plan_fails(&plan, StepName::Records, &["seed"]);
    }
}

#[test]
fn what_is_left_of_the_choice_is_said() {
    let one = check(&make(&Plan::default()).unwrap());
    assert!(choice(&one).contains("one try for each second"), "{}", choice(&one));
    for said in [choice(&one), choice(&check(&make(&two_of_three()).unwrap()))] {
        assert!(said.contains("registered anew or signed a new root, which the log shows"), "{said}");
    }
    assert!(one.step(StepName::Seed).detail.contains("cosigned by one"), "{:?}", one.step(StepName::Seed));
    let two = check(&make(&two_of_three()).unwrap());
    assert!(choice(&two).contains("each set of witnesses that makes the quorum"), "{}", choice(&two));
    assert!(choice(&two).contains("choice of their cosignatures up to 15 seconds apart"), "{}", choice(&two));
    assert!(
        two.step(StepName::Seed).detail.contains("cosigned by one, two,"),
        "{:?}",
        two.step(StepName::Seed)
    );
    let none = |plan: Plan| check(&make(&plan).unwrap()).summary.cosignatures;
    assert_eq!((one.summary.cosignatures, two.summary.cosignatures), (Some(1), Some(2)));
    assert_eq!(none(Plan { older: true, ..Plan::default() }), Some(0));
    assert_eq!(none(Plan { quorum: "quorum none", ..Plan::default() }), Some(0));
    let alone = check(&make(&Plan { quorum: "quorum none", ..Plan::default() }).unwrap());
    assert!(choice(&alone).contains("its log asks for no witness"), "{}", choice(&alone));
    let older = check(&make(&Plan { older: true, ..Plan::default() }).unwrap());
    assert!(choice(&older).contains("its start is of an older form"), "{}", choice(&older));
}

/// Cosignatures are all that makes two exams of one state of the log differ.
#[test]
fn every_cosignature_makes_other_questions() {
    let questions = |plan: &Plan| -> Vec<Digest> {
        let fixture = make(plan).unwrap();
        fixture.logs.values().map(|log| Digest::of(log)).collect()
    };
    let default = questions(&two_of_three());
    assert_eq!(default, questions(&two_of_three()));
    assert_ne!(default, questions(&Plan { tried: Some(996), ..two_of_three() }));
    assert_ne!(default, questions(&Plan { quorum: "quorum one", ..two_of_three() }));
    assert_ne!(default, questions(&Plan { quorum: "quorum none", ..two_of_three() }));
}
