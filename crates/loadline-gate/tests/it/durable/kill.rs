//! A real process, killed under load, and a checker that has none of this code.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{AuditLog, verify};
use loadline_gate::ledger::{Audit, Keep};

use super::support::{block_on, intent, options, outcome};

/// Where the child is to write; set only for the child.
const CHILD: &str = "LOADLINE_TEST_AUDIT_CHILD";
/// How often to kill; 5 when it is not set.
const KILLS: &str = "LOADLINE_TEST_KILLS";
const TASKS: u64 = 16;
const SEGMENT: u64 = 64 << 10;

fn open(dir: &Path) -> AuditLog {
    let mut options = options(dir, SEGMENT);
    options.sign_rows = 128;
    AuditLog::open(Arc::new(RealDisk), options).unwrap().0
}

/// Not a test of its own: the body of the process that is killed. It says what it forwards.
#[test]
fn child_that_forwards_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let log = open(Path::new(&dir));
    let start: u64 = std::env::var(format!("{CHILD}_START")).unwrap().parse().unwrap();
    let next = AtomicU64::new(start);
    std::thread::scope(|scope| {
        for _ in 0..TASKS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let asked = intent(number, Keep::Digest);
                    let request = asked.request;
                    let mut recorded = block_on(log.intent(asked)).unwrap();
                    let line = format!("forwarded {request}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    recorded.content.write(b"answer");
                    log.outcome(recorded, outcome(1));
                }
            });
        }
    });
}

fn child(dir: &Path, start: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durable::kill::child_that_forwards_until_killed", "--nocapture"])
        .env(CHILD, dir)
        .env(format!("{CHILD}_START"), start.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the checker says, as JSON; `None` where there is no Python.
fn checked(dir: &Path, forwarded: &Path) -> Option<serde_json::Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durable/check_audit.py");
    let output = match Command::new("python3").arg(script).arg(dir).arg(forwarded).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            loadline_testkit::left_out("python3 is not here: no checker without this code");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn killed_under_load_every_forwarded_request_has_its_intent_and_the_chain_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, list) = (folder.path().join("audit"), folder.path().join("forwarded"));
    let kills: u64 = std::env::var(KILLS).map_or(5, |kills| kills.parse().unwrap());
    let mut forwarded = 0;
    let mut file = std::fs::File::create(&list).unwrap();
    for kill in 0..kills {
        let mut child = child(&dir, kill << 32);
        let enough = 20 + kill * 37 % 300;
        let mut told = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            // The harness writes to the same stream, in front of the first line.
            let Some((_, request)) = line.split_once("forwarded ") else { continue };
            // The last line may be cut off by the kill.
            if request.len() == 32 {
                writeln!(file, "{request}").unwrap();
                told += 1;
            }
            if told == enough {
                // SIGKILL: nothing in the process gets to run any more.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        forwarded += told;
        assert!(told >= enough);
        if kill % 10 == kills % 10 || kills <= 10 {
            let ours = verify(&RealDisk, &dir, None).unwrap();
            let Some(theirs) = checked(&dir, &list) else { return };
            assert_eq!(theirs["rows"], ours.mark.rows);
            assert_eq!(theirs["root"], ours.mark.root.to_string());
            assert_eq!((&theirs["intents"], &theirs["open"]), (&ours.intents.into(), &ours.open.into()));
            assert_eq!(
                (&theirs["torn"], &theirs["segments"]),
                (&ours.torn_bytes.into(), &ours.segments.into())
            );
        }
    }
    open(&dir).close().unwrap();
    let Some(theirs) = checked(&dir, &list) else { return };
    assert_eq!((&theirs["open"], &theirs["torn"]), (&0.into(), &0.into()));
    assert_eq!(theirs["forwarded"], forwarded);
}

#[test]
fn the_checker_finds_a_changed_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, list) = (folder.path().join("audit"), folder.path().join("forwarded"));
    std::fs::write(&list, "").unwrap();
    let log = open(&dir);
    for number in 0..5 {
        let recorded = block_on(log.intent(intent(number, Keep::Digest))).unwrap();
        log.outcome(recorded, outcome(1));
    }
    log.close().unwrap();
    if checked(&dir, &list).is_none() {
        return;
    }
    let path = dir.join(format!("segment-{:020}", 0));
    let bytes = std::fs::read(&path).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durable/check_audit.py");
    for place in (20..bytes.len() - 200).step_by(bytes.len() / 12) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let output = Command::new("python3").arg(&script).arg(&dir).output().unwrap();
        assert!(!output.status.success(), "byte {place}");
    }
    std::fs::write(&path, &bytes).unwrap();
    std::fs::write(&list, "ffffffffffffffffffffffffffffffff\n").unwrap();
    let output = Command::new("python3").arg(&script).arg(&dir).arg(&list).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 requests were forwarded without an intent"));

    // The body of every intent of these, and one that no intent has.
    let (bodies, asked) = (folder.path().join("bodies"), intent(0, Keep::Digest).content);
    std::fs::write(&list, "").unwrap();
    for (rest, complaint) in [("", None), ("never asked\n", Some("without an intent: b'never asked'"))] {
        std::fs::write(&bodies, [&asked[..], b"\n", rest.as_bytes()].concat()).unwrap();
        let output = Command::new("python3").arg(&script).arg(&dir).args([&list, &bodies]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), complaint.is_none(), "{said}");
        assert!(said.contains(complaint.unwrap_or_default()), "{said}");
    }
}
