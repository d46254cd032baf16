//! Erasing what the log says of somebody: for good, with the chain whole, also when it is cut off at any step.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::subjects::Subjects;
use loadline_gate::audit::{AuditLog, AuditOpenError, ExportFilter, export, verify};
use loadline_gate::ledger::{Audit, Keep};

use super::sim::{Fault, SimDisk};
use super::support::{DIR, block_on, intent, open, options, outcome};

const SEGMENT: u64 = 3000;
/// Where the child is to erase; set only for the child.
const CHILD: &str = "LOADLINE_TEST_ERASE_CHILD";

fn fill(log: &AuditLog) {
    for number in 0..6 {
        let mut recorded = block_on(log.intent(intent(number, Keep::Full))).unwrap();
        recorded.content.write(b"answer");
        log.outcome(recorded, outcome(number));
    }
}

/// Who has a key, whether the log says that subject 1 has none, and how many bodies can be read.
fn state(disk: &dyn loadline_evidence::disk::Disk, dir: &Path) -> (bool, bool, usize) {
    verify(disk, dir, None).unwrap();
    let has_key = Subjects::read(disk, dir).unwrap().find("subject-1").is_some();
    let mut out = Vec::new();
    export(disk, dir, &ExportFilter { content: true, ..ExportFilter::default() }, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    (has_key, text.contains("{\"erased\":"), text.matches("\"body\":").count())
}

#[test]
fn erasing_is_whole_after_a_power_cut_or_a_kill_at_any_step() {
    let base = SimDisk::default();
    let (log, _) = open(&base, SEGMENT).unwrap();
    fill(&log);
    log.close().unwrap();
    assert_eq!(state(&base, Path::new(DIR)), (true, false, 12));
    let erase = |disk: &SimDisk| -> Result<(), AuditOpenError> {
        let (log, _) = open(disk, SEGMENT)?;
        log.erase("subject-1")?;
        log.close()?;
        Ok(())
    };
    let mut finished_later = 0;
    for step in 0.. {
        let disk = base.copy();
        disk.fail_at(step, Fault::PowerCut);
        let done = erase(&disk).is_ok();
        for after in [disk.killed(), disk.power_cut(step), disk.power_cut(step + 1000)] {
            let (_, said_before, _) = state(&after, Path::new(DIR));
            let (log, _) = open(&after, SEGMENT).unwrap();
            log.close().unwrap();
            let (has_key, said, bodies) = state(&after, Path::new(DIR));
            // What was acknowledged is so; and after the next opening the key is gone exactly when the log says it is.
            assert!(!done || said, "step {step}");
            assert_eq!((has_key, bodies), if said { (false, 8) } else { (true, 12) }, "step {step}");
            assert!(said || !said_before, "step {step}: it went back");
            finished_later += usize::from(said && !done);
            erase(&after).unwrap();
            assert_eq!(state(&after, Path::new(DIR)), (false, true, 8), "step {step}");
        }
        if !disk.struck() {
            assert!(done && step > 10, "{step}");
            break;
        }
    }
    assert!(finished_later > 0, "no cut fell between the row and the key");
}

#[test]
fn a_full_disk_erases_nothing_that_it_does_not_say() {
    let base = SimDisk::default();
    let (log, _) = open(&base, SEGMENT).unwrap();
    fill(&log);
    log.close().unwrap();
    for step in 0.. {
        let disk = base.copy();
        disk.fail_at(step, Fault::Full);
        let erased = open(&disk, SEGMENT).and_then(|(log, _)| Ok(log.erase("subject-1")?));
        let after = disk.killed();
        let (log, _) = open(&after, SEGMENT).unwrap();
        log.close().unwrap();
        let (has_key, said, _) = state(&after, Path::new(DIR));
        assert_eq!(has_key, !said, "step {step}");
        assert!(erased.is_err() || said, "step {step}");
        if !disk.struck() {
            break;
        }
    }
}

/// Not a test of its own: the body of the process that is killed. It says when it begins to erase.
#[test]
fn child_that_erases_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options(PathBuf::from(dir), 64 << 10)).unwrap();
    println!("erasing");
    for number in 0..2000 {
        log.know([format!("guest-{number}").as_str()]).unwrap();
        log.erase(&format!("guest-{number}")).unwrap();
    }
    log.erase("subject-1").unwrap();
    println!("erased");
}

#[test]
fn killed_while_it_erases_the_chain_is_whole_and_no_key_is_left_that_the_log_says_is_gone() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options(&dir, 64 << 10)).unwrap();
    fill(&log);
    log.close().unwrap();
    for kill in 0..5_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durable::erase::child_that_erases_until_killed", "--nocapture"])
            .env(CHILD, &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        lines.find(|line| line.contains("erasing")).unwrap();
        let rows = || verify(&RealDisk, &dir, None).map_or(0, |verified| verified.mark.rows);
        let enough = rows() + 2 + kill * 3;
        while rows() < enough {
            std::thread::yield_now();
        }
        // SIGKILL: nothing in the process gets to run any more.
        child.kill().unwrap();
        child.wait().unwrap();
        let (log, _) = AuditLog::open(Arc::new(RealDisk), options(&dir, 64 << 10)).unwrap();
        log.close().unwrap();
        verify(&RealDisk, &dir, None).unwrap();
        // Each guest has a row that says so, or its key: never a key that the log says is gone.
        let subjects = Subjects::read(&RealDisk, &dir).unwrap();
        let mut out = Vec::new();
        export(&RealDisk, &dir, &ExportFilter::default(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let erased: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("{\"erased\":"))
            .filter_map(|line| line.split("\"subject\":\"").nth(1)?.get(..32))
            .collect();
        assert!(erased.len() as u64 > kill, "{erased:?}");
        for pseudonym in erased {
            assert_eq!(subjects.name_of(pseudonym), None);
        }
    }
}
