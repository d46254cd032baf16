//! Same seed, same bytes: the digests of the first items of every suite, form and level, as they were when the
//! suite's version was given, and some items in full to read.
//!
//! A change here means that items changed: give the suite a new version, then write the files anew with
//! `LOADLINE_BLESS=1 cargo test -p loadline-suites golden`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use loadline_core::digest::{Hasher, canonical_json};
use loadline_suites::{Form, Seed, all};

use crate::support::{options, prompt};

/// How many items of each level go into a digest.
const ITEMS: u64 = 24;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn compare(name: &str, now: &str) {
    let path = golden(name);
    if std::env::var_os("LOADLINE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (before, now)) in before.lines().zip(now.lines()).enumerate() {
        assert_eq!(before, now, "{name}, line {}", line + 1);
    }
    assert_eq!(before, now, "{name} has another length");
}

#[test]
fn golden_digests() {
    let seed = Seed::from_u64(1);
    let mut digests: BTreeMap<String, String> = BTreeMap::new();
    for suite in all() {
        for form in suite.forms() {
            for level in 1..=suite.last_level() {
                let mut hasher = Hasher::new();
                for index in 0..ITEMS {
                    hasher.update(&canonical_json(&suite.sample(&seed, *form, level, index)).unwrap());
                    hasher.update(b"\n");
                }
                let key = format!("{} {} {form} {level}", suite.name(), suite.version());
                digests.insert(key, hasher.finish().to_string());
            }
        }
    }
    let mut text = String::new();
    for (key, digest) in digests {
        writeln!(text, "{digest}  {key}").unwrap();
    }
    compare("digests.txt", &text);
}

#[test]
fn golden_items() {
    let seed = Seed::from_u64(1);
    for suite in all() {
        let mut text = String::new();
        for level in 1..=suite.last_level() {
            // Three neighbours are one problem in three languages.
            let indices = if suite.name() == "languages" { 3 } else { 1 };
            for index in 0..indices {
                for form in suite.forms() {
                    // The longest texts of `retrieval` are told apart well enough by their digests.
                    if suite.name() == "retrieval" && level > 1 {
                        continue;
                    }
                    let sample = suite.sample(&seed, *form, level, index);
                    writeln!(text, "=== {} {form}", sample.id).unwrap();
                    writeln!(text, "{}", prompt(&sample)).unwrap();
                    match form {
                        Form::Generate => writeln!(text, "--> {}\n", sample.target[0]).unwrap(),
                        Form::Choice => {
                            let gold = sample.gold.unwrap();
                            writeln!(text, "--> {} of {:?}\n", gold + 1, options(&sample)).unwrap();
                        }
                    }
                }
            }
        }
        compare(&format!("{}.txt", suite.name()), &text);
    }
}
