//! The crash table, played: power cut, full disk, failing sync, short write, at every step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use loadline_core::RunId;
use loadline_core::record::{EvalSpec, Row};
use loadline_evidence::{RecordError, RecordWriter, RunState, Seal, Store};

use crate::rows::{sample, sample_of, spec, spec_of};
use crate::sim::{Dice, Fault, SimDisk};

/// Samples of a whole run.
const SAMPLES: u64 = 9;
/// Power cuts tried from one state of the disk.
const CUTS: u64 = 6;

fn store(disk: &SimDisk) -> Store {
    Store::with_disk("runs", Arc::new(disk.clone()), Arc::new(|| 1_700_000_000_000))
}

/// What a process was told before it ended.
#[derive(Debug, Default)]
struct Told {
    created: bool,
    /// Rows said to be durable.
    durable: u64,
    seal: Option<Seal>,
    error: Option<String>,
}

/// A process's whole life: begin or go on, add the samples that are missing, seal.
fn life(disk: &SimDisk, spec: &EvalSpec, told: &mut Told) -> Result<(), RecordError> {
    let (store, run) = (store(disk), spec.run_id()?);
    let mut done = 0;
    let opened = match store.create(spec) {
        Err(RecordError::Exists { .. }) => {
            let mut rows = Vec::new();
            let (resumed, writer) = store.resume_each(&run, |_, payload| rows.push(payload.to_vec()))?;
            assert_eq!(resumed.rows, rows.len() as u64);
            done = resumed.samples;
            writer
        }
        other => other?,
    };
    told.created = true;
    told.durable = opened.durable();
    let outcome = fill(&opened, done, told);
    told.durable = opened.durable();
    outcome?;
    told.seal = Some(opened.seal()?);
    Ok(())
}

fn fill(writer: &RecordWriter, done: u64, told: &mut Told) -> Result<(), RecordError> {
    for number in done..SAMPLES {
        writer.append(&sample(number))?;
        if number % 3 == 1 {
            writer.flush()?;
            told.durable = writer.durable();
        }
    }
    writer.flush()
}

fn live(disk: &SimDisk, spec: &EvalSpec) -> Told {
    let mut told = Told::default();
    told.error = life(disk, spec, &mut told).err().map(|error| error.to_string());
    told
}

/// What must hold for a disk after a crash, whatever was lost.
fn check_promises(disk: &SimDisk, spec: &EvalSpec, told: &Told, context: &str) {
    let (store, run) = (store(disk), spec.run_id().unwrap());
    let listed = store.list().unwrap();
    if listed.is_empty() {
        assert!(!told.created, "{context}: the record is gone");
        return;
    }
    assert_eq!(listed.len(), 1, "{context}");
    assert!(!matches!(listed[0].state, RunState::Damaged(_)), "{context}: {:?}", listed[0].state);
    let verified = store.verify(&run).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(verified.rows >= told.durable, "{context}: {} of {} rows", verified.rows, told.durable);
    if let Some(seal) = &told.seal {
        assert_eq!(verified.seal.as_ref(), Some(seal), "{context}");
    }
    check_rows(&store, &run, context);
}

/// The samples are 0, 1, 2, … as they were appended, none twice, none changed.
fn check_rows(store: &Store, run: &RunId, context: &str) -> u64 {
    let mut expected = 0;
    for row in store.reader(run).unwrap().rows() {
        let (_, row) = row.unwrap_or_else(|error| panic!("{context}: {error}"));
        if sample_of(&row).is_some() {
            assert_eq!(row, sample(expected), "{context}");
            expected += 1;
        }
    }
    expected
}

/// Whatever a crash left, the next process finishes the run with every sample once.
fn check_finishes(disk: &SimDisk, spec: &EvalSpec, context: &str) {
    let (store, run) = (store(disk), spec.run_id().unwrap());
    let sealed = store.list().unwrap().iter().any(|run| matches!(run.state, RunState::Sealed(_)));
    let told = live(disk, spec);
    assert_eq!(told.error.is_some(), sealed, "{context}: {:?}", told.error);
    let verified = store.verify(&run).unwrap();
    assert!(verified.seal.is_some() && verified.torn_bytes == 0, "{context}");
    assert_eq!(verified.samples, SAMPLES, "{context}");
    assert_eq!(check_rows(&store, &run, context), SAMPLES, "{context}");
}

#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_durable() {
    let spec = spec(1);
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::PowerCut);
        let told = live(&disk, &spec);
        for seed in 0..CUTS {
            let context = format!("power cut at step {step}, seed {seed}");
            let after = disk.power_cut(step * 1000 + seed);
            check_promises(&after, &spec, &told, &context);
            check_finishes(&after, &spec, &context);
        }
        if !disk.struck() {
            assert!(told.seal.is_some() && step > 20, "{told:?}");
            break;
        }
    }
}

#[test]
fn a_kill_at_any_step_loses_nothing_that_was_written() {
    let spec = spec(2);
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::PowerCut);
        let told = live(&disk, &spec);
        let context = format!("kill at step {step}");
        let after = disk.killed();
        check_promises(&after, &spec, &told, &context);
        check_finishes(&after, &spec, &context);
        if !disk.struck() {
            break;
        }
    }
}

#[test]
fn a_second_power_cut_while_recovering_loses_nothing_either() {
    let spec = spec(3);
    let mut dice = Dice(3);
    for first in 8..40 {
        let disk = SimDisk::failing(first, Fault::PowerCut);
        let told = live(&disk, &spec);
        for second in 0..12 {
            let between = disk.power_cut(dice.roll(u64::MAX));
            between.fail_at(second, Fault::PowerCut);
            let told_then = live(&between, &spec);
            let after = between.power_cut(dice.roll(u64::MAX));
            let context = format!("power cuts at steps {first} and {second}");
            let durable = told.durable.max(told_then.durable);
            let created = told.created || told_then.created;
            let seal = told_then.seal.or_else(|| told.seal.clone());
            check_promises(&after, &spec, &Told { created, durable, seal, error: None }, &context);
            check_finishes(&after, &spec, &context);
        }
    }
}

#[test]
fn rows_of_a_killed_process_count_as_durable_only_when_they_are() {
    let spec = spec(10);
    for first in 0..40 {
        let disk = SimDisk::failing(first, Fault::PowerCut);
        live(&disk, &spec);
        for second in 0..16 {
            let between = disk.killed();
            between.fail_at(second, Fault::PowerCut);
            let told = live(&between, &spec);
            let after = between.power_cut(first * 1000 + second);
            let context = format!("kill at step {first}, power cut at step {second} after");
            check_promises(&after, &spec, &told, &context);
            check_finishes(&after, &spec, &context);
        }
    }
}

#[test]
fn rows_are_written_while_a_sync_takes_its_time_and_are_not_called_durable() {
    let spec = spec(11);
    let run = spec.run_id().unwrap();
    let disk = SimDisk::default();
    let writer = store(&disk).create(&spec).unwrap();
    let log = writer.dir().join("log");
    let holds =
        |text: &str| disk.bytes(&log).unwrap().windows(text.len()).any(|part| part == text.as_bytes());
    let held = disk.hold_syncs();
    for number in 0..4 {
        writer.append(&sample(number)).unwrap();
        while !holds(&format!("\"sum-{number}\"")) {
            std::thread::yield_now();
        }
    }
    assert_eq!((writer.rows(), writer.durable()), (5, 1));
    assert_eq!(store(&disk.killed()).verify(&run).unwrap().samples, 4);
    let told = Told { created: true, durable: 1, ..Told::default() };
    for seed in 0..300 {
        let after = disk.power_cut(seed);
        check_promises(&after, &spec, &told, &format!("power cut {seed} during a sync"));
    }
    drop(held);
    writer.flush().unwrap();
    assert_eq!(writer.durable(), 5);
    writer.append(&sample(4)).unwrap();
    assert_eq!(writer.seal().unwrap().rows, 6);
}

#[test]
fn a_full_disk_stops_the_writer_with_its_name_and_loses_nothing() {
    let spec = spec(4);
    let mut messages = 0;
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::Full);
        let told = live(&disk, &spec);
        if !disk.struck() {
            break;
        }
        if let Some(message) = &told.error {
            messages += 1;
            assert!(message.starts_with("cannot write ") && message.contains("bytes to runs/"), "{message}");
        }
        let context = format!("full at step {step}");
        for after in [disk.killed(), disk.power_cut(step)] {
            check_promises(&after, &spec, &told, &context);
            check_finishes(&after, &spec, &context);
        }
    }
    assert!(messages > 5, "{messages}");
}

#[test]
fn a_failed_sync_stops_the_writer_for_ever() {
    let spec = spec(5);
    let mut failures = 0;
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::SyncFails);
        let told = live(&disk, &spec);
        if !disk.struck() {
            break;
        }
        failures += u64::from(told.error.is_some());
        let context = format!("sync fails at step {step}");
        for seed in 0..CUTS {
            let after = disk.power_cut(step * 1000 + seed);
            check_promises(&after, &spec, &told, &context);
            check_finishes(&after, &spec, &context);
        }
    }
    assert!(failures > 3, "{failures}");
}

#[test]
fn after_a_failure_every_call_returns_the_same_error() {
    let spec = spec(6);
    let disk = SimDisk::default();
    let writer = store(&disk).create(&spec).unwrap();
    writer.append(&sample(0)).unwrap();
    writer.flush().unwrap();
    disk.fail_at(0, Fault::Full);
    writer.append(&sample(1)).unwrap();
    let first = writer.flush().unwrap_err();
    assert!(first.hint().unwrap().contains("make room"), "{first}");
    let _ = disk.killed();
    for _ in 0..3 {
        assert_eq!(writer.append(&sample(2)).unwrap_err().to_string(), first.to_string());
        assert_eq!(writer.flush().unwrap_err().to_string(), first.to_string());
    }
    assert_eq!(writer.durable(), 2);
    assert_eq!(writer.seal().unwrap_err().to_string(), first.to_string());
}

#[test]
fn short_and_interrupted_writes_are_gone_on_with() {
    let spec = spec(7);
    for step in 0.. {
        let disk = SimDisk::failing(step, Fault::Short);
        let told = live(&disk, &spec);
        assert!(told.seal.is_some(), "{step}: {:?}", told.error);
        check_promises(&disk.power_cut(step), &spec, &told, "short writes");
        if !disk.struck() {
            break;
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_the_cut_is_a_row() {
    let spec = spec(8);
    let run = spec.run_id().unwrap();
    let disk = SimDisk::default();
    let writer = store(&disk).create(&spec).unwrap();
    writer.append(&sample(0)).unwrap();
    writer.close().unwrap();
    let log = store(&disk).run_dir(&run).join("log");
    let whole = disk.bytes(&log).unwrap();
    disk.put(&log, &[whole.as_slice(), b"R 00000"].concat());
    assert_eq!(store(&disk).verify(&run).unwrap().torn_bytes, 7);
    let (resumed, writer) = store(&disk).resume(&run).unwrap();
    assert_eq!((resumed.rows, resumed.bytes_cut), (2, 7));
    writer.seal().unwrap();
    let last = store(&disk).reader(&run).unwrap().rows().last().unwrap().unwrap();
    assert_eq!(last, (2, Row::Recovered { at_ms: 1_700_000_000_000, bytes_cut: 7 }));
}

/// Rows that a kill may lose: those that wait, and those that are being written.
const IN_MEMORY: u64 = 2 * 16;

#[test]
fn rows_do_not_pile_up_in_memory_while_the_writer_does_not_get_to_them() {
    let disk = SimDisk::default();
    let writer = store(&disk).create(&spec_of(1, 100)).unwrap();
    let held = disk.hold_writes();
    let (appended, goes_on) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for number in 0..100 {
                writer.append(&sample(number)).unwrap();
                let so_far = appended.fetch_add(1, Ordering::SeqCst) + 1;
                assert!(so_far <= IN_MEMORY || goes_on.load(Ordering::SeqCst), "{so_far} rows");
            }
        });
        // So many are taken without a write. Whoever would take more does it now.
        while appended.load(Ordering::SeqCst) < IN_MEMORY / 2 && !appending.is_finished() {
            std::thread::yield_now();
        }
        (0..10_000).for_each(|_| std::thread::yield_now());
        goes_on.store(true, Ordering::SeqCst);
        drop(held);
        appending.join().unwrap();
    });
    assert_eq!(writer.seal().unwrap().samples, 100);
}
