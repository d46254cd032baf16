//! The crash table, played: power cut, kill, full disk, failing sync, at every step.

use std::path::Path;

use loadline_gate::audit::{AuditOpenError, verify};
use loadline_gate::ledger::{Audit, AuditError, Keep};

use super::sim::{Fault, SimDisk};
use super::support::{DIR, block_on, intent, open, outcome};

const REQUESTS: u64 = 7;
/// Small, so that segments turn.
const SEGMENT: u64 = 1200;

/// What a process did and was told before it ended.
#[derive(Debug, Default, Clone)]
struct Told {
    opened: bool,
    /// Requests that were forwarded.
    forwarded: u64,
    refused: Option<AuditError>,
    error: Option<String>,
}

fn life(disk: &SimDisk, told: &mut Told) -> Result<(), AuditOpenError> {
    let (log, _) = open(disk, SEGMENT)?;
    told.opened = true;
    for number in 0..REQUESTS {
        match block_on(log.intent(intent(number, Keep::Digest))) {
            Ok(recorded) => {
                assert_eq!(told.refused, None, "a request was forwarded after one could not be written");
                told.forwarded += 1;
                if number % 3 != 2 {
                    log.outcome(recorded, outcome(number));
                }
            }
            Err(error) => told.refused = Some(error),
        }
    }
    log.close()?;
    Ok(())
}

fn live(disk: &SimDisk) -> Told {
    let mut told = Told::default();
    told.error = life(disk, &mut told).err().map(|error| error.to_string());
    told
}

/// Every request that was forwarded has its intent, the log verifies, and the next process goes on.
fn check(disk: &SimDisk, told: &Told, context: &str) {
    let before = match verify(disk, Path::new(DIR), None) {
        Ok(verified) => verified,
        Err(AuditOpenError::Missing(_) | AuditOpenError::Form { .. }) if !told.opened => {
            let then = live(disk);
            assert_eq!((then.error, then.forwarded), (None, REQUESTS), "{context}");
            return;
        }
        Err(error) => panic!("{context}: {error}"),
    };
    assert!(before.intents >= told.forwarded, "{context}: {before:?} {told:?}");
    let (log, found) = open(disk, SEGMENT).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(found.unsettled.len() as u64, before.open, "{context}");
    assert_eq!(found.bytes_cut, before.torn_bytes, "{context}");
    assert!(log.book().open.is_empty(), "{context}");
    // Never under-charged: at least what every forwarded request used.
    let charged = log.book().accounts.get("quota/q").map_or(0, |usage| usage.term_tokens);
    let used = |number: u64| if number % 3 == 2 { 100 } else { 10 + number };
    assert!(charged >= (0..told.forwarded).map(used).sum(), "{context}: {charged} {told:?}");
    log.close().unwrap();
    let then = live(disk);
    assert_eq!((then.error, then.forwarded), (None, REQUESTS), "{context}");
    let after = verify(disk, Path::new(DIR), None).unwrap();
    assert_eq!((after.torn_bytes, after.open), (0, 0), "{context}");
    assert_eq!(after.intents, before.intents + REQUESTS, "{context}");
}

#[test]
fn no_forwarded_request_is_without_its_intent_after_a_power_cut_or_a_kill_at_any_step() {
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::PowerCut);
        let told = live(&disk);
        for seed in 0..4 {
            let after = disk.power_cut(step * 1000 + seed);
            // A second cut while it recovers.
            if seed > 1 {
                after.fail_at(step % 11 + seed, Fault::PowerCut);
                let then = live(&after);
                let opened = told.opened || then.opened;
                let after = after.power_cut(step + seed);
                let both = Told { opened, forwarded: told.forwarded, ..Told::default() };
                check(&after, &both, &format!("two power cuts, step {step}, seed {seed}"));
            } else {
                check(&after, &told, &format!("power cut at step {step}, seed {seed}"));
            }
        }
        check(&disk.killed(), &told, &format!("kill at step {step}"));
        if !disk.struck() {
            assert!(told.error.is_none() && told.forwarded == REQUESTS && step > 40, "{step} {told:?}");
            break;
        }
    }
}

#[test]
fn a_full_disk_and_a_failed_sync_refuse_every_request_from_then_on() {
    for fault in [Fault::Full, Fault::SyncFails] {
        let mut refusals = 0;
        for step in 0.. {
            let disk = SimDisk::failing(step, fault);
            let told = live(&disk);
            if !disk.struck() {
                break;
            }
            if let Some(refused) = &told.refused {
                refusals += 1;
                assert_eq!(*refused == AuditError::Full, fault == Fault::Full, "{refused}");
            }
            for after in [disk.killed(), disk.power_cut(step)] {
                check(&after, &told, &format!("{fault:?} at step {step}"));
            }
        }
        assert!(refusals > 8, "{fault:?}: {refusals}");
    }
}

#[test]
fn a_gate_whose_log_has_failed_says_so() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 1 << 20).unwrap();
    block_on(log.intent(intent(0, Keep::Digest))).map(|recorded| log.outcome(recorded, outcome(1))).unwrap();
    disk.fail_at(0, Fault::Full);
    assert_eq!(block_on(log.intent(intent(1, Keep::Digest))).unwrap_err(), AuditError::Full);
    assert_eq!(log.ready(), Err(AuditError::Full));
    assert_eq!(block_on(log.intent(intent(2, Keep::Digest))).unwrap_err(), AuditError::Full);
}
