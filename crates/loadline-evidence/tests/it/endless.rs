//! A log that never ends, on a disk that fails at every step: rows, segments, recovery.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loadline_evidence::RecordError;
use loadline_evidence::endless::{self, EndlessLog, LogMark, LogRead};
use loadline_tlog::{ConsistencyProof, InclusionProof};

use crate::sim::{Fault, SimDisk};

const DIR: &str = "audit";
/// Rows of a whole life.
const ROWS: u64 = 14;
/// Rows in a segment.
const SEGMENT: u64 = 4;

fn dir() -> PathBuf {
    PathBuf::from(DIR)
}

fn row(number: u64) -> Vec<u8> {
    format!("{{\"row\":{number},\"text\":\"{}\"}}", "x".repeat(number as usize * 3 % 17)).into_bytes()
}

/// What a process was told before it ended.
#[derive(Debug, Default, Clone)]
struct Told {
    begun: bool,
    durable: u64,
    mark: Option<LogMark>,
    error: Option<String>,
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits as a task would.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Begins or goes on, adds what is missing, some rows waited for and some not, turning segments.
fn life(disk: &SimDisk, told: &mut Told) -> Result<(), RecordError> {
    let shared: Arc<dyn endless_disk::Disk> = Arc::new(disk.clone());
    let lock = endless::lock(shared.as_ref(), &dir())?;
    let log = if endless::has_log(shared.as_ref(), &dir())? {
        let mut seen = None;
        let (opened, log) = EndlessLog::open(
            shared,
            &dir(),
            told.mark,
            |read| {
                assert_eq!(read.payload, row(read.number));
                seen = Some(read.number);
                Ok(())
            },
            lock,
        )?;
        assert_eq!(opened.rows, seen.unwrap() + 1);
        log
    } else {
        EndlessLog::begin(shared, &dir(), "gate.example/audit", &row(0), lock)?
    };
    told.begun = true;
    told.mark = Some(log.mark());
    told.durable = log.mark().rows;
    let outcome = fill(&log, told);
    told.durable = told.durable.max(log.mark().rows);
    outcome?;
    told.mark = Some(log.close()?);
    told.durable = ROWS;
    Ok(())
}

use loadline_evidence::disk as endless_disk;

fn fill(log: &EndlessLog, told: &mut Told) -> Result<(), RecordError> {
    for number in log.rows()..ROWS {
        if number % SEGMENT == 0 {
            assert_eq!(log.turn(&row(number))?, number);
        } else {
            let wanted = number % 3 != 0;
            assert_eq!(log.append(&row(number), wanted)?, number);
            if wanted {
                block_on(log.durable(number))?;
                told.durable = number + 1;
            }
        }
    }
    log.flush()
}

fn live(disk: &SimDisk, before: &Told) -> Told {
    let mut told = before.clone();
    told.error = life(disk, &mut told).err().map(|error| error.to_string());
    told
}

fn read(disk: &SimDisk, known: Option<LogMark>) -> Result<LogRead, RecordError> {
    endless::read(disk, &dir(), 0, known, |read| {
        if read.payload == row(read.number) { Ok(()) } else { Err("another row".to_owned()) }
    })
}

fn check_promises(disk: &SimDisk, told: &Told, context: &str) {
    if !endless::has_log(disk, &dir()).unwrap() {
        assert!(!told.begun, "{context}: the log is gone");
        return;
    }
    let read = read(disk, told.mark).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(read.mark.rows >= told.durable, "{context}: {} of {} rows", read.mark.rows, told.durable);
}

fn check_finishes(disk: &SimDisk, told: &Told, context: &str) {
    let told = live(disk, told);
    assert_eq!(told.error, None, "{context}");
    let read = read(disk, told.mark).unwrap();
    assert_eq!((read.mark.rows, read.torn_bytes), (ROWS, 0), "{context}");
    assert_eq!((read.segments, read.checkpointed), (ROWS.div_ceil(SEGMENT), ROWS), "{context}");
}

#[test]
fn power_cuts_and_kills_at_any_step_lose_nothing_that_was_durable() {
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::PowerCut);
        let told = live(&disk, &Told::default());
        for seed in 0..6 {
            let context = format!("power cut at step {step}, seed {seed}");
            let after = disk.power_cut(step * 1000 + seed);
            check_promises(&after, &told, &context);
            // A second cut while it recovers.
            after.fail_at(seed * 2, Fault::PowerCut);
            let then = live(&after, &Told { error: None, ..told.clone() });
            let after = after.power_cut(step * 7 + seed);
            check_promises(&after, &then, &context);
            check_finishes(&after, &then, &context);
        }
        let after = disk.killed();
        check_promises(&after, &told, &format!("kill at step {step}"));
        check_finishes(&after, &told, &format!("kill at step {step}"));
        if !disk.struck() {
            assert!(told.error.is_none() && step > 40, "{step} {told:?}");
            break;
        }
    }
}

#[test]
fn a_full_disk_and_a_failed_sync_stop_the_log_for_ever_and_lose_nothing() {
    for fault in [Fault::Full, Fault::SyncFails] {
        let mut failures = 0;
        for step in 0.. {
            let disk = SimDisk::failing(step, fault);
            let told = live(&disk, &Told::default());
            if !disk.struck() {
                break;
            }
            failures += u64::from(told.error.is_some());
            for after in [disk.power_cut(step), disk.power_cut(step + 500)] {
                check_promises(&after, &told, &format!("{fault:?} at step {step}"));
                check_finishes(&after, &told, &format!("{fault:?} at step {step}"));
            }
        }
        assert!(failures > 10, "{fault:?}: {failures}");
    }
}

#[test]
fn after_a_failed_sync_every_call_returns_the_same_error_and_nobody_waits_for_ever() {
    let disk = SimDisk::default();
    let shared: Arc<dyn endless_disk::Disk> = Arc::new(disk.clone());
    let lock = endless::lock(shared.as_ref(), &dir()).unwrap();
    let log = EndlessLog::begin(shared, &dir(), "gate", &row(0), lock).unwrap();
    let held = disk.hold_syncs();
    disk.fail_at(1, Fault::SyncFails);
    let waits: Vec<_> = (1..4).map(|number| log.durable(log.append(&row(number), true).unwrap())).collect();
    drop(held);
    let messages: Vec<_> = waits.into_iter().map(|wait| block_on(wait).unwrap_err().to_string()).collect();
    assert!(
        messages[0].starts_with("cannot sync audit/segment-0") || messages[0].contains("cannot sync audit")
    );
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:?}");
    assert_eq!(log.append(&row(4), true).unwrap_err().to_string(), messages[0]);
    assert_eq!(log.flush().unwrap_err().to_string(), messages[0]);
    assert_eq!(log.mark().rows, 1);
    assert_eq!(log.outcome().unwrap_err().to_string(), messages[0]);
}

#[test]
fn one_sync_serves_all_that_wait_and_rows_nobody_waits_for_cost_none() {
    let disk = SimDisk::default();
    let shared: Arc<dyn endless_disk::Disk> = Arc::new(disk.clone());
    let lock = endless::lock(shared.as_ref(), &dir()).unwrap();
    let log = EndlessLog::begin(shared, &dir(), "gate", &row(0), lock).unwrap();
    let held = disk.hold_syncs();
    log.append(&row(1), true).unwrap();
    // The writer is in a sync now, or will be: whatever comes meanwhile is one more write and one more sync.
    for number in 2..500 {
        log.append(&row(number), true).unwrap();
    }
    let mut last = log.durable(499);
    let waits =
        pin!(poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut last).poll(context).is_pending())));
    assert!(block_on(waits));
    assert_eq!(log.mark().rows, 1);
    drop(held);
    log.flush().unwrap();
    assert_eq!(log.mark().rows, 500);
    assert_eq!(log.close().unwrap().rows, 500);
}

fn whole() -> (SimDisk, Told, Vec<PathBuf>) {
    let disk = SimDisk::default();
    let told = live(&disk, &Told::default());
    assert_eq!(told.error, None);
    let files = (0..ROWS).step_by(SEGMENT as usize).map(|first| dir().join(format!("segment-{first:020}")));
    (disk, told, files.collect())
}

#[test]
fn every_byte_that_changes_is_found() {
    let (disk, told, files) = whole();
    let pristine = read(&disk, told.mark).unwrap();
    for path in &files {
        let bytes = disk.bytes(path).unwrap();
        for place in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[place] ^= flip;
                let copy = disk.copy();
                copy.put(path, &changed);
                let found = read(&copy, told.mark);
                assert_ne!(found.as_ref().ok(), Some(&pristine), "{} byte {place}", path.display());
                if let Err(error) = found {
                    assert!(
                        error.damage().is_some() || matches!(error, RecordError::Version { .. }),
                        "{error}"
                    );
                } else {
                    // Only the last checkpoint of all has nothing after it: it looks torn, and says so.
                    assert_eq!(path, files.last().unwrap());
                    assert!(found.unwrap().torn_bytes > 0);
                }
            }
        }
    }
}

#[test]
fn cut_short_anywhere_is_found_by_the_known_mark_and_otherwise_goes_on() {
    let (disk, told, files) = whole();
    let path = files.last().unwrap();
    let bytes = disk.bytes(path).unwrap();
    let last_checkpoint = bytes.windows(2).rposition(|pair| pair == b"\nC").unwrap() + 1;
    let mut kept = 0;
    for length in 0..bytes.len() {
        let copy = disk.copy();
        copy.put(path, &bytes[..length]);
        let known = read(&copy, told.mark);
        assert_eq!(known.is_ok(), length >= last_checkpoint, "{length}: {known:?}");
        if read(&copy, None).is_ok() {
            kept += 1;
            let told = live(&copy, &Told::default());
            assert_eq!(told.error, None, "{length}");
            assert_eq!(read(&copy, told.mark).unwrap().mark, read(&disk, None).unwrap().mark, "{length}");
        }
    }
    assert!(kept > 100, "{kept}");
    // A whole segment that is gone, a first one too.
    for gone in [&files[0], &files[1]] {
        let copy = disk.copy();
        copy.put(gone, b"");
        assert!(read(&copy, None).unwrap_err().damage().is_some());
    }
}

#[test]
fn a_rewritten_log_is_not_the_one_that_was_signed() {
    let (_, told, _) = whole();
    let other = SimDisk::default();
    let shared: Arc<dyn endless_disk::Disk> = Arc::new(other.clone());
    let lock = endless::lock(shared.as_ref(), &dir()).unwrap();
    let log = EndlessLog::begin(Arc::clone(&shared), &dir(), "gate", b"{}", lock).unwrap();
    for _ in 1..ROWS + 5 {
        log.append(b"{}", false).unwrap();
    }
    log.close().unwrap();
    let before = other.bytes(&dir().join(format!("segment-{:020}", 0))).unwrap();
    let lock = endless::lock(shared.as_ref(), &dir()).unwrap();
    let error = EndlessLog::open(shared, &dir(), told.mark, |_| Ok(()), lock).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("the log was rewritten"), "{error}");
    assert_eq!(other.bytes(&dir().join(format!("segment-{:020}", 0))).unwrap(), before);
}

#[test]
fn every_row_can_be_shown_in_every_size() {
    let (disk, _, _) = whole();
    for size in 1..=ROWS {
        for number in 0..size {
            let proof = endless::prove(&disk, Path::new(DIR), number, size).unwrap();
            assert_eq!(proof.payload, row(number));
            let path = proof.path.iter().map(|hash| hash.0).collect();
            let check = InclusionProof { index: number, size, path };
            check
                .verify(&proof.leaf.0, &proof.mark.root.0)
                .unwrap_or_else(|e| panic!("{number}/{size}: {e}"));
        }
        assert!(matches!(endless::prove(&disk, Path::new(DIR), size, size), Err(RecordError::NoRow { .. })));
    }
    assert!(matches!(endless::prove(&disk, Path::new(DIR), 0, ROWS + 1), Err(RecordError::NoRow { .. })));
}

#[test]
fn two_rows_are_shown_in_one_pass() {
    let (disk, _, _) = whole();
    let both = endless::prove_rows(&disk, Path::new(DIR), &[9, 2], 12).unwrap();
    let alone = [9, 2].map(|row| endless::prove(&disk, Path::new(DIR), row, 12).unwrap());
    assert_eq!(both, alone);
    for rows in [[2, 12], [12, 13]] {
        let error = endless::prove_rows(&disk, Path::new(DIR), &rows, 12).unwrap_err();
        assert!(matches!(error, RecordError::NoRow { .. }), "{rows:?}");
    }
}

/// A log of so many rows that begin with a word, with a new segment after every third.
fn long(word: &str, rows: u64) -> SimDisk {
    let disk = SimDisk::default();
    let shared: Arc<dyn endless_disk::Disk> = Arc::new(disk.clone());
    let lock = endless::lock(shared.as_ref(), &dir()).unwrap();
    let row = |number: u64| format!("{{\"{word}\":{number}}}").into_bytes();
    let log = EndlessLog::begin(shared, &dir(), "gate", &row(0), lock).unwrap();
    for number in 1..rows {
        let added = if number % 3 == 0 { log.turn(&row(number)) } else { log.append(&row(number), false) };
        added.unwrap();
    }
    log.close().unwrap();
    disk
}

#[test]
fn a_row_of_a_long_log_is_shown_from_few_segments() {
    const LONG: u64 = 200;
    let disk = long("row", LONG);
    let mut leaves = Vec::new();
    endless::read(&disk, Path::new(DIR), 0, None, |row| {
        leaves.push(row.leaf.0);
        Ok(())
    })
    .unwrap();
    for size in [1, 2, 3, 64, 65, 127, 128, 129, 150, 191, 192, 199, LONG] {
        for number in (0..size).step_by(7).chain([size - 1]) {
            let shown = endless::prove(&disk, Path::new(DIR), number, size).unwrap();
            // The other way to it: one pass over all leaves, straight from the definition.
            let whole = InclusionProof::build(number, size, leaves[..size as usize].iter().copied()).unwrap();
            assert_eq!(
                shown.path.iter().map(|hash| hash.0).collect::<Vec<_>>(),
                whole.path,
                "{number}/{size}"
            );
            whole.verify(&shown.leaf.0, &shown.mark.root.0).unwrap();
        }
    }
    let file = |number: u64| dir().join(format!("segment-{:020}", number / 3 * 3));
    let shown = endless::prove_rows(&disk, Path::new(DIR), &[4, 5], LONG).unwrap();
    // What is not there is not read: most of it.
    let mut unread = 0;
    for first in (0..LONG).step_by(3) {
        let copy = disk.copy();
        copy.put(&file(first), b"");
        match endless::prove_rows(&copy, Path::new(DIR), &[4, 5], LONG) {
            Ok(again) => {
                assert_eq!(again, shown, "{first}");
                unread += 1;
            }
            Err(error) => assert!(error.damage().is_some(), "{first}: {error}"),
        }
    }
    assert!((50..60).contains(&unread), "{unread} of 67 segments were not read");
    // Segments of another log say something else of the rows before them.
    let (copy, other) = (disk.copy(), long("other", LONG));
    for first in (30..LONG).step_by(3) {
        copy.put(&file(first), &other.bytes(&file(first)).unwrap());
    }
    let error = endless::prove_rows(&copy, Path::new(DIR), &[4, 5], LONG).unwrap_err();
    assert!(error.to_string().contains("says of the rows before it is not what is there"), "{error}");
}

#[test]
fn every_size_is_shown_to_continue_every_smaller_one() {
    let (disk, _, _) = whole();
    let mut leaves = Vec::new();
    endless::read(&disk, Path::new(DIR), 0, None, |row| {
        leaves.push(row.leaf.0);
        Ok(())
    })
    .unwrap();
    for new in 0..=ROWS {
        for old in 0..=new {
            let proof = endless::continues(&disk, Path::new(DIR), old, new).unwrap();
            // The other way to it: one pass over all leaves, straight from the definition.
            assert_eq!(proof, ConsistencyProof::build(old, new, leaves.clone()).unwrap(), "{old} to {new}");
        }
    }
    for (old, new) in [(2, 1), (1, ROWS + 1), (ROWS + 1, ROWS + 2)] {
        let error = endless::continues(&disk, Path::new(DIR), old, new).unwrap_err();
        assert!(matches!(error, RecordError::NoRow { .. }), "{old} to {new}");
    }
}

#[test]
fn two_writers_never_share_a_log() {
    let (disk, _, _) = whole();
    let lock = endless::lock(&disk, &dir()).unwrap();
    assert!(matches!(endless::lock(&disk, &dir()), Err(RecordError::Locked { .. })));
    drop(lock);
    assert!(endless::lock(&disk, &dir()).is_ok());
}
