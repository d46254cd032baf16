//! For tests only: a fake endpoint with faults, TLS in front of it, a small authority, and what a test needs that may be missing.
//!
//! A test that needs what is not part of the checkout asks here. Where it is missing the test says on standard
//! error that it was left out; with `LOADLINE_TEST_ALL` set (as `.ci/run` does) it fails instead.

pub mod authority;
pub mod endpoint;
pub mod gguf;
pub mod hub;
pub mod tls;

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn workspace_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).unwrap_or(crate_dir).to_path_buf()
}

/// A file or folder of the shared test data, which stands beside the checkout (`../shared`), or `None` after
/// saying that the test is left out.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("LOADLINE_SHARED").map_or_else(|| workspace_root().join("../shared"), PathBuf::from);
    present(root.join(path), "shared test data")
}

/// A model file in the user's cache, where `loadline pull` puts it, or `None` after saying that the test is left
/// out. `LOADLINE_CACHE` names another cache folder.
pub fn model_file(file_name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("LOADLINE_CACHE").map(PathBuf::from).or_else(|| {
        std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .map(|cache| cache.join("loadline"))
    })?;
    present(cache.join("models").join(file_name), "a model that `loadline pull` gets")
}

fn present(path: PathBuf, what: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    left_out(&format!("needs {what}: {} is not there", path.display()));
    None
}

/// Says that the test running is left out, and why; panics instead when `LOADLINE_TEST_ALL` is set.
#[expect(clippy::print_stderr, clippy::panic, reason = "this is how a test speaks")]
pub fn left_out(why: &str) {
    if std::env::var_os("LOADLINE_TEST_ALL").is_some() {
        panic!("LOADLINE_TEST_ALL is set, but this test {why}");
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("left out: {test}: {why}");
}
