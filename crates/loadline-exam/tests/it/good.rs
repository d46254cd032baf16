//! A bundle in which everything holds.

use loadline_core::model::Basis;
use loadline_exam::attest::{self, TestResult};
use loadline_exam::fixture::{Plan, make};
use loadline_exam::{Anchor, Status, StepName, verify};
use loadline_policy::License;
use loadline_policy::license::LimitationCode;

use crate::support::{check, plan_fails};

#[test]
fn every_step_holds() {
    let fixture = make(&Plan::default()).unwrap();
    let bundle = fixture.bundle().unwrap();
    let report = verify(bundle.as_slice(), &Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) });
    for step in &report.steps {
        let expected = if step.name == StepName::Standing { Status::Skipped } else { Status::Ok };
        assert_eq!(step.status, expected, "{step:?}");
    }
    assert!(report.holds);
}

/// The bundles in the repository are read for ever: the fixture still makes the same bytes, and they still verify.
/// `big_bundle make FILE 60` wrote `witnessed.bundle`, `big_bundle make FILE 60 older` wrote `small.bundle`. When a suite's
/// items change, new ones are made beside these.
#[test]
fn the_golden_bundles_still_verify() {
    let goldens: [(bool, &[u8]); 2] = [
        (false, include_bytes!("../golden/witnessed.bundle")),
        (true, include_bytes!("../golden/small.bundle")),
    ];
    for (older, golden) in goldens {
        let mut plan = Plan { older, ..Plan::default() };
        plan.policy.tests.iter_mut().for_each(|test| test.n = 20);
        let fixture = make(&plan).unwrap();
        assert!(fixture.bundle().unwrap() == golden, "the fixture makes other bytes (older: {older})");
        let report = verify(golden, &Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) });
        assert!(report.holds, "{:?}", report.failed());
        assert_eq!(report.summary.samples, 20 + 20 + 17);
    }
}

/// As above, with a sign-off of version 1.
#[test]
fn the_golden_bundle_of_version_1_still_verifies() {
    let golden = include_bytes!("../golden/small-1.bundle");
    let anchor = Anchor::at(make(&Plan::default()).unwrap().now);
    let report = verify(golden.as_slice(), &anchor);
    assert!(report.holds, "{:?}", report.failed());
}

/// The test result judges whatever was asked, also what the policy's light path does not ask.
#[test]
fn a_test_result_is_made_on_the_full_path() {
    let mut plan = Plan::default();
    plan.policy.scope.laws.clear();
    plan.policy.tests[1].light = false;
    let fixture = make(&plan).unwrap();
    let envelope = loadline_trust::Envelope::parse(&fixture.contents.test_result).unwrap();
    let result = attest::statement::<TestResult>(&envelope).unwrap().predicate;
    assert_eq!(result.passed_tests, ["written", "chosen", "stopped"]);
    assert!(result.warned_tests.is_empty());
    assert!(check(&fixture).holds, "{:?}", check(&fixture).failed());
}

/// Nobody who reads a licence of a simulated subject can take it for one of a model.
#[test]
fn a_licence_of_a_simulated_subject_says_so() {
    let mut plan = Plan { remote: true, ..Plan::default() };
    plan.policy.identity.push(Basis::SelfReported);
    let fixture = make(&plan).unwrap();
    let bytes = fixture.contents.license.as_ref().unwrap();
    let license =
        attest::statement::<License>(&loadline_trust::Envelope::parse(bytes).unwrap()).unwrap().predicate;
    assert!(license.limitations.has(LimitationCode::SimulatedSubject));
    let report = check(&fixture);
    assert!(report.holds, "{:?}", report.failed());
    let model = &report.step(StepName::Model).detail;
    assert!(model.ends_with(": a simulated subject, no real model"), "{model}");
    let unshown = |words: &str| report.cannot_show.iter().any(|line| line.contains(words));
    assert!(unshown("what answered is a simulated subject") && !unshown("the endpoint serves"));
    plan.license = Some(not_simulated);
    plan_fails(&plan, StepName::License, &["not the licence that follows from the decision"]);
    let real = make(&Plan::default()).unwrap().contents.license.unwrap();
    let real =
        attest::statement::<License>(&loadline_trust::Envelope::parse(&real).unwrap()).unwrap().predicate;
    assert!(!real.limitations.has(LimitationCode::SimulatedSubject));
}

/// Leaves out that the subject is simulated.
pub fn not_simulated(license: &mut License) {
    let all = Vec::from(license.limitations.clone()).into_iter();
    let rest =
        all.filter(|limitation| limitation.code != LimitationCode::SimulatedSubject).collect::<Vec<_>>();
    license.limitations = rest.try_into().unwrap();
}
