//! ID tokens of an issuer: who is believed, and who is not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use loadline_access::refusal::{Code, Refusal};
use loadline_access::rows::Basis;
use serde_json::{Value, json};

use crate::support::{Office, key};

pub const ISSUERS: &str = r#"
[[issuer]]
url = "https://login.uni.example"
audience = "loadline-access"

[[issuer]]
url = "https://id.other.example"
audience = "other-client"
"#;

/// A key of an issuer, by a fixed secret: PKCS #8 around it (RFC 8410).
pub fn signer(secret: u8) -> EncodingKey {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([secret; 32]);
    EncodingKey::from_ed_der(&der)
}

/// What the issuer publishes.
pub fn jwks(keys: &[(&str, &EncodingKey)]) -> Vec<u8> {
    let set: Vec<Jwk> = keys
        .iter()
        .map(|(kid, key)| {
            let mut jwk = Jwk::from_encoding_key(key, Algorithm::EdDSA).unwrap();
            jwk.common.key_id = Some((*kid).to_owned());
            jwk
        })
        .collect();
    serde_json::to_vec(&json!({ "keys": set })).unwrap()
}

fn office() -> Office {
    let mut office = Office::with(ISSUERS);
    office
        .desk()
        .learn("https://login.uni.example", &jwks(&[("old", &signer(1)), ("new", &signer(2))]))
        .unwrap();
    office.desk().learn("https://id.other.example", &jwks(&[("x", &signer(3))])).unwrap();
    office
}

/// The claims of an honest token for the key of `name`.
fn claims(office: &Office, name: &str, sub: &str) -> Value {
    json!({
        "iss": "https://login.uni.example",
        "aud": "loadline-access",
        "sub": sub,
        "nonce": key(name).public().id().to_string(),
        "iat": office.now.seconds() - 10,
        "exp": office.now.seconds() + 600,
    })
}

fn signed(claims: &Value, kid: Option<&str>, secret: u8) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, &signer(secret)).unwrap()
}

fn apply(office: &mut Office, name: &str, token: String) -> Result<Basis, Refusal> {
    let mut application = office.application(name, "uni.example");
    application.id_token = Some(token);
    office.send(&application, name).map(|status| status.basis)
}

#[test]
fn who_an_issuer_vouches_for_is_one_person_whatever_keys_they_make() {
    let mut office = office();
    let token = signed(&claims(&office, "ada", "u-17"), Some("new"), 2);
    assert_eq!(apply(&mut office, "ada", token).unwrap(), Basis::Issuer);
    let token = signed(&claims(&office, "ada-2", "u-17"), Some("new"), 2);
    assert_eq!(apply(&mut office, "ada-2", token).unwrap_err().code, Code::AlreadyApplied);
    // Another person, a token without `kid`, and the older key, which is still published.
    let token = signed(&claims(&office, "bob", "u-18"), None, 1);
    assert_eq!(apply(&mut office, "bob", token).unwrap(), Basis::Issuer);
    // The same `sub` to another issuer is another person.
    let mut other = claims(&office, "cyd", "u-17");
    (other["iss"], other["aud"]) = (json!("https://id.other.example"), json!("other-client"));
    assert_eq!(apply(&mut office, "cyd", signed(&other, Some("x"), 3)).unwrap(), Basis::Issuer);
}

#[test]
fn an_affiliation_counts_as_verified_only_with_a_verified_address_there() {
    for (email, verified, basis) in [
        ("ada@cs.uni.example", json!(true), Basis::IssuerAndAffiliation),
        ("ada@UNI.example", json!(true), Basis::IssuerAndAffiliation),
        ("ada@uni.example", json!(false), Basis::Issuer),
        ("ada@notuni.example", json!(true), Basis::Issuer),
        ("uni.example", json!(true), Basis::Issuer),
    ] {
        let mut office = office();
        let mut claims = claims(&office, "ada", "u-17");
        (claims["email"], claims["email_verified"]) = (json!(email), verified);
        assert_eq!(apply(&mut office, "ada", signed(&claims, Some("new"), 2)).unwrap(), basis, "{email}");
    }
}

#[test]
fn a_token_that_is_wrong_in_any_way_is_not_believed() {
    let now = office().now.seconds();
    let wrong: [(&str, Value, &str); 12] = [
        ("iss", json!("https://evil.example"), "no key of an issuer"),
        ("iss", json!("https://id.other.example"), "no key of an issuer"),
        ("aud", json!("other-client"), "`aud`"),
        ("aud", json!(["loadline-access", "third"]), "`azp`"),
        ("azp", json!("third"), "`azp`"),
        ("nonce", json!("0000"), "`nonce`"),
        ("nonce", Value::Null, "`nonce`"),
        ("exp", json!(now - 61), "expired"),
        ("iat", json!(now + 61), "future"),
        ("sub", json!(""), "`sub`"),
        ("sub", json!("x".repeat(256)), "`sub`"),
        ("exp", json!("soon"), "no key of an issuer"),
    ];
    for (claim, value, told) in wrong {
        let mut office = office();
        let mut claims = claims(&office, "ada", "u-17");
        claims[claim] = value;
        let error = apply(&mut office, "ada", signed(&claims, Some("new"), 2)).unwrap_err();
        assert_eq!(error.code, Code::IdentityRefused, "{claim}");
        assert!(error.message.contains(told) && !error.hint.is_empty(), "{claim}: {error}");
    }
}

#[test]
fn a_signature_by_another_key_by_none_or_by_what_everybody_knows_is_not_believed() {
    let mut office = office();
    let honest = claims(&office, "ada", "u-17");
    let public = jwks(&[("new", &signer(2))]);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap());
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&honest));
    // The public key as the secret of a HMAC.
    let hmac = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &honest,
        &EncodingKey::from_secret(&public).unwrap(),
    )
    .unwrap();
    let good = signed(&honest, Some("new"), 2);
    let (start, signature) = good.rsplit_once('.').unwrap();
    let (_, body) = start.split_once('.').unwrap();
    let mut other = honest.clone();
    other["sub"] = json!("u-18");
    let swapped = format!("{}.{}.{signature}", start.split('.').next().unwrap(), part(&other));
    for token in [
        signed(&honest, Some("new"), 9),
        signed(&honest, Some("old"), 2),
        signed(&honest, Some("x"), 3),
        unsigned,
        hmac,
        swapped,
        body.to_owned(),
        String::new(),
        "x".repeat(17_000),
    ] {
        assert_eq!(apply(&mut office, "ada", token).unwrap_err().code, Code::IdentityRefused);
    }
    assert!(office.desk().book().cases.is_empty());
    apply(&mut office, "ada", good).unwrap();
}

#[test]
fn without_the_issuers_keys_nobody_is_believed_and_it_says_why() {
    let mut office = Office::with(ISSUERS);
    let token = signed(&claims(&office, "ada", "u-17"), Some("new"), 2);
    assert_eq!(apply(&mut office, "ada", token).unwrap_err().code, Code::Unavailable);
    assert!(office.desk().learn("https://login.uni.example", b"{}").unwrap_err().contains("JWKS"));
    let document = br#"{"issuer":"https://login.uni.example","jwks_uri":"https://login.uni.example/keys"}"#;
    let found = loadline_access::identity::discovered("https://login.uni.example", document);
    assert_eq!(found.unwrap(), "https://login.uni.example/keys");
    assert!(loadline_access::identity::discovered("https://evil.example", document).is_err());
}

/// A key of an issuer for each kind of signature that the large issuers use.
#[test]
fn every_kind_of_signature_that_issuers_use_is_checked() {
    let mut ec =
        vec![0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86];
    ec.extend([0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20]);
    ec.extend([5; 32]);
    let ec = EncodingKey::from_ec_der(&ec);
    // PKCS #1 inside the PKCS #8 of the RFC's vectors.
    let rsa = EncodingKey::from_rsa_der(&crate::tokens::rsa_key()[26..]);
    for (algorithm, signer) in [(Algorithm::RS256, &rsa), (Algorithm::PS256, &rsa), (Algorithm::ES256, &ec)] {
        let mut office = office();
        let mut jwk = Jwk::from_encoding_key(signer, algorithm).unwrap();
        jwk.common.key_id = Some("k".to_owned());
        let set = serde_json::to_vec(&json!({ "keys": [jwk] })).unwrap();
        office.desk().learn("https://login.uni.example", &set).unwrap();
        let mut header = Header::new(algorithm);
        header.kid = Some("k".to_owned());
        let token = jsonwebtoken::encode(&header, &claims(&office, "ada", "u-1"), signer).unwrap();
        let (start, signature) = token.rsplit_once('.').unwrap();
        let mut changed = URL_SAFE_NO_PAD.decode(signature).unwrap();
        changed[9] ^= 1;
        let changed = format!("{start}.{}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(
            apply(&mut office, "ada", changed).unwrap_err().code,
            Code::IdentityRefused,
            "{algorithm:?}"
        );
        assert_eq!(apply(&mut office, "ada", token).unwrap(), Basis::Issuer, "{algorithm:?}");
    }
}

#[test]
fn a_key_of_an_issuer_that_is_cut_short_fails_nobody_else() {
    let mut office = office();
    let set =
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }, { "kty": "NEW", "alg": "X9" }] });
    office.desk().learn("https://login.uni.example", &serde_json::to_vec(&set).unwrap()).unwrap();
    let token = signed(&claims(&office, "ada", "u-17"), None, 2);
    assert_eq!(apply(&mut office, "ada", token).unwrap_err().code, Code::IdentityRefused);
}
