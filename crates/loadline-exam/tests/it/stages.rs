//! How far a model is open, and that stopping was tried out: signed documents, entries of the log, and what a bundle
//! makes of them.

use std::collections::{BTreeMap, BTreeSet};

use loadline_core::Digest;
use loadline_exam::drill::DrillError;
use loadline_exam::entry::StageEntry;
use loadline_exam::fixture::{Plan, at, drill_report, keys, make};
use loadline_exam::stage::{TRANSITION_FORMAT, TransitionError};
use loadline_exam::{DrillReport, Entry, StepName, Transition};
use loadline_policy::decide::Outcome;
use loadline_policy::policy::{DrillRule, ModelStage, Role, SignOffRule, Stage};
use loadline_trust::root::ROOT_FORMAT;
use loadline_trust::{Envelope, RoleKeys, Root, SecretKey};

use crate::support::{check, fails, logged, plan_fails};

/// A step: from, to, and whether it names a licence.
pub type Step = (ModelStage, ModelStage, bool);

pub fn stage(model: Digest, (from, to, licensed): Step) -> Entry {
    Entry::Stage(StageEntry {
        model,
        from,
        to,
        license: licensed.then_some(Digest([3; 32])),
        reason: "test".to_owned(),
        transition: Digest([4; 32]),
        at: at(93_000).unwrap(),
    })
}

/// Ways of a model, by what they are about.
pub fn ways() -> Vec<(&'static str, Vec<Step>)> {
    use ModelStage::{Draft, General, Internal, Limited, Suspended, WeightsReleased, Withdrawn};
    vec![
        ("opened as far as licensed", vec![(Draft, Internal, true), (Internal, Limited, true)]),
        ("opened further", vec![(Draft, General, true)]),
        ("not opened as far", vec![(Draft, Internal, true)]),
        ("suspended", vec![(Draft, Limited, true), (Limited, Suspended, false)]),
        (
            "suspended and back",
            vec![(Draft, Limited, true), (Limited, Suspended, false), (Suspended, Limited, true)],
        ),
        ("withdrawn", vec![(Draft, Limited, true), (Limited, Withdrawn, false)]),
        ("does not begin", vec![(Internal, Limited, true)]),
        ("does not go on", vec![(Draft, Internal, true), (Draft, Limited, true)]),
        ("without a licence", vec![(Draft, Limited, false)]),
        ("a demotion with a licence", vec![(Draft, Limited, true), (Limited, Internal, true)]),
        ("after the end", vec![(Draft, WeightsReleased, true), (WeightsReleased, Suspended, false)]),
        ("nowhere", vec![(Draft, Draft, false)]),
    ]
}

#[test]
fn a_bundle_knows_how_far_its_model_stands_open() {
    let good = make(&Plan::default()).unwrap();
    for (name, steps) in ways() {
        let entries: Vec<_> = steps.iter().map(|step| stage(good.subject(), *step)).collect();
        let report = check(&logged(&good, &entries));
        match name {
            "opened as far as licensed" | "opened further" | "suspended and back" => {
                assert!(report.holds, "{name}: {:?}", report.failed());
            }
            "not opened as far" | "suspended" | "withdrawn" => {
                fails(
                    &report,
                    StepName::Standing,
                    &["the model stands at `", "the licence is for `limited`"],
                );
            }
            _ => fails(&report, StepName::Order, &["log entry"]),
        }
    }
    let first = stage(good.subject(), (ModelStage::Draft, ModelStage::Limited, true));
    let mut second = stage(good.subject(), (ModelStage::Limited, ModelStage::Internal, false));
    if let Entry::Stage(entry) = &mut second {
        entry.at = at(92_999).unwrap();
    }
    let earlier = check(&logged(&good, &[first, second]));
    fails(&earlier, StepName::Order, &["which is earlier than the model's step before"]);
    let other = stage(Digest([9; 32]), (ModelStage::Draft, ModelStage::Limited, true));
    fails(&check(&logged(&good, &[other])), StepName::Order, &["the stage of another model"]);
}

/// A policy that asks for a drill at `limited`.
pub fn drill_plan() -> Plan {
    let mut plan = Plan::default();
    plan.policy.drill =
        Some(DrillRule { from: Stage::Limited, max_age_days: 30, last_byte_ms: 100, streams: 100 });
    plan
}

#[test]
fn a_drill_that_the_policy_asks_for_is_in_the_bundle_and_decides() {
    let report = check(&make(&drill_plan()).unwrap());
    assert!(report.holds, "{:?}", report.failed());
    assert!(
        report.cannot_show.iter().any(|text| text.contains("no later drill")),
        "{:?}",
        report.cannot_show
    );
    let decided = |change: fn(&mut DrillReport)| {
        let report = check(&make(&Plan { drill: Some(change), ..drill_plan() }).unwrap());
        assert!(report.holds && report.summary.license.is_none(), "{:?}", report.failed());
        report.summary.outcome.unwrap()
    };
    assert_eq!(decided(|report| report.last_byte_ms = 101), Outcome::Deny);
    assert_eq!(decided(|report| report.bytes_after = 1), Outcome::Deny);
    assert_eq!(decided(|report| report.streams = 99), Outcome::Undetermined);
    assert_eq!(decided(|report| report.model = Digest([1; 32])), Outcome::Undetermined);
    assert_eq!(decided(|report| report.at = at(90_001).unwrap()), Outcome::Undetermined);
    // A decision that forgot the drill does not follow from the bundle.
    let forged = Plan {
        drill: Some(|report| report.last_byte_ms = 101),
        decision: Some(|decision| decision.outcome = Outcome::Allow),
        ..drill_plan()
    };
    plan_fails(&forged, StepName::Decision, &["it says allow, and made again it is deny"]);
}

#[test]
fn a_drill_is_what_was_signed_and_logged_or_none() {
    let keys = keys().unwrap();
    let fixture = make(&drill_plan()).unwrap();
    let with = |drill: Option<Vec<u8>>| {
        let mut fixture = fixture.clone();
        fixture.contents.drill = drill;
        check(&fixture)
    };
    let report = drill_report(fixture.subject()).unwrap();
    let signed = |report: &DrillReport, key: &SecretKey| Some(report.sign(key).unwrap().to_bytes());
    assert!(with(signed(&report, &keys.auditor)).holds);
    fails(&with(None), StepName::Decision, &["drill.json", "one log entry, or neither"]);
    fails(&with(signed(&report, &keys.authority)), StepName::Decision, &["is not one of the keys that may"]);
    let better = DrillReport { last_byte_ms: 7, ..report.clone() };
    fails(
        &with(signed(&better, &keys.auditor)),
        StepName::Decision,
        &["does not say what the drill's report says"],
    );
    // Where the policy asks for none, there is none.
    let mut other = make(&Plan::default()).unwrap();
    other.contents.drill = signed(&report, &keys.auditor);
    fails(&check(&other), StepName::Decision, &["drill.json"]);
}

/// Three people of the authority, two red teams, one stop key, one examiner; `both` is of the authority and the red team.
fn people() -> (BTreeMap<&'static str, SecretKey>, Root) {
    use loadline_trust::Role as Trust;
    let named = [
        ("ann", 1, vec![Trust::Root, Trust::Authority]),
        ("ben", 2, vec![Trust::Authority]),
        ("both", 3, vec![Trust::Authority, Trust::RedTeam]),
        ("red", 4, vec![Trust::RedTeam]),
        ("stop", 7, vec![Trust::Stop]),
        ("exam", 6, vec![Trust::Examiner]),
    ];
    let (mut keys, mut roles) = (BTreeMap::new(), BTreeMap::new());
    for (name, seed, held) in named {
        let key = SecretKey::from_seeds(name, &[seed; 32], &[seed + 100; 32]).unwrap();
        for role in held {
            let keys = || RoleKeys { keyids: BTreeSet::new(), threshold: 1 };
            roles.entry(role).or_insert_with(keys).keyids.insert(key.public().id());
        }
        keys.insert(name, key);
    }
    let root = Root {
        format: ROOT_FORMAT.to_owned(),
        version: 1,
        previous: None,
        issued: at(0).unwrap(),
        expires: at(1_000_000).unwrap(),
        keys: keys.values().map(|key| (key.public().id(), key.public().clone())).collect(),
        roles,
        log_policy: String::new(),
    };
    (keys, root)
}

fn transition(from: ModelStage, to: ModelStage, license: bool) -> Transition {
    Transition {
        at: at(93_000).unwrap(),
        authority: Digest([1; 32]),
        format: TRANSITION_FORMAT.to_owned(),
        from,
        license: license.then_some(Digest([2; 32])),
        model: Digest([3; 32]),
        previous: None,
        reason: "the red team found nothing".to_owned(),
        to,
    }
}

#[test]
fn a_promotion_takes_the_signatures_of_its_rule_and_a_demotion_takes_one() {
    let (keys, root) = people();
    let rule = |role, needed| SignOffRule { role, needed, of: 3 };
    let rules = [rule(Role::Authority, 2), rule(Role::RedTeam, 1)];
    let signed = |transition: &Transition, names: &[&str], rules: &[SignOffRule]| {
        let mut envelope = transition.sign(&keys[names[0]]).unwrap();
        for name in &names[1..] {
            envelope = envelope.join(&transition.sign(&keys[name]).unwrap()).unwrap();
        }
        transition.signed(&envelope, &root, rules).map_err(|error| {
            assert!(!error.hint().is_empty());
            error.to_string()
        })
    };
    let up = transition(ModelStage::Internal, ModelStage::Limited, true);
    signed(&up, &["ann", "ben", "red"], &rules).unwrap();
    // One who holds both roles counts for the one that needs it.
    signed(&up, &["ann", "both", "red"], &rules).unwrap();
    signed(&up, &["ann", "ben", "both"], &rules).unwrap();
    for (names, says) in [
        (vec!["ann"], "1 of 2 needed signed as authority"),
        (vec!["ann", "ben"], "0 of 1 needed signed as red_team"),
        (vec!["ann", "both"], "needed signed as"),
        (
            vec!["ann", "ben", "red", "stop"],
            "key `stop` signed and has no say in this: authority, red_team sign it",
        ),
        (vec!["ann", "ben", "red", "exam"], "key `exam` signed and has no say"),
    ] {
        let error = signed(&up, &names, &rules).unwrap_err();
        assert!(error.contains(says), "{names:?}: {error}");
    }
    signed(&up, &["ann"], &[]).unwrap();
    signed(&up, &["red"], &[]).unwrap_err();
    let down = transition(ModelStage::Limited, ModelStage::Suspended, false);
    signed(&down, &["stop"], &[]).unwrap();
    signed(&down, &["ben"], &[]).unwrap();
    for name in ["red", "exam"] {
        assert!(signed(&down, &[name], &[]).unwrap_err().contains("authority, stop sign it"));
    }
    // Nobody signs twice, and nothing else is signed with it.
    let once = up.sign(&keys["ann"]).unwrap();
    assert_eq!(once.join(&once).unwrap(), once);
    once.cosign(&keys["ann"]).unwrap_err();
    let other = Transition { reason: "another".to_owned(), ..up.clone() };
    let error = once.join(&other.sign(&keys["ben"]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("different documents"));
    let bytes = once.to_bytes();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let read = Envelope::parse(&changed).ok().and_then(|envelope| {
            let transition = Transition::read(&envelope).ok()?;
            transition.signed(&envelope, &root, &[]).ok()
        });
        assert!(read.is_none(), "byte {place}");
    }
}

#[test]
fn a_transition_that_means_nothing_is_refused() {
    use ModelStage::{Draft, Internal, Limited, Suspended, WeightsReleased, Withdrawn};
    for (transition, says) in [
        (transition(Draft, Draft, false), "at `draft` already"),
        (transition(WeightsReleased, Suspended, false), "nothing follows `weights_released`"),
        (transition(Withdrawn, Internal, true), "nothing follows `withdrawn`"),
        (transition(Internal, Limited, false), "a promotion names the licence"),
        (transition(Limited, Internal, true), "a promotion names the licence"),
        (
            Transition { reason: String::new(), ..transition(Internal, Suspended, false) },
            "the reason has 0 bytes",
        ),
        (
            Transition { reason: "a\nb".to_owned(), ..transition(Internal, Suspended, false) },
            "more than a line",
        ),
        (Transition { format: "x".to_owned(), ..transition(Internal, Suspended, false) }, "`format` is `x`"),
    ] {
        let error: TransitionError = transition.check().unwrap_err();
        assert!(error.to_string().contains(says) && !error.hint().is_empty(), "{error}");
    }
}

#[test]
fn a_report_that_contradicts_itself_is_refused() {
    let good = drill_report(Digest([1; 32])).unwrap();
    let (_, root) = people();
    let key = &keys().unwrap().auditor;
    for (report, says) in [
        (DrillReport { streams: 101, ..good.clone() }, "more streams"),
        (DrillReport { last_byte_median_ms: 9, ..good.clone() }, "median above"),
        (DrillReport { gate: String::new(), ..good.clone() }, "too long a name, or none"),
        (DrillReport { format: "x".to_owned(), ..good.clone() }, "`format` is `x`"),
    ] {
        let error: DrillError = report.sign(key).unwrap_err();
        assert!(error.to_string().contains(says) && !error.hint().is_empty(), "{error}");
    }
    let stranger = good.sign(key).unwrap().to_bytes();
    assert!(DrillReport::accept(&stranger, &root).unwrap_err().hint().contains("role `stop`"));
}

/// The file's bytes, which are these. A new file is made with `LOADLINE_BLESS=1`; an old one is never changed.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LOADLINE_BLESS").is_some() && !std::path::Path::new(&path).exists() {
        std::fs::write(&path, bytes).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&stored), "{name}");
    stored
}

#[test]
fn the_golden_files_are_still_read() {
    let (keys, root) = people();
    let up = transition(ModelStage::Internal, ModelStage::Limited, true);
    let envelope = up.sign(&keys["ann"]).unwrap().cosign(&keys["red"]).unwrap();
    let stored = Envelope::parse(&golden("stage.json", &envelope.to_bytes())).unwrap();
    assert_eq!(Transition::read(&stored).unwrap(), up);
    let report = drill_report(Digest([3; 32])).unwrap();
    let stored = golden("drill.json", &report.sign(&keys["stop"]).unwrap().to_bytes());
    let (read, digest) = DrillReport::accept(&stored, &root).unwrap();
    assert_eq!((read, digest), (report.clone(), Envelope::parse(&stored).unwrap().payload_digest()));
}
