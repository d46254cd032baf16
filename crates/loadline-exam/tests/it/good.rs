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
