//! What several tests need.

use loadline_core::digest::canonical_json;
use loadline_exam::fixture::{Fixture, Plan, change, make};
use loadline_exam::{Anchor, Entry, Report, Status, StepName, verify};

/// The same bundle with more entries in its log.
pub fn logged(good: &Fixture, entries: &[Entry]) -> Fixture {
    let mut fixture = good.clone();
    for entry in entries {
        fixture.log.add(entry).unwrap();
    }
    fixture.contents.entries = fixture.log.proved().unwrap();
    let mut consistency: serde_json::Value = serde_json::from_slice(&fixture.contents.consistency).unwrap();
    let size = consistency["checkpoint"]["size"].as_u64().unwrap();
    consistency["checkpoint_to_last"] =
        serde_json::json!(fixture.log.consistency(size, fixture.log.size()).unwrap());
    fixture.contents.consistency = canonical_json(&consistency).unwrap();
    fixture
}

/// Verifies a fixture with its root pinned, at a moment at which it holds.
pub fn check(fixture: &Fixture) -> Report {
    check_bytes(fixture, &fixture.bundle().unwrap())
}

/// Verifies changed bytes of a fixture.
pub fn check_bytes(fixture: &Fixture, bundle: &[u8]) -> Report {
    verify(bundle, &Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) })
}

/// The report says that this step fails, first of all, and names these words.
#[track_caller]
pub fn fails(report: &Report, name: StepName, words: &[&str]) {
    assert!(!report.holds);
    let first = report.failed().expect("a failed step");
    assert_eq!(first.name, name, "{first:?}");
    for word in words {
        assert!(first.detail.contains(word), "`{word}` is not in: {}", first.detail);
    }
    assert_eq!(report.steps.len(), StepName::ALL.len());
}

/// The plan's bundle fails at this step.
#[track_caller]
pub fn plan_fails(plan: &Plan, name: StepName, words: &[&str]) {
    fails(&check(&make(plan).unwrap()), name, words);
}

/// Whether a step holds.
pub fn ok(report: &Report, name: StepName) -> bool {
    report.step(name).status == Status::Ok
}

/// A bundle with this table of contents as JSON, and these parts as they are.
pub fn with_table(table: &serde_json::Value, parts: &[u8]) -> Vec<u8> {
    change::with_table(table, parts).unwrap()
}

/// The table of contents of a bundle, and its parts.
pub fn taken_apart(bundle: &[u8]) -> (serde_json::Value, Vec<u8>) {
    change::taken_apart(bundle).unwrap()
}
