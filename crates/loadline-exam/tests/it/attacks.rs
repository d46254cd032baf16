//! Bundles that are signed and logged by the right keys, and wrong in one place.

use loadline_core::Digest;
use loadline_core::model::Basis;
use loadline_exam::fixture::{Plan, at, make};
use loadline_exam::{Anchor, ExamSecret, Status, StepName, verify};
use loadline_policy::decide::Outcome;
use loadline_policy::policy::{Role, Stage};
use loadline_trust::{StandingEntry, StandingMark, StandingState};

use crate::support::{check, fails, ok, plan_fails};

fn plan() -> Plan {
    Plan::default()
}

#[test]
fn a_signature_of_the_wrong_role_does_not_count() {
    let examiners = Plan { examiners: |keys| vec![&keys.authority], ..plan() };
    plan_fails(
        &examiners,
        StepName::Attestation,
        &["exam/attestation.json", "`authority`", "role `examiner`"],
    );
    let authorities = Plan { authorities: |keys| vec![&keys.examiner], ..plan() };
    plan_fails(&authorities, StepName::License, &["license.json", "`examiner`", "role `authority`"]);
    // Without its sign-off nothing is allowed, so there is no licence either.
    let signer = Plan { signer: |keys| &keys.auditor, ..plan() };
    plan_fails(&signer, StepName::SignOffs, &["sign-offs/1.json", "`auditor`", "role `authority`"]);
}

#[test]
fn a_stranger_and_a_second_signer_of_another_role_do_not_count() {
    let stranger = Plan { examiners: |keys| vec![&keys.stranger], ..plan() };
    plan_fails(&stranger, StepName::Attestation, &["is not one of the keys that may"]);
    let both = Plan { authorities: |keys| vec![&keys.authority, &keys.stranger], ..plan() };
    plan_fails(&both, StepName::License, &["is not one of the keys that may"]);
}

#[test]
fn another_root_is_not_the_pinned_one() {
    let fixture = make(&plan()).unwrap();
    let anchor = Anchor { root: Some(Digest([1; 32])), ..Anchor::at(fixture.now) };
    let report = verify(fixture.bundle().unwrap().as_slice(), &anchor);
    fails(&report, StepName::Roots, &["is pinned"]);
    assert_eq!(report.step(StepName::Decision).status, Status::Skipped);
    let unpinned = verify(fixture.bundle().unwrap().as_slice(), &Anchor::at(fixture.now));
    assert!(unpinned.holds && unpinned.step(StepName::Roots).detail.contains("not pinned"));
    assert!(unpinned.cannot_show.iter().any(|text| text.contains("pin its root")));
}

#[test]
fn a_root_older_than_one_that_was_seen_is_a_rollback() {
    let fixture = make(&plan()).unwrap();
    let seen = loadline_trust::RootMark { version: 2, digest: Digest([2; 32]) };
    let anchor = Anchor { root_seen: Some(seen), ..Anchor::at(fixture.now) };
    let report = verify(fixture.bundle().unwrap().as_slice(), &anchor);
    fails(&report, StepName::Roots, &["rollback"]);
}

#[test]
fn a_checkpoint_that_was_rolled_back_has_no_place_for_the_licence() {
    let mut fixture = make(&plan()).unwrap();
    let whole = fixture.contents.entries.clone();
    // The proofs of a log that ends before the licence, and the licence's own proof against the whole one.
    let mut before = make(&Plan { signer: |keys| &keys.auditor, ..plan() }).unwrap();
    let size = before.log.size();
    assert_eq!(size, fixture.log.size() - 1);
    let earlier = before.log.proved().unwrap();
    fixture.contents.entries = earlier.clone();
    fixture.contents.entries.push(whole.last().unwrap().clone());
    // The other exam's finish differs, so take its entry too: only the checkpoints differ then.
    let last = format!("log/proofs/{}.tlog-proof", size);
    fails(&check(&fixture), StepName::Log, &[&last, "its checkpoint is not the one of the other proofs"]);
    before.contents.entries = earlier;
    before.contents.license = fixture.contents.license.clone();
    before.contents.svr = fixture.contents.svr.clone();
    let report = check(&before);
    assert!(!report.holds);
}

#[test]
fn an_entry_of_a_forked_log_is_not_in_this_one() {
    let mut fixture = make(&plan()).unwrap();
    let fork = make(&Plan { gap: 0, wrong_every: 6, ..plan() }).unwrap();
    let finish = fixture.contents.entries.len() - 2;
    fixture.contents.entries[finish].entry = fork.contents.entries[finish].entry.clone();
    let index = fixture.contents.entries[finish].index;
    let name = format!("log/proofs/{index}.tlog-proof");
    fails(&check(&fixture), StepName::Log, &[&name, "the entry is not in the log", "another root"]);
    fixture.contents.entries[finish].proof = fork.contents.entries[finish].proof.clone();
    fails(&check(&fixture), StepName::Log, &[&name, "not the one of the other proofs"]);
}

#[test]
fn a_policy_that_changed_after_the_registration_is_another_policy() {
    let mut fixture = make(&plan()).unwrap();
    let mut policy = plan().policy;
    policy.tests[0].requirement = loadline_policy::policy::Requirement::AtLeast("0.1".parse().unwrap());
    fixture.contents.policy = loadline_core::digest::canonical_json(&policy).unwrap();
    fails(&check(&fixture), StepName::Order, &["log entry 1", "another policy than the bundle's"]);
}

#[test]
fn a_seed_from_another_checkpoint_is_refused() {
    let older = Plan { older: true, seed_late: 1, ..plan() };
    plan_fails(&older, StepName::Seed, &["5 entries", "right after the registration", "4"]);
    plan_fails(
        &Plan { start_late: 1, ..plan() },
        StepName::Order,
        &["log entry 5", "not the next entry after its registration, entry 3"],
    );
    let attested = Plan { exam: Some(|exam| exam.checkpoint.root = Digest([3; 32])), ..plan() };
    plan_fails(&attested, StepName::Attestation, &["`checkpoint`"]);
    let mut fixture = make(&plan()).unwrap();
    let other = make(&Plan { gap: 1, ..plan() }).unwrap();
    fixture.contents.consistency = other.contents.consistency;
    fails(&check(&fixture), StepName::Log, &["log/registration.consistency"]);
}

#[test]
fn a_registration_that_is_not_the_next_entry_is_refused() {
    let words = ["log entry 4", "follows a log of 3 entries and is not the next one"];
    plan_fails(&Plan { gap: 1, ..plan() }, StepName::Order, &words);
    let lied = Plan { registration: Some(|entry| entry.follows.root = Digest([4; 32])), ..plan() };
    plan_fails(&lied, StepName::Order, &["log/registration.consistency", "what the registration follows"]);
}

#[test]
fn another_secret_than_the_bound_one_is_refused() {
    let finish = Plan { finish: Some(|entry| entry.secret = ExamSecret::from_bytes([8; 32])), ..plan() };
    plan_fails(&finish, StepName::Seed, &["log entry 5", "not the one that entry 2 binds"]);
}

#[test]
fn evidence_of_another_model_is_refused() {
    let registered = Plan { registration: Some(|entry| entry.model = Digest([5; 32])), ..plan() };
    plan_fails(&registered, StepName::Order, &["log entry 3", "`model`"]);
    let start = Plan { start: Some(|entry| entry.model = Digest([5; 32])), ..plan() };
    plan_fails(&start, StepName::Order, &["log entry 4", "`model`"]);
    // The records of another exam, under this exam's attestation.
    let mut fixture = make(&plan()).unwrap();
    let other = make(&Plan { remote: true, ..plan() }).unwrap();
    fixture.contents.records = other.contents.records;
    fixture.logs = other.logs;
    fails(&check(&fixture), StepName::Records, &["attested for test `written` is run"]);
}

#[test]
fn a_remote_model_is_never_verified() {
    let lied = Plan { remote: true, registration: Some(|e| e.identity = Basis::Verified), ..plan() };
    plan_fails(&lied, StepName::Model, &["cannot be `verified`"]);
    let fixture = make(&Plan { remote: true, ..plan() }).unwrap();
    let report = check(&fixture);
    assert!(report.holds, "{:?}", report.failed());
    assert_eq!(report.summary.outcome, Some(Outcome::Undetermined), "the policy admits verified models only");
    assert_eq!(report.step(StepName::License).status, Status::Skipped);
    // Weights that somebody serves are only claimed to be those that answer.
    let served = Plan { registration: Some(|e| e.identity = Basis::SelfReported), ..plan() };
    let report = check(&make(&served).unwrap());
    assert!(report.holds, "{:?}", report.failed());
    assert!(report.cannot_show.iter().any(|text| text.contains("the endpoint serves")));
}

#[test]
fn a_broken_chain_of_attempts_is_refused() {
    let second = make(&Plan { attempts: 2, ..plan() }).unwrap();
    let report = check(&second);
    assert!(report.holds && report.summary.attempt == Some(2), "{:?}", report.failed());
    let hidden = Plan { attempts: 2, start: Some(|start| start.previous = None), ..plan() };
    plan_fails(&hidden, StepName::Order, &["attempt 2 names no attempt before it"]);
    let first_again = |start: &mut loadline_exam::entry::Start| {
        start.previous = None;
        start.attempt = 1;
    };
    plan_fails(&Plan { attempts: 2, start: Some(first_again), ..plan() }, StepName::Order, &["`exam`"]);
    let mut left_out = second.clone();
    left_out.contents.entries.retain(|entry| entry.index != 4);
    fails(&check(&left_out), StepName::Order, &["log entry 4", "is not in the bundle"]);
    let skipped = Plan { attempts: 3, start: Some(|start| start.previous = Some(4)), ..plan() };
    plan_fails(&skipped, StepName::Order, &["attempt 3 does not follow attempt 1"]);
}

#[test]
fn too_many_attempts_deny() {
    let report = check(&make(&Plan { attempts: 4, ..plan() }).unwrap());
    assert!(report.holds);
    assert_eq!(report.summary.outcome, Some(Outcome::Deny));
}

#[test]
fn a_changed_question_is_named() {
    let item = Plan { row: Some(|row| row.target = vec!["12".to_owned()]), ..plan() };
    plan_fails(&item, StepName::Items, &["test `written`, row 2", "sample `arithmetic-1-", "`target`"]);
    let id = Plan { row: Some(|row| row.id = format!("easy-{}", row.index)), ..plan() };
    plan_fails(&id, StepName::Items, &["sample `easy-0`", "`id`"]);
    let index = Plan { row: Some(|row| row.index += 1_000), ..plan() };
    plan_fails(&index, StepName::Records, &["records/1-", "row 2", "index 1000", "20 samples"]);
}

#[test]
fn a_score_that_is_not_the_answer_s_is_named() {
    let score = |row: &mut loadline_core::SampleRecord| {
        if row.index == 3 {
            row.scores[0].value = loadline_core::Value::Number(1.0);
        }
    };
    let plan = Plan { row: Some(score), ..plan() };
    plan_fails(&plan, StepName::Scores, &["test `written`, row 5", "scored again they are"]);
    let report = check(&make(&plan).unwrap());
    assert!(ok(&report, StepName::Items) && ok(&report, StepName::Records), "only the score is wrong");
}

#[test]
fn other_counts_than_the_record_has_are_refused() {
    let counts = Plan { exam: Some(|exam| exam.tests[0].counts.successes += 1), ..plan() };
    plan_fails(
        &counts,
        StepName::Counts,
        &["test `written`", "attested are 18 of 20", "counted are 17 of 20"],
    );
    let early = Plan { exam: Some(|exam| exam.tests[2].counts.scored += 1), ..plan() };
    plan_fails(&early, StepName::Counts, &["test `stopped`", "of 41", "of 40"]);
}

#[test]
fn a_decision_that_does_not_follow_is_refused() {
    let plan = Plan { decision: Some(|decision| decision.outcome = Outcome::Deny), ..plan() };
    plan_fails(&plan, StepName::Decision, &["it says deny, and made again it is allow"]);
}

#[test]
fn a_licence_that_says_more_than_the_decision_is_refused() {
    let longer =
        Plan { license: Some(|license| license.validity.value.expires = at(90_000_000).unwrap()), ..plan() };
    plan_fails(&longer, StepName::License, &["not the licence that follows from the decision"]);
    let stage = Plan { license: Some(|license| license.stage.value = Stage::General), ..plan() };
    plan_fails(&stage, StepName::License, &["license.json"]);
    let svr = Plan { svr: Some(|svr| svr.properties.push("LOADLINE_STAGE_GENERAL".to_owned())), ..plan() };
    plan_fails(&svr, StepName::Svr, &["svr.json"]);
}

#[test]
fn a_sign_off_about_something_else_is_not_one() {
    let exam = Plan { sign_off: Some(|sign| sign.attestation = Digest([6; 32])), ..plan() };
    plan_fails(&exam, StepName::SignOffs, &["sign-offs/1.json", "it is about the exam attested in"]);
    let role = Plan { sign_off: Some(|sign| sign.role = Role::ExternalAuditor), ..plan() };
    plan_fails(&role, StepName::SignOffs, &["`authority`", "role `external_auditor`"]);
    // About another stage it is a sign-off, and does not count: nothing is allowed.
    let stage = make(&Plan { sign_off: Some(|sign| sign.stage = Stage::General), ..plan() }).unwrap();
    let report = check(&stage);
    assert!(report.holds && report.summary.outcome == Some(Outcome::Undetermined), "{:?}", report.failed());
}

#[test]
fn a_clock_that_is_an_hour_off_and_an_expired_licence_are_seen() {
    let fixture = make(&plan()).unwrap();
    let bundle = fixture.bundle().unwrap();
    let at = |seconds| verify(bundle.as_slice(), &Anchor::at(at(seconds).unwrap()));
    fails(&at(90_000 - 3_600), StepName::Validity, &["witness", "it cosigned at", "it is only"]);
    assert!(at(92_000).holds);
    fails(&at(90_000 + 91 * 86_400), StepName::Validity, &["license.json", "it holds from"]);
    fails(&at(500 * 86_400), StepName::Validity, &["root version 1 expired"]);
}

#[test]
fn what_is_revoked_or_suspended_does_not_hold() {
    let fixture = make(&plan()).unwrap();
    let (license, now) = (fixture.license.unwrap(), fixture.now);
    let verified = |standing: Vec<u8>, seen| {
        let anchor = Anchor { standing: Some(standing), standing_seen: seen, ..Anchor::at(now) };
        verify(fixture.bundle().unwrap().as_slice(), &anchor)
    };
    let clear = fixture.standing(3, now, Vec::new()).unwrap();
    let report = verified(clear.clone(), None);
    assert!(report.holds && ok(&report, StepName::Standing));
    for (state, word) in [(StandingState::Revoked, "revoked"), (StandingState::Suspended, "suspended")] {
        let entry = StandingEntry { license, state, since: now, reason: "test".to_owned() };
        let standing = fixture.standing(4, now, vec![entry]).unwrap();
        fails(&verified(standing.clone(), None), StepName::Standing, &[word, "epoch 4", "test"]);
        let mut own = fixture.clone();
        own.contents.standing = Some(standing);
        fails(&check(&own), StepName::Standing, &[word]);
    }
    let seen = StandingMark { epoch: 4, digest: Digest([7; 32]), log_size: 1 };
    fails(&verified(clear, Some(seen)), StepName::Standing, &["epoch 3", "epoch 4", "rollback"]);
    let hour_ago = at(now.seconds() - at(0).unwrap().seconds() - 3_600).unwrap();
    let old = fixture.standing(5, hour_ago, Vec::new()).unwrap();
    fails(&verified(old, None), StepName::Standing, &["expired at"]);
    let hour_on = at(now.seconds() - at(0).unwrap().seconds() + 3_600).unwrap();
    let early = fixture.standing(5, hour_on, Vec::new()).unwrap();
    fails(&verified(early, None), StepName::Standing, &["it is only"]);
}
