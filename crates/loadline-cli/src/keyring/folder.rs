//! A folder of keys: `NAME.age` and, beside it, the public half.

use std::path::PathBuf;

use loadline_core::Secret;
use loadline_tlog::{SignerKey, VerifierKey};
use loadline_trust::key::check_name;
use loadline_trust::{PublicKey, SecretKey, published};

use super::{KeyFileError, MAX_PUBLIC_BYTES, StoredKey, Work, create, read, read_public, slurp, write};

/// A folder of key files that one passphrase opens.
pub struct Keyring {
    folder: PathBuf,
    passphrase: Secret,
    work: Work,
}

impl Keyring {
    /// The key files of a folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>, passphrase: Secret) -> Self {
        Self { folder: folder.into(), passphrase, work: Work::STANDARD }
    }

    /// The same, with another amount of work for the files it makes.
    #[must_use]
    pub fn with_work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    /// Where the secret half of a key is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.age"))
    }

    /// Where the public half of a hybrid key is.
    pub fn public_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pub.json"))
    }

    /// Where the public half of a key for notes is.
    pub fn vkey_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.vkey"))
    }

    /// Keeps a new hybrid key: both halves, under its name.
    ///
    /// # Errors
    /// When there is a key of that name, or the files cannot be written.
    pub fn save(&self, key: &SecretKey) -> Result<(), KeyFileError> {
        let (name, path) = (key.public().name(), self.public_path(key.public().name()));
        let public =
            published::publish(key).map_err(|error| KeyFileError::Public { path: path.clone(), error })?;
        self.folder()?;
        write(&self.path(name), &StoredKey::Hybrid(Box::new(key.clone())), &self.passphrase, self.work)?;
        create(&path, &public, 0o644)
    }

    /// Keeps a new key for notes under a file name.
    ///
    /// # Errors
    /// When there is a key of that name, or the files cannot be written.
    pub fn save_note(&self, name: &str, key: &SignerKey) -> Result<(), KeyFileError> {
        check_name(name)?;
        self.folder()?;
        write(&self.path(name), &StoredKey::Note(Box::new(key.clone())), &self.passphrase, self.work)?;
        create(&self.vkey_path(name), format!("{}\n", key.verifier().to_vkey()).as_bytes(), 0o644)
    }

    /// Opens a hybrid key.
    ///
    /// # Errors
    /// When it is not there, or is not that key.
    pub fn open(&self, name: &str) -> Result<SecretKey, KeyFileError> {
        check_name(name)?;
        let path = self.path(name);
        match read(&path, &self.passphrase)? {
            StoredKey::Hybrid(key) if key.public().name() == name => Ok(*key),
            StoredKey::Hybrid(key) => Err(KeyFileError::Name { path, found: key.public().name().to_owned() }),
            other => Err(KeyFileError::Kind { path, found: other.kind(), expected: "a hybrid key" }),
        }
    }

    /// Opens a key for notes.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub fn open_note(&self, name: &str) -> Result<SignerKey, KeyFileError> {
        check_name(name)?;
        let path = self.path(name);
        match read(&path, &self.passphrase)? {
            StoredKey::Note(key) => Ok(*key),
            other => Err(KeyFileError::Kind { path, found: other.kind(), expected: "a key for notes" }),
        }
    }

    /// The public half of a hybrid key. Needs no passphrase.
    ///
    /// # Errors
    /// When it is not there, or was changed.
    pub fn public(&self, name: &str) -> Result<PublicKey, KeyFileError> {
        check_name(name)?;
        let path = self.public_path(name);
        let key = read_public(&path)?;
        if key.name() == name {
            Ok(key)
        } else {
            Err(KeyFileError::Name { path, found: key.name().to_owned() })
        }
    }

    /// The public half of a key for notes. Needs no passphrase.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub fn vkey(&self, name: &str) -> Result<VerifierKey, KeyFileError> {
        check_name(name)?;
        let path = self.vkey_path(name);
        let bytes = slurp(&path, MAX_PUBLIC_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        VerifierKey::parse(text.strip_suffix('\n').unwrap_or(&text))
            .map_err(|error| KeyFileError::Note { path, error })
    }

    fn folder(&self) -> Result<(), KeyFileError> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(|error| KeyFileError::Io {
            action: "make the folder",
            path: self.folder.clone(),
            error,
        })
    }
}
