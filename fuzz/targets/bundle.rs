//! A whole bundle and its verification. Selector even: the input is the file. Odd: the input is edits of the parts of a
//! good bundle, whose table of contents is then made anew, so that what stands behind it is reached.
//! A bundle that is accepted and is not a good one, byte for byte, is a failure.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use loadline_core::Digest;
use loadline_exam::fixture::{Plan, make};
use loadline_exam::{Anchor, verify};

/// Largest input, in bytes.
const MOST: usize = 512 << 10;
const FIRST_LINE: &[u8] = b"loadline-bundle 1\n";

struct Good {
    bundle: Vec<u8>,
    /// The same in the form of before starts were witnessed: the other golden bundle.
    older: Vec<u8>,
    parts: Vec<(String, Vec<u8>)>,
    anchor: Anchor,
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        // The plans of the golden bundles, which are among the seeds.
        let made = |older| {
            let mut plan = Plan { older, ..Plan::default() };
            plan.policy.tests.iter_mut().for_each(|test| test.n = 20);
            make(&plan).expect("the fixture is made")
        };
        let fixture = made(false);
        let [bundle, older] = [&fixture, &made(true)].map(|made| made.bundle().expect("it is written"));
        let anchor = Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) };
        for bundle in [&bundle, &older] {
            assert!(verify(bundle.as_slice(), &anchor).holds, "the unchanged bundle holds");
        }
        let rest = &bundle[FIRST_LINE.len()..];
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a table of contents");
        let table: serde_json::Value = serde_json::from_slice(&rest[..end]).expect("a JSON table");
        let mut at = end + 1;
        let parts = table["parts"].as_array().expect("parts").iter().map(|part| {
            let length = usize::try_from(part["bytes"].as_u64().expect("a length")).expect("a small length");
            let bytes = rest[at..at + length].to_vec();
            at += length;
            (part["name"].as_str().expect("a name").to_owned(), bytes)
        });
        let parts: Vec<_> = parts.collect();
        assert!(write(&parts) == bundle, "taken apart and put together it is the same");
        Good { bundle, older, parts, anchor }
    })
}

fn write(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let listed = parts.iter().map(|(name, bytes)| {
        let (name, digest) = (serde_json::json!(name), Digest::of(bytes).to_string());
        let digest = digest.trim_start_matches("sha256:");
        format!(r#"{{"bytes":{},"name":{name},"sha256":"{digest}"}}"#, bytes.len())
    });
    let table = format!("{{\"parts\":[{}]}}\n", listed.collect::<Vec<_>>().join(","));
    let mut bundle = [FIRST_LINE, table.as_bytes()].concat();
    for (_, bytes) in parts {
        bundle.extend_from_slice(bytes);
    }
    bundle
}

/// Each edit: part, what to do, place (2 bytes), length, that many bytes.
fn edit(parts: &mut Vec<(String, Vec<u8>)>, mut data: &[u8]) {
    while let Some(([part, what, high, low, length], rest)) = data.split_first_chunk::<5>() {
        if parts.is_empty() {
            return;
        }
        let part = usize::from(*part) % parts.len();
        let (new, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        let bytes = &mut parts[part].1;
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (bytes.len() + 1);
        let end = (at + new.len()).min(bytes.len());
        match what % 8 {
            0..=2 => drop(bytes.splice(at..end, new.iter().copied())),
            3 => drop(bytes.splice(at..at, new.iter().copied())),
            4 => drop(bytes.drain(at..end)),
            5 => bytes.truncate(at),
            6 => {
                let other = usize::from(*low) % parts.len();
                parts[part].1 = parts[other].1.clone();
            }
            _ => drop(parts.remove(part)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, rest)) = loadline_fuzz::selected(data, MOST) else { return };
    let good = good();
    let edited = if selector % 2 == 0 {
        None
    } else {
        let mut parts = good.parts.clone();
        edit(&mut parts, rest);
        Some(write(&parts))
    };
    let bundle = edited.as_deref().unwrap_or(rest);
    let report = verify(bundle, &good.anchor);
    assert!(!report.holds || bundle == good.bundle || bundle == good.older, "a changed bundle was accepted");
});
