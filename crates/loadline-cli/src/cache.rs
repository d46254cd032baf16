//! The user's cache: where pulled models are kept.

use std::path::{Path, PathBuf};

use loadline_local::catalogue::KnownModel;

use crate::exit::Exit;
use crate::failure::Failure;

/// `${LOADLINE_CACHE}`, or `${XDG_CACHE_HOME}/loadline`, or `~/.cache/loadline`.
///
/// # Errors
/// When none of the three variables is set.
pub fn folder() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LOADLINE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("loadline")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/loadline")))
        .ok_or_else(|| {
            Failure::new(Exit::Unexpected, "no place for a cache: HOME is not set")
                .hint("set LOADLINE_CACHE to a folder")
        })
}

/// Where a model of the catalogue is kept.
///
/// # Errors
/// As [`folder`].
pub fn model_path(model: &KnownModel) -> Result<PathBuf, Failure> {
    Ok(folder()?.join("models").join(model.file))
}

/// Whether a file of the model's size is there. Its digest is checked when it is opened.
pub fn is_here(model: &KnownModel, path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == model.bytes)
}

/// A path as people write it: below the home folder with `~`.
pub fn shown(path: &Path) -> String {
    let below_home = std::env::var_os("HOME")
        .and_then(|home| path.strip_prefix(home).ok().map(|rest| format!("~/{}", rest.display())));
    below_home.unwrap_or_else(|| path.display().to_string())
}
