//! What the runner itself costs: a simulated subject that answers at once, the record on.
//!
//!     cargo run --release -p loadline-measure --example throughput -- [SAMPLES] [CONCURRENCY] [FOLDER]
//!
//! Prints processor seconds, wall seconds and peak memory of the whole process.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::time::Instant;

use loadline_core::Model;
use loadline_evidence::Store;
use loadline_measure::run::{CancelToken, RunOptions, measure};
use loadline_measure::{Simulated, SuiteTask};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let samples: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let concurrency: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let store = Store::open(folder.join(format!("loadline-throughput-{}", std::process::id())));

    let task = SuiteTask::parse("arithmetic")?.ok_or("no such suite")?.task(1, Some(samples));
    let model: Arc<dyn Model> = Arc::new(Simulated::parse("ability=0.7")?);
    let options =
        RunOptions { limit: Some(samples), seed: 1, concurrency: Some(concurrency), ..RunOptions::default() };
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (mut events, cancel) = (0u64, CancelToken::new());
    let run = measure(&task, model, &store, &options, |_| events += 1, &cancel);
    let outcome = runtime.block_on(run)?;
    let wall = began.elapsed().as_secs_f64();

    let estimate = outcome.results.metrics[0].estimate.clone()?;
    println!("{:?}, {estimate}, n={}, {events} events", outcome.status, estimate.n);
    println!("{samples} samples: {wall:.2} s wall, {}", usage());
    std::fs::remove_dir_all(store.root())?;
    Ok(())
}

/// What the kernel says of this process, where it says so.
fn usage() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    // Fields 14 and 15 of the line, counted behind the name in parentheses, are user and system time in ticks of
    // 1/100 s.
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN) / 100.0;
    let status = read("/proc/self/status");
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: ?");
    format!("{:.2} s user, {:.2} s system, {peak}", ticks(11), ticks(12))
}
