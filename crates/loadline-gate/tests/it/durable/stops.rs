//! Stopping is easy and durable; starting again is neither easy nor an accident.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use loadline_core::Instant;
use loadline_evidence::disk::{Disk, RealDisk};
use loadline_gate::ledger::{StopError, StopStore, StopTarget};
use loadline_gate::stops::{Action, FileStops, MAX_AGE_S, ORDER_FORMAT, ORDER_TYPE, STOPS, StopOrder};
use loadline_trust::root::ROOT_FORMAT;
use loadline_trust::{Envelope, Role, RoleKeys, Root, SecretKey};

use super::sim::{Fault, SimDisk};
use super::support::block_on;

const GATE: &str = "gate.example/audit";

fn at(seconds: u64) -> Instant {
    Instant::from_seconds(1_800_000_000 + seconds).unwrap()
}

fn key(name: &str, seed: u8) -> SecretKey {
    SecretKey::from_seeds(name, &[seed; 32], &[seed + 100; 32]).unwrap()
}

fn holders() -> [SecretKey; 3] {
    [key("ann", 1), key("ben", 2), key("cid", 3)]
}

/// Three hold the stop keys, two of them start again.
fn root() -> Arc<Root> {
    let (owner, holders) = (key("owner", 9), holders());
    let stop: BTreeSet<_> = holders.iter().map(|key| key.public().id()).collect();
    let keys: BTreeMap<_, _> =
        holders.iter().chain([&owner]).map(|key| (key.public().id(), key.public().clone())).collect();
    let role = |keyids, threshold| RoleKeys { keyids, threshold };
    let roles = [
        (Role::Root, role([owner.public().id()].into(), 1)),
        (Role::Standing, role([owner.public().id()].into(), 1)),
        (Role::Stop, role(stop, 2)),
    ];
    Arc::new(Root {
        format: ROOT_FORMAT.to_owned(),
        version: 1,
        previous: None,
        issued: at(0),
        expires: at(1_000_000),
        keys,
        roles: roles.into(),
        log_policy: String::new(),
    })
}

fn open(disk: &SimDisk) -> FileStops {
    FileStops::open(Arc::new(disk.clone()), Path::new("state"), GATE, root()).unwrap()
}

fn disk() -> SimDisk {
    let disk = SimDisk::default();
    disk.create_dir(Path::new("state")).unwrap();
    disk.sync_dir(Path::new(".")).unwrap();
    disk
}

fn model(name: &str) -> StopTarget {
    StopTarget::Model(name.to_owned())
}

fn order(
    action: Action,
    target: StopTarget,
    previous: Option<loadline_core::Digest>,
    issued: u64,
) -> StopOrder {
    StopOrder {
        format: ORDER_FORMAT.to_owned(),
        gate: GATE.to_owned(),
        action,
        target,
        previous,
        issued: at(issued),
        reason: "drill".to_owned(),
    }
}

fn signed(order: &StopOrder, keys: &[&SecretKey]) -> Bytes {
    Envelope::sign_json(ORDER_TYPE, order, keys).unwrap().to_bytes().into()
}

fn give(store: &FileStops, order: &StopOrder, keys: &[&SecretKey], now: u64) -> Result<(), String> {
    match block_on(store.order(signed(order, keys), at(now))) {
        Ok(_) => Ok(()),
        Err(StopError::Refused { message, hint }) => {
            assert!(!hint.is_empty());
            Err(message)
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn one_holder_stops_and_two_start_again_from_the_state_they_saw() {
    let (disk, [ann, ben, cid]) = (disk(), holders());
    let store = open(&disk);
    give(&store, &order(Action::Stop, model("m"), None, 0), &[&ben], 1).unwrap();
    assert_eq!(store.stops().targets, [model("m")].into());
    let last = store.stops().last;
    let start = order(Action::Start, model("m"), last, 5);
    assert!(give(&store, &start, &[&ann], 6).unwrap_err().contains("1 of"), "one is too few");
    // Something else is stopped meanwhile: what they signed is not what is.
    give(&store, &order(Action::Stop, StopTarget::All, None, 7), &[&cid], 7).unwrap();
    let error = give(&store, &start, &[&ann, &cid], 8).unwrap_err();
    assert_eq!(error, "the order is for another state of this gate");
    let last = store.stops().last;
    give(&store, &order(Action::Start, StopTarget::All, last, 9), &[&ann, &cid], 9).unwrap();
    let last = store.stops().last;
    assert_eq!(open(&disk).stops(), store.stops(), "a restart finds the same");
    give(&store, &order(Action::Start, model("m"), last, 10), &[&ben, &cid], 10).unwrap();
    assert!(store.stops().targets.is_empty());
    assert_eq!(open(&disk.killed()).stops(), store.stops());
}

#[test]
fn who_may_not_and_what_is_old_or_elsewhere_is_refused() {
    let (disk, [ann, ben, _]) = (disk(), holders());
    let store = open(&disk);
    let stop = order(Action::Stop, model("m"), None, 1_000);
    let stranger = key("eve", 50);
    give(&store, &stop, &[&stranger], 1_000).unwrap_err();
    give(&store, &stop, &[&key("owner", 9)], 1_000).unwrap_err();
    assert!(give(&store, &stop, &[&ann], 1_001 + MAX_AGE_S).unwrap_err().contains("not near that"));
    assert!(give(&store, &stop, &[&ann], 0).unwrap_err().contains("not near that"));
    let elsewhere = StopOrder { gate: "other".to_owned(), ..stop.clone() };
    assert_eq!(give(&store, &elsewhere, &[&ann], 1_000).unwrap_err(), "the order is for the gate `other`");
    assert!(store.stops().targets.is_empty());
    give(&store, &stop, &[&ann], 1_000).unwrap();
    assert_eq!(give(&store, &stop, &[&ann], 1_001).unwrap_err(), "this order was followed already");
    let last = store.stops().last;
    let not = give(&store, &order(Action::Start, model("n"), last, 1_002), &[&ann, &ben], 1_002).unwrap_err();
    assert_eq!(not, "this is not stopped");
    // An old root stops, and does not start.
    let late = 2_000_000;
    give(&store, &order(Action::Stop, StopTarget::All, None, late), &[&ann], late).unwrap();
    let last = store.stops().last;
    let start = order(Action::Start, StopTarget::All, last, late);
    assert_eq!(give(&store, &start, &[&ann, &ben], late).unwrap_err(), "the root is not current");
    let bytes = signed(&stop, &[&ann]);
    for place in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        assert!(block_on(store.order(changed.into(), at(1_000))).is_err(), "{place}");
    }
}

#[test]
fn an_order_that_was_answered_is_there_after_any_crash_and_without_a_disk_all_is_stopped() {
    let [ann, ..] = holders();
    for fault in [Fault::PowerCut, Fault::Full, Fault::SyncFails] {
        for step in 0.. {
            let disk = disk();
            let store = open(&disk);
            give(&store, &order(Action::Stop, model("first"), None, 0), &[&ann], 0).unwrap();
            disk.fail_at(step, fault);
            let told = give(&store, &order(Action::Stop, model("second"), None, 1), &[&ann], 1);
            if told.is_err() {
                assert!(store.stops().targets.contains(&StopTarget::All), "what nobody knows is stopped");
                assert!(give(&store, &order(Action::Stop, model("x"), None, 2), &[&ann], 2).is_err());
            }
            for after in (0..6).map(|seed| disk.power_cut(step * 10 + seed)).chain([disk.killed()]) {
                let targets = open(&after).stops().targets.clone();
                assert!(targets.contains(&model("first")), "{fault:?} at step {step}");
                assert!(targets.contains(&model("second")) || told.is_err(), "{fault:?} at step {step}");
            }
            if !disk.struck() {
                assert!(told.is_ok() && step >= 3);
                break;
            }
        }
    }
}

#[test]
fn a_file_that_is_not_whole_lets_nothing_be_served() {
    let (disk, [ann, ..]) = (disk(), holders());
    give(&open(&disk), &order(Action::Stop, model("m"), None, 0), &[&ann], 0).unwrap();
    let path = Path::new("state/stops");
    let bytes = disk.bytes(path).unwrap();
    for length in (0..bytes.len() - 1).step_by(7) {
        disk.put(path, &bytes[..length]);
        let opened = FileStops::open(Arc::new(disk.clone()), Path::new("state"), GATE, root());
        assert!(opened.is_err(), "{length}");
    }
}

/// The file's bytes, which are these. A new file is made with `LOADLINE_BLESS=1`; an old one is never changed.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = format!("{}/tests/golden/v1/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LOADLINE_BLESS").is_some() && !Path::new(&path).exists() {
        std::fs::write(&path, bytes).unwrap();
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&stored), "{name}");
    stored
}

#[test]
fn orders_and_their_file_are_read_for_ever() {
    let (folder, other, [ann, ben, cid]) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), holders());
    let open = |dir: &Path| FileStops::open(Arc::new(RealDisk), dir, GATE, root()).unwrap();
    let store = open(folder.path());
    let stop = order(Action::Stop, model("m"), None, 0);
    let stored = golden("stop-order.json", &signed(&stop, &[&ben]));
    block_on(store.order(stored.into(), at(1))).unwrap();
    give(&store, &order(Action::Stop, StopTarget::Key("0a1b2c3d4e5f".to_owned()), None, 2), &[&cid], 2)
        .unwrap();
    let start = order(Action::Start, model("m"), store.stops().last, 3);
    give(&store, &start, &[&ann, &cid], 3).unwrap();
    let stored = golden(STOPS, &std::fs::read(folder.path().join(STOPS)).unwrap());
    std::fs::write(other.path().join(STOPS), stored).unwrap();
    let read = open(other.path());
    assert_eq!(read.stops(), store.stops());
    assert_eq!(read.stops().targets, [StopTarget::Key("0a1b2c3d4e5f".to_owned())].into());
    let terms = read.terms();
    assert_eq!((terms.gate.as_str(), terms.start_needs), (GATE, 2));
    assert_eq!(terms.stop_keys, [&ann, &ben, &cid].map(|key| key.public().id()).into());
}
