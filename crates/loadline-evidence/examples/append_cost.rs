//! What a row costs: appends rows of about 1 KB, seals, verifies, and says the processor time and the memory.
//!
//! `cargo run --release -p loadline-evidence --example append_cost -- FOLDER ROWS [ROWS-BETWEEN-FLUSHES]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the person who runs it")]

use std::path::Path;
use std::time::Instant;

use loadline_core::SampleRecord;
use loadline_core::record::{EvalSpec, Row};
use loadline_evidence::{RecordError, Store};

fn main() -> Result<(), RecordError> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "append-cost".to_owned());
    let rows: u64 = args.next().map_or(100_000, |text| text.parse().unwrap());
    let group: u64 = args.next().map_or(u64::MAX, |text| text.parse().unwrap());
    let store = Store::open(Path::new(&folder));
    let spec: EvalSpec = serde_json::from_value(serde_json::json!({
        "format": 1, "task": { "name": "cost", "version": "1", "digest": format!("sha256:{}", "0".repeat(64)) },
        "model": "fake/ability=0.7", "identity": { "basis": "absent" }, "epochs": 1, "seed": rows, "samples": rows,
    }))
    .unwrap();
    let mut sample: SampleRecord = serde_json::from_value(serde_json::json!({
        "id": "", "index": 0, "epoch": 0, "target": ["18"],
        "input": { "generate": { "prompt": { "text": "x".repeat(500) }, "sampling": { "max_tokens": 64 } } },
        "output": "y".repeat(200), "usage": { "input_tokens": 120, "output_tokens": 40 },
        "scores": [{ "metric": "exact_match", "value": { "number": 1.0 }, "answer": "18" }],
        "started_ms": 1_700_000_000_000_u64, "duration_ms": 200, "attempts": 1,
    }))
    .unwrap();

    let (began, cpu) = (Instant::now(), cpu_seconds());
    let writer = store.create(&spec)?;
    let run = writer.run();
    for number in 0..rows {
        sample.id = format!("sample-{number}");
        sample.index = number;
        writer.append(&Row::Sample(Box::new(sample.clone())))?;
        if number % group == group - 1 {
            writer.flush()?;
        }
    }
    writer.seal()?;
    report("append and seal", rows, began, cpu);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let read = store.reader(&run)?.rows().count() as u64;
    report("read", read, began, cpu);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let verified = store.verify(&run)?;
    report("verify", verified.rows, began, cpu);
    Ok(())
}

fn report(what: &str, rows: u64, began: Instant, cpu: f64) {
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let per_row = cpu * 1e6 / rows as f64;
    println!(
        "{what}: {rows} rows, {wall:.2} s, {cpu:.2} CPU s, {per_row:.1} µs a row, peak {} MiB",
        peak_mib()
    );
}

/// Processor time of this process so far, where the system says (Linux).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split_whitespace().skip(13).take(2).filter_map(|f| f.parse().ok()).collect();
    fields.iter().sum::<f64>() / 100.0
}

/// Most memory used so far, in MiB, where the system says (Linux).
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.map_or(0, |kib: u64| kib / 1024)
}
