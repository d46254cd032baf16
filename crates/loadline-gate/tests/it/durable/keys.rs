//! Callers' keys: made, shown once, rotated, revoked, kept.

use std::path::Path;

use loadline_core::{Digest, Instant};
use loadline_evidence::disk::Disk;
use loadline_gate::keys::{KeyFile, KeyState, KeysError, NewKey};

use super::sim::{Fault, SimDisk};
use super::support::random;

fn at(seconds: u64) -> Instant {
    Instant::from_seconds(1_800_000_000 + seconds).unwrap()
}

fn new(subject: &str) -> NewKey {
    NewKey { subject: subject.to_owned(), role: "scientist".to_owned(), ..NewKey::default() }
}

const PATH: &str = "state/keys.json";

fn disk() -> SimDisk {
    let disk = SimDisk::default();
    disk.create_dir(Path::new("state")).unwrap();
    disk.sync_dir(Path::new(".")).unwrap();
    disk
}

#[test]
fn a_key_is_shown_once_and_kept_as_its_hash() {
    let disk = disk();
    let (mut file, _lock) = KeyFile::edit(&disk, Path::new(PATH)).unwrap();
    let (secret, key) = file.issue(new("ada"), at(0), &random(1)).unwrap();
    let key = key.clone();
    assert_eq!(secret.expose().len(), "llk_".len() + 43);
    assert_eq!(key.hash, Digest::of(secret.expose().as_bytes()));
    assert!(secret.expose().starts_with(&key.shown) && key.shown.len() == 10);
    assert_eq!((key.id.len(), key.quota == key.id), (12, true));
    file.write(&disk).unwrap();
    let text = String::from_utf8(disk.bytes(Path::new(PATH)).unwrap()).unwrap();
    assert!(!text.contains(secret.expose()) && text.contains(&key.hash.to_string()));
    assert_eq!(KeyFile::read(&disk, Path::new(PATH)).unwrap(), file);
    assert!(matches!(KeyFile::edit(&disk, Path::new(PATH)), Err(KeysError::Locked(_))));
    assert_ne!(file.issue(new("ada"), at(0), &random(2)).unwrap().0.expose(), secret.expose());
}

#[test]
fn rotation_overlaps_and_revocation_does_not() {
    let mut file = KeyFile::read(&disk(), Path::new(PATH)).unwrap();
    let id = file.issue(new("ada"), at(0), &random(1)).unwrap().1.id.clone();
    let (_, next) = file.rotate(&id, 3600, at(100), &random(2)).unwrap();
    let (next_id, quota) = (next.id.clone(), next.quota.clone());
    assert_eq!(quota, id, "the same quota goes on");
    let old = &file.keys()[0];
    assert_eq!(old.state(at(100)), KeyState::Replaced);
    assert_eq!(old.state(at(3700)), KeyState::Replaced);
    assert_eq!(old.state(at(3701)), KeyState::Expired);
    assert_eq!(file.keys()[1].state(at(99_999)), KeyState::Works);
    let error = file.rotate(&id, 3600, at(100), &random(3)).unwrap_err();
    assert_eq!(error.to_string(), format!("key `{id}` does not work any more: nothing can take its place"));
    assert_eq!(file.revoke(&next_id, at(200)).unwrap().state(at(0)), KeyState::Revoked);
    assert_eq!(file.revoke(&next_id, at(300)).unwrap().revoked, Some(at(200)));
    let near = format!("{}zz", &next_id[..10]);
    let error = file.revoke(&near, at(1)).unwrap_err();
    assert_eq!(error.to_string(), format!("state/keys.json has no key `{near}`"));
    assert_eq!(error.hint(), format!("did you mean `{next_id}`?"));
}

#[test]
fn what_is_no_key_or_no_file_of_keys_is_refused_with_its_reason() {
    let mut file = KeyFile::read(&disk(), Path::new(PATH)).unwrap();
    for name in ["", "a\nb", &"x".repeat(129)] {
        assert!(matches!(file.issue(new(name), at(0), &random(1)), Err(KeysError::Value(_))), "{name:?}");
    }
    let quota = Some("loadline-watch".to_owned());
    for of_the_gate in [new("loadline-watch"), NewKey { quota, ..new("ada") }] {
        let error = file.issue(of_the_gate, at(0), &random(1)).unwrap_err();
        assert_eq!(error.to_string(), "`loadline-watch` is the gate's own name: choose another");
    }
    let late = NewKey { expires: Some(at(0)), ..new("ada") };
    assert_eq!(
        file.issue(late, at(0), &random(1)).unwrap_err().to_string(),
        "a key that ends before it begins"
    );
    file.issue(new("ada"), at(0), &random(1)).unwrap();
    let disk = disk();
    file.write(&disk).unwrap();
    let good = String::from_utf8(disk.bytes(Path::new(PATH)).unwrap()).unwrap();
    let id = file.keys()[0].id.clone();
    let cases = [
        (String::new(), "this is no file of keys: "),
        (good.replace("keys/1", "keys/2"), "`format` is `loadline-gate-keys/2`, not `loadline-gate-keys/1`"),
        (good.replace("\"role\"", "\"rule\""), "this is no file of keys: unknown field `rule`"),
        (
            good.replace("\"ada\"", "\"loadline-watch\""),
            "has the name `loadline-watch`, which is the gate's own",
        ),
        (
            good.replace(&format!("\"quota\": \"{id}\""), "\"quota\": \"loadline-watch\""),
            "has the name `loadline-watch`, which is the gate's own",
        ),
        (good.replacen(&id, "0123456789ab", 1), "the hash of key `0123456789ab` is of another key"),
    ];
    for (text, expected) in cases {
        let error = KeyFile::parse(text.as_bytes(), Path::new(PATH)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.hint().is_empty());
    }
    let twice: serde_json::Value = serde_json::from_str(&good).unwrap();
    let key = twice["keys"][0].clone();
    let twice = serde_json::json!({"format": "loadline-gate-keys/1", "keys": [key.clone(), key]}).to_string();
    let error = KeyFile::parse(twice.as_bytes(), Path::new(PATH)).unwrap_err();
    assert!(error.to_string().ends_with("is there twice"), "{error}");
}

#[test]
fn a_crash_leaves_the_old_file_or_the_new_one() {
    let first = {
        let disk = disk();
        let mut file = KeyFile::read(&disk, Path::new(PATH)).unwrap();
        file.issue(new("ada"), at(0), &random(1)).unwrap();
        file.write(&disk).unwrap();
        (disk.bytes(Path::new(PATH)).unwrap(), file)
    };
    let mut second = first.1.clone();
    let id = second.keys()[0].id.clone();
    second.revoke(&id, at(5)).unwrap();
    for step in 0.. {
        let disk = disk();
        disk.put(Path::new(PATH), &first.0);
        disk.fail_at(step, Fault::PowerCut);
        let written = second.write(&disk);
        for seed in 0..8 {
            let after = disk.power_cut(step * 100 + seed);
            assert!(after.exists(Path::new(PATH)).unwrap());
            let read = KeyFile::read(&after, Path::new(PATH)).unwrap();
            assert!(read == second || (written.is_err() && read == first.1), "step {step}");
        }
        if !disk.struck() {
            break;
        }
    }
}
