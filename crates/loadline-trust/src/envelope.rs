//! Signed envelopes: DSSE, in exactly one form for each content.
//!
//! Source: DSSE v1.0 (`protocol.md`, `envelope.md`). An envelope is canonical JSON (RFC 8785); every signer has two
//! entries, one a scheme, so a plain DSSE verifier can check the Ed25519 entries. Stricter than DSSE asks: an entry that
//! is unknown, doubled, single or wrong makes the whole envelope worthless, so no byte of it can change unnoticed.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_core::strict::{self, MOST_JSON_BYTES, StrictError};
use loadline_core::untrusted::one_line;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::{KeyId, PublicKey, Scheme};
use crate::secret::SecretKey;

/// `payloadType` of an in-toto Statement.
pub const IN_TOTO_TYPE: &str = "application/vnd.in-toto+json";
/// The largest payload, in bytes: with its base64 and the signatures an envelope stays below what is read.
pub const MAX_PAYLOAD_BYTES: usize = 2 << 20;
/// The most signers of one envelope.
pub const MAX_SIGNERS: usize = 32;
/// The longest `payloadType`, in bytes.
pub const MAX_TYPE_BYTES: usize = 127;

/// What is signed: `DSSEv1 LEN(type) type LEN(payload) payload` (DSSE, "PAE").
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut text = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    text.extend_from_slice(payload);
    text
}

/// Why an envelope is worthless.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not the JSON of an envelope, or not its canonical form.
    #[error("this is no signed envelope: {0}")]
    Form(#[source] StrictError),
    /// The payload is not the JSON that its type promises.
    #[error("the signed `{payload_type}` is not what it says: {error}")]
    Payload {
        /// Its type.
        payload_type: String,
        /// What is wrong.
        #[source]
        error: StrictError,
    },
    /// The value cannot be written as JSON.
    #[error("this cannot be signed as JSON: {0}")]
    Unwritable(#[source] serde_json::Error),
    /// The payload or a signature is not base64 in its one form.
    #[error("the {0} is not canonical base64")]
    Base64(&'static str),
    /// More than is read or written.
    #[error("the envelope has {found} {what}; at most {most} are accepted")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// It holds something else than is asked for.
    #[error("the envelope holds `{found}`, not `{expected}`")]
    Type {
        /// What it says it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// Two envelopes whose signatures are about different things.
    #[error("the envelopes hold different documents: their signatures cannot be put together")]
    Other,
    /// A `keyid` that is not `SCHEME:ID`.
    #[error("`{0}` is no key id of a signature")]
    KeyId(String),
    /// The same half of the same key twice.
    #[error("key {} signs twice with {scheme}", signer.short())]
    Doubled {
        /// The key.
        signer: KeyId,
        /// Which half.
        scheme: Scheme,
    },
    /// The entries are not in ascending order of their key ids.
    #[error("the signatures are not in order")]
    Order,
    /// No signature at all.
    #[error("nobody signed the envelope")]
    Unsigned,
    /// One half of a hybrid signature is not there.
    #[error("the {missing} half of the signature of key {} is missing", signer.short())]
    OneHalf {
        /// The key.
        signer: KeyId,
        /// The half that is missing.
        missing: Scheme,
    },
    /// A signature by a key that nobody asked for.
    #[error("key {} signed and is not one of the keys that may", .0.short())]
    Unknown(KeyId),
    /// A signature that does not hold.
    #[error("the {scheme} signature of key `{name}` does not hold")]
    Wrong {
        /// The key's name.
        name: String,
        /// Which half.
        scheme: Scheme,
    },
}

impl EnvelopeError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Form(_) | Self::Base64(_) | Self::KeyId(_) | Self::Order | Self::Payload { .. } => {
                "the file was changed or is of another kind: get it again from where it was published"
            }
            Self::Unwritable(_) => "no floats, and no integers beyond 2^53, are signed",
            Self::TooMuch { .. } => "no honest file is that large",
            Self::Type { .. } => "give the file of the right kind",
            Self::Other => "give files that were signed from one and the same file",
            Self::Doubled { .. } | Self::OneHalf { .. } | Self::Unsigned => {
                "every signer signs once, with both halves of its key: have it signed again"
            }
            Self::Unknown(_) => "check that the root file is the right one and is current",
            Self::Wrong { .. } => {
                "content or signature was changed after signing: get the file again from where it was published"
            }
        }
    }
}

/// One entry of `signatures`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    scheme: Scheme,
    signer: KeyId,
    signature: Vec<u8>,
}

/// A payload and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    /// Ascending, without doubles, each signer with both halves, at least one.
    entries: Vec<Entry>,
}

/// An envelope as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WireEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireEntry {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Signs bytes. The signers may be given in any order.
    ///
    /// # Errors
    /// When there is no signer, one twice, or anything beyond a limit.
    pub fn sign(payload_type: &str, payload: Vec<u8>, keys: &[&SecretKey]) -> Result<Self, EnvelopeError> {
        let message = pae(payload_type, &payload);
        let mut entries: Vec<_> = keys.iter().flat_map(|key| entries_of(key, &message)).collect();
        entries.sort();
        let envelope = Self { payload_type: payload_type.to_owned(), payload, entries };
        envelope.check()?;
        Ok(envelope)
    }

    /// Signs a value: its canonical JSON.
    ///
    /// # Errors
    /// As [`Envelope::sign`], and when the value cannot be written as canonical JSON.
    pub fn sign_json<T: Serialize>(
        payload_type: &str,
        value: &T,
        keys: &[&SecretKey],
    ) -> Result<Self, EnvelopeError> {
        Self::sign(payload_type, canonical_json(value).map_err(EnvelopeError::Unwritable)?, keys)
    }

    /// The same envelope with one more signer.
    ///
    /// # Errors
    /// When that key signed already, or there are too many.
    pub fn cosign(&self, key: &SecretKey) -> Result<Self, EnvelopeError> {
        let mut envelope = self.clone();
        envelope.entries.extend(entries_of(key, &pae(&self.payload_type, &self.payload)));
        envelope.entries.sort();
        envelope.check()?;
        Ok(envelope)
    }

    /// The same envelope with the signers of another one of the same payload. Who signed both is there once.
    ///
    /// # Errors
    /// When the other holds another payload, the same signer signed them differently, or there are too many.
    pub fn join(&self, other: &Self) -> Result<Self, EnvelopeError> {
        if (&self.payload_type, &self.payload) != (&other.payload_type, &other.payload) {
            return Err(EnvelopeError::Other);
        }
        let mut envelope = self.clone();
        envelope.entries.extend(other.entries.iter().cloned());
        envelope.entries.sort();
        envelope.entries.dedup();
        envelope.check()?;
        Ok(envelope)
    }

    /// Reads an envelope in its one form. Nothing in it is believed yet: see [`Envelope::signers`] and
    /// [`crate::Root::verify`].
    ///
    /// # Errors
    /// When it is in any other form.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let wire: Wire = strict::from_canonical_json(bytes).map_err(EnvelopeError::Form)?;
        at_most("signatures", wire.signatures.len(), 2 * MAX_SIGNERS)?;
        let payload = STANDARD.decode(&wire.payload).map_err(|_| EnvelopeError::Base64("payload"))?;
        let entries = wire.signatures.iter().map(WireEntry::read).collect::<Result<_, _>>()?;
        let envelope = Self { payload_type: wire.payload_type, payload, entries };
        envelope.check()?;
        Ok(envelope)
    }

    /// Writes the envelope.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Written by hand: nothing in it needs an escape (`check` has seen to the type), so this cannot fail.
        let mut text = format!(
            r#"{{"payload":"{}","payloadType":"{}","signatures":["#,
            STANDARD.encode(&self.payload),
            self.payload_type
        );
        for (at, entry) in self.entries.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let sig = STANDARD.encode(&entry.signature);
            text.push_str(&format!(
                r#"{comma}{{"keyid":"{}:{}","sig":"{sig}"}}"#,
                entry.scheme, entry.signer
            ));
        }
        text.push_str("]}");
        text.into_bytes()
    }

    /// What kind of payload it says it holds.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The payload, whatever its type says.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// SHA-256 of the payload: by this a licence or a root is named, whoever signed it.
    pub fn payload_digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// The payload as a value, read in its canonical form only.
    ///
    /// # Errors
    /// When the envelope holds another type, or the payload is not canonical JSON of that form.
    pub fn json<T: DeserializeOwned + Serialize>(&self, payload_type: &str) -> Result<T, EnvelopeError> {
        if self.payload_type != payload_type {
            let (found, expected) = (self.payload_type.clone(), payload_type.to_owned());
            return Err(EnvelopeError::Type { found, expected });
        }
        strict::from_canonical_json(&self.payload)
            .map_err(|error| EnvelopeError::Payload { payload_type: self.payload_type.clone(), error })
    }

    /// The ids of those who claim to have signed, ascending. A claim is no signature.
    pub fn claimed(&self) -> impl Iterator<Item = KeyId> {
        self.entries.iter().filter(|entry| entry.scheme == Scheme::Ed25519).map(|entry| entry.signer)
    }

    /// Those who signed, when every signature in the envelope is by one of these keys and holds with both halves.
    ///
    /// # Errors
    /// When a single signature is by another key or does not hold.
    pub fn signers<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<BTreeSet<KeyId>, EnvelopeError> {
        let keys: BTreeMap<KeyId, &PublicKey> = keys.into_iter().map(|key| (key.id(), key)).collect();
        let message = pae(&self.payload_type, &self.payload);
        for Entry { scheme, signer, signature } in &self.entries {
            let key = keys.get(signer).ok_or(EnvelopeError::Unknown(*signer))?;
            if !key.half_holds(*scheme, &message, signature) {
                return Err(EnvelopeError::Wrong { name: key.name().to_owned(), scheme: *scheme });
            }
        }
        Ok(self.claimed().collect())
    }

    /// What every envelope keeps to, read or made.
    fn check(&self) -> Result<(), EnvelopeError> {
        at_most("bytes of payload", self.payload.len(), MAX_PAYLOAD_BYTES)?;
        at_most("signers", self.entries.len().div_ceil(2), MAX_SIGNERS)?;
        at_most("bytes of type", self.payload_type.len(), MAX_TYPE_BYTES)?;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if self.payload_type.is_empty() || !self.payload_type.bytes().all(plain) {
            let (found, expected) = (one_line(&self.payload_type, 80), "a media type".to_owned());
            return Err(EnvelopeError::Type { found, expected });
        }
        for pair in self.entries.windows(2) {
            let [before, after] = [&pair[0], &pair[1]];
            if (before.scheme, before.signer) == (after.scheme, after.signer) {
                return Err(EnvelopeError::Doubled { signer: after.signer, scheme: after.scheme });
            }
            if before > after {
                return Err(EnvelopeError::Order);
            }
        }
        let of = |scheme| -> BTreeSet<KeyId> {
            self.entries.iter().filter(|entry| entry.scheme == scheme).map(|entry| entry.signer).collect()
        };
        let (ed25519, ml_dsa_44) = (of(Scheme::Ed25519), of(Scheme::MlDsa44));
        if let Some(signer) = ed25519.difference(&ml_dsa_44).next() {
            return Err(EnvelopeError::OneHalf { signer: *signer, missing: Scheme::MlDsa44 });
        }
        if let Some(signer) = ml_dsa_44.difference(&ed25519).next() {
            return Err(EnvelopeError::OneHalf { signer: *signer, missing: Scheme::Ed25519 });
        }
        if ed25519.is_empty() { Err(EnvelopeError::Unsigned) } else { Ok(()) }
    }
}

impl WireEntry {
    fn read(&self) -> Result<Entry, EnvelopeError> {
        let wrong = || EnvelopeError::KeyId(one_line(&self.keyid, 80));
        let (name, id) = self.keyid.split_once(':').ok_or_else(wrong)?;
        let scheme = Scheme::BOTH.into_iter().find(|scheme| scheme.name() == name).ok_or_else(wrong)?;
        let signer = id.parse().map_err(|_| wrong())?;
        let signature = STANDARD.decode(&self.sig).map_err(|_| EnvelopeError::Base64("signature"))?;
        at_most("bytes of signature", signature.len(), scheme.signature_bytes())?;
        Ok(Entry { scheme, signer, signature })
    }
}

fn entries_of(key: &SecretKey, message: &[u8]) -> [Entry; 2] {
    Scheme::BOTH.map(|scheme| Entry {
        scheme,
        signer: key.public().id(),
        signature: key.sign_half(scheme, message),
    })
}

fn at_most(what: &'static str, found: usize, most: usize) -> Result<(), EnvelopeError> {
    if found <= most { Ok(()) } else { Err(EnvelopeError::TooMuch { what, found, most }) }
}

const _: () = assert!(MAX_PAYLOAD_BYTES / 3 * 4 + MAX_SIGNERS * 4096 < MOST_JSON_BYTES);
