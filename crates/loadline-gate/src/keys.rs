//! Callers' keys: 256 random bits, shown once and kept as their SHA-256. `docs/formats/gate-keys.md` has the file.
//!
//! A key is found by its hash, so no secret is compared with anything: how long a look-up takes says nothing about a key
//! that one does not have.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant, Secret};
use loadline_evidence::disk::{Disk, Lock, LockError};
use loadline_evidence::{RecordError, write_private};
use loadline_policy::policy::Stage;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::audit::subjects::read_small;
use crate::audit::{AuditOpenError, Random};
use crate::ledger::Limits;
use crate::watch::ASKER;

/// `format` of the file.
pub const KEYS_FORMAT: &str = "loadline-gate-keys/1";
/// What every key begins with: a search for leaked keys finds it.
pub const KEY_PREFIX: &str = "llk_";
/// The most keys in a file.
pub const MAX_KEYS: usize = 100_000;
/// The largest file that is read.
pub const MAX_FILE_LEN: u64 = 128 << 20;
/// Characters of a key that are kept to recognise it by, after [`KEY_PREFIX`]: 36 of 256 bits.
const SHOWN_CHARS: usize = 6;
/// The longest name of a subject, role, quota or model, in characters.
const MAX_NAME_CHARS: usize = 128;

/// One key, as the file has it. The key itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Names the key in logs and orders: the first 12 digits of its hash.
    pub id: String,
    /// The key's SHA-256.
    pub hash: Digest,
    /// How the key begins.
    pub shown: String,
    /// Whose content comes with it.
    pub subject: String,
    /// What the caller is, such as `scientist`.
    pub role: String,
    /// Only these stages; every stage of the role when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// Only these models; every model when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// When it was made, which is the first moment it works.
    pub created: Instant,
    /// The last moment it works; for ever without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Instant>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Instant>,
    /// The key that takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// What it draws on; keys may share one. A key that takes another's place draws on the same.
    pub quota: String,
    /// Limits of that quota.
    #[serde(default)]
    pub limits: Limits,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It works.
    Works,
    /// It works until it ends, and another has taken its place.
    Replaced,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl Key {
    /// How it stands at a moment.
    pub fn state(&self, now: Instant) -> KeyState {
        if self.revoked.is_some() {
            return KeyState::Revoked;
        }
        match self.expires {
            Some(expires) if now > expires => KeyState::Expired,
            _ if self.replaced_by.is_some() => KeyState::Replaced,
            _ => KeyState::Works,
        }
    }
}

/// What a new key is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// Whose content comes with it.
    pub subject: String,
    /// What the caller is.
    pub role: String,
    /// Only these stages.
    pub stages: Vec<Stage>,
    /// Only these models.
    pub models: Vec<String>,
    /// The last moment it works.
    pub expires: Option<Instant>,
    /// What it draws on; its own quota without one.
    pub quota: Option<String>,
    /// Limits of that quota.
    pub limits: Limits,
}

/// Why keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] RecordError),
    /// The file is none of keys.
    #[error("{}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No such key.
    #[error("{} has no key `{id}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was asked for, made safe for showing.
        id: String,
        /// The nearest id there is.
        nearest: Option<String>,
    },
    /// The key does not work any more.
    #[error("key `{0}` does not work any more: nothing can take its place")]
    Over(String),
    /// A value that no key can have.
    #[error("{0}")]
    Value(String),
    /// Another process changes the file.
    #[error("{} is being changed by another process", .0.display())]
    Locked(PathBuf),
    /// No randomness.
    #[error("no random bytes: {0}")]
    Random(std::io::Error),
}

impl KeysError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Disk(_) => "see that the folder is there, and that this user may write in it".to_owned(),
            Self::Form { .. } => "restore the file from a copy; `loadline gate key` writes it".to_owned(),
            Self::Unknown { nearest: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::Unknown { .. } => "`loadline gate key list` shows all keys".to_owned(),
            Self::Over(_) => "make another with `loadline gate key new`".to_owned(),
            Self::Value(_) => "names have 1 to 128 characters, without control characters".to_owned(),
            Self::Locked(_) => "try again in a moment".to_owned(),
            Self::Random(_) => "the system must give random bytes: try again".to_owned(),
        }
    }
}

/// The file of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    path: PathBuf,
    keys: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    keys: Vec<Key>,
}

impl KeyFile {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// When they are of another form, or contradict themselves.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, KeysError> {
        let form = |what: String| KeysError::Form { path: path.to_path_buf(), what };
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| {
            let what = one_line(&error.to_string(), 200);
            form(format!("this is no file of keys: {what}"))
        })?;
        if wire.format != KEYS_FORMAT {
            return Err(form(format!("`format` is `{}`, not `{KEYS_FORMAT}`", one_line(&wire.format, 40))));
        }
        if wire.keys.len() > MAX_KEYS {
            return Err(form(format!("{} keys; at most {MAX_KEYS} are read", wire.keys.len())));
        }
        let (mut ids, mut hashes) = (BTreeSet::new(), BTreeSet::new());
        for key in &wire.keys {
            if !ids.insert(&key.id) || !hashes.insert(key.hash) {
                return Err(form(format!("key `{}` is there twice", one_line(&key.id, 40))));
            }
            if [&key.id, &key.subject, &key.quota].into_iter().any(|name| name == ASKER) {
                let id = one_line(&key.id, 40);
                return Err(form(format!("key `{id}` has the name `{ASKER}`, which is the gate's own")));
            }
            if key.id != id_of(&key.hash) {
                return Err(form(format!("the hash of key `{}` is of another key", one_line(&key.id, 40))));
            }
        }
        Ok(Self { path: path.to_path_buf(), keys: wire.keys })
    }

    /// Reads the file; without one there are no keys yet.
    ///
    /// # Errors
    /// As [`KeyFile::parse`], and when it cannot be read.
    pub fn read(disk: &dyn Disk, path: &Path) -> Result<Self, KeysError> {
        match read_small(disk, path, MAX_FILE_LEN) {
            Ok(Some(bytes)) => Self::parse(&bytes, path),
            Ok(None) => Ok(Self { path: path.to_path_buf(), keys: Vec::new() }),
            Err(AuditOpenError::Log(error)) => Err(error.into()),
            Err(other) => Err(KeysError::Form { path: path.to_path_buf(), what: other.to_string() }),
        }
    }

    /// Keeps others from changing the file meanwhile, and reads it.
    ///
    /// # Errors
    /// As [`KeyFile::read`], and when another process changes it.
    pub fn edit(disk: &dyn Disk, path: &Path) -> Result<(Self, Box<dyn Lock>), KeysError> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let held = disk.lock(&lock).map_err(|error| match error {
            LockError::Held(_) => KeysError::Locked(path.to_path_buf()),
            LockError::Io(source) => RecordError::Io { action: "lock", path: lock, source }.into(),
        })?;
        Ok((Self::read(disk, path)?, held))
    }

    /// Writes the file, whole and durable, for this user only to read.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), KeysError> {
        let wire = Wire { format: KEYS_FORMAT.to_owned(), keys: self.keys.clone() };
        let mut bytes = serde_json::to_vec_pretty(&wire).map_err(RecordError::from)?;
        bytes.push(b'\n');
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or("keys");
        Ok(write_private(disk, dir, name, &bytes)?)
    }

    /// The keys, the oldest first.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Makes a key. The secret is in what this returns, and nowhere else.
    ///
    /// # Errors
    /// When a name cannot be one, or there is no randomness.
    pub fn issue(&mut self, new: NewKey, now: Instant, random: &Random) -> Result<(Secret, &Key), KeysError> {
        let names = [Some(&new.subject), Some(&new.role), new.quota.as_ref()];
        for name in names.into_iter().flatten().chain(&new.models) {
            if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.contains(char::is_control) {
                return Err(KeysError::Value(format!("`{}` cannot be a name", one_line(name, 40))));
            }
        }
        if new.subject == ASKER || new.quota.as_deref() == Some(ASKER) {
            return Err(KeysError::Value(format!("`{ASKER}` is the gate's own name: choose another")));
        }
        if new.expires.is_some_and(|expires| expires <= now) {
            return Err(KeysError::Value("a key that ends before it begins".to_owned()));
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(KeysError::Value(format!("the file has {MAX_KEYS} keys: no more are read")));
        }
        let secret = secret(random)?;
        let hash = Digest::of(secret.expose().as_bytes());
        let id = id_of(&hash);
        self.keys.push(Key {
            quota: new.quota.unwrap_or_else(|| id.clone()),
            id,
            hash,
            shown: secret.expose().chars().take(KEY_PREFIX.len() + SHOWN_CHARS).collect(),
            subject: new.subject,
            role: new.role,
            stages: new.stages,
            models: new.models,
            created: now,
            expires: new.expires,
            revoked: None,
            replaced_by: None,
            limits: new.limits,
        });
        let last = self.keys.len() - 1;
        Ok((secret, &self.keys[last]))
    }

    /// Makes a key in another's place, for the same and drawing on the same quota. The old one works until `overlap_s`
    /// seconds from now, or until it ends anyway.
    ///
    /// # Errors
    /// When there is no such key, or it does not work any more.
    pub fn rotate(
        &mut self,
        id: &str,
        overlap_s: u64,
        now: Instant,
        random: &Random,
    ) -> Result<(Secret, &Key), KeysError> {
        let at = self.find(id)?;
        let old = self.keys[at].clone();
        if old.state(now) != KeyState::Works {
            return Err(KeysError::Over(old.id));
        }
        let until = Instant::from_seconds(now.seconds().saturating_add(overlap_s))
            .map_err(|error| KeysError::Value(error.to_string()))?;
        let new = NewKey {
            subject: old.subject,
            role: old.role,
            stages: old.stages,
            models: old.models,
            expires: old.expires,
            quota: Some(old.quota),
            limits: old.limits,
        };
        let (secret, replacing) = self.issue(new, now, random)?;
        let replaced_by = Some(replacing.id.clone());
        let key = &mut self.keys[at];
        key.replaced_by = replaced_by;
        key.expires = Some(key.expires.map_or(until, |expires| expires.min(until)));
        let last = self.keys.len() - 1;
        Ok((secret, &self.keys[last]))
    }

    /// Revokes a key. It stays in the file, so that who comes with it is told. Nothing happens to one that is revoked
    /// already.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn revoke(&mut self, id: &str, now: Instant) -> Result<&Key, KeysError> {
        let at = self.find(id)?;
        self.keys[at].revoked.get_or_insert(now);
        Ok(&self.keys[at])
    }

    fn find(&self, id: &str) -> Result<usize, KeysError> {
        if let Some(at) = self.keys.iter().position(|key| key.id == id) {
            return Ok(at);
        }
        let alike = |key: &&Key| key.id.chars().zip(id.chars()).filter(|(a, b)| a == b).count();
        let nearest =
            self.keys.iter().max_by_key(alike).filter(|key| alike(key) >= 6).map(|key| key.id.clone());
        Err(KeysError::Unknown { path: self.path.clone(), id: one_line(id, 40), nearest })
    }
}

fn id_of(hash: &Digest) -> String {
    hash.hex().chars().take(12).collect()
}

fn secret(random: &Random) -> Result<Secret, KeysError> {
    let mut bytes = [0; 32];
    random(&mut bytes).map_err(KeysError::Random)?;
    let secret = Secret::new(format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)));
    bytes.zeroize();
    Ok(secret)
}
