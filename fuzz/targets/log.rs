//! The texts of the transparency log: notes, checkpoints, proofs, policies, requests to witnesses and their answers,
//! tiles. Whatever is read is written back byte for byte.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use loadline_tlog::tile::{entries, push_entry};
use loadline_tlog::witness::AddCheckpoint;
use loadline_tlog::{
    Checkpoint, ConsistencyProof, InclusionProof, LogProof, Note, Policy, Resource, VerifierKey, leaf_hash,
};

/// Largest input, in bytes.
const MOST: usize = 64 << 10;

fn policy() -> &'static Policy {
    static POLICY: OnceLock<Policy> = OnceLock::new();
    POLICY.get_or_init(|| {
        Policy::parse(include_bytes!("../../crates/loadline-tlog/tests/golden/v1/policy"))
            .expect("the good policy")
    })
}

fn keys() -> Vec<VerifierKey> {
    policy().witnesses().iter().chain(policy().logs()).map(|party| party.key.clone()).collect()
}

fn note(data: &[u8]) {
    let Ok(note) = Note::parse(data) else { return };
    assert_eq!(note.to_text().as_bytes(), data, "another form of a note was read");
    if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
        assert_eq!(checkpoint.to_text(), note.text(), "another form of a checkpoint was read");
    }
    let _ = policy().check(&note);
}

fn tile(data: &[u8]) {
    let (path, bytes) = loadline_fuzz::halves(data);
    let Ok(path) = std::str::from_utf8(path) else { return };
    let Ok(resource) = Resource::parse(path) else { return };
    assert_eq!(resource.path(), path, "a file has two paths");
    let _ = (resource.is_within(u64::MAX), resource.is_within(1), resource.full(), resource.content_type());
    let _ = loadline_tlog::tiles::cut(resource, bytes);
    match resource {
        Resource::Tile(tile) => drop(tile.hashes(bytes)),
        Resource::Entries(span) => {
            let Ok(found) = entries(span, bytes) else { return };
            let mut again = Vec::new();
            for entry in found {
                push_entry(&mut again, entry).expect("a read entry is written");
            }
            assert_eq!(again, bytes, "another form of a bundle of entries was read");
        }
        Resource::Checkpoint => {}
    }
}

/// Proofs with sizes and hashes of any kind: two numbers, then hashes.
fn merkle(data: &[u8]) {
    let Some((numbers, hashes)) = data.split_first_chunk::<16>() else { return };
    let (a, b) = numbers.split_at(8);
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("8 bytes"));
    let (a, b) = (number(a), number(b));
    let path = hashes.as_chunks::<32>().0.to_vec();
    let leaf = leaf_hash(hashes);
    let inclusion = InclusionProof { index: a, size: b, path: path.clone() };
    assert!(inclusion.verify(&leaf, &[7; 32]).is_err(), "a root was guessed");
    let _ = ConsistencyProof { old_size: a, new_size: b, path }.verify(&[7; 32], &[8; 32]);
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    match selector % 8 {
        0 => note(data),
        1 => {
            if let Ok(proof) = LogProof::parse(data) {
                assert_eq!(proof.to_text().as_bytes(), data, "another form of a proof was read");
                let _ = proof.verify(&leaf_hash(b"an entry"), policy());
            }
        }
        2 => {
            if let Ok(request) = AddCheckpoint::parse(data) {
                assert_eq!(request.to_body().as_bytes(), data, "another form of a request was read");
            }
        }
        3 => {
            if let Ok(policy) = Policy::parse(data) {
                let note = include_bytes!("../../crates/loadline-tlog/tests/golden/v1/checkpoint");
                let _ = policy.check(&Note::parse(note).expect("the good checkpoint"));
            }
        }
        4 => {
            let request = include_bytes!("../../crates/loadline-tlog/tests/golden/v1/add-checkpoint");
            let request = AddCheckpoint::parse(request).expect("the good request");
            for status in [200, 409, 500] {
                let _ = request.read_answer(status, data, &keys());
            }
        }
        5 => tile(data),
        6 => merkle(data),
        _ => {
            let text = std::str::from_utf8(data).unwrap_or_default();
            if let Ok(key) = VerifierKey::parse(text) {
                assert_eq!(key.to_vkey(), text, "a key has two forms");
                assert!(!key.verify(data, data), "a signature was guessed");
            }
            if let Ok(checkpoint) = Checkpoint::parse(text) {
                assert_eq!(checkpoint.to_text(), text, "another form of a checkpoint was read");
            }
        }
    }
});
