//! A log and a witness on a disk that loses power, is full, or lies about a sync, at every step.

use std::collections::BTreeMap;
use std::sync::Arc;

use loadline_tlog::disk::{DiskError, DiskLog, WitnessFolder, fsck};
use loadline_tlog::witness::{AddCheckpoint, KnownLog, Witness, WitnessStore as _};
use loadline_tlog::{Algorithm, Checkpoint, Hash, Note};

use crate::sim::{Fault, SimDisk};
use crate::support::{MemoryLog, NOW, ORIGIN, key, log_verifier, signed};

/// Sizes after each batch: within a tile, at its edge, over it, and over two.
const SIZES: [u64; 6] = [0, 1, 3, 256, 257, 517];

/// What somebody outside has seen signed: one root for each size, for ever.
#[derive(Clone, Default)]
struct Seen(BTreeMap<u64, Hash>);

impl Seen {
    fn see(&mut self, note: &Note) {
        let checkpoint = Checkpoint::parse(note.text()).unwrap();
        let root = *self.0.entry(checkpoint.size()).or_insert(*checkpoint.root());
        assert_eq!(root, *checkpoint.root(), "two histories of {} entries were signed", checkpoint.size());
    }

    fn newest(&self) -> u64 {
        self.0.keys().next_back().copied().unwrap_or_default()
    }

    /// Everything that was seen is an earlier state of this log.
    fn hold_in(&self, log: &DiskLog) {
        assert!(log.size() >= self.newest(), "{} entries were seen, {} are left", self.newest(), log.size());
        for (size, root) in &self.0 {
            assert_eq!(log.reader().consistency(*size).unwrap().0, *root, "at {size}");
        }
    }
}

fn open(disk: &SimDisk) -> Result<DiskLog, DiskError> {
    DiskLog::open("log", Arc::new(disk.clone()), vec![log_verifier()])
}

fn create(disk: &SimDisk) -> Result<DiskLog, DiskError> {
    DiskLog::create("log", Arc::new(disk.clone()), vec![log_verifier()], ORIGIN, signed)
}

/// Adds a batch. What is added differs from life to life, so that a signature that leaked too early shows as a fork.
fn append(log: &mut DiskLog, to: u64, life: &str) -> Result<(), DiskError> {
    let entries = (log.size()..to).map(|number| format!("entry {number} of {life}"));
    log.append(entries, signed).map(drop)
}

/// Makes a log and adds every batch, until something fails.
fn play(disk: &SimDisk, seen: &mut Seen) -> Result<(), DiskError> {
    let mut log = create(disk)?;
    for size in SIZES {
        append(&mut log, size, "the first life")?;
        seen.see(log.head());
        let head = log.head().clone();
        log.publish(&head)?;
    }
    Ok(())
}

/// Whatever happened: the log opens, has every batch whole or not at all, and holds to what was seen.
fn holds(disk: &SimDisk, mut seen: Seen, seed: u64, place: &str) -> (DiskLog, Seen) {
    let log = match open(disk) {
        Ok(log) => log,
        // Not yet made: then nobody has seen it.
        Err(DiskError::Missing(_)) if seen.0.is_empty() => create(disk).unwrap(),
        Err(error) => panic!("{place}: {error}"),
    };
    assert!(SIZES.contains(&log.size()), "{place}: {} entries", log.size());
    seen.hold_in(&log);
    seen.see(log.head());
    // What is shown after opening must last even if the power goes right now.
    let again = open(&disk.power_cut(seed)).unwrap_or_else(|error| panic!("{place}, again: {error}"));
    seen.hold_in(&again);
    (log, seen)
}

/// [`holds`], and the log goes on.
fn check(disk: &SimDisk, seen: Seen, seed: u64, place: &str) {
    let (mut log, mut seen) = holds(disk, seen, seed, place);
    // Within the tile that was torn, or far over it.
    let size = log.size() + if seed.is_multiple_of(2) { 300 } else { 2 };
    append(&mut log, size, place).unwrap();
    let head = log.head().clone();
    log.publish(&head).unwrap();
    seen.see(&head);
    seen.hold_in(&log);
    drop(log);
    let report = fsck("log", Arc::new(disk.clone()), &[log_verifier()], &[], &mut |_, _| ())
        .unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!((report.audited.entries, report.published), (size, Some(size)));
}

/// Plays with a fault at every step; gives the number of steps.
fn at_every_step(fault: Fault, mut aftermath: impl FnMut(&SimDisk, &Seen, &str)) -> u64 {
    for step in 0.. {
        let (disk, mut seen) = (SimDisk::default(), Seen::default());
        disk.fail_at(step, fault);
        let result = play(&disk, &mut seen);
        if !disk.struck() {
            result.unwrap();
            return step;
        }
        aftermath(&disk, &seen, &format!("{fault:?} at step {step}"));
    }
    unreachable!()
}

#[test]
fn the_power_may_go_or_the_process_be_killed_at_every_step() {
    let steps = at_every_step(Fault::PowerCut, |disk, seen, place| {
        check(&disk.killed(), seen.clone(), 0, &format!("{place}, killed"));
        for seed in 0..6 {
            check(&disk.power_cut(seed), seen.clone(), seed, &format!("{place}, power, seed {seed}"));
        }
    });
    assert!(steps > 100, "{steps} steps");
}

#[test]
fn the_power_may_go_again_at_every_step_of_opening() {
    at_every_step(Fault::PowerCut, |disk, seen, place| {
        for (number, first) in [disk.killed(), disk.power_cut(1)].into_iter().enumerate() {
            for step in 0.. {
                let second = first.copy();
                second.fail_at(step, Fault::PowerCut);
                let mut seen = seen.clone();
                let opened = open(&second).or_else(|_| create(&second));
                opened.iter().for_each(|log| seen.see(log.head()));
                if !second.struck() {
                    break;
                }
                let place = format!("{place}, then {number}, then step {step}");
                for third in [second.killed(), second.power_cut(step)] {
                    holds(&third, seen.clone(), step, &place);
                }
            }
        }
    });
}

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing() {
    at_every_step(Fault::Full, |disk, seen, place| {
        check(&disk.killed(), seen.clone(), 0, place);
        check(&disk.power_cut(2), seen.clone(), 2, place);
    });
}

#[test]
fn a_sync_that_fails_stops_the_log_and_loses_nothing() {
    at_every_step(Fault::SyncFails, |disk, seen, place| {
        check(&disk.killed(), seen.clone(), 0, place);
        for seed in 0..4 {
            check(&disk.power_cut(seed), seen.clone(), seed, place);
        }
    });
}

#[test]
fn after_an_error_of_the_disk_nothing_is_taken_until_it_is_opened_again() {
    for fault in [Fault::Full, Fault::SyncFails] {
        for step in 0.. {
            let disk = SimDisk::default();
            let mut log = create(&disk).unwrap();
            append(&mut log, 3, "before").unwrap();
            disk.fail_at(step, fault);
            let head = log.head().clone();
            let result = append(&mut log, 300, "during").and_then(|()| log.publish(&head));
            if !disk.struck() {
                assert!(step > 5);
                break;
            }
            // An error is forgiven in one place only: where files that are not needed any more are removed.
            if let Err(error) = result {
                assert!(!error.hint().is_empty());
                assert!(
                    matches!(append(&mut log, 301, "after"), Err(DiskError::Stopped(_))),
                    "{fault:?} {step}"
                );
                assert!(matches!(log.publish(&head), Err(DiskError::Stopped(_))));
            }
        }
    }
}

#[test]
fn two_writers_and_a_restored_copy_are_refused() {
    let disk = SimDisk::default();
    let mut log = create(&disk).unwrap();
    append(&mut log, 3, "first").unwrap();
    assert!(matches!(open(&disk), Err(DiskError::Locked { pid: Some(1), .. })));
    assert!(matches!(create(&disk), Err(DiskError::Locked { .. })));
    let head = log.head().clone();
    log.publish(&head).unwrap();
    let old = disk.killed();
    append(&mut log, 300, "first").unwrap();
    let head = log.head().clone();
    log.publish(&head).unwrap();
    drop(log);
    // The folder of yesterday, with today's published checkpoint put back beside it.
    old.put("log/checkpoint", head.to_text().as_bytes());
    let error = open(&old).unwrap_err();
    assert_eq!(error.to_string(), "the log in log is damaged: 300 entries are published, but the head has 3");
    assert!(error.hint().contains("do not sign"));
    // And one of another history.
    let other = SimDisk::default();
    let mut log = create(&other).unwrap();
    append(&mut log, 400, "second").unwrap();
    drop(log);
    other.put("log/checkpoint", head.to_text().as_bytes());
    assert!(open(&other).unwrap_err().to_string().contains("of another history"));
}

fn witness(disk: &SimDisk) -> Result<Witness<WitnessFolder>, DiskError> {
    let store = WitnessFolder::open("witness", Arc::new(disk.clone()))?;
    let logs = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_verifier()] }];
    Ok(Witness::new(vec![key("w.example", Algorithm::CosignatureEd25519, 20)], logs, store).unwrap())
}

fn request(log: &MemoryLog, old: u64) -> String {
    AddCheckpoint::build(&mut log.reader(), old, log.note()).unwrap().to_body()
}

/// Has a log cosigned at some sizes, until something fails; gives the largest size that was seen cosigned.
fn be_witnessed(disk: &SimDisk) -> (u64, bool) {
    let (mut log, mut seen) = (MemoryLog::default(), 0);
    let Ok(mut witness) = witness(disk) else { return (0, false) };
    for size in [1, 200, 300] {
        let old = log.edge.size();
        log.grow(size);
        match witness.add_checkpoint(request(&log, old).as_bytes(), NOW) {
            Ok(answer) => assert_eq!(answer.status(), 200),
            Err(_) => {
                // It says no more until it is opened again: what is on disk is not known.
                assert!(witness.add_checkpoint(request(&log, old).as_bytes(), NOW).is_err());
                assert!(witness.store().latest(ORIGIN).is_err());
                return (seen, false);
            }
        }
        seen = size;
    }
    (seen, true)
}

#[test]
fn a_witness_never_forgets_what_it_cosigned() {
    let mut steps = 0;
    for fault in [Fault::PowerCut, Fault::Full, Fault::SyncFails] {
        for step in 0.. {
            let disk = SimDisk::default();
            disk.fail_at(step, fault);
            let (seen, done) = be_witnessed(&disk);
            if !disk.struck() {
                assert!(done);
                break;
            }
            steps += 1;
            let after = (0..6).map(|seed| disk.power_cut(seed)).chain([disk.killed()]);
            for (number, disk) in after.enumerate() {
                let place = format!("{fault:?} at step {step}, {number}");
                let mut reopened = witness(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
                let known = reopened.store().latest(ORIGIN).unwrap().map_or(0, |latest| latest.size);
                assert!(known >= seen, "{place}: {seen} were cosigned, {known} are known");
                // What it shows now lasts, too.
                let again = witness(&disk.power_cut(number as u64)).unwrap();
                assert_eq!(again.store().latest(ORIGIN).unwrap().map_or(0, |latest| latest.size), known);
                let mut fork = MemoryLog { fork_from: Some(0), ..MemoryLog::default() };
                fork.grow(500);
                let status = reopened.add_checkpoint(request(&fork, known).as_bytes(), NOW).unwrap().status();
                assert_eq!(status, if known == 0 { 200 } else { 422 }, "{place}");
            }
        }
    }
    assert!(steps > 30, "{steps} steps");
}

#[test]
fn a_witness_folder_with_a_changed_byte_is_refused_and_has_one_writer() {
    let disk = SimDisk::default();
    assert_eq!(be_witnessed(&disk), (300, true));
    let held = witness(&disk).unwrap();
    assert!(matches!(witness(&disk), Err(DiskError::Locked { .. })));
    drop(held);
    let files: Vec<String> = disk.files().into_iter().filter(|path| path.starts_with("witness/")).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let bytes = disk.bytes(file).unwrap();
    for at in 0..bytes.len() {
        let (disk, mut bytes) = (disk.copy(), bytes.clone());
        bytes[at] ^= 1;
        disk.put(file, &bytes);
        assert!(matches!(witness(&disk), Err(DiskError::WitnessDamaged { .. })), "byte {at}");
    }
    for length in 0..bytes.len() {
        let disk = disk.copy();
        disk.put(file, &bytes[..length]);
        assert!(witness(&disk).is_err(), "cut to {length}");
    }
    disk.put("witness/0000", &bytes);
    assert!(witness(&disk).unwrap_err().to_string().contains("another log's name"));
}
