//! Keys that sign notes: names, key ids, the text form of public keys (vkey) and of secret ones (skey).
//!
//! Source: C2SP signed-note ("Verifier keys") and tlog-cosignature ("Format"). The secret form is that of the Go
//! package `golang.org/x/mod/sumdb/note`.

use std::fmt;

use ed25519_dalek::Signer as _;
use ml_dsa::{Keypair as _, MlDsa44};
use sha2::{Digest as _, Sha256};

use crate::text;

/// The longest key name and log origin, in bytes: ML-DSA cosignatures carry their length in one byte.
pub const MAX_NAME_BYTES: usize = 255;

/// Bytes of a seed from which a signing key of any [`Algorithm`] follows.
pub const SEED_BYTES: usize = 32;

/// Bytes of an ML-DSA-44 public key (FIPS 204, table 2).
const ML_DSA_PUBLIC_BYTES: usize = 1312;
/// Bytes of an ML-DSA-44 signature (FIPS 204, table 2).
const ML_DSA_SIGNATURE_BYTES: usize = 2420;

/// What a signature is over, and how it is made: the type byte of C2SP signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// `0x01`: Ed25519 over the note's text.
    Ed25519,
    /// `0x04`: Ed25519 over a checkpoint with a time: a witness saw it.
    CosignatureEd25519,
    /// `0x06`: ML-DSA-44 over a checkpoint with a time and the cosigner's name.
    CosignatureMlDsa44,
}

impl Algorithm {
    /// The type byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::CosignatureEd25519 => 4,
            Self::CosignatureMlDsa44 => 6,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureEd25519, Self::CosignatureMlDsa44]
            .into_iter()
            .find(|algorithm| algorithm.byte() == byte)
    }

    /// Whether its signatures carry a time and are over a checkpoint.
    pub fn is_cosignature(self) -> bool {
        self != Self::Ed25519
    }

    fn public_bytes(self) -> usize {
        if self == Self::CosignatureMlDsa44 { ML_DSA_PUBLIC_BYTES } else { 32 }
    }
}

/// Why a key cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A name must be non-empty, of at most 255 bytes, without spaces, control characters and `+`.
    #[error("`{0}` cannot name a key: 1 to 255 bytes without spaces, control characters and `+`")]
    Name(String),
    /// It is not three parts with `+` between them.
    #[error("a key is `NAME+ID+DATA`, this is `{0}`")]
    Form(String),
    /// The id is not the one that follows from the name and the key.
    #[error("the id of key `{name}` is {found} but its name and key give {expected}")]
    Id {
        /// The key's name.
        name: String,
        /// The id in the text.
        found: String,
        /// The id that follows.
        expected: String,
    },
    /// The key data is not base64, or has the wrong length.
    #[error("the data of key `{0}` is damaged")]
    Data(String),
    /// A signature type that is not supported.
    #[error("key `{name}` has signature type {byte:#04x}; known are 0x01, 0x04 and 0x06")]
    Algorithm {
        /// The key's name.
        name: String,
        /// Its type byte.
        byte: u8,
    },
    /// An Ed25519 key that is no point of the curve, or one of the few for which anything verifies.
    #[error("the Ed25519 key `{0}` is not a usable point of the curve")]
    Point(String),
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => "use a name like `example.com/log`",
            Self::Form(_) | Self::Data(_) | Self::Id { .. } => "copy the whole key again, on one line",
            Self::Algorithm { .. } => {
                "ask its owner for an Ed25519 key (0x01), an Ed25519 cosigner key (0x04) or an ML-DSA-44 one (0x06)"
            }
            Self::Point(_) => "this is no honest key: ask its owner for another",
        }
    }
}

/// Checks a key name or the name of a cosigner.
///
/// # Errors
/// When it is empty, longer than [`MAX_NAME_BYTES`], or has a space, a control character or `+`.
pub fn check_name(name: &str) -> Result<(), KeyError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(bad) {
        return Err(KeyError::Name(text::excerpt(name)));
    }
    Ok(())
}

/// A key id: the first four bytes of SHA-256(name ‖ `\n` ‖ type ‖ public key), big-endian.
fn key_id(name: &str, algorithm: Algorithm, public: &[u8]) -> u32 {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', algorithm.byte()])
        .chain_update(public)
        .finalize();
    digest.iter().take(4).fold(0, |id, byte| id << 8 | u32::from(*byte))
}

/// A public key under a name.
#[derive(Clone)]
pub struct VerifierKey {
    name: String,
    id: u32,
    algorithm: Algorithm,
    public: Vec<u8>,
    point: Public,
}

#[derive(Clone)]
enum Public {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    MlDsa44(Box<ml_dsa::VerifyingKey<MlDsa44>>),
}

impl VerifierKey {
    /// A key from its raw public bytes: 32 for Ed25519, 1312 for ML-DSA-44.
    ///
    /// # Errors
    /// When the name or the key is not usable.
    pub fn new(name: &str, algorithm: Algorithm, public: &[u8]) -> Result<Self, KeyError> {
        check_name(name)?;
        if public.len() != algorithm.public_bytes() {
            return Err(KeyError::Data(text::excerpt(name)));
        }
        let point = Public::read(algorithm, public).ok_or_else(|| KeyError::Point(text::excerpt(name)))?;
        let id = key_id(name, algorithm, public);
        Ok(Self { name: name.to_owned(), id, algorithm, public: public.to_vec(), point })
    }

    /// Reads `NAME+ID+DATA`.
    ///
    /// # Errors
    /// When anything is not exactly in form, or the id does not follow from the rest.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let (name, id, algorithm, public) = parse_parts(vkey)?;
        let key = Self::new(name, algorithm, &public)?;
        check_id(&key, id)?;
        Ok(key)
    }

    /// Writes `NAME+ID+DATA`.
    pub fn to_vkey(&self) -> String {
        format!("{}+{:08x}+{}", self.name, self.id, encode_data(self.algorithm, &self.public))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id that stands in signature lines.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it signs and how.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw public bytes.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Whether a raw signature (without time) over this message is by this key. Ed25519 is checked strictly: no
    /// small-order points, no second encoding of a signature.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.point {
            Public::Ed25519(key) => <[u8; 64]>::try_from(signature).is_ok_and(|bytes| {
                key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&bytes)).is_ok()
            }),
            Public::MlDsa44(key) => ml_dsa::Signature::<MlDsa44>::try_from(signature)
                .is_ok_and(|signature| key.verify_with_context(message, &[], &signature)),
        }
    }
}

impl Public {
    fn read(algorithm: Algorithm, public: &[u8]) -> Option<Self> {
        if algorithm == Algorithm::CosignatureMlDsa44 {
            let encoded = ml_dsa::EncodedVerifyingKey::<MlDsa44>::try_from(public).ok()?;
            return Some(Self::MlDsa44(Box::new(ml_dsa::VerifyingKey::decode(&encoded))));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
        // The library accepts a second encoding of a few points; a key has one.
        let canonical = key.to_edwards().compress().to_bytes() == public;
        (canonical && !key.is_weak()).then(|| Self::Ed25519(Box::new(key)))
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.algorithm, &self.public) == (&other.name, other.algorithm, &other.public)
    }
}

impl Eq for VerifierKey {}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({}+{:08x}, {:?})", self.name, self.id, self.algorithm)
    }
}

/// A secret key under a name. `Debug` masks it, and memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SignerKey {
    public: VerifierKey,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    MlDsa44(Box<ml_dsa::SigningKey<MlDsa44>>),
}

impl SignerKey {
    /// The key that follows from 32 random bytes. Where they come from is the caller's matter.
    ///
    /// # Errors
    /// When the name is not usable.
    pub fn from_seed(name: &str, algorithm: Algorithm, seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        if algorithm == Algorithm::CosignatureMlDsa44 {
            let key = ml_dsa::SigningKey::<MlDsa44>::from_seed(&(*seed).into());
            let public = VerifierKey::new(name, algorithm, &key.verifying_key().encode())?;
            return Ok(Self { public, secret: Secret::MlDsa44(Box::new(key)) });
        }
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, algorithm, key.verifying_key().as_bytes())?;
        Ok(Self { public, secret: Secret::Ed25519(Box::new(key)) })
    }

    /// Reads `PRIVATE+KEY+NAME+ID+DATA`.
    ///
    /// # Errors
    /// As [`VerifierKey::parse`]. No message holds a part of the secret.
    pub fn parse(skey: &str) -> Result<Self, KeyError> {
        let masked = || KeyError::Form("a secret key that does not begin with PRIVATE+KEY+".to_owned());
        let rest = skey.strip_prefix("PRIVATE+KEY+").ok_or_else(masked)?;
        let form = |error| match error {
            KeyError::Form(_) => KeyError::Form("a secret key with parts missing".to_owned()),
            other => other,
        };
        let (name, id, algorithm, seed) = parse_parts(rest).map_err(form)?;
        let seed = seed.try_into().map_err(|_| KeyError::Data(text::excerpt(name)))?;
        let key = Self::from_seed(name, algorithm, &seed)?;
        check_id(&key.public, id)?;
        Ok(key)
    }

    /// Writes `PRIVATE+KEY+NAME+ID+DATA`: the secret itself, for an encrypted file and nowhere else.
    pub fn expose_skey(&self) -> String {
        let seed: [u8; SEED_BYTES] = match &self.secret {
            Secret::Ed25519(key) => key.to_bytes(),
            Secret::MlDsa44(key) => key.to_seed().into(),
        };
        let VerifierKey { name, id, algorithm, .. } = &self.public;
        format!("PRIVATE+KEY+{name}+{id:08x}+{}", encode_data(*algorithm, &seed))
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    /// A raw signature (without time) over a message: 64 bytes of Ed25519, or 2420 of ML-DSA-44 with the empty
    /// context. Deterministic.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Secret::MlDsa44(key) => {
                // It fails only for a context of more than 255 bytes, and this one is empty.
                let signature = key.expanded_key().sign_deterministic(message, &[]);
                signature.map(|signature| signature.encode().to_vec()).unwrap_or_default()
            }
        }
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}+{:08x}, masked)", self.public.name, self.public.id)
    }
}

/// Bytes of a raw signature of this algorithm.
pub(crate) fn signature_bytes(algorithm: Algorithm) -> usize {
    if algorithm == Algorithm::CosignatureMlDsa44 { ML_DSA_SIGNATURE_BYTES } else { 64 }
}

fn encode_data(algorithm: Algorithm, key: &[u8]) -> String {
    let mut data = vec![algorithm.byte()];
    data.extend_from_slice(key);
    text::base64(&data)
}

fn parse_parts(key: &str) -> Result<(&str, &str, Algorithm, Vec<u8>), KeyError> {
    // A name, an id and the longest key, with room: what is longer is none.
    const LONGEST: usize = 4096;
    let form = || KeyError::Form(text::excerpt(key));
    if key.len() > LONGEST {
        return Err(form());
    }
    // Base64 may hold `+`, a name may not.
    let mut parts = key.splitn(3, '+');
    let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form());
    };
    check_name(name)?;
    let data = text::from_base64(data).ok_or_else(|| KeyError::Data(text::excerpt(name)))?;
    let (byte, public) = data.split_first().ok_or_else(|| KeyError::Data(text::excerpt(name)))?;
    let algorithm = Algorithm::from_byte(*byte)
        .ok_or_else(|| KeyError::Algorithm { name: text::excerpt(name), byte: *byte })?;
    Ok((name, id, algorithm, public.to_vec()))
}

fn check_id(key: &VerifierKey, id: &str) -> Result<(), KeyError> {
    let expected = format!("{:08x}", key.id);
    if id == expected {
        return Ok(());
    }
    Err(KeyError::Id { name: text::excerpt(&key.name), found: text::excerpt(id), expected })
}
