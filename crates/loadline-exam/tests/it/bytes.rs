//! Changes of bytes, and of the container.

use loadline_exam::StepName;
use loadline_exam::fixture::{Fixture, Plan, make};
use serde_json::json;

use crate::support::{check, check_bytes, fails, taken_apart, with_table};

fn fixture() -> Fixture {
    make(&Plan::default()).unwrap()
}

/// Where each part begins and ends, by name.
fn places(bundle: &[u8]) -> Vec<(String, usize, usize)> {
    let (table, parts) = taken_apart(bundle);
    let mut at = bundle.len() - parts.len();
    let mut places = vec![("table of contents".to_owned(), 0, at)];
    for part in table["parts"].as_array().unwrap() {
        let end = at + usize::try_from(part["bytes"].as_u64().unwrap()).unwrap();
        places.push((part["name"].as_str().unwrap().to_owned(), at, end));
        at = end;
    }
    assert_eq!(at, bundle.len());
    places
}

#[test]
fn a_changed_byte_in_any_part_is_detected_and_the_part_is_named() {
    let fixture = fixture();
    let bundle = fixture.bundle().unwrap();
    for (name, start, end) in places(&bundle) {
        for at in [start, start + (end - start) / 2, end - 1] {
            let mut changed = bundle.clone();
            changed[at] ^= 0x01;
            let report = check_bytes(&fixture, &changed);
            assert!(!report.holds, "{name}, byte {at}");
            if start > 0 {
                fails(&report, StepName::Container, &[&name]);
            }
        }
    }
}

/// A part that is changed and listed again with its new digest: the container holds, the content does not.
#[test]
fn a_changed_part_with_a_right_digest_is_caught_by_what_it_says() {
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() / 2;
        bytes[at] ^= 0x01;
    };
    type Change = (StepName, fn(&mut Fixture) -> &mut Vec<u8>);
    let changes: [Change; 12] = [
        (StepName::Roots, |f| &mut f.contents.roots[0]),
        (StepName::Policy, |f| &mut f.contents.policy),
        (StepName::Model, |f| &mut f.contents.manifest),
        (StepName::Model, |f| f.contents.compute.as_mut().unwrap()),
        (StepName::Scope, |f| &mut f.contents.rules[0].1),
        (StepName::Log, |f| &mut f.contents.entries[2].entry),
        (StepName::Log, |f| &mut f.contents.entries[2].proof),
        (StepName::Log, |f| &mut f.contents.consistency),
        (StepName::Attestation, |f| &mut f.contents.attestation),
        (StepName::Attestation, |f| &mut f.contents.test_result),
        (StepName::SignOffs, |f| &mut f.contents.sign_offs[0]),
        (StepName::Decision, |f| &mut f.contents.decision),
    ];
    let good = fixture();
    for (step, part) in changes {
        let mut changed = good.clone();
        flip(part(&mut changed));
        fails(&check(&changed), step, &[]);
    }
    for (step, part) in [(StepName::License, 0), (StepName::Svr, 1)] {
        let mut changed = good.clone();
        let [license, svr] = [&mut changed.contents.license, &mut changed.contents.svr];
        flip([license, svr][part].as_mut().unwrap());
        fails(&check(&changed), step, &[]);
    }
    let mut changed = good.clone();
    flip(&mut changed.contents.records[1].seal);
    fails(&check(&changed), StepName::Records, &["records/2-", "seal"]);
    let mut changed = good;
    flip(changed.logs.values_mut().next().unwrap());
    fails(&check(&changed), StepName::Records, &["row", "check"]);
}

#[test]
fn parts_that_are_missing_doubled_reordered_or_unknown_are_refused() {
    let fixture = fixture();
    let (table, parts) = taken_apart(&fixture.bundle().unwrap());
    let list = table["parts"].as_array().unwrap().clone();
    let refused = |list: Vec<serde_json::Value>, words: &[&str]| {
        let bundle = with_table(&json!({ "parts": list }), &parts);
        fails(&check_bytes(&fixture, &bundle), StepName::Container, words);
    };
    let mut missing = list.clone();
    missing.remove(1);
    refused(missing, &["`policy.json` is missing"]);
    let mut doubled = list.clone();
    doubled.insert(2, list[1].clone());
    refused(doubled, &["`policy.json` is listed after `policy.json`"]);
    let mut reordered = list.clone();
    reordered.swap(1, 2);
    refused(reordered, &["`policy.json` is listed after `model/manifest.json`"]);
    let mut unknown = list.clone();
    unknown[1]["name"] = json!("../policy.json");
    refused(unknown, &["`../policy.json` is no part of a bundle"]);
    let mut large = list.clone();
    large[1]["bytes"] = json!(1_u64 << 40);
    refused(large, &["`policy.json` has 1099511627776 bytes"]);
    let log = list.iter().position(|part| part["name"].as_str().unwrap().ends_with("/log")).unwrap();
    let mut alone = list;
    alone.remove(log);
    refused(alone, &["is there and"]);
}

#[test]
fn a_bundle_that_is_cut_off_or_goes_on_is_refused() {
    let fixture = fixture();
    let mut bundle = fixture.bundle().unwrap();
    let cut = check_bytes(&fixture, &bundle[..bundle.len() - 1]);
    fails(&cut, StepName::Container, &["ends inside", "1 bytes are missing"]);
    bundle.push(b'\n');
    fails(&check_bytes(&fixture, &bundle), StepName::Container, &["bytes follow the last part"]);
}

#[test]
fn no_length_makes_a_panic() {
    let fixture = fixture();
    let bundle = fixture.bundle().unwrap();
    let lengths = (0..200).chain((200..bundle.len()).step_by(bundle.len() / 60));
    for length in lengths {
        assert!(!check_bytes(&fixture, &bundle[..length]).holds, "{length}");
    }
}

#[test]
fn a_gigabyte_of_anything_is_refused_without_being_kept() {
    use std::io::Read as _;
    let fixture = fixture();
    let anchor = loadline_exam::Anchor::at(fixture.now);
    for (start, words) in [
        ("", "the first line is not"),
        ("loadline-bundle 1\n", "does not end within"),
        ("loadline-bundle 1\n{\"parts\":[]}\n", "is missing"),
    ] {
        let input = start.as_bytes().chain(std::io::repeat(b'[').take(1 << 30));
        let report = loadline_exam::verify(input, &anchor);
        fails(&report, StepName::Container, &[words]);
    }
}

#[test]
fn tricks_with_the_table_of_contents_are_refused() {
    let fixture = fixture();
    let bundle = fixture.bundle().unwrap();
    let text = |from: &str, to: &str| {
        let at = bundle.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = bundle.clone();
        changed.splice(at..at + from.len(), to.bytes());
        check_bytes(&fixture, &changed)
    };
    for (from, to) in [
        ("{\"parts\":[", "{ \"parts\":["),
        ("{\"parts\":[", "{\"parts\":[],\"parts\":["),
        ("{\"parts\":[", "{\"more\":1,\"parts\":["),
        ("\"name\":\"policy.json\"", "\"name\":\"policy\\u002ejson\""),
        ("\"bytes\":", "\"bytes\":1e2,\"bytes\":"),
        ("{\"bytes\":", "{\"bytes\":99999999999999999999999"),
        ("{\"bytes\":", "{\"bytes\":0.5"),
    ] {
        fails(&text(from, to), StepName::Container, &["the table of contents"]);
    }
}
