//! Who must have seen a checkpoint: policy, witness, offline proof, monitor; and those who lie to them.

use loadline_tlog::merkle::empty_root;
use loadline_tlog::policy::Refused;
use loadline_tlog::witness::{
    AddCheckpoint, Answer, ClientError, KnownLog, MemoryStore, Outcome, Witness, origin_hash,
};
use loadline_tlog::{
    Algorithm, Checkpoint, ConsistencyProof, Finding, LogProof, Monitor, Note, Policy, SignerKey, leaf_hash,
};

use crate::support::{MemoryLog, NOW, ORIGIN, changed, key, log_verifier, sign};

fn witnesses() -> Vec<SignerKey> {
    let kinds = [Algorithm::CosignatureEd25519, Algorithm::CosignatureMlDsa44, Algorithm::CosignatureEd25519];
    (0..3u8).zip(kinds).map(|(n, kind)| key(&format!("w.example/{n}"), kind, 20 + n)).collect()
}

fn policy_text(end: &str) -> String {
    let mut text = format!("# a policy\n\nlog {} https://example.com/\n", log_verifier().to_vkey());
    for (number, witness) in witnesses().iter().enumerate() {
        text.push_str(&format!("witness  W{number}\t{}\n", witness.verifier().to_vkey()));
    }
    text + end
}

fn policy(end: &str) -> Policy {
    Policy::parse(policy_text(end).as_bytes()).unwrap()
}

fn cosigned(log: &MemoryLog, by: &[usize]) -> Note {
    let mut note = log.note();
    for number in by {
        note.sign(&witnesses()[*number], NOW + *number as u64).unwrap();
    }
    note
}

#[test]
fn a_quorum_is_what_the_policy_says() {
    let log = MemoryLog::of(4);
    let nested = "group two any W1 W2\ngroup all-of all W0 two\nquorum all-of\n";
    for (end, by, holds) in [
        ("quorum none\n", &[][..], true),
        ("quorum W1\n", &[0, 2], false),
        ("quorum W1\n", &[1], true),
        ("group g 2 W0 W1 W2\nquorum g\n", &[1], false),
        ("group g 2 W0 W1 W2\nquorum g\n", &[1, 2], true),
        ("group g all W0 W1 W2\nquorum g\n", &[0, 1], false),
        ("group g all W0 W1 W2\nquorum g\n", &[0, 1, 2], true),
        (nested, &[1, 2], false),
        (nested, &[0], false),
        (nested, &[0, 2], true),
    ] {
        let result = policy(end).check(&cosigned(&log, by));
        assert_eq!(result.is_ok(), holds, "{end} {by:?}: {result:?}");
        match result {
            Ok(accepted) => assert_eq!(accepted.witnesses.len(), by.len()),
            Err(error) => assert!(matches!(error, Refused::Quorum(_)) && !error.hint().is_empty()),
        }
    }
}

#[test]
fn one_witness_counts_once_and_a_checkpoint_needs_its_own_log() {
    let log = MemoryLog::of(4);
    let two = policy("group g 2 W0 W1 W2\nquorum g\n");
    let mut twice = cosigned(&log, &[0]);
    twice.sign(&witnesses()[0], NOW + 99).unwrap();
    assert!(matches!(two.check(&twice), Err(Refused::Quorum(_))));
    let mut unsigned = Note::unsigned(log.note().text()).unwrap();
    for witness in witnesses() {
        unsigned.sign(&witness, NOW).unwrap();
    }
    assert_eq!(two.check(&unsigned), Err(Refused::NotByLog(ORIGIN.to_owned())));
    let other = Checkpoint::new("other.example/log", 4, log.edge.root()).unwrap();
    assert_eq!(two.check(&sign(&other)), Err(Refused::UnknownLog("other.example/log".to_owned())));
}

#[test]
fn a_policy_that_is_wrong_says_in_which_line() {
    let vkeys: Vec<String> = witnesses().iter().map(|witness| witness.verifier().to_vkey()).collect();
    let again = format!("witness X {}\nquorum none\n", vkeys[0]);
    let self_witness = format!("log {}\nquorum none\n", vkeys[0]);
    let plain = format!("witness X {}\nquorum none\n", key("p", Algorithm::Ed25519, 77).verifier().to_vkey());
    for (end, part) in [
        ("", "no quorum line"),
        ("quorum W0", "line 7: does not end"),
        ("quorum W9\n", "line 7: no witness or group `W9`"),
        ("quorum W0\nquorum W1\n", "line 8: a second quorum"),
        ("group g 0 W0\nquorum g\n", "line 7: `0` of 1"),
        ("group g 2 W0\nquorum g\n", "line 7: `2` of 1"),
        ("group g 01 W0\nquorum g\n", "line 7: `01` of 1"),
        ("group g 1 W0 W0\nquorum g\n", "line 7: `W0` is a member"),
        ("group g any W0\ngroup h any W0\nquorum g\n", "line 8: `W0` is a member"),
        ("group g any g\nquorum g\n", "line 7: no witness or group `g`"),
        ("group W0 any W1\nquorum W0\n", "line 7: the name `W0` is taken"),
        ("group none any W1\nquorum none\n", "line 7: the name `none` is taken"),
        ("group g any none\nquorum g\n", "line 7: no witness or group `none`"),
        ("group g any\nquorum g\n", "line 7: `group g any` is not"),
        ("quorum\u{a0}W0\n", "line 7: `quorum"),
        ("quorum W0\r\n", "line 7: has a character"),
        (&again, "line 7: the key of"),
        (&self_witness, "line 7: the key of"),
        (&plain, "line 7: `X` has a key of a type"),
    ] {
        let error = Policy::parse(policy_text(end).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(part), "{error} for {end:?}");
    }
    assert!(Policy::parse(&vec![b'\n'; 2_000_000]).is_err());
    assert!(Policy::parse(b"quorum \xff\n").is_err());
}

fn witness() -> Witness<MemoryStore> {
    let logs = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_verifier()] }];
    Witness::new(witnesses()[..2].to_vec(), logs, MemoryStore::default()).unwrap()
}

fn ask(witness: &mut Witness<MemoryStore>, log: &MemoryLog, old: u64) -> (AddCheckpoint, Answer) {
    let request = AddCheckpoint::build(&mut log.reader(), old, log.note()).unwrap();
    assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()).unwrap(), request);
    let answer = witness.add_checkpoint(request.to_body().as_bytes(), NOW).unwrap();
    (request, answer)
}

#[test]
fn a_witness_cosigns_what_continues_and_nothing_else() {
    let keys: Vec<_> = witnesses().iter().map(|key| key.verifier().clone()).collect();
    let (mut witness, mut log) = (witness(), MemoryLog::of(10));
    assert_eq!(witness.checkpoint(&origin_hash(ORIGIN)).unwrap(), None);
    let (request, answer) = ask(&mut witness, &log, 0);
    let outcome = request.read_answer(answer.status(), answer.body().as_bytes(), &keys).unwrap();
    let Outcome::Cosigned(note) = outcome else { panic!("{outcome:?}") };
    assert_eq!(note.signatures().len(), 3);
    policy("group g 2 W0 W1\nquorum g\n").check(&note).unwrap();
    assert_eq!(witness.checkpoint(&origin_hash(ORIGIN)).unwrap(), Some(note.to_text()));
    // The wrong old size: 409 with the right one, and the log asks again from there.
    log.grow(300);
    let (request, answer) = ask(&mut witness, &log, 0);
    assert_eq!(
        (answer.status(), answer.content_type(), answer.body().as_str()),
        (409, "text/x.tlog.size", "10\n")
    );
    let outcome = request.read_answer(409, answer.body().as_bytes(), &keys).unwrap();
    assert_eq!(outcome, Outcome::AskFrom(10));
    assert_eq!(ask(&mut witness, &log, 10).1.status(), 200);
    assert_eq!(ask(&mut witness, &log, 300).1.status(), 200, "the same again, with a newer time");
    // A fork and a rollback.
    let mut fork = MemoryLog { fork_from: Some(200), ..MemoryLog::default() };
    fork.grow(400);
    assert_eq!(ask(&mut witness, &fork, 300).1.status(), 422);
    let mut same = MemoryLog { fork_from: Some(200), ..MemoryLog::default() };
    same.grow(300);
    assert_eq!(ask(&mut witness, &same, 300).1.status(), 422);
    assert_eq!(ask(&mut witness, &MemoryLog::of(20), 10).1.status(), 409);
    let (request, _) = ask(&mut witness, &MemoryLog::of(20), 10);
    let ahead = request.read_answer(409, b"300\n", &keys).unwrap_err();
    assert_eq!(ahead, ClientError::Ahead { known: 300, ours: 20 });
}

#[test]
fn a_witness_refuses_with_the_status_of_the_specification() {
    let log = MemoryLog::of(5);
    let request = AddCheckpoint::build(&mut log.reader(), 0, log.note()).unwrap();
    let body = request.to_body();
    let other = sign(&Checkpoint::new("other", 1, [1; 32]).unwrap());
    let mut unsigned = Note::unsigned(log.note().text()).unwrap();
    unsigned.sign(&key("stranger", Algorithm::Ed25519, 3), 0).unwrap();
    let with = |old_size, proof, checkpoint| AddCheckpoint { old_size, proof, checkpoint }.to_body();
    let fake_empty = format!("{ORIGIN}\n0\n{}\n", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let mut empty = Note::unsigned(&fake_empty).unwrap();
    empty.sign(&crate::support::log_key(), 0).unwrap();
    for (body, status) in [
        (String::new(), 400),
        (body.replace("old 0", "old 00"), 400),
        (body.replace("old 0", "old -1"), 400),
        (body.replace("old 0", "old 18446744073709551616"), 400),
        (body.replace("old 0\n", "old 0\nnot a hash\n"), 400),
        (body.replace("old 0", "old 6"), 400),
        (with(0, vec![[0; 32]; 64], log.note()), 400),
        (with(0, vec![], other), 404),
        (with(0, vec![], unsigned), 403),
        (body.replace("\n5\n", "\n6\n"), 403),
        (with(1, vec![], log.note()), 409),
        (with(0, vec![[0; 32]], log.note()), 422),
        (with(0, vec![], empty), 422),
        (body.clone(), 200),
    ] {
        let answer = witness().add_checkpoint(body.as_bytes(), NOW).unwrap();
        assert_eq!(answer.status(), status, "{body}");
    }
    assert!(witness().add_checkpoint(body.as_bytes(), 0).is_err());
    assert!(witness().add_checkpoint(body.as_bytes(), 1 << 63).is_err());
    for bytes in changed(body.as_bytes()).step_by(5) {
        assert_ne!(witness().add_checkpoint(&bytes, NOW).unwrap().status(), 200);
    }
}

#[test]
fn a_witness_whose_store_fails_says_nothing() {
    struct Broken;
    impl loadline_tlog::witness::WitnessStore for Broken {
        type Error = std::io::Error;
        fn latest(&self, _: &str) -> Result<Option<loadline_tlog::witness::Latest>, Self::Error> {
            Ok(None)
        }
        fn replace(
            &mut self,
            _: &str,
            _: u64,
            _: &loadline_tlog::witness::Latest,
        ) -> Result<bool, Self::Error> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
    }
    let logs = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_verifier()] }];
    let mut witness = Witness::new(witnesses(), logs, Broken).unwrap();
    let log = MemoryLog::of(5);
    let request = AddCheckpoint::build(&mut log.reader(), 0, log.note()).unwrap();
    assert!(witness.add_checkpoint(request.to_body().as_bytes(), NOW).is_err());
}

#[test]
fn a_lying_witness_is_not_believed() {
    let keys = vec![witnesses()[0].verifier().clone()];
    let log = MemoryLog::of(5);
    let request = AddCheckpoint::build(&mut log.reader(), 0, log.note()).unwrap();
    let line = |log: &MemoryLog, time| {
        let mut note = Note::unsigned(log.note().text()).unwrap();
        note.sign(&witnesses()[0], time).unwrap();
        note.signatures()[0].to_line()
    };
    assert!(request.read_answer(200, line(&log, NOW).as_bytes(), &keys).is_ok());
    for answer in [line(&MemoryLog::of(6), NOW), line(&log, 0), String::new(), "\n".to_owned()] {
        assert!(request.read_answer(200, answer.as_bytes(), &keys).is_err(), "{answer}");
    }
    for answer in [&b"0\n"[..], b"5", b"05\n", b"-1\n", b"\xff\n"] {
        assert!(request.read_answer(409, answer, &keys).is_err());
    }
    let error = request.read_answer(500, b"a\nb", &keys).unwrap_err();
    assert_eq!(error.to_string(), "the witness refused with status 500: a");
}

#[test]
fn an_offline_proof_holds_and_no_changed_byte_makes_it_say_more() {
    let log = MemoryLog::of(300);
    let (_, inclusion) = log.reader().inclusion(77).unwrap();
    for extra in [None, Some(b"extra".to_vec())] {
        let proof =
            LogProof { extra, index: 77, path: inclusion.path.clone(), checkpoint: cosigned(&log, &[0, 2]) };
        let text = proof.to_text();
        assert_eq!(LogProof::parse(text.as_bytes()).unwrap(), proof);
        let (leaf, strict) = (leaf_hash(b"entry 77"), policy("group g 2 W0 W2\nquorum g\n"));
        let accepted = proof.verify(&leaf, &strict).unwrap();
        assert_eq!(accepted.witnesses, [("W0".to_owned(), NOW), ("W2".to_owned(), NOW + 2)]);
        assert!(
            proof
                .verify(&leaf_hash(b"entry 78"), &strict)
                .unwrap_err()
                .to_string()
                .contains("not in the log")
        );
        assert!(proof.verify(&leaf, &policy("quorum W1\n")).is_err());
        for bytes in changed(text.as_bytes()).step_by(7) {
            let Ok(changed) = LogProof::parse(&bytes) else { continue };
            // Only the extra data may differ: nothing vouches for it, and it says so.
            if changed.verify(&leaf, &strict).is_ok() {
                assert_eq!(LogProof { extra: proof.extra.clone(), ..changed }, proof);
            }
        }
        for cut in (0..text.len()).step_by(11) {
            let whole = LogProof::parse(&text.as_bytes()[..cut]);
            assert!(whole.is_err() || whole.unwrap().verify(&leaf, &strict).is_err());
        }
    }
}

#[test]
fn a_proof_that_is_not_in_form_names_its_line() {
    let proof = LogProof { extra: None, index: 0, path: vec![], checkpoint: MemoryLog::of(1).note() };
    let text = proof.to_text();
    for (bad, part) in [
        (text.replace("@v1", "@v2"), "line 1"),
        (text.replace("index 0", "index 00"), "line 2"),
        (text.replace("index 0", "extra A\nindex 0"), "line 2"),
        (text.replace("index 0\n", "index 0\nAAAA\n"), "line 3"),
        (
            text.replace(
                "index 0\n",
                &format!("index 0\n{}", format!("{}\n", "A".repeat(43) + "=").repeat(64)),
            ),
            "line 66",
        ),
        (text.replace("index 0\n", ""), "line 2"),
    ] {
        let error = LogProof::parse(bad.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let trick = LogProof { index: u64::MAX, ..proof };
    assert!(trick.verify(&leaf_hash(b"entry 0"), &Policy::of_log(log_verifier())).is_err());
}

fn consistency(log: &MemoryLog, old: u64) -> ConsistencyProof {
    log.reader().consistency(old).unwrap().1
}

#[test]
fn a_monitor_tells_growth_from_lies() {
    let mut monitor = Monitor::new(Policy::of_log(log_verifier()));
    let (small, large) = (MemoryLog::of(100), MemoryLog::of(300));
    let mut fork = MemoryLog { fork_from: Some(50), ..MemoryLog::default() };
    fork.grow(300);
    assert_eq!(monitor.observe(&small.note(), None), Finding::First { size: 100 });
    assert_eq!(monitor.observe(&small.note(), None), Finding::Same { size: 100 });
    assert!(matches!(monitor.observe(&large.note(), None), Finding::Fork { problem: Some(_), .. }));
    let lie = ConsistencyProof { old_size: 0, new_size: 300, path: vec![] };
    assert!(
        monitor.observe(&large.note(), Some(&lie)).is_alarm(),
        "a proof from another size proves nothing"
    );
    let forked = monitor.observe(&fork.note(), Some(&consistency(&fork, 100)));
    assert!(matches!(forked, Finding::Fork { .. }) && forked.is_alarm());
    assert_eq!(monitor.known_size(), Some(100));
    let grown = monitor.observe(&large.note(), Some(&consistency(&large, 100)));
    assert_eq!(grown, Finding::Advanced { from: 100, to: 300 });
    let forked = monitor.observe(&fork.note(), None);
    assert!(matches!(forked, Finding::Fork { problem: None, .. }));
    let back = monitor.observe(&small.note(), None);
    assert!(back.is_alarm() && matches!(back, Finding::Rollback { known: 300, shown: 100, .. }));
    assert!(!monitor.observe(&small.note(), Some(&consistency(&large, 100))).is_alarm(), "stale, but no lie");
    let mut monitor =
        Monitor::resume(Policy::of_log(log_verifier()), monitor.state().unwrap().clone()).unwrap();
    assert_eq!(monitor.known_size(), Some(300));
    let mut forged = Note::unsigned(large.note().text()).unwrap();
    forged.sign(&key(ORIGIN, Algorithm::Ed25519, 66), 0).unwrap();
    assert!(matches!(monitor.observe(&forged, None), Finding::BadSignature(_)));
    let empty = sign(&Checkpoint::new(ORIGIN, 0, empty_root()).unwrap());
    assert!(monitor.observe(&empty, None).is_alarm() || monitor.known_size() == Some(300));
}
