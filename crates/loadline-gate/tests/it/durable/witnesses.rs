//! Witnesses of the audit log: a log that is shorter than what they cosigned, or another one, is found.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadline_evidence::disk::Disk;
use loadline_gate::audit::{
    AuditLog, AuditOpenError, Believed, COSIGNED, Receipt, Witnesses, policy, verify, verify_with,
};
use loadline_gate::ledger::{Audit, AuditError, Event, Keep};
use loadline_gate::post::{Post, Posted};
use loadline_tlog::witness::{KnownLog, MemoryStore, Witness};
use loadline_tlog::{Algorithm, SignerKey, VerifierKey};

use super::sim::SimDisk;
use super::support::{DIR, NAME, block_on, intent, options, outcome};

const SEGMENT: u64 = 2000;
const URL: &str = "http://witness.example/";

/// Two witnesses behind the seam that a gate asks through. They know the log of one key.
#[derive(Default)]
struct Town {
    witnesses: Mutex<Vec<Witness<MemoryStore>>>,
    silent: Mutex<bool>,
    asked: Mutex<Vec<String>>,
}

impl Post for Town {
    fn post(
        &self,
        url: &str,
        content_type: &'static str,
        body: Vec<u8>,
        _: usize,
        _: Duration,
    ) -> Result<Posted, String> {
        assert_eq!(content_type, "text/plain; charset=utf-8");
        self.asked.lock().unwrap().push(url.to_owned());
        if *self.silent.lock().unwrap() {
            return Err("no connection".to_owned());
        }
        let number = if url == "http://witness.example/0/add-checkpoint" { 0 } else { 1 };
        let answer = self.witnesses.lock().unwrap()[number].add_checkpoint(&body, 1_800_000_000).unwrap();
        Ok(Posted { status: answer.status(), body: answer.body().into_bytes() })
    }
}

fn keys() -> [SignerKey; 2] {
    [("w0", Algorithm::CosignatureEd25519, 2), ("w1", Algorithm::CosignatureMlDsa44, 3)]
        .map(|(name, algorithm, seed)| SignerKey::from_seed(name, algorithm, &[seed; 32]).unwrap())
}

fn policy_text(quorum: &str) -> Vec<u8> {
    let [w0, w1] = keys().map(|key| key.verifier().to_vkey());
    format!("witness W0 {w0} {URL}0\nwitness W1 {w1} {URL}1\ngroup both all W0 W1\nquorum {quorum}\n")
        .into_bytes()
}

struct Street {
    town: Arc<Town>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Street {
    /// A log that has been begun, and witnesses that know its key.
    fn new(disk: &SimDisk) -> Self {
        open_with(disk, None).unwrap().close().unwrap();
        let street = Self { town: Arc::default(), notices: Arc::default() };
        let logs = vec![KnownLog { origin: NAME.to_owned(), keys: vec![vkey(disk)] }];
        *street.town.witnesses.lock().unwrap() = keys()
            .into_iter()
            .map(|key| Witness::new(vec![key], logs.clone(), MemoryStore::default()).unwrap())
            .collect();
        street
    }

    fn open(&self, disk: &SimDisk) -> Result<AuditLog, AuditOpenError> {
        let notices = Arc::clone(&self.notices);
        open_with(
            disk,
            Some(Witnesses {
                policy: policy_text("both"),
                post: Arc::clone(&self.town) as _,
                every: Duration::from_secs(3_600),
                notice: Arc::new(move |what| notices.lock().unwrap().push(what)),
            }),
        )
    }
}

fn open_with(disk: &SimDisk, witnesses: Option<Witnesses>) -> Result<AuditLog, AuditOpenError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut options = options(DIR, SEGMENT);
    options.witnesses = witnesses;
    AuditLog::open(shared, options).map(|(log, _)| log)
}

fn vkey(disk: &SimDisk) -> VerifierKey {
    let text = disk.bytes(&Path::new(DIR).join("signer.vkey")).unwrap();
    VerifierKey::parse(String::from_utf8(text).unwrap().trim_end()).unwrap()
}

fn grow(log: &AuditLog, requests: std::ops::Range<u64>) {
    for number in requests {
        let recorded = block_on(log.intent(intent(number, Keep::Digest))).unwrap();
        log.outcome(recorded, outcome(number));
    }
    block_on(log.event(Event::Ended)).unwrap();
}

fn refused(opened: Result<AuditLog, AuditOpenError>, why: &str) {
    let error = opened.map(|_| ()).unwrap_err();
    assert!(error.is_tampered() && error.to_string().contains(why), "{error}");
    assert!(error.hint().contains("Put the log back that was cosigned"), "{}", error.hint());
}

/// Everything in a log's folder, but for what witnesses cosigned where that is to be left out.
fn copy_of(disk: &SimDisk, with_cosigned: bool) -> SimDisk {
    let copy = SimDisk::default();
    copy.create_dir(Path::new(DIR)).unwrap();
    for name in disk.list(Path::new(DIR)).unwrap() {
        if with_cosigned || name != COSIGNED {
            let path = Path::new(DIR).join(name);
            copy.put(&path, &disk.bytes(&path).unwrap());
        }
    }
    copy
}

#[test]
fn what_a_log_says_of_itself_is_cosigned_kept_and_checked() {
    let disk = SimDisk::default();
    let street = Street::new(&disk);
    for life in 0..3 {
        let log = street.open(&disk).unwrap();
        grow(&log, life * 10..life * 10 + 10);
        log.close().unwrap();
    }
    let verified = verify(&disk, Path::new(DIR), None).unwrap();
    assert!(verified.segments > 3 && verified.cosigned == Some(verified.mark.rows), "{verified:?}");
    let believed = |quorum| Believed { policy: Some(policy_text(quorum)), ..Believed::default() };
    let with = verify_with(&disk, Path::new(DIR), &believed("both")).unwrap();
    assert_eq!(with.witnesses, [("W0".to_owned(), 1_800_000_000), ("W1".to_owned(), 1_800_000_000)]);
    assert!(street.notices.lock().unwrap().is_empty());
    // A policy of somebody else believes none of it.
    let stranger = SignerKey::from_seed("w9", Algorithm::CosignatureEd25519, &[9; 32]).unwrap();
    let text = format!("witness W9 {}\nquorum W9\n", stranger.verifier().to_vkey()).into_bytes();
    let others = Believed { policy: Some(text), ..Believed::default() };
    let error = verify_with(&disk, Path::new(DIR), &others).unwrap_err();
    assert!(error.is_tampered() && error.to_string().contains("nobody cosigned"), "{error}");
    let bad = Believed { policy: Some(b"quorum".to_vec()), ..Believed::default() };
    let error = verify_with(&disk, Path::new(DIR), &bad).unwrap_err();
    assert!(error.to_string().contains("policy line 1"), "{error}");
}

#[test]
fn a_shorter_copy_and_a_fork_are_refused_whatever_was_replaced() {
    let disk = SimDisk::default();
    let street = Street::new(&disk);
    let log = street.open(&disk).unwrap();
    grow(&log, 0..8);
    log.close().unwrap();
    let (old, old_alone) = (copy_of(&disk, true), copy_of(&disk, false));
    let log = street.open(&disk).unwrap();
    grow(&log, 8..20);
    log.close().unwrap();
    // The whole folder of an earlier day, in itself without fault: its witnesses know more.
    verify(&old, Path::new(DIR), None).unwrap();
    for copy in [&old, &old_alone] {
        let before = copy.bytes(&Path::new(DIR).join(format!("segment-{:020}", 0)));
        refused(street.open(copy), "entries of this log, which has");
        assert_eq!(
            copy.bytes(&Path::new(DIR).join(format!("segment-{:020}", 0))),
            before,
            "nothing is added to it"
        );
    }
    // Only what was cosigned is of today: that is enough, and needs nobody to be asked.
    let cosigned = Path::new(DIR).join(COSIGNED);
    old.put(&cosigned, &disk.bytes(&cosigned).unwrap());
    refused(open_with(&old, None), "cosigned");
    let error = verify(&old, Path::new(DIR), None).unwrap_err();
    assert!(error.is_tampered() && error.to_string().contains("cut short"), "{error}");
    // What a witness says is as good as what is in the folder.
    let elsewhere = Some(("w".into(), disk.bytes(&cosigned).unwrap()));
    let believed = Believed { cosigned: elsewhere, ..Believed::default() };
    verify_with(&old_alone, Path::new(DIR), &believed).unwrap_err();
    // Somebody with the log's key wrote another history, longer than the true one, and signed it.
    let fork = old_alone.copy();
    let log = open_with(&fork, None).unwrap();
    grow(&log, 100..130);
    log.close().unwrap();
    verify(&fork, Path::new(DIR), None).unwrap();
    refused(street.open(&fork), "422");
    fork.put(&cosigned, &disk.bytes(&cosigned).unwrap());
    refused(open_with(&fork, None), "rewritten");
    let error = verify(&fork, Path::new(DIR), None).unwrap_err();
    assert!(error.to_string().contains("the log was rewritten"), "{error}");
    // Gone altogether.
    let empty = SimDisk::default();
    empty.create_dir(Path::new(DIR)).unwrap();
    for name in ["signer.key", "signer.vkey", COSIGNED] {
        let path = Path::new(DIR).join(name);
        empty.put(&path, &disk.bytes(&path).unwrap());
    }
    let error = street.open(&empty).map(|_| ()).unwrap_err();
    assert!(error.is_tampered() && error.to_string().contains("is gone"), "{error}");
    // The true one goes on.
    street.open(&disk).unwrap().close().unwrap();
}

#[test]
fn silent_witnesses_stop_nothing_and_are_asked_again() {
    let disk = SimDisk::default();
    let street = Street::new(&disk);
    *street.town.silent.lock().unwrap() = true;
    let log = street.open(&disk).unwrap();
    grow(&log, 0..3);
    log.ready().unwrap();
    log.close().unwrap();
    let said = street.notices.lock().unwrap().clone();
    assert!(said.len() == 1 && said[0].contains("`W0`: no connection; `W1`: no connection"), "{said:?}");
    assert_eq!(verify(&disk, Path::new(DIR), None).unwrap().cosigned, None);
    *street.town.silent.lock().unwrap() = false;
    let log = street.open(&disk).unwrap();
    grow(&log, 3..6);
    log.close().unwrap();
    let verified = verify(&disk, Path::new(DIR), None).unwrap();
    assert_eq!(verified.cosigned, Some(verified.mark.rows));
    let asked = street.town.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|url| url.ends_with("/add-checkpoint") && !url.contains("//add")), "{asked:?}");
}

#[test]
fn a_receipt_has_what_the_witnesses_cosigned_and_waits_for_it() {
    let disk = SimDisk::default();
    let street = Street::new(&disk);
    let log = street.open(&disk).unwrap();
    let recorded = block_on(log.intent(intent(1, Keep::Digest))).unwrap();
    let id = recorded.id;
    log.outcome(recorded, outcome(1));
    grow(&log, 2..9);
    assert_eq!(block_on(log.receipt(id, "subject-1")), Err(AuditError::Pending), "not cosigned yet");
    log.close().unwrap();
    let log = street.open(&disk).unwrap();
    let receipt = Receipt::parse(&block_on(log.receipt(id, "subject-1")).unwrap()).unwrap();
    let strict = policy(&policy_text("both"), &vkey(&disk)).unwrap();
    let shown = receipt.check(&strict).unwrap();
    assert_eq!(shown.witnesses.len(), 2);
    // Without the cosignatures it does not satisfy who asks for them.
    let lines: Vec<&str> = receipt.checkpoint.lines().collect();
    let alone = Receipt { checkpoint: format!("{}\n", lines[..5].join("\n")), ..receipt.clone() };
    let error = alone.check(&strict).unwrap_err();
    assert!(error.contains("too few witnesses"), "{error}");
    alone.check(&loadline_tlog::Policy::of_log(vkey(&disk))).unwrap();
}

/// A receipt and the policy that believes it, read for ever. `LOADLINE_BLESS` makes them when they are not there: only when
/// the format gets a new version.
#[test]
fn a_receipt_of_format_1_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let (file, whose) = (folder.join("receipt.json"), folder.join("receipt.policy"));
    if std::env::var_os("LOADLINE_BLESS").is_some() && !file.exists() {
        let disk = SimDisk::default();
        let street = Street::new(&disk);
        let log = street.open(&disk).unwrap();
        grow(&log, 0..4);
        log.close().unwrap();
        let log = street.open(&disk).unwrap();
        let receipt = block_on(log.receipt(loadline_gate::ledger::IntentId(4), "subject-1")).unwrap();
        std::fs::write(&file, receipt).unwrap();
        let log = format!("log {}\n", vkey(&disk).to_vkey());
        std::fs::write(&whose, [log.as_bytes(), &policy_text("both")].concat()).unwrap();
    }
    let receipt = Receipt::parse(&std::fs::read(file).unwrap()).unwrap();
    let policy = loadline_tlog::Policy::parse(&std::fs::read(whose).unwrap()).unwrap();
    let shown = receipt.check(&policy).unwrap();
    assert_eq!((shown.log.as_str(), shown.witnesses.len()), (NAME, 2));
    assert_eq!(shown.intent.request, intent(1, Keep::Digest).request.to_string());
    assert_eq!(shown.outcome.unwrap().output, 1);
}
