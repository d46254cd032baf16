//! Measures a log on a real disk: appending durably, proving from disk, checking everything.
//!
//! `log_speed DIR append [ENTRIES] [BATCH]`, then `log_speed DIR prove [PROOFS]` and `log_speed DIR fsck`, each its own
//! process: the system's cache can be emptied in between. CPU time is of user and system together. On a machine that does
//! other work too, the worst CPU time of a proof says more than its worst time.
#![expect(clippy::print_stdout, reason = "an example that measures prints what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use loadline_tlog::disk::{DiskLog, FolderSource, RealDisk, fsck};
use loadline_tlog::{Algorithm, Checkpoint, Note, NoteError, SignerKey, TileReader};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const ORIGIN: &str = "example.com/speed";
const USAGE: &str = "usage: log_speed DIR append [ENTRIES] [BATCH] | prove [PROOFS] | fsck";

fn main() -> Result {
    let mut arguments = std::env::args().skip(1);
    let (dir, verb) = (arguments.next().ok_or(USAGE)?, arguments.next().ok_or(USAGE)?);
    let mut number = |otherwise| arguments.next().map_or(Ok(otherwise), |text| text.parse::<u64>());
    let key = SignerKey::from_seed(ORIGIN, Algorithm::Ed25519, &[7; 32])?;
    match verb.as_str() {
        "append" => append(dir.as_ref(), number(1_000_000)?, number(8192)?.max(1), &key)?,
        "prove" => prove(dir.as_ref(), number(1000)?, &key)?,
        "fsck" => check(dir.as_ref(), &key)?,
        _ => return Err(USAGE.into()),
    }
    println!("CPU {:.2} s", cpu_seconds());
    Ok(())
}

fn append(dir: &Path, entries: u64, batch: u64, key: &SignerKey) -> Result {
    let sign = |checkpoint: &Checkpoint| -> std::result::Result<Note, NoteError> {
        let mut note = Note::unsigned(&checkpoint.to_text())?;
        note.sign(key, 0)?;
        Ok(note)
    };
    let keys = vec![key.verifier().clone()];
    let mut log = DiskLog::create(dir, Arc::new(RealDisk), keys, ORIGIN, sign)?;
    let (start, mut batches) = (Instant::now(), Vec::new());
    while log.size() < entries {
        let one = Instant::now();
        let next = log.size()..(log.size() + batch).min(entries);
        log.append(next.map(|number| format!("entry {number:0>200}")), sign)?;
        batches.push(one.elapsed().as_secs_f64());
    }
    let seconds = start.elapsed().as_secs_f64();
    let (median, worst) = median_and_worst(&mut batches);
    let speed = entries as f64 / seconds;
    println!("appended {entries} entries of 206 bytes: {seconds:.1} s, {speed:.0}/s");
    println!(
        "a batch of {batch}: median {:.1} ms, worst {:.1} ms, n = {}",
        median * 1e3,
        worst * 1e3,
        batches.len()
    );
    Ok(())
}

fn prove(dir: &Path, proofs: u64, key: &SignerKey) -> Result {
    let head = Note::parse(&std::fs::read(dir.join("head"))?)?;
    head.verify([key.verifier()])?;
    let checkpoint = Checkpoint::parse(head.text())?;
    let (mut inclusion, mut whole, mut inclusion_cpu) = (Vec::new(), Vec::new(), Vec::new());
    let mut state = 42u64;
    for _ in 0..proofs {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = (state >> 11) % checkpoint.size();
        // A new reader each time, so nothing is kept in memory between proofs.
        let reader = || TileReader::new(FolderSource::new(dir), checkpoint.size(), *checkpoint.root());
        let (one, cpu) = (Instant::now(), cpu_seconds());
        reader().inclusion(index)?;
        inclusion.push(one.elapsed().as_secs_f64());
        inclusion_cpu.push(cpu_seconds() - cpu);
        let one = Instant::now();
        let (entry, _) = reader().entry(index)?;
        whole.push(one.elapsed().as_secs_f64());
        assert_eq!(entry, format!("entry {index:0>200}").into_bytes());
    }
    for (name, times) in [
        ("inclusion proof", &mut inclusion),
        ("inclusion proof, CPU", &mut inclusion_cpu),
        ("entry with its proof", &mut whole),
    ] {
        let (median, worst) = median_and_worst(times);
        println!("{name}: median {:.3} ms, worst {:.3} ms, n = {proofs}", median * 1e3, worst * 1e3);
    }
    Ok(())
}

fn check(dir: &Path, key: &SignerKey) -> Result {
    let start = Instant::now();
    let report = fsck(dir, Arc::new(RealDisk), &[key.verifier().clone()], &[], &mut |_, _| ())?;
    println!("fsck of {} entries: {:.2} s, n = 1", report.audited.entries, start.elapsed().as_secs_f64());
    Ok(())
}

fn median_and_worst(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times.get(times.len() / 2).copied().unwrap_or_default(), times.last().copied().unwrap_or_default())
}

/// The time this process was on a CPU; it has one thread.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
