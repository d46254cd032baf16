//! What several targets need.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Splits the selector byte off; nothing when there is none or the input is longer than `most`.
pub fn selected(data: &[u8], most: usize) -> Option<(u8, &[u8])> {
    let (selector, rest) = data.split_first()?;
    (rest.len() <= most).then_some((*selector, rest))
}

/// Cuts an input in two at its first NUL byte, which stands in neither of two texts.
pub fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// A folder of this process, in memory where the system has such a file system.
pub fn scratch() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("loadline-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder can be made");
        folder
    })
}
