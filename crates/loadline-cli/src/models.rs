//! From a model reference to a model: over HTTP, in this process, or simulated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::model::SIMULATED_PROVIDER;
use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Model, ModelError, ModelErrorKind, ModelRef};
use loadline_local::catalogue::{self, KnownModel};
use loadline_local::{LocalModel, LocalOptions};
use loadline_measure::simulated::Simulated;
use loadline_model::ModelArgs;

use crate::cache;
use crate::exit::Exit;
use crate::failure::Failure;

/// What goes before the slash.
const PROVIDERS: [&str; 4] = ["openai", "anthropic", "gguf", SIMULATED_PROVIDER];

/// A reference that has been read but not opened: opening may take a while and much memory.
#[derive(Clone, Debug)]
pub struct Choice {
    /// As the user wrote it.
    pub reference: ModelRef,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Http,
    File(PathBuf),
    Known(&'static KnownModel, PathBuf),
    Simulated(Box<Simulated>),
}

/// Settings of a model from the command line.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--base-url`.
    pub base_url: Option<String>,
    /// `--model-arg`.
    pub pairs: Vec<(String, String)>,
}

impl Choice {
    /// Reads a reference, and checks what can be checked without opening anything.
    ///
    /// # Errors
    /// When the provider or the name is not known, or the model is not in the cache.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let reference: ModelRef = text.parse().map_err(|error| {
            Failure::of(Exit::Usage, &error)
                .hint("for example `openai/NAME`, `gguf/PATH`, or a name from `loadline models`")
        })?;
        let place = match reference.provider.as_str() {
            "openai" | "anthropic" => Place::Http,
            "gguf" => Place::File(gguf_file(&reference.name)?),
            SIMULATED_PROVIDER => Place::Simulated(Box::new(
                Simulated::parse(&reference.name)
                    .map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))?,
            )),
            "local" => known(&reference.name)?,
            other => return Err(unknown_provider(other, text)),
        };
        Ok(Self { reference, place })
    }

    /// As [`Choice::parse`], with a model of the catalogue in this file instead of the cache.
    ///
    /// # Errors
    /// As [`Choice::parse`], and when there is no such file.
    pub fn parse_at(text: &str, file: PathBuf) -> Result<Self, Failure> {
        match catalogue::find(text.strip_prefix("local/").unwrap_or(text)) {
            Some(model) => Self::known_at(model, file),
            None => Self::parse(text),
        }
    }

    /// The file of its weights, where it runs in this process.
    pub fn weights(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) | Place::Known(_, path) => Some(path),
            Place::Http | Place::Simulated(_) => None,
        }
    }

    /// The model of the catalogue that it is.
    pub fn known(&self) -> Option<&'static KnownModel> {
        match &self.place {
            Place::Known(model, _) => Some(model),
            _ => None,
        }
    }

    /// Whether nothing answers but a simulation.
    pub fn is_simulated(&self) -> bool {
        matches!(self.place, Place::Simulated(_))
    }

    /// Whether it computes here, at this machine's pace.
    pub fn is_in_process(&self) -> bool {
        matches!(self.place, Place::File(_) | Place::Known(..))
    }

    /// A model of the catalogue in this file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn known_at(model: &'static KnownModel, path: PathBuf) -> Result<Self, Failure> {
        let reference = ModelRef { provider: "local".to_owned(), name: model.name.to_owned() };
        let path = gguf_file(&path.to_string_lossy())?;
        Ok(Self { reference, place: Place::Known(model, path) })
    }

    /// Opens it. No request is made yet.
    ///
    /// # Errors
    /// When a setting does not fit, a key is missing, or the file cannot be loaded.
    pub fn open(&self, settings: &Settings) -> Result<Arc<dyn Model>, Failure> {
        match &self.place {
            Place::Http => {
                let args = ModelArgs { base_url: settings.base_url.clone(), pairs: settings.pairs.clone() };
                loadline_model::open(&self.reference, &args).map_err(|error| model_failure(&error))
            }
            Place::File(_) | Place::Known(..) => Ok(Arc::new(self.open_here(settings)?)),
            Place::Simulated(model) => {
                self.takes_no_settings(settings)?;
                Ok(Arc::new(model.as_ref().clone()))
            }
        }
    }

    /// Loads its GGUF file, in a thread of its own stack size and without blocking anything but this call.
    ///
    /// # Errors
    /// As [`Choice::open`], and when it does not run in this process.
    pub fn open_here(&self, settings: &Settings) -> Result<LocalModel, Failure> {
        let (path, known) = match &self.place {
            Place::File(path) => (path, None),
            Place::Known(model, path) => (path, Some(*model)),
            Place::Http | Place::Simulated(_) => {
                let message = format!("{} does not run in this process", self.reference);
                return Err(Failure::new(Exit::Usage, message)
                    .hint("a GGUF file does, and what `loadline models` lists"));
            }
        };
        if settings.base_url.is_some() {
            return Err(Failure::new(
                Exit::Usage,
                format!("`--base-url` does not apply to {}", self.reference),
            )
            .hint("it is for `openai/NAME` and `anthropic/NAME`"));
        }
        let pairs = settings.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let options = LocalOptions::from_pairs(pairs)
            .map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))?;
        let model = LocalModel::open(self.reference.clone(), path, &options, None).map_err(|error| {
            Failure::because(Exit::ModelUnreachable, format!("cannot load {}", self.reference), &error)
                .maybe_hint(error.hint())
        })?;
        if let Some(known) = known {
            check_digest(known, model.identity().weights, path)?;
        }
        Ok(model)
    }

    fn takes_no_settings(&self, settings: &Settings) -> Result<(), Failure> {
        if settings.base_url.is_none() && settings.pairs.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Exit::Usage, format!("{} takes no settings", self.reference))
            .hint("leave out `--base-url` and `--model-arg`"))
    }
}

fn check_digest(known: &KnownModel, weights: Option<Digest>, path: &Path) -> Result<(), Failure> {
    let found = weights.map(|digest| digest.hex()).unwrap_or_default();
    if found == known.sha256 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::ModelUnreachable,
        format!("`{}` is not {}: its digest is wrong", cache::shown(path), known.name),
    )
    .cause(format!("expected sha256:{}", known.sha256))
    .cause(format!("found    sha256:{found}"))
    .hint(format!("`loadline pull {}` gets it again", known.name)))
}

fn gguf_file(name: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(name);
    match path.metadata() {
        Ok(meta) if meta.is_file() => Ok(path),
        Ok(_) => Err(Failure::new(Exit::ModelUnreachable, format!("`{name}` is not a file"))
            .hint("write `gguf/` and the path of a GGUF file")),
        Err(error) => Err(Failure::because(
            Exit::ModelUnreachable,
            format!("cannot read the model file `{name}`"),
            &error,
        )
        .hint("write `gguf/` and the path of a GGUF file; `loadline models` lists models it can get")),
    }
}

fn known(name: &str) -> Result<Place, Failure> {
    let Some(model) = catalogue::find(name) else {
        let hint = match catalogue::nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None if name.ends_with(".gguf") => format!("write `gguf/{name}` for a file"),
            None => "`loadline models` lists the names; other models are `gguf/PATH`, `openai/NAME` or `anthropic/NAME`"
                .to_owned(),
        };
        return Err(
            Failure::new(Exit::ModelUnreachable, format!("no model `{}`", one_line(name, 80))).hint(hint)
        );
    };
    let path = cache::model_path(model)?;
    if !cache::is_here(model, &path) {
        return Err(Failure::new(Exit::ModelUnreachable, format!("{} is not here yet", model.name))
            .hint(format!("get it with `loadline pull {}`", model.name)));
    }
    Ok(Place::Known(model, path))
}

fn unknown_provider(provider: &str, text: &str) -> Failure {
    let hint = match nearest(provider, PROVIDERS) {
        Some(near) => format!("did you mean `{near}/…`?"),
        None => format!("providers are {}; a file is `gguf/PATH`", PROVIDERS.join(", ")),
    };
    Failure::new(Exit::Usage, format!("unknown provider in model `{}`", one_line(text, 80))).hint(hint)
}

/// What an error of a model means for the command.
pub fn model_failure(error: &ModelError) -> Failure {
    let exit = match error.kind {
        ModelErrorKind::Refused => Exit::Usage,
        ModelErrorKind::Internal => Exit::Unexpected,
        _ => Exit::ModelUnreachable,
    };
    Failure::of(exit, error).maybe_hint(error.hint.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_the_catalogue_has_the_catalogues_digest_or_is_not_used() {
        let model = catalogue::find(catalogue::DEFAULT).unwrap();
        let right: Digest = format!("sha256:{}", model.sha256).parse().unwrap();
        check_digest(model, Some(right), Path::new("m.gguf")).unwrap();
        for wrong in [None, Some(Digest::of(b"another file"))] {
            let failure = check_digest(model, wrong, Path::new("m.gguf")).unwrap_err();
            assert_eq!(failure.exit, Exit::ModelUnreachable);
            assert!(failure.hint.unwrap().contains("loadline pull"));
        }
    }
}
