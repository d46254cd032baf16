//! What survives a crash, and what is noticed.

use std::sync::Arc;

use loadline_access::Desk;
use loadline_access::book::State;
use loadline_access::request::{Act, Verdict};
use loadline_access::store::StoreError;
use loadline_evidence::disk::RealDisk;
use loadline_gate::keys::{KeyFile, KeyState};

use crate::support::Office;

fn segment(office: &Office) -> std::path::PathBuf {
    office.state().join("segment-00000000000000000000")
}

fn open(office: &mut Office) -> Result<Desk, StoreError> {
    let programme = office.programme();
    Desk::open(Arc::new(RealDisk), programme, office.now, Arc::clone(&office.random)).map(|(desk, _)| desk)
}

#[test]
fn wherever_a_crash_cuts_the_log_what_was_answered_is_there_and_the_rest_follows() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let asked = office.asked(&id);
    office.review(&asked[0], &id, Verdict::Accept).unwrap();
    let programme = office.programme();
    drop(office.desk.take());
    let (before, note) =
        (std::fs::read(segment(&office)).unwrap(), std::fs::read(office.state().join("checkpoint")).unwrap());
    office.desk = Some(
        Desk::open(Arc::new(RealDisk), programme.clone(), office.now, Arc::clone(&office.random)).unwrap().0,
    );
    office.review(&asked[1], &id, Verdict::Accept).unwrap();
    drop(office.desk.take());
    let after = std::fs::read(segment(&office)).unwrap();
    assert!(after.starts_with(&before));
    let mut states = Vec::new();
    for cut in (before.len()..=after.len()).step_by(97).chain([after.len()]) {
        std::fs::write(segment(&office), &after[..cut]).unwrap();
        std::fs::write(office.state().join("checkpoint"), &note).unwrap();
        let now = office.now;
        let (desk, _) =
            Desk::open(Arc::new(RealDisk), programme.clone(), now, Arc::clone(&office.random)).unwrap();
        let state = desk.status(&id, now).unwrap().state;
        let reviews = desk.book().cases[&id].seats.iter().filter(|seat| seat.review.is_some()).count();
        // With the second review in the log the decision follows from it, wherever the crash came.
        assert_eq!(state == State::Accepted, reviews == 2, "cut at {cut}");
        states.push(state);
    }
    assert!(states.contains(&State::InReview) && states.contains(&State::Accepted));
}

#[test]
fn a_log_that_was_changed_cut_or_replaced_is_not_opened() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    office.decide(&id, Verdict::Reject);
    let programme = office.programme();
    drop(office.desk.take());
    let path = segment(&office);
    let whole = std::fs::read(&path).unwrap();
    let try_open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Desk::open(Arc::new(RealDisk), programme.clone(), office.now, Arc::clone(&office.random)).map(|_| ())
    };
    let text = String::from_utf8_lossy(&whole).into_owned();
    let changed = text.replacen("\"verdict\":\"reject\"", "\"verdict\":\"accept\"", 1);
    let error = try_open(changed.as_bytes()).unwrap_err();
    assert!(error.is_tampered(), "{error}");
    // Rows that the signed checkpoint counts are gone.
    let error = try_open(&whole[..whole.len() / 2]).unwrap_err();
    assert!(error.is_tampered(), "{error}");
    std::fs::write(&path, &whole).unwrap();
    std::fs::remove_file(office.state().join("checkpoint")).unwrap();
    assert!(try_open(&whole).unwrap_err().to_string().contains("is gone"));
}

#[test]
fn a_key_that_a_crash_kept_from_being_shown_is_revoked_and_another_made() {
    let (mut office, id) = Office::admitted();
    let now = office.now;
    let programme = office.programme();
    drop(office.desk.take());
    let kept = kept(&office);
    office.desk = Some(open_with(&office, &programme));
    office.ask("ada", Some(&id), Act::Claim).unwrap();
    drop(office.desk.take());
    // As if the process had died between the gate's file and the row.
    restore(kept);
    office.desk = Some(open_with(&office, &programme));
    office.ask("ada", Some(&id), Act::Claim).unwrap();
    let file = KeyFile::read(&RealDisk, &programme.keys).unwrap();
    let states: Vec<_> = file.keys().iter().map(|key| key.state(now)).collect();
    assert_eq!(states, [KeyState::Revoked, KeyState::Works]);
}

/// The programme's files as they are.
fn kept(office: &Office) -> Vec<(Vec<u8>, std::path::PathBuf)> {
    let paths = std::fs::read_dir(office.state()).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (std::fs::read(&path).unwrap(), path)).collect()
}

fn restore(kept: Vec<(Vec<u8>, std::path::PathBuf)>) {
    for (bytes, path) in kept {
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_revocation_whose_row_a_crash_took_holds_and_is_written_down_by_the_next() {
    let (mut office, id) = Office::admitted();
    let now = office.now;
    office.desk().grant(&id, now).unwrap();
    let programme = office.programme();
    drop(office.desk.take());
    let kept = kept(&office);
    office.desk = Some(open_with(&office, &programme));
    office.desk().revoke(&id, now).unwrap();
    drop(office.desk.take());
    // As if the process had died between the gate's file, which is first, and the row.
    restore(kept);
    office.desk = Some(open_with(&office, &programme));
    let state = || KeyFile::read(&RealDisk, &programme.keys).unwrap().keys()[0].state(now);
    assert_eq!(state(), KeyState::Revoked);
    assert_eq!(office.status("ada", &id).state, State::Granted);
    office.desk().revoke(&id, now).unwrap();
    assert_eq!((state(), office.status("ada", &id).state), (KeyState::Revoked, State::Ended));
}

fn open_with(office: &Office, programme: &loadline_access::Programme) -> Desk {
    Desk::open(Arc::new(RealDisk), programme.clone(), office.now, Arc::clone(&office.random)).unwrap().0
}

#[test]
fn one_process_at_a_time_and_one_programme_a_folder() {
    let mut office = Office::new();
    let error = open(&mut office).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("process") || error.to_string().contains("writ"), "{error}");
    assert!(error.hint().contains("serve"), "{}", error.hint());
    let mut other = office.programme();
    other.name = "example.org/other".to_owned();
    let found = Desk::found(Arc::new(RealDisk), office.programme(), office.now, Arc::clone(&office.random));
    assert!(found.is_err());
    drop(office.desk.take());
    let opened = Desk::open(Arc::new(RealDisk), other, office.now, Arc::clone(&office.random)).map(|_| ());
    let error = opened.unwrap_err();
    assert!(error.to_string().contains("example.org/access"), "{error}");
}

#[test]
fn an_erasure_that_a_crash_cut_short_is_finished_at_the_next_start() {
    let mut office = Office::new();
    let (id, other) = (office.apply("ada", "uni.example"), office.apply("bob", "uni.example"));
    let now = office.now;
    let path = office.state().join("subjects");
    let keys = std::fs::read(&path).unwrap();
    office.desk().erase(&id, now).unwrap();
    let programme = office.programme();
    drop(office.desk.take());
    let after = std::fs::read(&path).unwrap();
    // As if the process had died between the row, which is first, and the keys.
    std::fs::write(&path, &keys).unwrap();
    office.desk = Some(open_with(&office, &programme));
    assert!(std::fs::read(&path).unwrap() == after, "the key is gone again");
    assert!(office.ask("ada", Some(&id), Act::Status).is_err());
    assert_eq!(office.status("bob", &other).application, other);
    // Erased once more it is the same, and no row is added.
    let rows = std::fs::read(segment(&office)).unwrap();
    office.desk().erase(&id, now).unwrap();
    assert!(std::fs::read(segment(&office)).unwrap() == rows);
}

#[test]
fn a_disk_that_refuses_the_row_of_an_erasure_keeps_the_key() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let path = office.state().join("subjects");
    let keys = std::fs::read(&path).unwrap();
    let before = office.desk().book().cases[&id].erased;
    // The checkpoint cannot be written: a folder stands where its new file should be.
    std::fs::create_dir(office.state().join("checkpoint.new")).unwrap();
    let now = office.now;
    assert!(!before && office.desk().erase(&id, now).is_err());
    assert!(std::fs::read(&path).unwrap() == keys, "no key goes before it is written down that it does");
}
