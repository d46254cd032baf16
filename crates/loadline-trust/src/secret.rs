//! Secret hybrid keys. They are masked in `Debug`, wiped when dropped, and become text in one place, for an encrypted
//! file and nowhere else.

use std::fmt;

use loadline_core::digest::hex;
use loadline_tlog::key::{SEED_BYTES, SignerKey};
use zeroize::Zeroizing;

use crate::key::{self, PublicKey, PublicKeyError, Scheme};

/// First line of the text of a secret key; its number is the version of the format.
const FIRST_LINE: &str = "loadline-secret-key 1";

/// 32 bytes from which one half of a key follows, wiped when dropped.
pub type Seed = Zeroizing<[u8; SEED_BYTES]>;

/// Why a text is no secret key. No message holds a part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretKeyError {
    /// Not the five lines that it should be.
    #[error("this is no secret key of version 1")]
    Form,
    /// The id is not the one that follows from the seeds.
    #[error("the secret key is damaged: its id does not follow from it")]
    Id,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] PublicKeyError),
}

impl SecretKeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Form | Self::Id => "restore the key file from a backup, or make a new key and rotate to it",
            Self::Name(error) => error.hint(),
        }
    }
}

/// A secret hybrid key.
#[derive(Clone)]
pub struct SecretKey {
    public: PublicKey,
    seeds: [Seed; 2],
    ed25519: SignerKey,
    ml_dsa_44: SignerKey,
}

impl SecretKey {
    /// The key that follows from two seeds of 32 random bytes, which must be independent of each other. Where they
    /// come from is the caller's matter.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn from_seeds(
        name: &str,
        ed25519: &[u8; SEED_BYTES],
        ml_dsa_44: &[u8; SEED_BYTES],
    ) -> Result<Self, PublicKeyError> {
        key::check_name(name)?;
        let half = |scheme: Scheme, seed| {
            SignerKey::from_seed(name, scheme.primitive(), seed)
                .map_err(|_| PublicKeyError::Unusable { name: name.to_owned(), scheme })
        };
        let seeds = [Zeroizing::new(*ed25519), Zeroizing::new(*ml_dsa_44)];
        let (ed25519, ml_dsa_44) = (half(Scheme::Ed25519, ed25519)?, half(Scheme::MlDsa44, ml_dsa_44)?);
        let public = PublicKey::of_halves(ed25519.verifier().clone(), ml_dsa_44.verifier().clone());
        Ok(Self { public, seeds, ed25519, ml_dsa_44 })
    }

    /// The public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A raw signature of one half. Deterministic.
    pub fn sign_half(&self, scheme: Scheme, message: &[u8]) -> Vec<u8> {
        match scheme {
            Scheme::Ed25519 => self.ed25519.sign(message),
            Scheme::MlDsa44 => self.ml_dsa_44.sign(message),
        }
    }

    /// The key as five lines of text: the secret itself, for an encrypted file and nowhere else.
    pub fn expose_text(&self) -> Zeroizing<String> {
        // Reserved at once: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(512));
        let digits = [Zeroizing::new(hex(&*self.seeds[0])), Zeroizing::new(hex(&*self.seeds[1]))];
        let lines = [
            [FIRST_LINE, ""],
            ["name ", self.public.name()],
            ["id ", &self.public.id().to_string()],
            ["ed25519 ", &digits[0]],
            ["ml-dsa-44 ", &digits[1]],
        ];
        for part in lines.iter().flat_map(|[name, value]| [*name, *value, "\n"]) {
            text.push_str(part);
        }
        text
    }

    /// Reads what [`SecretKey::expose_text`] writes, in exactly that form.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, SecretKeyError> {
        let mut lines = text.lines();
        let mut value = |start: &str| lines.next().and_then(|line| line.strip_prefix(start));
        let form = || SecretKeyError::Form;
        value(FIRST_LINE).ok_or_else(form)?;
        let name = value("name ").ok_or_else(form)?;
        let id = value("id ").ok_or_else(form)?;
        let ed25519 = value("ed25519 ").and_then(seed).ok_or_else(form)?;
        let ml_dsa_44 = value("ml-dsa-44 ").and_then(seed).ok_or_else(form)?;
        let key = Self::from_seeds(name, &ed25519, &ml_dsa_44)?;
        if key.public.id().to_string() != id {
            return Err(SecretKeyError::Id);
        }
        if *key.expose_text() == text { Ok(key) } else { Err(SecretKeyError::Form) }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, {}, masked)", self.public.name(), self.public.id().short())
    }
}

/// Reads 64 hexadecimal digits.
fn seed(digits: &str) -> Option<Seed> {
    let mut seed = Seed::default();
    if digits.len() != 2 * SEED_BYTES || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(seed)
}
