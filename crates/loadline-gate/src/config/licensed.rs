//! `licensed` of a `[[watch]]`: the figure comes from a test that the licence rests on, and from nowhere else.
//!
//! The licence carries the digest of its decision, and the decision that of its policy. So both files are what the
//! authority signed for, whoever brought them here.

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, strict};
use loadline_policy::decide::DECISION_FORMAT;
use loadline_policy::document::Place;
use loadline_policy::policy::{Form as PolicyForm, POLICY_FORMAT, Requirement, Source, Test};
use loadline_policy::{Decision, Outcome, Policy};
use loadline_suites::{Form, Selection};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::load::{MAX_FILE_BYTES, Models, Noted};
use super::{FileRef, LicensedConfig, WatchConfig, WatchedConfig};
use crate::disk;
use crate::watch::LicensedTest;

const DECISION_HINT: &str = "`loadline license issue` writes it beside the licence: `licenses/DIGEST/decision.json` in the authority's folder";
const POLICY_HINT: &str =
    "the authority keeps it as `policies/DIGEST.json` in its folder; `policy` in the decision has the digest";

/// The test that a watch names, where the licences of all its models rest on it and the watch asks what it asked. None
/// when something is wrong, which is noted.
pub(super) fn test(
    watch: &WatchConfig,
    named: &LicensedConfig,
    models: &Models,
    noted: &mut Noted,
) -> Option<LicensedTest> {
    let (decision, digest) = decision(watch, named, models, noted)?;
    let policy = policy(named, &decision, noted)?;
    let name = one_line(&named.test, 60);
    let mut wrong = |message: String, hint: &str| {
        noted.add(named.test_at, "watch.licensed.test", message, hint);
    };
    let Some(test) = policy.tests.iter().find(|test| test.id == named.test) else {
        let ids = names(policy.tests.iter().map(|test| test.id.as_str()));
        wrong(
            format!("policy `{}` has no test `{name}`", one_line(&policy.name, 60)),
            &format!("it has: {ids}"),
        );
        return None;
    };
    rests_on(&decision, test).map_err(|(message, hint)| wrong(message, &hint)).ok()?;
    let selection = selection(watch, named, &policy, test);
    let selection = selection.map_err(|w| noted.add(w.place, w.key, w.message, &w.hint)).ok()?;
    Some(LicensedTest {
        id: test.id.clone(),
        decision: digest,
        policy: decision.policy,
        bound: test.requirement.bound().clone(),
        metric: test.metric.clone(),
        selection,
    })
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    one_line(&names.collect::<Vec<_>>().join(", "), 300)
}

/// A file of canonical JSON and its digest. What is not as it was written is noted.
fn read<T: Serialize + DeserializeOwned>(
    file: &FileRef,
    what: &str,
    hint: &str,
    noted: &mut Noted,
) -> Option<(T, Digest)> {
    match disk::read(&file.path, MAX_FILE_BYTES) {
        Ok(Some(bytes)) => match strict::from_canonical_json(&bytes) {
            Ok(value) => return Some((value, Digest::of(&bytes))),
            Err(error) => noted.file(file, format!("is no {what}, or is damaged: {error}"), hint),
        },
        Ok(None) => noted.file(file, "there is no such file", hint),
        Err(error) => noted.file(file, error, ""),
    }
    None
}

/// Whether a file is of the format that this version reads.
fn is_read(file: &FileRef, found: &str, expected: &str, noted: &mut Noted) -> bool {
    if found != expected {
        let message = format!("its format is `{}`, not `{expected}`", one_line(found, 40));
        noted.file(file, message, "this version of loadline reads that format only");
    }
    found == expected
}

/// The decision, where the licence of every model that is watched was issued on it.
fn decision(
    watch: &WatchConfig,
    named: &LicensedConfig,
    models: &Models,
    noted: &mut Noted,
) -> Option<(Decision, Digest)> {
    let file = &named.decision;
    let (decision, digest) = read::<Decision>(file, "decision", DECISION_HINT, noted)?;
    let mut is_theirs = is_read(file, &decision.format, DECISION_FORMAT, noted);
    // A model that is not there did not load: that is noted where it stands.
    for served in watch.models.iter().filter_map(|name| models.get(name.as_str())) {
        let expected = served.license.decision;
        if expected != digest {
            let (name, license) = (&served.name, served.license.digest);
            let message = format!(
                "is decision {digest}; the licence of `{name}`, {license}, was issued on decision {expected}"
            );
            noted.file(file, message, "give the `decision.json` that lies beside that licence");
            is_theirs = false;
        }
    }
    is_theirs.then_some((decision, digest))
}

/// The policy that a decision was made under.
fn policy(named: &LicensedConfig, decision: &Decision, noted: &mut Noted) -> Option<Policy> {
    let file = &named.policy;
    let (policy, digest) = read::<Policy>(file, "policy as canonical JSON", POLICY_HINT, noted)?;
    let under = &decision.policy;
    if digest != under.digest {
        let (name, version) = (one_line(&under.name, 60), one_line(&under.version, 40));
        let message = format!(
            "is policy {digest}; the decision was made under `{name}` version {version}, {}",
            under.digest
        );
        noted.file(file, message, POLICY_HINT);
        return None;
    }
    is_read(file, &policy.format, POLICY_FORMAT, noted).then_some(policy)
}

/// Whether an alarm can be raised for this test: the decision found it met, by a bound from below.
fn rests_on(decision: &Decision, test: &Test) -> Result<(), (String, String)> {
    let (id, requirement) = (one_line(&test.id, 60), &test.requirement);
    if let Requirement::AtMost(_) = requirement {
        let message = format!("test `{id}` requires {requirement}: that is a bound from above");
        return Err((message, "an alarm is for a share that falls: name a test with `at_least`".to_owned()));
    }
    let bound = requirement.bound().nearest_float();
    if !(bound > 0.0 && bound < 1.0) {
        let message = format!("test `{id}` requires {requirement}");
        return Err((message, "an alarm needs a bound above 0 and below 1: name another test".to_owned()));
    }
    let rule = format!("test.{}", test.id);
    let met = |reason: &&loadline_policy::decide::Reason| reason.outcome == Outcome::Allow;
    match decision.reasons.iter().find(|reason| reason.rule == rule) {
        Some(reason) if met(&reason) => Ok(()),
        found => {
            let why = match found {
                Some(reason) => format!("was not met, `{}`: the licence discloses that", reason.outcome),
                None => format!("was not asked: the decision was made on the {} path", decision.path),
            };
            let met = decision.reasons.iter().filter(met);
            let met = names(met.filter_map(|reason| reason.rule.strip_prefix("test.")));
            Err((format!("test `{id}` {why}"), format!("the licence rests on: {met}")))
        }
    }
}

/// What is wrong with what a watch asks.
struct Wrong {
    place: Place,
    key: &'static str,
    message: String,
    hint: String,
}

/// What a test asked, where the watch asks it too.
fn selection(
    watch: &WatchConfig,
    named: &LicensedConfig,
    policy: &Policy,
    test: &Test,
) -> Result<Selection, Wrong> {
    let id = one_line(&test.id, 60);
    let wrong = |place, key, message: String, hint: String| Wrong { place, key, message, hint };
    let (WatchedConfig::Probe { suite, suite_at, level, level_at, .. }, source) = (&watch.what, &test.source)
    else {
        // A guard beside `licensed` was refused when the configuration was read.
        let message = format!("test `{id}` scored answers to {}, not traffic", test.source);
        return Err(wrong(named.test_at, "watch.licensed.test", message, String::new()));
    };
    let asked = match source {
        Source::Suite { name, form: PolicyForm::Generate, levels } if name == suite => levels,
        _ => {
            let of_suite = |test: &&Test| matches!(&test.source, Source::Suite { name, form: PolicyForm::Generate, .. } if name == suite);
            let others = names(policy.tests.iter().filter(of_suite).map(|test| test.id.as_str()));
            let others = if others.is_empty() { "none".to_owned() } else { others };
            let message = format!("this watch asks suite {suite}, generate; test `{id}` asked {source}");
            return Err(wrong(*suite_at, "watch.suite", message, format!("tests that asked it: {others}")));
        }
    };
    if let Some(level) = level.filter(|level| *asked != [u64::from(*level)]) {
        let message = format!("this watch asks level {level}; test `{id}` asked {source}");
        let hint = "leave it out: the questions then have the levels of the test".to_owned();
        return Err(wrong(*level_at, "watch.level", message, hint));
    }
    let levels = asked.iter().map(|level| u32::try_from(*level).unwrap_or(u32::MAX)).collect();
    let selection = loadline_suites::require(suite).and_then(|s| Selection::new(s, Form::Generate, levels));
    let cannot = |message: String| {
        let hint = "this version of loadline cannot ask what the test asked".to_owned();
        wrong(named.test_at, "watch.licensed.test", message, hint)
    };
    let selection = selection.map_err(|error| cannot(error.to_string()))?;
    if selection.metrics().iter().all(|metric| metric.name != test.metric) {
        let metric = one_line(&test.metric, 60);
        return Err(cannot(format!("test `{id}` counted `{metric}`, and suite {suite} has no such metric")));
    }
    Ok(selection)
}
