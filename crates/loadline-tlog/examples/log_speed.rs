//! Measures appending durably and proving from disk: `log_speed DIR [ENTRIES] [BATCH]`.
#![expect(clippy::print_stdout, reason = "an example that measures prints what it measured")]

use std::sync::Arc;
use std::time::Instant;

use loadline_tlog::disk::{DiskLog, RealDisk};
use loadline_tlog::{Algorithm, Checkpoint, Note, NoteError, SignerKey};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: log_speed DIR [ENTRIES] [BATCH]")?;
    let entries: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let batch: u64 = arguments.next().map_or(Ok(8192), |text| text.parse())?;
    let key = SignerKey::from_seed("example.com/speed", Algorithm::Ed25519, &[7; 32])?;
    let sign = |checkpoint: &Checkpoint| -> Result<Note, NoteError> {
        let mut note = Note::unsigned(&checkpoint.to_text())?;
        note.sign(&key, 0)?;
        Ok(note)
    };
    let keys = vec![key.verifier().clone()];
    let mut log = DiskLog::create(dir, Arc::new(RealDisk), keys, "example.com/speed", sign)?;
    let start = Instant::now();
    while log.size() < entries {
        let next = log.size()..(log.size() + batch.max(1)).min(entries);
        log.append(next.map(|number| format!("entry {number:0>200}")), sign)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "appended {entries} entries in batches of {batch}: {seconds:.1} s, {:.0}/s",
        entries as f64 / seconds
    );
    let proofs = 1000u64.min(entries);
    let mut slowest = 0.0f64;
    let start = Instant::now();
    for number in 0..proofs {
        // A new reader each time, so nothing is kept in memory between proofs.
        let one = Instant::now();
        log.reader().entry(number.wrapping_mul(7_919_017) % entries)?;
        slowest = slowest.max(one.elapsed().as_secs_f64());
    }
    let each = start.elapsed().as_secs_f64() / proofs as f64;
    println!("proved {proofs} entries from disk: {:.3} ms each, slowest {:.3} ms", each * 1e3, slowest * 1e3);
    Ok(())
}
