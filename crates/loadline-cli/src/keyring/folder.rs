//! A folder of keys: `NAME.age` and, beside it, the public half.

use std::path::PathBuf;

use loadline_core::Secret;
use loadline_tlog::SignerKey;
use loadline_trust::SecretKey;
use loadline_trust::key::check_name;

use super::{KeyFileError, StoredKey, Work, read, read_hybrid, save};

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

    /// Keeps a new hybrid key: both halves, under its name.
    ///
    /// # Errors
    /// When there is a key of that name, or the files cannot be written.
    pub fn save(&self, key: &SecretKey) -> Result<(), KeyFileError> {
        let path = self.path(key.public().name());
        save(&path, &StoredKey::Hybrid(Box::new(key.clone())), &self.passphrase, self.work)?;
        Ok(())
    }

    /// Keeps a new key for notes under a file name.
    ///
    /// # Errors
    /// When there is a key of that name, or the files cannot be written.
    pub fn save_note(&self, name: &str, key: &SignerKey) -> Result<(), KeyFileError> {
        check_name(name)?;
        save(&self.path(name), &StoredKey::Note(Box::new(key.clone())), &self.passphrase, self.work)?;
        Ok(())
    }

    /// Opens a hybrid key.
    ///
    /// # Errors
    /// When it is not there, or is not that key.
    pub fn open(&self, name: &str) -> Result<SecretKey, KeyFileError> {
        check_name(name)?;
        let path = self.path(name);
        let key = read_hybrid(&path, &self.passphrase)?;
        if key.public().name() == name {
            return Ok(key);
        }
        Err(KeyFileError::Name { path, found: key.public().name().to_owned() })
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
}
