//! Models of this process as upstreams of a gate: `loadline-local` behind the gate's [`Writer`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use futures_util::StreamExt as _;
use loadline_core::model::Generate;
use loadline_core::{Digest, Model as _};
use loadline_exam::Manifest;
use loadline_gate::config::ResidentConfig;
use loadline_gate::upstream::resident::{Resident, Subject, Writer, Writing, Written, Wrong};
use loadline_local::LocalModel;
use loadline_model::ModelArgs;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::models::{Choice, Settings};

/// What a model was loaded from: when any of it is another, it is loaded anew.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Source {
    file: PathBuf,
    bytes: u64,
    changed: Option<SystemTime>,
    args: Vec<String>,
}

impl Source {
    fn of(file: &Path, args: &[String]) -> Self {
        let about = file.metadata().ok();
        Self {
            file: file.to_owned(),
            bytes: about.as_ref().map_or(0, std::fs::Metadata::len),
            changed: about.and_then(|about| about.modified().ok()),
            args: args.to_vec(),
        }
    }
}

/// The models that are loaded. One that a configuration still names when it is read again is not loaded twice, and one
/// that none names any more goes with its last request.
#[derive(Default)]
pub struct Residents {
    loaded: Mutex<HashMap<Source, Weak<Resident>>>,
}

impl Residents {
    /// Loads a model, or gives the one that is there.
    ///
    /// # Errors
    /// What is wrong with the name, the file or the settings.
    pub fn open(&self, config: &ResidentConfig) -> Result<Arc<Resident>, Wrong> {
        self.load(config).map_err(|failure| {
            let causes = failure.causes.iter().map(|cause| format!(": {cause}"));
            let message = std::iter::once(failure.message.clone()).chain(causes).collect();
            Wrong { message, hint: failure.hint.unwrap_or_default() }
        })
    }

    fn load(&self, config: &ResidentConfig) -> Result<Arc<Resident>, Failure> {
        let choice = choice(config)?;
        let file = choice.weights().unwrap_or(Path::new("")).to_owned();
        let source = Source::of(&file, &config.args);
        // Held while it is loaded: nobody loads the same one meanwhile.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resident) = loaded.get(&source).and_then(Weak::upgrade) {
            return Ok(resident);
        }
        let args = ModelArgs::parse(None, &config.args)
            .map_err(|error| Failure::of(Exit::Usage, &error).maybe_hint(error.hint.clone()))?;
        let settings = Settings { base_url: None, pairs: args.pairs };
        let model = choice.open_here(&settings)?;
        // Weights and digest are read side by side: neither may be of another file.
        if Source::of(&file, &config.args) != source {
            let message = format!("`{}` changed while it was loaded", file.display());
            return Err(
                Failure::new(Exit::ModelUnreachable, message).hint("serve it when nothing writes to it")
            );
        }
        // Hashed when it was loaded, and of the catalogue's digest where it is a model of the catalogue.
        let weights = model.identity().weights.unwrap_or(Digest([0; 32]));
        let resident = Arc::new(Resident::new(Here { model, file, weights }));
        loaded.retain(|_, resident| resident.strong_count() > 0);
        loaded.insert(source, Arc::downgrade(&resident));
        Ok(resident)
    }
}

/// A name of the catalogue, or a path: with a slash in it, or `.gguf` at its end.
fn choice(config: &ResidentConfig) -> Result<Choice, Failure> {
    let model = &config.model;
    let is_path = model.contains(['/', std::path::MAIN_SEPARATOR]) || model.ends_with(".gguf");
    match is_path {
        true => Choice::parse(&format!("gguf/{}", config.folder.join(model).display())),
        false => Choice::parse(model),
    }
}

/// A model that is loaded.
struct Here {
    model: LocalModel,
    file: PathBuf,
    weights: Digest,
}

impl Writer for Here {
    fn write(&self, request: Generate) -> Writing {
        Box::pin(self.model.write(request).map(|piece| match piece {
            loadline_local::Written::Text(text) => Ok(Written::Text(text)),
            loadline_local::Written::End(Ok(output)) => Ok(Written::End(output.stop_reason, output.usage)),
            loadline_local::Written::End(Err(error)) => Err(error),
        }))
    }

    fn is(&self, subject: Subject<'_>) -> Result<(), Wrong> {
        match subject.manifest {
            Some(bytes) => self.is_listed(subject.digest, bytes),
            None => self.is_alone(subject),
        }
    }
}

impl Here {
    fn wrong(&self, why: &str, hint: &str) -> Wrong {
        let (file, weights) = (self.file.display(), self.weights);
        Wrong { message: format!("`{file}` ({weights}) is not its model: {why}"), hint: hint.to_owned() }
    }

    /// Whether the licence is about this one file, as `model register` lists a single file.
    fn is_alone(&self, subject: Subject<'_>) -> Result<(), Wrong> {
        let name = self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let manifest = Manifest::of_files(subject.name, [(name.clone(), self.weights)]);
        let found = manifest.and_then(|manifest| manifest.digest());
        let found = found.map_err(|error| self.wrong(&error.to_string(), "rename the file"))?;
        if found == subject.digest {
            return Ok(());
        }
        let why = format!(
            "the licence is about {}, and this file alone, as `{name}`, would be {found}",
            subject.digest
        );
        let hint = "serve the file that was registered, by its name; where it was registered with others beside it, name \
                    its `manifest`; a licence of a remote model needs a `url`";
        Err(self.wrong(&why, hint))
    }

    /// Whether a manifest is the licence's, and lists these weights.
    fn is_listed(&self, model: Digest, manifest: &[u8]) -> Result<(), Wrong> {
        let found = Digest::of(manifest);
        if found != model {
            let why = format!("the licence is about {model}, and the manifest that is named is {found}");
            return Err(
                self.wrong(&why, "name the `manifest.json` that `loadline model register` wrote for it")
            );
        }
        let lists = match Manifest::parse(manifest) {
            Ok(Manifest::Weights(statement)) => statement.predicate.digests().contains(&self.weights),
            Ok(Manifest::Remote(_)) => false,
            Err(error) => return Err(self.wrong(&error.to_string(), "")),
        };
        let hint = "serve one of the files that were registered, or register this one: it is another model";
        if lists { Ok(()) } else { Err(self.wrong("the manifest does not list it", hint)) }
    }
}
