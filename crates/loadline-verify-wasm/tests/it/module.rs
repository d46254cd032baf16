//! The module itself, in Node, beside the library: the same bundles, the same reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use loadline_verify_wasm::MOST_BUNDLE_BYTES;
use serde_json::{Value, json};

use crate::support::{Vector, vectors};

/// What the module says of each job, or `None` after saying that the test is left out.
fn by_module(name: &str, jobs: &[Value]) -> Option<Vec<Value>> {
    let Some(module) = std::env::var_os("LOADLINE_WASM") else {
        loadline_testkit::left_out("needs LOADLINE_WASM: what `build.sh` makes, loadline-verify.wasm");
        return None;
    };
    let node = std::env::var_os("LOADLINE_NODE").unwrap_or_else(|| "node".into());
    if Command::new(&node).arg("--version").output().is_err() {
        loadline_testkit::left_out("needs Node.js, as `node` or where LOADLINE_NODE says");
        return None;
    }
    let list = folder(name).join("jobs.json");
    std::fs::write(&list, serde_json::to_vec(jobs).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/run.mjs");
    let output = Command::new(node).arg(script).arg(module).arg(list).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let reports: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.len(), jobs.len());
    Some(reports)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_module_agrees_with_the_library_word_by_word() {
    let vectors = vectors(300);
    let folder = folder("wasm-vectors");
    let file = |number: usize, kind: &str, bytes: &[u8]| {
        let path = folder.join(format!("{number}.{kind}"));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let jobs = vectors.iter().enumerate().map(|(number, vector)| {
        let mut job = vector.options();
        job["bundle"] = json!(file(number, "bundle", &vector.bundle));
        job["standing"] = json!(vector.anchor.standing.as_ref().map(|b| file(number, "standing", b)));
        job
    });
    let Some(theirs) = by_module("wasm-jobs", &jobs.collect::<Vec<_>>()) else { return };
    let mut holding = 0;
    for (vector, theirs) in vectors.iter().zip(&theirs) {
        let ours = vector.report();
        assert_eq!(theirs["steps"], ours["steps"], "{}", vector.name);
        assert_eq!(theirs, &ours, "{}", vector.name);
        holding += usize::from(ours["holds"] == true);
    }
    // As it is, not pinned, witnessed, of the older form, at a later moment, and in good standing: a comparison of failures
    // only would show little.
    assert_eq!(holding, 6);
    let of = |name: &str| vectors.iter().zip(&theirs).find(|(vector, _)| vector.name == name).unwrap().1;
    let seed = |name: &str| of(name)["steps"].as_array().unwrap().iter().find(|step| step["name"] == "seed");
    assert_eq!(seed("older, and must be witnessed").unwrap()["status"], "failed");
}

#[test]
fn whatever_goes_wrong_has_words() {
    let now = "2027-01-01T00:00:00Z";
    let jobs = [
        json!({ "zeros": MOST_BUNDLE_BYTES + 1, "now": now }),
        json!({ "zeros": 3, "now": "today" }),
        json!({ "now": now, "ends": "" }),
        json!({ "now": now, "ends": r#"{"error":"the verifier stopped: panicked","hint":"this is a bug"}"# }),
    ];
    let Some(said) = by_module("wasm-refusals", &jobs) else { return };
    for (said, words) in said.iter().zip([
        "bundle of 1073741825 bytes: at most 1073741824 are accepted here",
        "the options cannot be read: `today` is not a moment",
        "the verifier stopped: unreachable",
        "the verifier stopped: panicked",
    ]) {
        assert!(said["error"].as_str().unwrap().contains(words), "{said}");
        assert!(!said["hint"].as_str().unwrap().is_empty(), "{said}");
    }
}

/// What the page says first of reports: `[words, colour]` of each.
fn said_first(reports: &[Value]) -> Option<Vec<(String, String)>> {
    let node = std::env::var_os("LOADLINE_NODE").unwrap_or_else(|| "node".into());
    if Command::new(&node).arg("--version").output().is_err() {
        loadline_testkit::left_out("needs Node.js, as `node` or where LOADLINE_NODE says");
        return None;
    }
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/host.mjs");
    let script = "const { verdict } = await import(process.argv[1]); \
                  const said = JSON.parse(process.argv[2]).map(verdict); \
                  process.stdout.write(JSON.stringify(said.map(({ words, kind }) => [words, kind])));";
    let mut command = Command::new(node);
    command.args(["--input-type=module", "-e", script]).arg(host).arg(json!(reports).to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_page_is_green_only_where_something_is_licensed() {
    let whole = vectors(20).iter().map(Vector::report).find(|report| report["holds"] == true).unwrap();
    assert!(whole["summary"]["license"].is_string() && whole["summary"]["outcome"] == "allow", "{whole}");
    let with = |outcome: Value, license: &Value| {
        let mut report = whole.clone();
        (report["summary"]["outcome"], report["summary"]["license"]) = (outcome, license.clone());
        report
    };
    let mut broken = whole.clone();
    (broken["holds"], broken["steps"][2]["status"]) = (json!(false), json!("failed"));
    let reports = [
        whole.clone(),
        with(json!("deny"), &Value::Null),
        with(json!("undetermined"), &Value::Null),
        with(json!("allow"), &Value::Null),
        broken,
        json!({ "error": "no bundle", "hint": "" }),
    ];
    let Some(said) = said_first(&reports) else { return };
    for ((words, colour), (expected, expected_colour)) in said.iter().zip([
        ("Verified: everything that could be looked at holds", "ok"),
        ("Holds, and licenses nothing: deny", ""),
        ("Holds, and licenses nothing: undetermined", ""),
        ("Holds, and licenses nothing: allow, and no licence came of it yet", ""),
        ("Refused: step ", "failed"),
        ("no bundle", "failed"),
    ]) {
        assert!(words.starts_with(expected) && colour == expected_colour, "{words} in {colour:?}");
    }
}
