//! Secret keys in files: age, locked with a passphrase (scrypt). `docs/formats/keys.md` is the page of the format.
//!
//! A file is made once, for its owner only (mode 0600), and never overwritten. Beside `NAME.age` stands the public half:
//! `NAME.pub.json` of a hybrid key, `NAME.vkey` of a key that signs notes (a log's or a witness's).

mod folder;
mod passphrase;
mod problem;

pub use folder::Keyring;
pub use passphrase::PassphraseArgs;
pub use problem::KeyFileError;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use loadline_core::Secret;
use loadline_tlog::{Algorithm, SignerKey, VerifierKey};
use loadline_trust::secret::Seed;
use loadline_trust::{PublicKey, SecretKey, published};
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;

/// The largest key file that is read, in bytes. An honest one has about 600.
const MAX_FILE_BYTES: u64 = 16 << 10;
/// The largest public key file that is read, in bytes. An honest one has about 6,000.
const MAX_PUBLIC_BYTES: u64 = 64 << 10;

/// What trying one passphrase costs: `2^log_n` blocks of scrypt, each 1 KiB of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work(u8);

impl Work {
    /// For keys that count: about a second and 256 MiB for each try.
    pub const STANDARD: Self = Self(18);
    /// For tests and throw-away keys: milliseconds.
    pub const LIGHT: Self = Self(10);
    /// The most that is accepted of a file: 1 GiB of memory.
    const MOST: u8 = 20;

    /// From the binary logarithm of the number of blocks: 10 to 20.
    pub fn new(log_n: u8) -> Option<Self> {
        (Self::LIGHT.0..=Self::MOST).contains(&log_n).then_some(Self(log_n))
    }
}

/// What a key file holds. Its `Debug` masks the secret, as that of the keys does.
#[derive(Debug)]
pub enum StoredKey {
    /// A hybrid key: it signs envelopes.
    Hybrid(Box<SecretKey>),
    /// A key of a log or a witness: it signs notes.
    Note(Box<SignerKey>),
}

impl StoredKey {
    fn kind(&self) -> &'static str {
        match self {
            Self::Hybrid(_) => "a hybrid key",
            Self::Note(_) => "a key for notes",
        }
    }

    /// The secret as text, wiped when dropped.
    fn expose(&self) -> Zeroizing<String> {
        match self {
            Self::Hybrid(key) => key.expose_text(),
            Self::Note(key) => Zeroizing::new(key.expose_skey()),
        }
    }
}

/// 32 bytes of the operating system's randomness.
///
/// # Errors
/// When it has none.
pub fn fresh_seed() -> Result<Seed, Failure> {
    let mut seed = Seed::default();
    getrandom::fill(&mut *seed).map_err(|error| {
        Failure::new(Exit::Unexpected, format!("the system gives no randomness: {error}"))
    })?;
    Ok(seed)
}

/// A new hybrid key: two independent random seeds.
///
/// # Errors
/// When there is no randomness, or the name cannot be one.
pub fn new_key(name: &str) -> Result<SecretKey, Failure> {
    let key = SecretKey::from_seeds(name, &*fresh_seed()?, &*fresh_seed()?);
    Ok(key.map_err(KeyFileError::BadName)?)
}

/// A new key for notes, under a log's origin or a witness's name.
///
/// # Errors
/// When there is no randomness, or the name cannot be one.
pub fn new_note_key(name: &str, algorithm: Algorithm) -> Result<SignerKey, Failure> {
    SignerKey::from_seed(name, algorithm, &*fresh_seed()?)
        .map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))
}

/// Where the public half of a key is: beside its secret file.
pub fn public_path(path: &Path, key: &StoredKey) -> PathBuf {
    path.with_extension(match key {
        StoredKey::Hybrid(_) => "pub.json",
        StoredKey::Note(_) => "vkey",
    })
}

/// Makes a key file, and the file of the public half beside it. Returns where that is. The folder is made if need be.
///
/// # Errors
/// When one of them exists, or cannot be written.
pub fn save(path: &Path, key: &StoredKey, passphrase: &Secret, work: Work) -> Result<PathBuf, KeyFileError> {
    let public_path = public_path(path, key);
    let public = match key {
        StoredKey::Hybrid(key) => published::publish(key)
            .map_err(|error| KeyFileError::Public { path: public_path.clone(), error })?,
        StoredKey::Note(key) => format!("{}\n", key.verifier().to_vkey()).into_bytes(),
    };
    if let Some(taken) = [path, &public_path].into_iter().find(|path| path.exists()) {
        return Err(KeyFileError::Exists(taken.to_owned()));
    }
    make_folder(path.parent().unwrap_or(Path::new("")))?;
    create(path, &lock(path, key, passphrase, work)?, 0o600)?;
    create(&public_path, &public, 0o644)?;
    Ok(public_path)
}

/// The bytes of a key file.
fn lock(path: &Path, key: &StoredKey, passphrase: &Secret, work: Work) -> Result<Vec<u8>, KeyFileError> {
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.expose()));
    recipient.set_work_factor(work.0);
    age::encrypt(&recipient, key.expose().as_bytes()).map_err(|error| KeyFileError::Io {
        action: "encrypt",
        path: path.to_owned(),
        error: io::Error::other(error.to_string()),
    })
}

/// Makes a folder that only its owner can look into, if it is not there.
fn make_folder(folder: &Path) -> Result<(), KeyFileError> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let failed = |error| KeyFileError::Io { action: "make the folder", path: folder.to_owned(), error };
    builder.create(folder).map_err(failed)
}

/// Says before the passphrase is asked for whether a file can be a key file at all.
///
/// # Errors
/// When it cannot be read, or does not begin as an age file.
pub fn check_form(path: &Path) -> Result<(), KeyFileError> {
    let bytes = slurp(path, MAX_FILE_BYTES)?;
    if bytes.starts_with(b"age-encryption.org/v1\n") {
        Ok(())
    } else {
        Err(KeyFileError::Form(path.to_owned()))
    }
}

/// Reads the file of a hybrid key.
///
/// # Errors
/// As [`read`], and when it holds another kind of key.
pub fn read_hybrid(path: &Path, passphrase: &Secret) -> Result<SecretKey, KeyFileError> {
    match read(path, passphrase)? {
        StoredKey::Hybrid(key) => Ok(*key),
        other => {
            let (path, found) = (path.to_owned(), other.kind());
            Err(KeyFileError::Kind { path, found, expected: "a hybrid key" })
        }
    }
}

/// Reads the public file of a key for notes.
///
/// # Errors
/// When it is none.
pub fn read_vkey(path: &Path) -> Result<VerifierKey, KeyFileError> {
    let bytes = slurp(path, MAX_PUBLIC_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    VerifierKey::parse(text.strip_suffix('\n').unwrap_or(&text))
        .map_err(|error| KeyFileError::Note { path: path.to_owned(), error })
}

/// Reads a key file.
///
/// # Errors
/// When it is none, the passphrase does not open it, or a byte of it was changed.
pub fn read(path: &Path, passphrase: &Secret) -> Result<StoredKey, KeyFileError> {
    use age::DecryptError as E;
    let bytes = slurp(path, MAX_FILE_BYTES)?;
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.expose()));
    identity.set_max_work_factor(Work::MOST);
    let owned = || path.to_owned();
    let text = age::decrypt(&identity, &bytes).map(Zeroizing::new).map_err(|error| match error {
        E::DecryptionFailed | E::KeyDecryptionFailed => KeyFileError::Passphrase(owned()),
        E::ExcessiveWork { required, .. } => KeyFileError::Work { path: owned(), log_n: required },
        E::InvalidHeader | E::NoMatchingKeys | E::UnknownFormat => KeyFileError::Form(owned()),
        _ => KeyFileError::Damaged(owned()),
    })?;
    let text = std::str::from_utf8(&text).map_err(|_| KeyFileError::Damaged(owned()))?;
    if text.starts_with("PRIVATE+KEY+") {
        let key = SignerKey::parse(text).map_err(|error| KeyFileError::Note { path: owned(), error })?;
        return Ok(StoredKey::Note(Box::new(key)));
    }
    let key = SecretKey::parse(text).map_err(|error| KeyFileError::Inside { path: owned(), error })?;
    Ok(StoredKey::Hybrid(Box::new(key)))
}

/// Reads a public key file.
///
/// # Errors
/// When it is none, or was changed.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    published::read(&slurp(path, MAX_PUBLIC_BYTES)?)
        .map_err(|error| KeyFileError::Public { path: path.to_owned(), error })
}

/// A file of at most so many bytes.
fn slurp(path: &Path, most: u64) -> Result<Vec<u8>, KeyFileError> {
    let failed = |error| KeyFileError::Io { action: "read", path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > most { Err(KeyFileError::Form(path.to_owned())) } else { Ok(bytes) }
}

/// Makes a file that is not there yet, and brings it to the disk.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let failed = |error| KeyFileError::Io { action: "write", path: path.to_owned(), error };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _no_modes = mode;
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists(path.to_owned()));
        }
        opened => opened.map_err(failed)?,
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests;
