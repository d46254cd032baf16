//! What a caller can show others of a request of its own.

use std::path::Path;

use loadline_gate::audit::{AuditLog, RECEIPT_FORMAT, Receipt};
use loadline_gate::ledger::{Audit, AuditError, IntentId, Keep};
use loadline_tlog::{Algorithm, Policy, SignerKey, VerifierKey};

use super::sim::SimDisk;
use super::support::{DIR, NAME, block_on, intent, open, outcome};

fn policy(disk: &SimDisk) -> Policy {
    let vkey = String::from_utf8(disk.bytes(&Path::new(DIR).join("signer.vkey")).unwrap()).unwrap();
    Policy::of_log(VerifierKey::parse(vkey.trim_end()).unwrap())
}

/// Two requests at a time, each ending in one of three ways.
fn life(log: &AuditLog, requests: u64) -> Vec<IntentId> {
    let mut ids = Vec::new();
    for number in 0..requests {
        let recorded = block_on(log.intent(intent(number, Keep::Digest))).unwrap();
        ids.push(recorded.id);
        match number % 4 {
            3 => drop(recorded),
            _ => log.outcome(recorded, outcome(number)),
        }
    }
    ids
}

fn receipt(log: &AuditLog, id: IntentId, number: u64) -> Receipt {
    Receipt::parse(&block_on(log.receipt(id, &format!("subject-{}", number % 3))).unwrap()).unwrap()
}

#[test]
fn a_receipt_shows_a_request_and_what_became_of_it_in_any_segment() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 2000).unwrap();
    let ids = life(&log, 20);
    // What nobody waits for is on the disk with what somebody waits for.
    block_on(log.event(loadline_gate::ledger::Event::Ended)).unwrap();
    let policy = policy(&disk);
    for (number, id) in (0..).zip(ids) {
        let receipt = receipt(&log, id, number);
        let shown = receipt.check(&policy).unwrap();
        assert_eq!((shown.log.as_str(), receipt.rows[0].row), (NAME, id.0));
        assert!(shown.size > receipt.rows[1].row && shown.witnesses.is_empty());
        assert_eq!(shown.intent.request, intent(number, Keep::Digest).request.to_string());
        assert_eq!(shown.outcome.map(|outcome| outcome.output), (number % 4 != 3).then_some(number));
    }
}

#[test]
fn a_receipt_that_was_changed_or_is_of_another_log_does_not_hold() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 1 << 20).unwrap();
    let ids = life(&log, 6);
    block_on(log.event(loadline_gate::ledger::Event::Ended)).unwrap();
    let (policy, receipt, other) = (policy(&disk), receipt(&log, ids[1], 1), receipt(&log, ids[2], 2));
    receipt.check(&policy).unwrap();
    let fails = |change: &dyn Fn(&mut Receipt), why: &str| {
        let mut changed = receipt.clone();
        change(&mut changed);
        let said = changed.check(&policy).unwrap_err();
        assert!(said.contains(why), "{said}");
    };
    fails(&|r| r.rows[0].payload = r.rows[0].payload.replace("small", "large"), "leads to another root");
    fails(&|r| r.rows[1].payload = r.rows[1].payload.replace("\"output\":1", "\"output\":9"), "another root");
    fails(&|r| r.rows[0].row += 1, "row 4: ");
    fails(&|r| r.rows[1].path.pop().map_or((), drop), "hashes");
    fails(&|r| r.rows.swap(0, 1), "is no intent");
    fails(&|r| r.rows[1] = r.rows[0].clone(), "is no outcome");
    fails(&|r| r.rows[1] = other.rows[1].clone(), "is about row 5, not about row 3");
    fails(&|r| r.checkpoint = r.checkpoint.replace("gate.example", "gate.invalid"), "does not know a log");
    fails(&|r| r.checkpoint.truncate(40), "");
    let stranger = SignerKey::from_seed(NAME, Algorithm::Ed25519, &[3; 32]).unwrap();
    let said = receipt.check(&Policy::of_log(stranger.verifier().clone())).unwrap_err();
    assert!(said.starts_with("no known key signed this"), "{said}");
    for (bytes, why) in [
        (&b"{}"[..], "not a receipt"),
        (b"\xff", "not a receipt"),
        (br#"{"format":"loadline-receipt/2","rows":[{"row":0,"payload":"","path":[]},{"row":0,"payload":"","path":[]}],"checkpoint":""}"#, "not `loadline-receipt/1`"),
    ] {
        let said = Receipt::parse(bytes).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn nobody_gets_another_s_receipt_or_one_that_is_not_there_yet() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 1 << 20).unwrap();
    let recorded = block_on(log.intent(intent(1, Keep::Digest))).unwrap();
    let id = recorded.id;
    let ask = |id: IntentId, subject: &str| block_on(log.receipt(id, subject)).unwrap_err();
    assert_eq!(ask(id, "subject-1"), AuditError::Pending, "it goes on");
    // Whether it goes on is nobody else's matter.
    log.know(["subject-2"]).unwrap();
    assert_eq!(ask(id, "subject-2"), AuditError::Unknown(id.0));
    assert_eq!(ask(id, "nobody"), AuditError::Unknown(id.0));
    log.outcome(recorded, outcome(1));
    block_on(log.event(loadline_gate::ledger::Event::Ended)).unwrap();
    assert_eq!(receipt(&log, id, 1).format, RECEIPT_FORMAT);
    assert_eq!(ask(id, "subject-2"), AuditError::Unknown(id.0));
    for row in [0, id.0 + 1, 1 << 40] {
        assert_eq!(ask(IntentId(row), "subject-1"), AuditError::Unknown(row));
    }
    // Whose key is erased is not known any more.
    assert!(log.erase("subject-1").unwrap());
    assert_eq!(ask(id, "subject-1"), AuditError::Unknown(id.0));
}

#[test]
fn a_few_receipts_are_made_at_one_time_and_no_more() {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, 1 << 20).unwrap();
    let ids = life(&log, 3);
    block_on(log.event(loadline_gate::ledger::Event::Ended)).unwrap();
    // All of them are asked for before the first is waited for. How many are done by then is a race; one more than may be
    // under way is either refused or right.
    let asked: Vec<_> = (0..30).map(|_| log.receipt(ids[0], "subject-0")).collect();
    let made: Vec<_> = asked.into_iter().map(block_on).collect();
    assert!(made.iter().all(|made| matches!(made, Ok(_) | Err(AuditError::Behind))));
    assert!(made.iter().any(Result::is_ok));
    assert!(block_on(log.receipt(ids[0], "subject-0")).is_ok());
}
