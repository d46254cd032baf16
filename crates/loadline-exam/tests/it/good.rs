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
