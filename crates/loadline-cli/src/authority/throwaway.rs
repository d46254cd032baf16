//! An authority for a first day: keys that a random passphrase beside them opens, and a second, local witness.

use std::path::{Path, PathBuf};

use loadline_core::Secret;
use loadline_core::digest::hex;
use loadline_tlog::{Algorithm, VerifierKey};

use super::folder;
use super::found::{Founding, Witnesses};
use super::office::{self, OfficeArgs, WITNESS_KEY};
use super::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, Keyring, PassphraseArgs, StoredKey, Work};
use crate::ui::Ui;

/// How long its root counts, in days.
const VALID_DAYS: u64 = 365;

/// Where everything of it is.
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

impl Place {
    /// In this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The first folder of the name that is not there yet, in the current one.
    pub fn fresh(name: &str) -> Self {
        let numbered = (2_u32..).map(|number| PathBuf::from(format!("{name}-{number}")));
        let mut names = std::iter::once(PathBuf::from(name)).chain(numbered);
        Self(names.find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from(name)))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The passphrase of every key.
    pub fn passphrase(&self) -> PathBuf {
        self.0.join("passphrase")
    }

    /// The authority.
    pub fn authority(&self) -> PathBuf {
        self.0.join("authority")
    }

    /// The witness.
    pub fn witness(&self) -> PathBuf {
        self.0.join("witness")
    }

    /// The evidence as one file.
    pub fn bundle(&self) -> PathBuf {
        self.0.join("license.bundle")
    }

    /// What opens all of it.
    pub fn office(&self) -> OfficeArgs {
        OfficeArgs {
            authority: self.authority(),
            witness: vec![self.witness()],
            passphrase: PassphraseArgs { passphrase_file: Some(self.passphrase()) },
        }
    }
}

/// Makes what is not there yet: passphrase, witness, authority. Says where each is.
///
/// # Errors
/// When the disk refuses.
pub fn set_up(place: &Place, ui: &Ui) -> Result<()> {
    std::fs::create_dir_all(place.path()).map_err(|error| {
        Failure::io(format!("cannot make the folder `{}`", place.path().display()), &error)
    })?;
    if roots::path(&place.authority(), 1).exists() && place.authority().join("log/head").exists() {
        return Ok(());
    }
    let path = place.passphrase();
    if !path.exists() {
        let text = Secret::new(hex(&keyring::fresh_seed()?[..16]));
        folder::write(&path, format!("{}\n", text.expose()).as_bytes(), folder::PRIVATE)?;
        ui.status(
            "Drawn",
            format_args!("a random passphrase, in plain text for its owner only: `{}`", path.display()),
        );
    }
    let passphrase = place.office().passphrase.get()?;
    let witness = witness(place, &passphrase, ui)?;
    // The log's name is its identity for witnesses: no two quickstarts share one.
    let origin = format!("loadline.local/quickstart/{}", hex(&keyring::fresh_seed()?[..4]));
    let founding = Founding {
        origin,
        valid_days: VALID_DAYS,
        also: Vec::new(),
        witnesses: Witnesses { witnesses: vec![(witness, None)], needed: Some(1) },
    };
    let keyring = Keyring::new(roots::keys(&place.authority()), passphrase).with_work(Work::LIGHT);
    if !roots::path(&place.authority(), 1).exists() {
        // Keys of a founding that was cut off belong to no root.
        let _not_there = std::fs::remove_dir_all(roots::keys(&place.authority()));
    }
    let chain = office::establish(&place.authority(), &founding, &keyring, roots::now()?)?;
    ui.status("Founded", format_args!("authority {}: `{}`", chain.authority(), place.authority().display()));
    Ok(())
}

fn witness(place: &Place, passphrase: &Secret, ui: &Ui) -> Result<VerifierKey> {
    let path = place.witness().join(WITNESS_KEY);
    if path.exists() {
        if let StoredKey::Note(key) = keyring::read(&path, passphrase)? {
            return Ok(key.verifier().clone());
        }
        let message = format!("`{}` is no witness's key", path.display());
        return Err(Failure::new(Exit::EvidenceInvalid, message).hint("start again in another folder"));
    }
    let name = format!("witness.loadline.local/{}", hex(&keyring::fresh_seed()?[..4]));
    let key = keyring::new_note_key(&name, Algorithm::CosignatureEd25519)?;
    let verifier = key.verifier().clone();
    let _not_there = std::fs::remove_file(path.with_extension("vkey"));
    keyring::save(&path, &StoredKey::Note(Box::new(key)), passphrase, Work::LIGHT)?;
    ui.status(
        "Made",
        format_args!("a second witness of the log, with a key of its own: `{}`", place.witness().display()),
    );
    Ok(verifier)
}
