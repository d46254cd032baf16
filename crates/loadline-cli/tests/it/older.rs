//! What an older program began, this one ends: an exam whose start no witness cosigned.

use std::sync::Arc;
use std::time::SystemTime;

use loadline_core::{Digest, Instant};
use loadline_exam::Entry;
use loadline_exam::entry::{Start, exam_id};
use loadline_tlog::disk::{DiskLog, RealDisk};
use loadline_tlog::{Checkpoint, Note, NoteError, SignerKey};

use crate::authority_folder::{SLOW, killed_exam};
use crate::licensed::Bench;

/// The log's secret key, out of its file.
fn log_key(bench: &Bench) -> SignerKey {
    let passphrase = std::fs::read_to_string(bench.sandbox.path("pass")).unwrap();
    let identity = age::scrypt::Identity::new(passphrase.trim_end().to_owned().into());
    let locked = std::fs::read(bench.sandbox.path("authority/keys/log.age")).unwrap();
    let key = age::decrypt(&identity, &locked).unwrap();
    SignerKey::parse(std::str::from_utf8(&key).unwrap()).unwrap()
}

/// Begins the exam of the newest registration as programs did before starts were witnessed: an entry without `witnessed`
/// (`docs/formats/log-entries.md`), and nothing else. Gives the exam.
fn begun_before(bench: &Bench) -> Digest {
    let entries = bench.log();
    let newest = |kind: &str| entries.iter().rposition(|entry| entry["kind"] == kind).unwrap();
    let (commitment, registration) = (newest("commitment"), newest("registration"));
    let digest = |index: usize, field: &str| entries[index][field].as_str().unwrap().parse().unwrap();
    let (policy, model): (Digest, Digest) = (digest(commitment, "policy"), digest(registration, "model"));
    let (commitment, registration) = (commitment as u64, registration as u64);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let start = Start {
        exam: exam_id(model, policy, commitment, registration, 1),
        registration,
        commitment,
        model,
        policy,
        attempt: 1,
        previous: None,
        witnessed: None,
        at: Instant::from_seconds(now).unwrap(),
    };
    let exam = start.exam;
    let (key, folder) = (log_key(bench), bench.sandbox.path("authority/log"));
    let mut log = DiskLog::open(folder, Arc::new(RealDisk), vec![key.verifier().clone()]).unwrap();
    let sign = |checkpoint: &Checkpoint| {
        let mut note = Note::unsigned(&checkpoint.to_text())?;
        note.sign(&key, 0)?;
        Ok::<_, NoteError>(note)
    };
    log.append([Entry::Start(start).to_bytes().unwrap()], sign).unwrap();
    exam
}

#[test]
fn an_exam_that_was_begun_before_starts_were_witnessed_goes_on() {
    let bench = Bench::new();
    bench.ok("exam commit policy.toml");
    bench.ok(&format!("model register {SLOW}"));
    let exam = begun_before(&bench);
    assert_eq!(bench.ok("exam start").stdout.trim(), exam.hex(), "it has begun already");
    killed_exam(&bench);
    let resumed = bench.ok("exam run");
    assert!(resumed.stderr.contains("answers reused"), "{}", resumed.stderr);
    bench.ok("exam finish");
    let log = bench.log();
    let of = |kind: &str| log.iter().filter(|entry| entry["kind"] == kind).collect::<Vec<_>>();
    assert_eq!((of("start").len(), of("resume").len(), of("finish").len()), (1, 1, 1));
    assert!(of("start")[0].get("witnessed").is_none(), "{:?}", of("start"));
    bench.sandbox.run("log fsck authority").ok();
    bench.ok("license issue --stage internal");
    bench.ok("license bundle -o older.bundle");
    let verified = bench.sandbox.run("verify older.bundle --json");
    assert_eq!(verified.code, 0, "{}", verified.text());
    let report = verified.json_lines().remove(0);
    assert_eq!((&report["summary"]["resumes"], &report["summary"]["cosignatures"]), (&1.into(), &0.into()));
    assert!(report["cannot_show"].to_string().contains("its start is of an older form"), "{report}");
    assert_eq!(bench.sandbox.run("verify older.bundle --witnessed").code, 30);
    // What begins now is witnessed.
    bench.examined("fake/ability=0.95");
    let starts: Vec<_> = bench.log().into_iter().filter(|entry| entry["kind"] == "start").collect();
    assert_eq!(
        starts.iter().map(|start| start.get("witnessed").is_some()).collect::<Vec<_>>(),
        [false, true]
    );
    bench.sandbox.run("log fsck authority").ok();
}
