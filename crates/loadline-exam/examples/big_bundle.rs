//! Makes a bundle with many samples of a simulated subject, or verifies one and says how long that took and how much
//! memory.
//!
//! `cargo run --release -p loadline-exam --features fixture --example big_bundle -- make FILE 100000`, then
//! `… -- verify FILE`. With `make FILE SAMPLES older` it has the form of before starts were witnessed.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use loadline_exam::fixture::{Fault, Plan, at, make};
use loadline_exam::{Anchor, verify};

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", file, samples] | ["make", file, samples, "older"] => {
            let samples: u64 = samples.parse()?;
            let mut plan = Plan { older: arguments.len() > 3, ..Plan::default() };
            let tests = plan.policy.tests.len() as u64;
            plan.policy.tests.iter_mut().for_each(|test| test.n = samples / tests);
            let bundle = make(&plan)?.bundle()?;
            File::create(file)?.write_all(&bundle)?;
            writeln!(out, "{file}: {samples} samples, {} bytes", bundle.len())?;
        }
        ["verify", file] => {
            let start = Instant::now();
            let report = verify(File::open(file)?, &Anchor::at(at(100_000)?));
            let seconds = start.elapsed().as_secs_f64();
            for step in &report.steps {
                writeln!(out, "{:>12} {:?} {}", step.name, step.status, step.detail)?;
            }
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown");
            writeln!(out, "holds: {}; {seconds:.2} s; {peak}", report.holds)?;
        }
        _ => return Err("usage: big_bundle make FILE SAMPLES [older] | verify FILE".into()),
    }
    Ok(())
}
