//! Files that every later version must read, and write the same.

use std::path::PathBuf;
use std::sync::Arc;

use loadline_tlog::disk::{RealDisk, WitnessFolder};
use loadline_tlog::witness::{AddCheckpoint, KnownLog, Witness, WitnessStore as _, origin_hash};
use loadline_tlog::{Algorithm, LogProof, Note, Policy, leaf_hash};

use crate::support::{MemoryLog, NOW, ORIGIN, key, log_verifier};

/// The file, after making it anew where the environment asks for it.
fn golden(name: &str, now: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    if std::env::var_os("LOADLINE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn what_was_written_once_is_read_and_written_the_same_for_ever() {
    let log = MemoryLog::of(300);
    let witnesses = [
        key("w.example/ed25519", Algorithm::CosignatureEd25519, 20),
        key("w.example/ml-dsa-44", Algorithm::CosignatureMlDsa44, 21),
    ];
    let mut note = log.note();
    let mut policy = format!("log {}\n", log_verifier().to_vkey());
    for (name, witness) in ["A", "B"].iter().zip(&witnesses) {
        note.sign(witness, NOW).unwrap();
        policy.push_str(&format!("witness {name} {}\n", witness.verifier().to_vkey()));
    }
    policy.push_str("group both all A B\nquorum both\n");
    let policy_file = golden("policy", &policy);
    let checkpoint_file = golden("checkpoint", &note.to_text());
    let (_, inclusion) = log.reader().inclusion(77).unwrap();
    let proof = LogProof { extra: None, index: 77, path: inclusion.path, checkpoint: note.clone() };
    let proof_file = golden("entry-77.tlog-proof", &proof.to_text());
    let request = AddCheckpoint::build(&mut log.reader(), 256, log.note()).unwrap();
    let request_file = golden("add-checkpoint", &request.to_body());

    let folder = tempfile::tempdir().unwrap();
    let known = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_verifier()] }];
    let store = WitnessFolder::open(folder.path(), Arc::new(RealDisk)).unwrap();
    let mut witness = Witness::new(witnesses[..1].to_vec(), known, store).unwrap();
    let first = AddCheckpoint::build(&mut log.reader(), 0, log.note()).unwrap();
    assert_eq!(witness.add_checkpoint(first.to_body().as_bytes(), NOW).unwrap().status(), 200);
    drop(witness);
    let kept = folder.path().join(origin_hash(ORIGIN));
    let kept_file = golden("witness-store", &std::fs::read_to_string(&kept).unwrap());
    std::fs::write(&kept, &kept_file).unwrap();
    let store = WitnessFolder::open(folder.path(), Arc::new(RealDisk)).unwrap();
    assert_eq!(store.latest(ORIGIN).unwrap().unwrap().size, 300);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), kept_file);

    assert_eq!(policy_file, policy);
    let accepts = Policy::parse(policy_file.as_bytes()).unwrap();
    assert_eq!(Note::parse(checkpoint_file.as_bytes()).unwrap(), note);
    assert_eq!(LogProof::parse(proof_file.as_bytes()).unwrap(), proof);
    LogProof::parse(proof_file.as_bytes()).unwrap().verify(&leaf_hash(b"entry 77"), &accepts).unwrap();
    assert_eq!(AddCheckpoint::parse(request_file.as_bytes()).unwrap(), request);
}
