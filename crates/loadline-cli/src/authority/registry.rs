//! `model register`: a manifest of the weights, or what a remote model says of itself; the compute declaration; and the
//! entry of the log that binds both before the questions can be known.

use std::path::PathBuf;

use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_core::{Digest, ModelRef, strict};
use loadline_exam::entry::Registration;
use loadline_exam::{Entry, Manifest};
use loadline_policy::Ledger;
use serde::{Deserialize, Serialize};

use super::folder::{self, Folder};
use super::office::Office;
use super::weights::WeightFile;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring;
use crate::models::{Choice, Settings};

/// How a registered model is reached: what `exam run` opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// As `--model` takes it; none when it cannot be asked from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The file, for a model of the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// `--base-url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// `--model-arg`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_args: Vec<(String, String)>,
}

/// A file that says of itself what its bytes must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    /// SHA-256 over the canonical JSON of `value`.
    sha256: Digest,
    value: T,
}

/// A model that is to be registered.
#[derive(Debug)]
pub struct Candidate {
    /// Which model.
    pub manifest: Manifest,
    /// On what "this is that model" rests.
    pub identity: Basis,
    /// The compute declaration.
    pub compute: Option<Ledger>,
    /// How it is reached.
    pub reached: Reached,
}

/// What was registered.
#[derive(Clone, Debug, Serialize)]
pub struct Registered {
    /// Log index.
    pub registration: u64,
    /// Log index of the commitment that it names.
    pub commitment: u64,
    /// The model's digest.
    pub model: Digest,
    /// What it is called.
    pub name: String,
    /// On what its identity rests.
    pub identity: Basis,
}

/// A registered model, read back.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Which model.
    pub manifest: Manifest,
    /// The compute declaration.
    pub compute: Option<Ledger>,
}

/// The manifest of files whose digests are known.
///
/// # Errors
/// When a name cannot stand in a manifest.
pub fn manifest(name: &str, files: &[WeightFile], digests: Vec<Digest>) -> Result<Manifest> {
    let files = files.iter().map(|file| file.name.clone()).zip(digests);
    Manifest::of_files(name, files).map_err(|error| {
        Failure::of(Exit::ModelUnreachable, &error).hint("give the folder of the weights and nothing else")
    })
}

/// The manifest of a model that is not here.
///
/// # Errors
/// When it cannot be written.
pub fn of_remote(reference: &ModelRef, endpoint: Option<String>) -> Result<Manifest> {
    Manifest::of_remote(reference, endpoint).map_err(|error| Failure::of(Exit::Usage, &error))
}

/// Registers a model for the exam whose questions this commitment will make.
///
/// # Errors
/// When the commitment is used, the disk refuses, or a key cannot be opened.
pub fn register(office: &mut Office, candidate: &Candidate, commitment: Option<u64>) -> Result<Registered> {
    office.log_roots()?;
    let commitment = choose(office, commitment)?;
    let unexpected = |error: serde_json::Error| Failure::of(Exit::Unexpected, &error);
    let bytes = candidate.manifest.to_bytes().map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let model = Digest::of(&bytes);
    let dir = office.folder.model(model);
    folder::write(&dir.join("manifest.json"), &bytes, folder::PUBLIC)?;
    let compute = match &candidate.compute {
        Some(ledger) => {
            let bytes = canonical_json(ledger).map_err(unexpected)?;
            let digest = Digest::of(&bytes);
            folder::write(&compute_path(&office.folder, model, digest), &bytes, folder::PUBLIC)?;
            Some(digest)
        }
        None => None,
    };
    let reached = &candidate.reached;
    let sealed = Sealed { sha256: Digest::of_json(reached).map_err(unexpected)?, value: reached };
    folder::write_json(&dir.join("reached.json"), &sealed)?;
    let (name, identity) = (candidate.manifest.name().to_owned(), candidate.identity);
    let nonce = Digest(*keyring::fresh_seed()?);
    let follows = office.journal.state();
    let entry = Registration { model, name: name.clone(), identity, compute, commitment, follows, nonce };
    let registration = office.log(vec![Entry::Registration(entry)])?;
    Ok(Registered { registration, commitment, model, name, identity })
}

fn compute_path(folder: &Folder, model: Digest, digest: Digest) -> PathBuf {
    folder.model(model).join(format!("compute-{}.json", &digest.hex()[..16]))
}

fn choose(office: &Office, wanted: Option<u64>) -> Result<u64> {
    let usage = |message: String| {
        Failure::new(Exit::Usage, message).hint("commit to a fresh secret with `loadline exam commit POLICY`")
    };
    let Some(index) = wanted else {
        let free = office.history.free_commitment().map(|(index, _)| index);
        return free.ok_or_else(|| usage("there is no commitment that is not used yet".to_owned()));
    };
    office.history.check_fresh(index)?;
    match office.history.registered(index) {
        Some(other) => {
            Err(usage(format!("commitment {index} is taken by the registration in entry {other}")))
        }
        None => Ok(index),
    }
}

/// The model of a registration, checked against the log.
///
/// # Errors
/// When a file is not here, or is not what was registered.
pub fn kept(folder: &Folder, registration: &Registration) -> Result<Kept> {
    let path = folder.model(registration.model).join("manifest.json");
    let bytes = folder::read_addressed(&path, registration.model)?;
    let manifest = Manifest::parse(&bytes).map_err(|error| folder::changed(&path, &error))?;
    let compute = match registration.compute {
        Some(digest) => {
            let path = compute_path(folder, registration.model, digest);
            let bytes = folder::read_addressed(&path, digest)?;
            Some(strict::from_canonical_json(&bytes).map_err(|error| folder::changed(&path, &error))?)
        }
        None => None,
    };
    Ok(Kept { manifest, compute })
}

/// How a registered model is reached.
///
/// # Errors
/// When the file is not here or was changed, or the model cannot be reached from here.
pub fn reached(folder: &Folder, model: Digest) -> Result<(Choice, Settings)> {
    let path = folder.model(model).join("reached.json");
    let sealed: Sealed<Reached> = folder::read_json(&path)?;
    let found = Digest::of_json(&sealed.value).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    if found != sealed.sha256 {
        return Err(folder::not_as_written(&path));
    }
    choice(&sealed.value)
}

/// The model that this reaches.
///
/// # Errors
/// When there is none.
pub fn choice(reached: &Reached) -> Result<(Choice, Settings)> {
    let Some(reference) = &reached.reference else {
        return Err(Failure::new(
            Exit::Usage,
            "this model was registered as files only: it cannot be asked from here",
        )
        .hint("register it with `--served-as MODEL` when an endpoint serves it"));
    };
    let choice = match &reached.file {
        Some(file) => Choice::parse_at(reference, file.clone())?,
        None => Choice::parse(reference)?,
    };
    Ok((choice, Settings { base_url: reached.base_url.clone(), pairs: reached.model_args.clone() }))
}
