//! A bundle in which everything holds.

use loadline_exam::fixture::{Plan, make};
use loadline_exam::{Anchor, Status, StepName, verify};

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

/// The bundle in the repository is read for ever: the fixture still makes the same bytes, and they still verify.
/// `big_bundle make FILE 60` wrote it. When a suite's items change, a new one is made beside this one.
#[test]
fn the_golden_bundle_still_verifies() {
    let golden = include_bytes!("../golden/small.bundle");
    let mut plan = Plan::default();
    plan.policy.tests.iter_mut().for_each(|test| test.n = 20);
    let fixture = make(&plan).unwrap();
    assert!(fixture.bundle().unwrap() == golden, "the fixture makes other bytes than the golden bundle");
    let report = verify(golden.as_slice(), &Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) });
    assert!(report.holds, "{:?}", report.failed());
    assert_eq!(report.summary.samples, 20 + 20 + 17);
}
