//! The packages that the Go checksum database is made of read our log, and we read theirs.

use std::process::Command;
use std::sync::Arc;

use loadline_tlog::Note;
use loadline_tlog::disk::{DiskLog, RealDisk};

use crate::support::{ORIGIN, log_key, log_verifier, signed};

/// Runs where `LOADLINE_GO` names a `go` of the machine that finds `golang.org/x/mod` without fetching it (on Debian
/// with `golang-go` and `golang-golang-x-mod-dev`: `LOADLINE_GO=go GO111MODULE=off GOPATH=/usr/share/gocode`).
#[test]
fn a_log_is_read_by_go() {
    let Some(go) = std::env::var_os("LOADLINE_GO") else {
        eprintln!("left out: LOADLINE_GO names no Go");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    let mut log = DiskLog::create(&dir, Arc::new(RealDisk), vec![log_verifier()], ORIGIN, signed).unwrap();
    for size in [3, 700] {
        log.append((log.size()..size).map(|number| format!("entry {number}")), signed).unwrap();
    }
    let head = log.head().clone();
    log.publish(&head).unwrap();
    let main = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/main.go");
    let output = Command::new(go)
        .args(["run", main])
        .arg(&dir)
        .args([log_verifier().to_vkey(), log_key().expose_skey()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let (size, note) = said.split_once('\n').unwrap();
    assert_eq!(size, "700");
    assert_eq!(Note::parse(note.as_bytes()).unwrap(), head, "Ed25519 is deterministic: the very same note");
}
