//! Public hybrid keys: Ed25519 and ML-DSA-44 under one name. A signature holds only if both halves hold, so it stays
//! unforgeable while either of the two does.
//!
//! Source: RFC 8032 (Ed25519) and FIPS 204 (ML-DSA-44). The one door to both algorithms is [`loadline_tlog::key`].

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_tlog::key::{Algorithm, VerifierKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of a key, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// One of the two signature schemes of a hybrid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// RFC 8032, checked strictly.
    Ed25519,
    /// FIPS 204, with the empty context.
    MlDsa44,
}

impl Scheme {
    /// Both, in the order in which they stand in a file.
    pub const BOTH: [Self; 2] = [Self::Ed25519, Self::MlDsa44];

    /// Its name in key ids.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
        }
    }

    /// Length of a signature, in bytes.
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::MlDsa44 => 2420,
        }
    }

    /// The primitive: `loadline_tlog` names it after what logs sign with it, what it signs raw is the same.
    pub(crate) fn primitive(self) -> Algorithm {
        match self {
            Self::Ed25519 => Algorithm::Ed25519,
            Self::MlDsa44 => Algorithm::CosignatureMlDsa44,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names a hybrid key: a digest of both public halves, and of nothing else. A key has one id whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub Digest);

impl KeyId {
    /// The first 16 hexadecimal digits, for messages.
    pub fn short(&self) -> String {
        self.0.hex().chars().take(16).collect()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.short())
    }
}

/// Why a text is no key id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key id: expected 64 lower-case hexadecimal digits")]
pub struct KeyIdError(String);

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let digest = format!("sha256:{text}").parse().map_err(|_| KeyIdError(one_line(text, 80)))?;
        Ok(Self(digest))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why something is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// A name that is no safe file name everywhere.
    #[error("`{0}` cannot name a key")]
    Name(String),
    /// Not base64 in its one form, or not of the right length.
    #[error("the {scheme} half of key `{name}` is damaged")]
    Damaged {
        /// The key's name.
        name: String,
        /// Which half.
        scheme: Scheme,
    },
    /// An Ed25519 half that is no point of the curve, or one of those for which anything verifies.
    #[error("the {scheme} half of key `{name}` is no usable key")]
    Unusable {
        /// The key's name.
        name: String,
        /// Which half.
        scheme: Scheme,
    },
}

impl PublicKeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => {
                "use 1 to 64 lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
            }
            Self::Damaged { .. } => "get the key again from its owner",
            Self::Unusable { .. } => "this is no honest key: ask its owner for another",
        }
    }
}

/// Checks the name of a key. Names are file names too, so they are few: `[a-z0-9][a-z0-9._-]*`, at most
/// [`MAX_NAME_BYTES`].
///
/// # Errors
/// When it is another.
pub fn check_name(name: &str) -> Result<(), PublicKeyError> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fine = name.len() <= MAX_NAME_BYTES
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || matches!(byte, b'.' | b'_' | b'-'));
    if fine { Ok(()) } else { Err(PublicKeyError::Name(one_line(name, 80))) }
}

/// A public hybrid key. In JSON: `{"ed25519": base64, "ml_dsa_44": base64, "name": …}`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    ed25519: VerifierKey,
    ml_dsa_44: VerifierKey,
}

impl PublicKey {
    /// A key from its raw halves: 32 bytes and 1312 bytes.
    ///
    /// # Errors
    /// When the name cannot be one, or a half is not usable.
    pub fn new(name: &str, ed25519: &[u8], ml_dsa_44: &[u8]) -> Result<Self, PublicKeyError> {
        check_name(name)?;
        let half = |scheme: Scheme, bytes: &[u8]| {
            VerifierKey::new(name, scheme.primitive(), bytes).map_err(|error| match error {
                loadline_tlog::KeyError::Point(_) => {
                    PublicKeyError::Unusable { name: name.to_owned(), scheme }
                }
                _ => PublicKeyError::Damaged { name: name.to_owned(), scheme },
            })
        };
        Ok(Self::of_halves(half(Scheme::Ed25519, ed25519)?, half(Scheme::MlDsa44, ml_dsa_44)?))
    }

    /// Two halves that were made under one checked name.
    pub(crate) fn of_halves(ed25519: VerifierKey, ml_dsa_44: VerifierKey) -> Self {
        let id = KeyId(Digest::of_parts("loadline/key/1", &[ed25519.public(), ml_dsa_44.public()]));
        Self { id, ed25519, ml_dsa_44 }
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        self.ed25519.name()
    }

    /// The raw bytes of one half.
    pub fn half(&self, scheme: Scheme) -> &[u8] {
        self.primitive(scheme).public()
    }

    fn primitive(&self, scheme: Scheme) -> &VerifierKey {
        match scheme {
            Scheme::Ed25519 => &self.ed25519,
            Scheme::MlDsa44 => &self.ml_dsa_44,
        }
    }

    /// Whether a raw signature of one half holds. One half alone proves nothing: see
    /// [`crate::Envelope::signers`].
    pub fn half_holds(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
        self.primitive(scheme).verify(message, signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.name(), self.id.short())
    }
}

/// A public key as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    ed25519: String,
    ml_dsa_44: String,
    name: String,
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire {
            ed25519: STANDARD.encode(self.half(Scheme::Ed25519)),
            ml_dsa_44: STANDARD.encode(self.half(Scheme::MlDsa44)),
            name: self.name().to_owned(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let decode = |scheme, text: &str| {
            let damaged = || PublicKeyError::Damaged { name: one_line(&wire.name, 80), scheme };
            STANDARD.decode(text).map_err(|_| serde::de::Error::custom(damaged()))
        };
        let ed25519 = decode(Scheme::Ed25519, &wire.ed25519)?;
        let ml_dsa_44 = decode(Scheme::MlDsa44, &wire.ml_dsa_44)?;
        Self::new(&wire.name, &ed25519, &ml_dsa_44).map_err(serde::de::Error::custom)
    }
}
