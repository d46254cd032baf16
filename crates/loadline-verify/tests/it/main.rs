//! The program as a person runs it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output};

use loadline_exam::fixture::{Fixture, Plan, make};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadline-verify")).args(args).output().unwrap()
}

fn bundle(folder: &Path) -> (Fixture, String) {
    let made = make(&Plan::default()).unwrap();
    let path = folder.join("license.bundle");
    std::fs::write(&path, made.bundle().unwrap()).unwrap();
    (made, path.to_str().unwrap().to_owned())
}

#[test]
fn a_whole_bundle_holds_and_a_changed_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (made, path) = bundle(folder.path());
    let (root, now) = (made.root.to_string(), made.now.to_string());
    let output = run(&[&path, "--root", &root, "--now", &now]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("Verified  everything that could be looked at holds"), "{text}");
    assert!(text.contains("not shown"), "what no bundle can show is said: {text}");

    let json = run(&[&path, "--json", "--now", &now]).stdout;
    let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(report["holds"], true);

    let other = format!("sha256:{}", "0".repeat(64));
    let output = run(&[&path, "--root", &other, "--now", &now]);
    assert_eq!(output.status.code(), Some(30));
    assert!(String::from_utf8(output.stdout).unwrap().contains("Refused  step `roots` does not hold"));

    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(run(&[&path, "--now", &now]).status.code(), Some(30));
}

#[test]
fn what_it_cannot_read_is_named() {
    let output = run(&["no-such.bundle"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: cannot read `no-such.bundle`: "), "{text}");
    assert!(text.contains("hint: "), "{text}");
    let output = run(&["."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`.` is a folder"));
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(run(&[]).status.code(), Some(2));
}
