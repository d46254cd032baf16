//! The small verifier: its size, and the crates that are linked into it. Both have a limit, because it is to be read.

use std::collections::BTreeSet;
use std::process::Command;

use crate::process::root;

/// The most bytes of the program.
const MOST_BYTES: u64 = 3_000_000;
/// The most crates of others in it.
const MOST_CRATES: usize = 40;

const PACKAGE: &str = "loadline-verify";

/// Builds it, and says how large it is.
pub fn size() -> Result<(), String> {
    cargo(&["build", "--quiet", "--profile", "small", "--package", PACKAGE])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let path = target.join("small").join(PACKAGE);
    let bytes = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?.len();
    let tree = ["tree", "--package", PACKAGE, "--edges", "normal,no-proc-macro", "--prefix", "none"];
    let tree = cargo(&[&tree[..], &["--format", "{p}"]].concat())?;
    // `NAME vVERSION`, and `(*)` behind what was listed before.
    let named = tree.lines().map(|line| line.trim_end_matches(" (*)"));
    let crates: BTreeSet<_> = named.filter(|line| !line.starts_with("loadline-")).collect();
    let crates: Vec<_> = crates.into_iter().collect();
    println!("{bytes:>9} bytes  of at most {MOST_BYTES}: {}", path.display());
    println!(
        "{:>9} crates of others are linked, of at most {MOST_CRATES}: {}",
        crates.len(),
        crates.join(", ")
    );
    if bytes > MOST_BYTES || crates.len() > MOST_CRATES {
        return Err("the small verifier is too large".to_owned());
    }
    Ok(())
}

/// What cargo says on standard output.
fn cargo(words: &[&str]) -> Result<String, String> {
    let command = || format!("cargo {}", words.join(" "));
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(words).current_dir(root()).stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{}: {error}", command()))?;
    if !output.status.success() {
        return Err(format!("{} failed", command()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{}: {error}", command()))
}
