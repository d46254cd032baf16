//! Content as the log keeps it: a digest that means nothing without the subject's key, or a ciphertext.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, KeyInit as _, Mac as _};
use loadline_core::digest::hex;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::subjects::SubjectKey;

/// Bytes of a nonce.
const NONCE_LEN: usize = 24;
/// Separates the key that encrypts from the key that digests.
const SEAL_LABEL: &[u8] = b"loadline-audit-seal/1";

/// A body, as a row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content<'a> {
    /// HMAC-SHA-256 under the subject's key, as 64 hexadecimal digits.
    pub hmac: Cow<'a, str>,
    /// The length of the body.
    pub bytes: u64,
    /// The body itself, encrypted, as base64; only where a stage's policy says that it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Cow<'a, str>>,
}

/// Which body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What was asked.
    Request,
    /// What was answered.
    Response,
}

impl Part {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Request => b"request\0",
            Self::Response => b"response\0",
        }
    }
}

/// Takes a body piece by piece.
pub struct Digester {
    mac: Hmac<Sha256>,
    part: Part,
    bytes: u64,
    /// The body, where it is kept.
    kept: Option<Vec<u8>>,
}

impl Digester {
    /// For one body of a subject.
    pub fn new(key: &SubjectKey, part: Part, keep: bool) -> Self {
        let mut mac = mac(key.bytes());
        mac.update(part.label());
        Self { mac, part, bytes: 0, kept: keep.then(Vec::new) }
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(bytes);
        }
    }

    /// What the row has. The nonce is random; without one the body is not kept.
    pub fn finish(
        self,
        key: &SubjectKey,
        request: &[u8; 16],
        nonce: impl FnOnce() -> Option<[u8; NONCE_LEN]>,
    ) -> Content<'static> {
        let sealed = self.kept.and_then(|body| seal(key, self.part, request, &nonce()?, &body));
        let hmac = hex(&self.mac.finalize().into_bytes());
        Content { hmac: hmac.into(), bytes: self.bytes, sealed: sealed.map(Cow::Owned) }
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
    Hmac::new_from_slice(key).expect("a key of any length")
}

fn cipher(key: &SubjectKey) -> XChaCha20Poly1305 {
    let mut derive = mac(key.bytes());
    derive.update(SEAL_LABEL);
    XChaCha20Poly1305::new(&<[u8; 32]>::from(derive.finalize().into_bytes()).into())
}

fn seal(
    key: &SubjectKey,
    part: Part,
    request: &[u8; 16],
    nonce: &[u8; NONCE_LEN],
    body: &[u8],
) -> Option<String> {
    let aad = [part.label(), request].concat();
    let sealed = cipher(key).encrypt(XNonce::from_slice(nonce), Payload { msg: body, aad: &aad }).ok()?;
    Some(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
}

impl Content<'_> {
    /// Whether this is the content of these bytes.
    pub fn is_of(&self, key: &SubjectKey, part: Part, body: &[u8]) -> bool {
        let mut digester = Digester::new(key, part, false);
        digester.update(body);
        let digits = hex(&digester.mac.finalize().into_bytes());
        digits == *self.hmac && self.bytes == body.len() as u64
    }

    /// The body, where it is kept and this is the key.
    pub fn open(&self, key: &SubjectKey, part: Part, request: &[u8; 16]) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(self.sealed.as_deref()?).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let aad = [part.label(), request].concat();
        let body = cipher(key).decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &aad }).ok()?;
        self.is_of(key, part, &body).then_some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(key: &SubjectKey, part: Part, keep: bool) -> Content<'static> {
        let mut digester = Digester::new(key, part, keep);
        digester.update(b"hello, ");
        digester.update(b"world");
        digester.finish(key, &[7; 16], || Some([9; NONCE_LEN]))
    }

    #[test]
    fn a_digest_means_something_only_with_the_key() {
        let (key, other) = (SubjectKey::new([1; 32]), SubjectKey::new([2; 32]));
        let content = content(&key, Part::Request, false);
        assert!(content.is_of(&key, Part::Request, b"hello, world"));
        assert!(!content.is_of(&other, Part::Request, b"hello, world"));
        assert!(!content.is_of(&key, Part::Response, b"hello, world"));
        assert!(!content.is_of(&key, Part::Request, b"hello, worle"));
        assert_eq!((content.bytes, content.open(&key, Part::Request, &[7; 16])), (12, None));
    }

    #[test]
    fn kept_content_opens_with_its_key_in_its_place_and_nowhere_else() {
        let (key, other) = (SubjectKey::new([1; 32]), SubjectKey::new([2; 32]));
        let content = content(&key, Part::Response, true);
        assert!(!content.sealed.as_deref().unwrap().contains("hello"));
        assert_eq!(content.open(&key, Part::Response, &[7; 16]).unwrap(), b"hello, world");
        assert_eq!(content.open(&other, Part::Response, &[7; 16]), None);
        assert_eq!(content.open(&key, Part::Request, &[7; 16]), None);
        assert_eq!(content.open(&key, Part::Response, &[8; 16]), None);
    }
}
