//! Who vouches for a person: ID tokens of OpenID Connect (Core 1.0, section 3.1.3.7), checked against the issuer's keys
//! (JWKS, RFC 7517). The one door to `jsonwebtoken`.
//!
//! The token's `nonce` is the id of the applicant's key: whoever gets hold of somebody's token cannot apply with it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_trust::CLOCK_SKEW_S;
use serde::Deserialize;

use crate::programme::{Issuer, related};
use crate::refusal::{Code, Refusal};
use crate::rows::Basis;

/// The largest set of keys that is read, in bytes.
pub const MAX_JWKS_BYTES: usize = 1 << 20;
/// The longest ID token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The longest `sub`, in bytes (OpenID Connect Core, section 2: at most 255).
const MAX_SUB_BYTES: usize = 255;
/// Signatures that are believed: public keys only, so that nobody signs with what everybody knows.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA];

/// The keys of issuers, by the issuer's URL.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys(BTreeMap<String, JwkSet>);

/// Where an issuer says where its keys are (OpenID Connect Discovery 1.0).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// A set of keys, of whatever kinds.
#[derive(Debug, Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

/// What a token says. Other things in it are not looked at.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    iat: u64,
    nonce: Option<String>,
    azp: Option<String>,
    aud: Audience,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Somebody whom an issuer vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The issuer.
    pub issuer: String,
    /// Who, to that issuer.
    pub subject: String,
    /// What it vouched for.
    pub basis: Basis,
}

/// Where the keys of an issuer are, from its discovery document.
///
/// # Errors
/// In words, when the document is none, or of another issuer.
pub fn discovered(issuer: &str, document: &[u8]) -> Result<String, String> {
    let document: Discovery = serde_json::from_slice(document)
        .map_err(|error| format!("no discovery document: {}", one_line(&error.to_string(), 200)))?;
    if document.issuer != issuer {
        return Err(format!("the document is of `{}`", one_line(&document.issuer, 200)));
    }
    Ok(document.jwks_uri)
}

impl IssuerKeys {
    /// Takes the keys of an issuer in, instead of those that were there.
    ///
    /// # Errors
    /// In words, when they are no set of keys.
    pub fn learn(&mut self, issuer: &str, jwks: &[u8]) -> Result<(), String> {
        if jwks.len() > MAX_JWKS_BYTES {
            return Err(format!("{} bytes; at most {MAX_JWKS_BYTES} are read", jwks.len()));
        }
        let published: Published = serde_json::from_slice(jwks)
            .map_err(|error| format!("no set of keys (JWKS): {}", one_line(&error.to_string(), 200)))?;
        // Keys of kinds that are not known here are there for others (RFC 7517, section 5).
        let keys = published.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let set = JwkSet { keys: keys.collect() };
        self.0.insert(issuer.to_owned(), set);
        Ok(())
    }

    /// Checks an ID token, for somebody with the key `nonce` at the institution `affiliation`.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(
        &self,
        token: &str,
        issuers: &[Issuer],
        nonce: &str,
        affiliation: &str,
        now: Instant,
    ) -> Result<Vouched, Refusal> {
        let claims = self.signed(token, issuers)?;
        let issuer = issuers.iter().find(|issuer| issuer.url == claims.iss);
        let issuer = issuer.ok_or_else(|| wrong("its `iss` is no issuer of this programme"))?;
        let (audiences, several) = match &claims.aud {
            Audience::One(audience) => (std::slice::from_ref(audience), false),
            Audience::Many(audiences) => (audiences.as_slice(), audiences.len() > 1),
        };
        if !audiences.contains(&issuer.audience) {
            return Err(wrong("its `aud` is not this programme"));
        }
        let party = claims.azp.as_ref();
        if party.is_some_and(|party| *party != issuer.audience) || (several && party.is_none()) {
            return Err(wrong("its `azp` is not this programme"));
        }
        if claims.nonce.as_deref() != Some(nonce) {
            return Err(wrong("its `nonce` is not the id of the key that signs")
                .hint("ask the issuer for a token with the nonce that `loadline access nonce` prints"));
        }
        if claims.exp.saturating_add(CLOCK_SKEW_S) <= now.seconds() {
            return Err(wrong("it has expired"));
        }
        if claims.iat > now.seconds().saturating_add(CLOCK_SKEW_S) {
            return Err(wrong("it was made in the future"));
        }
        if claims.sub.is_empty() || claims.sub.len() > MAX_SUB_BYTES {
            return Err(wrong("its `sub` is empty or too long"));
        }
        let domain = claims.email.as_ref().filter(|_| claims.email_verified);
        let domain = domain.and_then(|email| email.rsplit_once('@')).map(|(_, domain)| domain.to_lowercase());
        let basis = match domain {
            Some(domain) if related(&domain, affiliation) => Basis::IssuerAndAffiliation,
            _ => Basis::Issuer,
        };
        Ok(Vouched { issuer: claims.iss, subject: claims.sub, basis })
    }

    /// The claims of a token that one of the issuers signed.
    fn signed(&self, token: &str, issuers: &[Issuer]) -> Result<Claims, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(wrong("it is too long"));
        }
        let header = decode_header(token).map_err(|_| wrong("it is no signed token (JWS)"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(wrong(
                "it is not signed in a way that is believed (RS256, PS256, ES256, ES384, EdDSA)",
            ));
        }
        let mut validation = Validation::new(header.alg);
        // Whose clock, and whose audience goes with which issuer, is looked at by whoever called.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
        let mut known = false;
        for issuer in issuers {
            let Some(set) = self.0.get(&issuer.url) else { continue };
            known = true;
            validation.set_issuer(&[&issuer.url]);
            for key in set.keys.iter().filter(|key| fits(key, header.kid.as_deref(), header.alg)) {
                let Ok(key) = DecodingKey::from_jwk(key) else { continue };
                if let Ok(data) = decode::<Claims>(token, &key, &validation) {
                    return Ok(data.claims);
                }
            }
        }
        match known {
            true => Err(wrong("no key of an issuer of this programme signed it")
                .hint("get a new one from an issuer that the programme names")),
            false => Err(Refusal::new(Code::Unavailable, "the keys of the issuers are not known yet")
                .hint("try again in a minute")),
        }
    }
}

/// Whether a key may have made a signature of this kind.
fn fits(key: &Jwk, kid: Option<&str>, algorithm: Algorithm) -> bool {
    let common = &key.common;
    let named = kid.is_none() || common.key_id.as_deref() == kid;
    let kind = common.key_algorithm.is_none_or(|known| known == KeyAlgorithm::from(algorithm));
    // `jsonwebtoken` takes 32 bytes for granted.
    let whole = match &key.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) => {
            URL_SAFE_NO_PAD.decode(&pair.x).is_ok_and(|bytes| bytes.len() == 32)
        }
        AlgorithmParameters::RSA(_) | AlgorithmParameters::EllipticCurve(_) => true,
        // No secret that two know signs for a person.
        _ => false,
    };
    whole && named && kind && common.public_key_use != Some(PublicKeyUse::Encryption)
}

fn wrong(what: &str) -> Refusal {
    Refusal::new(Code::IdentityRefused, format!("the ID token is not believed: {what}"))
        .hint("get a new one from the issuer")
}
