//! Which model: the files of its weights, or what a remote endpoint says of itself. `docs/formats/manifest.md` is the
//! page of this format.
//!
//! Weights are listed as in OpenSSF Model Signing v1.0 (reference implementation `sigstore/model-transparency`,
//! `Payload`): an in-toto Statement whose subject is the SHA-256 over the files' raw digests in order of their names.

use std::collections::BTreeSet;

use loadline_core::digest::{Hasher, canonical_json};
use loadline_core::model::{Basis, SIMULATED_PROVIDER};
use loadline_core::strict::{self, StrictError};
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, ModelRef};
use loadline_policy::license::{Predicate, Sha256, Statement, StatementError};
use serde::{Deserialize, Serialize};

/// `predicateType` of a manifest of weights.
pub const WEIGHTS_TYPE: &str = "https://model_signing/signature/v1.0";
/// `predicateType` of a remote identity; its number is the version of the format.
pub const REMOTE_TYPE: &str = "https://loadline.dev/remote-model/v1";
/// The most files of one model.
pub const MAX_FILES: usize = 10_000;
/// The longest name of a file, in bytes.
pub const MAX_NAME_BYTES: usize = 1_024;
/// Top-level names that are no part of a model, by the reference implementation's defaults.
pub const IGNORED: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// One file of the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// `sha256`.
    pub algorithm: String,
    /// 64 hexadecimal digits.
    pub digest: Sha256,
    /// Path from the model's folder, with `/`.
    pub name: String,
}

/// How the files became a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serialization {
    /// Whether symbolic links were followed.
    pub allow_symlinks: bool,
    /// `sha256`.
    pub hash_type: String,
    /// What was left out.
    pub ignore_paths: Vec<String>,
    /// `files`: each file whole.
    pub method: String,
}

/// The predicate of OpenSSF Model Signing v1.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The files, ascending by name.
    pub resources: Vec<Resource>,
    /// How they became a list.
    pub serialization: Serialization,
}

impl Predicate for Weights {
    const TYPE: &'static str = WEIGHTS_TYPE;
}

/// A model that is not here: what its endpoint says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// The endpoint, where it is not the provider's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The model's name with that provider.
    pub name: String,
    /// Who serves it, as in a model reference.
    pub provider: String,
}

impl Predicate for Remote {
    const TYPE: &'static str = REMOTE_TYPE;
}

/// Which model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Its weights, file by file.
    Weights(Statement<Weights>),
    /// A remote one, as it says.
    Remote(Statement<Remote>),
}

/// Why something is no manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not canonical JSON of the form.
    #[error(transparent)]
    Form(#[from] StrictError),
    /// It cannot be written as JSON.
    #[error("the manifest cannot be written as JSON: {0}")]
    Unwritable(#[source] serde_json::Error),
    /// Another kind of statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// No file, or too many.
    #[error("the model has {0} files; 1 to {MAX_FILES} are accepted")]
    Files(usize),
    /// A file's name that cannot be one.
    #[error("`{0}` cannot be the name of a model's file: a path below its folder, with `/`")]
    Name(String),
    /// Not in order, or twice.
    #[error("file `{0}` is there twice or not in the order of names")]
    Order(String),
    /// Another hash or another way to list files.
    #[error("`{field}` is `{found}`; only `{expected}` is read")]
    Method {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it must say.
        expected: &'static str,
    },
    /// The subject's digest does not follow from the rest.
    #[error("the subject is {found}, and what is listed has {expected}")]
    Subject {
        /// What it says.
        found: Digest,
        /// What follows.
        expected: Digest,
    },
}

impl Manifest {
    /// The manifest of weights: name and SHA-256 of each file, in any order.
    ///
    /// # Errors
    /// When there is no file, one twice, or a name that cannot be one.
    pub fn of_files(
        model: &str,
        files: impl IntoIterator<Item = (String, Digest)>,
    ) -> Result<Self, ManifestError> {
        let files = files.into_iter().map(|(name, digest)| Resource {
            algorithm: "sha256".to_owned(),
            digest: Sha256(digest),
            name,
        });
        let mut resources: Vec<_> = files.collect();
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        let serialization = Serialization {
            allow_symlinks: false,
            hash_type: "sha256".to_owned(),
            ignore_paths: IGNORED.map(str::to_owned).to_vec(),
            method: "files".to_owned(),
        };
        let weights = Weights { resources, serialization };
        let manifest = Self::Weights(Statement::about(model, weights.root(), weights));
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest of a model that is not here.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn of_remote(reference: &ModelRef, endpoint: Option<String>) -> Result<Self, ManifestError> {
        let remote = Remote { endpoint, name: reference.name.clone(), provider: reference.provider.clone() };
        let digest = Digest::of_json(&remote).map_err(ManifestError::Unwritable)?;
        Ok(Self::Remote(Statement::about(reference.to_string(), digest, remote)))
    }

    /// Its bytes: canonical JSON.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        match self {
            Self::Weights(statement) => canonical_json(statement),
            Self::Remote(statement) => canonical_json(statement),
        }
        .map_err(ManifestError::Unwritable)
    }

    /// Reads a manifest in its one form and checks that it is one.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let remote = match strict::from_canonical_json::<Statement<Remote>>(bytes) {
            Ok(statement) => Some(statement),
            Err(StrictError::TooLarge(size)) => return Err(StrictError::TooLarge(size).into()),
            Err(_) => None,
        };
        let manifest = match remote {
            Some(statement) => Self::Remote(statement),
            None => Self::Weights(strict::from_canonical_json(bytes)?),
        };
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let (found, expected) = match self {
            Self::Weights(statement) => {
                statement.check()?;
                statement.predicate.check()?;
                (statement.model(), statement.predicate.root())
            }
            Self::Remote(statement) => {
                statement.check()?;
                let digest = Digest::of_json(&statement.predicate).map_err(ManifestError::Unwritable)?;
                (statement.model(), digest)
            }
        };
        if found == expected { Ok(()) } else { Err(ManifestError::Subject { found, expected }) }
    }

    /// The model digest that everything else names: SHA-256 of the manifest's bytes.
    ///
    /// # Errors
    /// Never in practice: every field can be written as JSON.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// What the model is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Weights(statement) => &statement.subject[0].name,
            Self::Remote(statement) => &statement.subject[0].name,
        }
    }

    /// Whether there is no model behind it but a simulation.
    pub fn is_simulated(&self) -> bool {
        matches!(self, Self::Remote(statement) if statement.predicate.provider == SIMULATED_PROVIDER)
    }

    /// On what "this is that model" can rest at most.
    pub fn basis(&self) -> Basis {
        match self {
            Self::Weights(_) => Basis::Verified,
            Self::Remote(_) => Basis::SelfReported,
        }
    }
}

impl Weights {
    /// SHA-256 over the raw digests in order.
    fn root(&self) -> Digest {
        let mut hasher = Hasher::new();
        self.resources.iter().for_each(|resource| hasher.update(&resource.digest.0.0));
        hasher.finish()
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !(1..=MAX_FILES).contains(&self.resources.len()) {
            return Err(ManifestError::Files(self.resources.len()));
        }
        let words = [
            ("method", &self.serialization.method, "files"),
            ("hash_type", &self.serialization.hash_type, "sha256"),
        ];
        let algorithms = self.resources.iter().map(|resource| ("algorithm", &resource.algorithm, "sha256"));
        for (field, found, expected) in words.into_iter().chain(algorithms) {
            if found != expected {
                return Err(ManifestError::Method { field, found: one_line(found, 40), expected });
            }
        }
        let mut before: Option<&str> = None;
        for Resource { name, .. } in &self.resources {
            if !is_path(name) {
                return Err(ManifestError::Name(one_line(name, 80)));
            }
            if before.is_some_and(|before| before >= name.as_str()) {
                return Err(ManifestError::Order(one_line(name, 80)));
            }
            before = Some(name);
        }
        Ok(())
    }

    /// Digests of the files.
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.resources.iter().map(|resource| resource.digest.0).collect()
    }
}

/// Whether a name is a path below a folder, in one form.
fn is_path(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    name.len() <= MAX_NAME_BYTES
        && !name.chars().any(|c| c.is_control() || c == '\\')
        && name.split('/').all(part)
}
