//! Golden files: what was written once is written and read for ever.
//!
//! A new file is made by running the tests with `LOADLINE_BLESS=1`; an old one is never changed.

use loadline_core::digest::canonical_json;
use loadline_policy::decide::Decision;
use loadline_policy::license::{License, Statement, Svr};
use loadline_policy::policy::Stage;
use loadline_policy::{Ledger, Policy, compute, decide, policy, rules, strict};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::{digest, good_case, small};

fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = canonical_json(value).unwrap();
    if std::env::var_os("LOADLINE_BLESS").is_some() && !std::path::Path::new(&path).exists() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&stored), "{name}");
    assert_eq!(strict::from_canonical_json::<T>(&stored).unwrap(), *value, "{name}");
}

const DECLARATION: &str = include_str!("../golden/compute.toml");

#[test]
fn a_declaration_and_its_verdicts() {
    let ledger: Ledger = compute::parse(DECLARATION).unwrap();
    golden("compute.json", &ledger);
    let verdicts: Vec<_> =
        rules::shipped().unwrap().iter().map(|pack| pack.judge(&ledger).unwrap()).collect();
    golden("scope.json", &verdicts);
}

#[test]
fn the_shipped_policies() {
    for (name, _) in policy::SHIPPED {
        let policy: Policy = policy::shipped(name).unwrap().unwrap();
        golden(&format!("policy-{name}.json"), &policy);
    }
}

#[test]
fn a_decision_and_its_licence() {
    let policy = small();
    let case = good_case(&policy, Stage::General);
    golden("case.json", &case);
    let decision: Decision = decide(&policy, &case).unwrap();
    golden("decision.json", &decision);
    let license: License = crate::license::license(Stage::General);
    golden("svr.json", &Statement::about("example-model", digest("model"), Svr::of(&license)));
    golden("license.json", &Statement::about("example-model", digest("model"), license));
}

#[test]
fn no_golden_file_has_a_float() {
    let folder = format!("{}/tests/golden", env!("CARGO_MANIFEST_DIR"));
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            assert!(crate::decide::no_float(&value), "{}", path.display());
            read += 1;
        }
    }
    assert!(read > 0);
}
