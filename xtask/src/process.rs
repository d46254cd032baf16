//! Runs a program and accounts for it as the kernel does.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4 as _;

/// What one finished process used.
#[derive(Clone, Debug)]
pub struct Used {
    /// User and system time together, in seconds.
    pub cpu_s: f64,
    /// From start to end, in seconds.
    pub wall_s: f64,
    /// Peak resident memory, in MiB.
    pub peak_mib: f64,
    /// Exit code, if it was not killed.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
}

/// Runs to the end. Standard error goes nowhere unless `LOADLINE_BENCH_LOUD` is set.
pub fn run(command: &mut Command) -> Result<Used, String> {
    let loud = std::env::var_os("LOADLINE_BENCH_LOUD").is_some();
    let log = std::env::temp_dir().join(format!("loadline-bench-{}.out", std::process::id()));
    let file = std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file);
    command.stderr(if loud { Stdio::inherit() } else { Stdio::null() });
    let start = Instant::now();
    let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let end = child.wait4().map_err(|error| format!("{command:?}: {error}"))?;
    let wall_s = start.elapsed().as_secs_f64();
    let stdout = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    Ok(Used {
        cpu_s: (end.rusage.utime + end.rusage.stime).as_secs_f64(),
        wall_s,
        peak_mib: end.rusage.maxrss as f64 / f64::from(1 << 20),
        code: end.status.code(),
        stdout,
    })
}

/// The middle value, and the smallest and largest.
pub fn median(values: impl IntoIterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => (f64::NAN, f64::NAN, f64::NAN),
        all => (all[all.len() / 2], all[0], all[all.len() - 1]),
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Builds and names a release binary or example of the workspace.
pub fn build(arguments: &[&str], binary: &str) -> Result<PathBuf, String> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet"])
        .args(arguments)
        .current_dir(root())
        .status()
        .map_err(|error| format!("cargo build: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build {arguments:?} failed"));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("release").join(binary))
}
