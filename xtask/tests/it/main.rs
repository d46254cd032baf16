//! Tidy: the invariants of ARCHITECTURE.md that a compiler does not check.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

mod docs;
mod licences;
mod rooms;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files under version control whose path ends so, relative to the root.
fn tracked(suffix: &str) -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let output = output.expect("git lists the files");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<PathBuf> = output
        .stdout
        .split(|byte| *byte == 0)
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .filter(|path| path.to_string_lossy().ends_with(suffix) && root().join(path).is_file())
        .collect();
    assert!(!files.is_empty(), "no tracked file ends in {suffix}");
    files
}

/// Source files of a crate: `src/` only, without its inline tests.
fn sources(crate_name: &str) -> Vec<(PathBuf, String)> {
    let prefix = format!("crates/loadline-{crate_name}/src/");
    tracked(".rs")
        .into_iter()
        .filter(|path| path.to_string_lossy().starts_with(&prefix))
        .map(|path| {
            let text = read(&path);
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or("").to_owned();
            (path, code)
        })
        .collect()
}

/// Names of the crates in `crates/`, without the prefix.
fn crates() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("loadline-").map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn metadata() -> cargo_metadata::Metadata {
    cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .exec()
        .expect("cargo metadata")
}
