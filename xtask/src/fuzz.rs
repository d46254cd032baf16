//! Coverage-guided fuzzing: seeds from the golden files, then one target after the other (`fuzz/`).

mod seeds;

use std::path::Path;
use std::process::Command;

use crate::process::root;

/// The targets, and how large their inputs may be, in bytes.
const TARGETS: [(&str, usize); 10] = [
    ("bundle", 512 << 10),
    ("log", 64 << 10),
    ("record", 256 << 10),
    ("task", 32 << 10),
    ("gguf", 64 << 10),
    ("trust", 128 << 10),
    ("policy", 64 << 10),
    ("suites", 8 << 10),
    ("reply", 64 << 10),
    ("scores", 64 << 10),
];

/// Runs every target, or the one that is named, for so many seconds each; goes on after a finding and fails at the end.
/// With 0 seconds the seeds are written and nothing runs.
pub fn fuzz(words: &[&str]) -> Result<(), String> {
    let seconds = match crate::flag(words, "--seconds") {
        None => 60,
        Some(text) => text.parse::<u32>().map_err(|_| format!("`--seconds {text}`: not a number"))?,
    };
    let wanted = words.first().filter(|word| !word.starts_with("--"));
    let chosen: Vec<_> =
        TARGETS.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name)).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no such target; there are {}", known.join(", ")));
    }
    let folder = root().join("fuzz");
    let mut failed = Vec::new();
    for (name, most) in chosen {
        println!("== {name}");
        let seeds = seeds::write(name, &folder.join("corpus").join(name))?;
        println!("{seeds} seeds");
        if seconds > 0 && !run(&folder, name, *most, seconds)? {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("findings in {}: the inputs are in fuzz/artifacts", failed.join(", ")))
}

/// Whether the target ran to its end.
fn run(folder: &Path, name: &str, most: usize, seconds: u32) -> Result<bool, String> {
    let status = Command::new("cargo")
        .args(["+nightly", "fuzz", "run", "--fuzz-dir", ".", name, "--"])
        .args([format!("-max_total_time={seconds}"), format!("-max_len={most}")])
        .args(["-rss_limit_mb=2048", "-timeout=10", "-print_final_stats=1"])
        .current_dir(folder)
        .status()
        .map_err(|error| format!("cargo fuzz: {error}"))?;
    Ok(status.success())
}
