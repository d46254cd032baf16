//! The files of a model's weights, each with its SHA-256: streamed, and as many at once as there are processors.
//!
//! SHA-256 of one file is one chain of blocks, so a single file is hashed by one processor; reading it goes on in another
//! thread meanwhile.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use loadline_core::Digest;
use loadline_core::digest::Hasher;
use loadline_core::untrusted::one_line;
use loadline_exam::manifest::{IGNORED, MAX_FILES};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that are read ahead of the hash.
const CHUNKS_AHEAD: usize = 4;
/// Folders within folders.
const MAX_DEPTH: usize = 16;

/// A file of the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightFile {
    /// Its path below the folder, with `/`; for a single file its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The files below a folder, or the one file, in the order of their names. What version control keeps is left out.
///
/// # Errors
/// When there is none, one is neither file nor folder (a symbolic link could lead anywhere), or has a name that is not
/// UTF-8.
pub fn list(path: &Path) -> Result<Vec<WeightFile>> {
    let meta = path.metadata().map_err(|error| unreadable(path, &error))?;
    let mut files = Vec::new();
    if meta.is_file() {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| bad_name(path))?;
        files.push(WeightFile { name: name.to_owned(), path: path.to_owned(), bytes: meta.len() });
        return holding_something(files, path);
    }
    below(path, "", 0, &mut files)?;
    if files.is_empty() {
        let message = format!("there are no files in `{}`", path.display());
        return Err(Failure::new(Exit::ModelUnreachable, message).hint("give the folder of the weights"));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    holding_something(files, path)
}

/// Refuses files without a byte: a registration is for ever, and uses up a commitment.
fn holding_something(files: Vec<WeightFile>, path: &Path) -> Result<Vec<WeightFile>> {
    if files.iter().all(|file| file.bytes == 0) {
        let message = format!("`{}` is empty: there are no weights in it", path.display());
        return Err(
            Failure::new(Exit::ModelUnreachable, message).hint("give the file or folder of the weights")
        );
    }
    Ok(files)
}

fn below(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<WeightFile>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| bad_name(&path))?;
        if depth == 0 && IGNORED.contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
        if kind.is_dir() && depth < MAX_DEPTH {
            below(&path, &format!("{prefix}{name}/"), depth + 1, files)?;
        } else if kind.is_file() && files.len() < MAX_FILES {
            let bytes = entry.metadata().map_err(|error| unreadable(&path, &error))?.len();
            files.push(WeightFile { name: format!("{prefix}{name}"), path, bytes });
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "too deep, too many, or no file" };
            let message = format!("`{}` is {what}", path.display());
            return Err(Failure::new(Exit::ModelUnreachable, message)
                .hint("give a folder that holds the files of the weights themselves, and nothing else"));
        }
    }
    Ok(())
}

/// The SHA-256 of each file, in order. `progress` is told of bytes as they are hashed, from several threads.
///
/// # Errors
/// When one cannot be read, or changes its size meanwhile.
pub fn hash(files: &[WeightFile], progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<Digest>> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(files.len()).max(1);
    // The largest first, so that no thread is left with it in the end.
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(files[at].bytes));
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<Digest>>>> = Mutex::new(files.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let digest = hash_one(&files[at], progress);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(digest);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let unhashed = || Err(Failure::new(Exit::Unexpected, "a file was not hashed"));
    results.into_iter().map(|result| result.unwrap_or_else(unhashed)).collect()
}

/// Reads in one thread and hashes in another, over a few buffers that go round.
fn hash_one(file: &WeightFile, progress: &(dyn Fn(u64) + Sync)) -> Result<Digest> {
    let failed = |error: std::io::Error| unreadable(&file.path, &error);
    let mut source = File::open(&file.path).map_err(failed)?;
    let (full, filled) = mpsc::sync_channel::<std::io::Result<Vec<u8>>>(CHUNKS_AHEAD);
    let (empty, emptied) = mpsc::channel::<Vec<u8>>();
    let (mut hasher, mut total) = (Hasher::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let mut chunk = emptied.try_recv().unwrap_or_default();
                chunk.clear();
                let read = source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
                let message = read.map(|_| chunk);
                let is_last = message.as_ref().map_or(true, Vec::is_empty);
                if full.send(message).is_err() || is_last {
                    return;
                }
            }
        });
        for chunk in filled {
            let chunk = chunk.map_err(failed)?;
            hasher.update(&chunk);
            total += chunk.len() as u64;
            progress(chunk.len() as u64);
            let _reader_is_done = empty.send(chunk);
        }
        Ok::<(), Failure>(())
    })?;
    if total == file.bytes {
        return Ok(hasher.finish());
    }
    let message = format!("`{}` changed while it was read", file.path.display());
    Err(Failure::new(Exit::ModelUnreachable, message).hint("register the model when nothing writes to it"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::because(Exit::ModelUnreachable, format!("cannot read `{}`", path.display()), error)
        .hint("give the file or the folder of the weights")
}

fn bad_name(path: &Path) -> Failure {
    let shown = one_line(&path.to_string_lossy(), 200);
    Failure::new(Exit::ModelUnreachable, format!("the name of `{shown}` is not UTF-8")).hint("rename it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_by_path_and_hashed_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/.git")).unwrap();
        std::fs::create_dir_all(dir.path().join(".git")).unwrap();
        let large: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
        for (name, bytes) in [("b/1", &b"one"[..]), ("a", &large), (".git/x", b"no"), ("b/.git/y", b"yes")] {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let files = list(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a", "b/.git/y", "b/1"]);
        let seen = std::sync::atomic::AtomicU64::new(0);
        let digests = hash(&files, &|bytes| {
            seen.fetch_add(bytes, Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!(digests, [Digest::of(&large), Digest::of(b"yes"), Digest::of(b"one")]);
        assert_eq!(seen.into_inner(), 3_000_001 + 6);
        let one = list(&dir.path().join("b/1")).unwrap();
        assert_eq!((one[0].name.as_str(), one.len()), ("1", 1));
    }

    #[test]
    fn links_and_changing_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"one").unwrap();
        let mut files = list(dir.path()).unwrap();
        files[0].bytes = 2;
        assert!(hash(&files, &|_| ()).unwrap_err().message.ends_with("changed while it was read"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
            assert!(list(dir.path()).unwrap_err().message.ends_with("is a symbolic link"));
        }
        assert!(list(&dir.path().join("none")).is_err());
    }
}
