//! `loadline gate key` and `loadline gate audit`: what an operator does with a gate's files.

use std::sync::Arc;

use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{AuditLog, AuditOptions};

use crate::support::Sandbox;

#[test]
fn a_key_is_made_listed_rotated_and_revoked() {
    let sandbox = Sandbox::new();
    let made = sandbox
        .run("gate key new keys.json --subject ada --role scientist --days 90 --tokens-per-day 500")
        .ok();
    let secret = made.stdout.trim();
    assert!(secret.starts_with("llk_") && secret.len() == 47, "{}", made.text());
    assert!(made.stderr.contains("is shown once"), "{}", made.text());
    let file = std::fs::read_to_string(sandbox.path("keys.json")).unwrap();
    assert!(!file.contains(secret) && file.contains("\"tokens_per_day\": 500"), "{file}");
    let listed: serde_json::Value =
        serde_json::from_str(&sandbox.run("gate key list keys.json --json").ok().stdout).unwrap();
    let id = listed["keys"][0]["key"]["id"].as_str().unwrap().to_owned();
    assert_eq!(listed["keys"][0]["state"], "works");
    let rotated = sandbox.run(&format!("gate key rotate keys.json {id} --overlap-hours 2")).ok();
    assert!(rotated.stderr.contains("it works 2 hours"), "{}", rotated.text());
    assert_ne!(rotated.stdout.trim(), secret);
    let revoked = sandbox.run(&format!("gate key revoke keys.json {id}")).ok();
    assert!(revoked.stderr.contains(&format!("Revoked key {id}")), "{}", revoked.text());
    let listed = sandbox.run("gate key list keys.json").ok().stdout;
    assert!(listed.contains("revoked") && listed.contains("works") && listed.contains("ada"), "{listed}");
    let unknown = sandbox.run("gate key revoke keys.json nosuchkey");
    assert_eq!(unknown.code, 2, "{}", unknown.text());
    assert!(unknown.stderr.contains("has no key `nosuchkey`") && unknown.stderr.contains("gate key list"));
    sandbox.write("bad.json", "{\"format\":\"loadline-gate-keys/2\",\"keys\":[]}");
    let bad = sandbox.run("gate key list bad.json");
    assert_eq!(bad.code, 40, "{}", bad.text());
}

fn log(sandbox: &Sandbox) {
    let random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other);
    let options = AuditOptions::new(sandbox.path("audit"), "gate.example", Arc::new(|| 7), Arc::new(random));
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options).unwrap();
    log.know(["ada", "ben"]).unwrap();
    log.close().unwrap();
}

#[test]
fn an_audit_log_is_verified_exported_and_a_subject_erased() {
    let sandbox = Sandbox::new();
    log(&sandbox);
    let verified = sandbox.run("gate audit verify audit").ok();
    assert!(
        verified.stdout.contains("gate.example") && verified.stderr.contains("Verified"),
        "{}",
        verified.text()
    );
    let vkey = std::fs::read_to_string(sandbox.path("audit/signer.vkey")).unwrap();
    let said = sandbox.run_args(["gate", "audit", "verify", "audit", "--json", "--vkey", vkey.trim()]).ok();
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&json["rows"], &json["signed"], &json["torn_bytes"]), (&1.into(), &1.into(), &0.into()));
    let exported = sandbox.run("gate audit export audit").ok().stdout;
    assert!(
        exported.starts_with("{\"row\":0,\"leaf\":\"sha256:") && exported.contains("\"opened\""),
        "{exported}"
    );
    assert_eq!(sandbox.run("gate audit erase audit --list").ok().stdout, "ada\nben\n");
    sandbox.run("gate audit erase audit ada").ok();
    assert_eq!(sandbox.run("gate audit erase audit --list").ok().stdout, "ben\n");
    let again = sandbox.run("gate audit erase audit ada");
    assert_eq!(again.code, 2, "{}", again.text());
    assert!(sandbox.run("gate audit export audit").ok().stdout.contains("\"erased\""));
    sandbox.run("gate audit verify audit").ok();
}

#[test]
fn a_log_that_was_changed_ends_with_30_and_one_that_is_not_there_with_2() {
    let sandbox = Sandbox::new();
    let missing = sandbox.run("gate audit verify nowhere");
    assert_eq!(missing.code, 2, "{}", missing.text());
    assert!(missing.stderr.contains("there is no audit log in nowhere") && missing.stderr.contains("hint:"));
    log(&sandbox);
    let path = sandbox.path(&format!("audit/segment-{:020}", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(8).position(|part| part == b"\"opened\"").unwrap();
    bytes[place + 2] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let changed = sandbox.run("gate audit verify audit");
    assert_eq!(changed.code, 30, "{}", changed.text());
    assert!(changed.stderr.contains("segment-00000000000000000000: byte "), "{}", changed.text());
    assert!(changed.stderr.contains("keep the folder as it is"), "{}", changed.text());
}
