//! `cargo xtask bench gate`: latency, throughput, streams, stop, kills, quotas, silence, with everything on. The measurement is an example of
//! `loadline-gate`, so that it needs nothing that the gate does not.

use std::process::Command;

/// Builds and runs it.
pub fn bench(words: &[&str]) -> Result<(), String> {
    let folder = crate::flag(words, "--folder").unwrap_or("target");
    run("run", folder)?;
    run("kills", folder)?;
    run("limits", folder)
}

fn run(what: &str, folder: &str) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--release", "-p", "loadline-gate", "--example", "bench", "--", what, folder]);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the measurement ended with {status}")),
        Err(error) => Err(format!("cargo does not run: {error}")),
    }
}
