//! Files of version 1, which are read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_access::book::State;
use loadline_access::lottery::Lottery;
use loadline_access::request::{Act, Verdict};
use loadline_access::{Desk, programme};
use loadline_evidence::disk::RealDisk;

use crate::support::{Office, at, random};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// A course with every kind of row but those of a crash.
fn course() -> (Office, Vec<String>) {
    let mut office = Office::new();
    let mut ids = Vec::new();
    for (name, domain) in
        [("ada", "uni.example"), ("bob", "a.example"), ("cyd", "c.example"), ("dan", "d.example")]
    {
        ids.push(office.apply(name, domain));
    }
    let first = office.asked(&ids[0])[0].clone();
    office.ask(&first, Some(&ids[0]), Act::Recuse("we publish together".to_owned())).unwrap();
    office.decide(&ids[0], Verdict::Accept);
    office.decide(&ids[1], Verdict::Reject);
    office.ask("bob", Some(&ids[1]), Act::Appeal("you misread it".to_owned())).unwrap();
    office.decide(&ids[1], Verdict::Accept);
    office.ask("cyd", Some(&ids[2]), Act::Withdraw).unwrap();
    office.decide(&ids[3], Verdict::Accept);
    office.now = at("2027-01-01T00:00:00Z");
    let now = office.now;
    let drawn = office.desk().draw("2026-1", None, now).unwrap();
    let names = |id: &String| ["ada", "bob", "cyd", "dan"][ids.iter().position(|known| known == id).unwrap()];
    let (name, id) = (names(&drawn.order[0]), drawn.order[0].clone());
    office.ask(name, Some(&id), Act::Claim).unwrap();
    office.ask(name, Some(&id), Act::Report("two papers".to_owned())).unwrap();
    office.desk().revoke(&id, now).unwrap();
    office.desk().erase(&id, now).unwrap();
    (office, ids)
}

/// Makes them anew: only when a format gets a new version.
fn bless() {
    let (mut office, _) = course();
    let lottery = serde_json::to_vec_pretty(&office.desk().lottery("2026-1").unwrap()).unwrap();
    let programme = crate::support::text("");
    drop(office.desk.take());
    let to = golden();
    std::fs::create_dir_all(to.join("state")).unwrap();
    for entry in std::fs::read_dir(office.state()).unwrap() {
        let path = entry.unwrap().path();
        // The key that signs is for tests only; it follows from the test's own numbers.
        if path.file_name().unwrap() != "lock" {
            std::fs::copy(&path, to.join("state").join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::write(to.join("lottery.json"), lottery).unwrap();
    std::fs::write(to.join("access.toml"), programme).unwrap();
    for (name, _) in crate::support::REVIEWERS {
        let name = format!("{name}.pub.json");
        std::fs::copy(office.folder.path().join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn a_programme_of_version_1_is_read_to_the_same_end_and_written_the_same_today() {
    if std::env::var_os("LOADLINE_BLESS").is_some() {
        bless();
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&golden(), folder.path());
    let text = std::fs::read_to_string(folder.path().join("access.toml")).unwrap();
    let programme = programme::parse(&text, folder.path()).unwrap();
    let now = at("2027-01-01T00:00:00Z");
    let (desk, cut) = Desk::open(Arc::new(RealDisk), programme, now, random()).unwrap();
    assert_eq!(cut, None);
    let mut states: Vec<_> = desk.book().cases.values().map(|case| desk.book().state(case, now)).collect();
    states.sort_by_key(|state| state.word());
    assert_eq!(states, [State::Admitted, State::Ended, State::Waitlisted, State::Withdrawn]);
    let counts = desk.figures(now).total;
    assert_eq!((counts.appeals, counts.overturned, counts.granted, counts.reported), (1, 1, 1, 1));
    let drawn: Lottery =
        serde_json::from_slice(&std::fs::read(golden().join("lottery.json")).unwrap()).unwrap();
    assert_eq!(desk.lottery("2026-1").unwrap(), drawn);
    drawn.verify(None).unwrap();

    let (mut office, _) = course();
    drop(office.desk.take());
    let name = "segment-00000000000000000000";
    let kept = std::fs::read(golden().join("state").join(name)).unwrap();
    assert!(std::fs::read(office.state().join(name)).unwrap() == kept, "the rows of version 1 have changed");
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&place).unwrap();
            copy(&path, &place);
        } else {
            std::fs::copy(&path, &place).unwrap();
        }
    }
}
