//! Anonymous tokens: the RFC's own vectors, and their way through a programme.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loadline_access::book::State;
use loadline_access::desk::Reply;
use loadline_access::refusal::{Code, Refusal};
use loadline_access::request::{Act, Verdict};
use loadline_access::token::{self, Asked, IssuerKey, REQUEST_LEN, Token, TokenError, TokenKey};
use loadline_core::Digest;
use loadline_evidence::disk::RealDisk;
use loadline_gate::keys::KeyFile;
use serde::Deserialize;

use crate::support::{Office, at, key};

/// A vector of RFC 9578, appendix B.2.
#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "skS")]
    secret: String,
    #[serde(rename = "pkS")]
    public: String,
    token_challenge: String,
    token_request: String,
    token_response: String,
    token: String,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/rfc9578-0002.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The DER inside a PEM.
fn der(pem: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(pem.to_vec()).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap()
}

/// The secret key of the vectors (PKCS #8).
pub fn rsa_key() -> Vec<u8> {
    der(&unhex(&vectors()[0].secret))
}

#[test]
fn the_vectors_of_the_rfc_hold() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let issuer = IssuerKey::from_der(&der(&unhex(&vector.secret))).unwrap();
        let key = TokenKey::parse(&unhex(&vector.public)).unwrap();
        assert_eq!(issuer.public().unwrap().spki(), key.spki());
        let request = unhex(&vector.token_request);
        assert_eq!(issuer.answer(&request).unwrap(), unhex(&vector.token_response));
        let challenge = unhex(&vector.token_challenge);
        let bytes = unhex(&vector.token);
        let parse =
            |bytes: &[u8]| Token::parse(&base64::engine::general_purpose::URL_SAFE.encode(bytes)).unwrap();
        let token = parse(&bytes);
        token.verify(&key, &challenge).unwrap();
        assert_eq!(token.verify(&key, b"another"), Err(TokenError::Challenge));
        let mut wrong = bytes.clone();
        wrong[2] ^= 1;
        assert_eq!(parse(&wrong).verify(&key, &challenge), Err(TokenError::Signature));
        wrong = bytes.clone();
        wrong[200] ^= 1;
        assert_eq!(parse(&wrong).verify(&key, &challenge), Err(TokenError::Signature));
        assert_eq!(parse(&wrong).nullifier(), token.nullifier(), "another signature is no other token");
        let mut other = request.clone();
        other[2] ^= 1;
        assert_eq!(issuer.answer(&other), Err(TokenError::Key));
        assert_eq!(issuer.answer(&request[1..]), Err(TokenError::Form));
    }
}

#[test]
fn what_the_issuer_sees_says_nothing_about_the_token() {
    let issuer = IssuerKey::from_der(&rsa_key()).unwrap();
    let key = issuer.public().unwrap();
    let challenge = token::challenge("example.org/access", "r").unwrap();
    let make = |seed: u8| {
        let asked = Asked::new(key.clone(), &challenge, &[seed; 32]).unwrap();
        let token = asked.finish(&issuer.answer(&asked.request()).unwrap()).unwrap();
        (asked.request(), token.expose())
    };
    let (first, again, second) = (make(1), make(1), make(2));
    assert_eq!(first, again, "the same seed gives the same request: it can be sent again");
    assert!(first.0 != second.0 && first.1 != second.1);
    // Any request could have led to any token: there is a blinding for each pair. Here: no bytes in common.
    let token = base64::engine::general_purpose::URL_SAFE.decode(&first.1).unwrap();
    for window in token[2..34].windows(8).chain(token[98..].windows(8)) {
        assert!(!first.0.windows(8).any(|seen| seen == window));
    }
    let asked = Asked::new(key, &challenge, &[3; 32]).unwrap();
    assert_eq!(asked.finish(&[7; 256]).map(|_| ()), Err(TokenError::Signature));
}

#[test]
fn tokens_are_read_from_the_header_as_the_rfc_writes_it() {
    let vector = &vectors()[0];
    let bytes = unhex(&vector.token);
    let padded = base64::engine::general_purpose::URL_SAFE.encode(&bytes);
    let bare = padded.trim_end_matches('=').to_owned();
    for value in [
        format!("PrivateToken token=\"{padded}\""),
        format!("PrivateToken token={bare}"),
        format!("privatetoken token=\"{bare}\""),
    ] {
        assert_eq!(Token::from_authorization(&value).unwrap().expose(), padded);
    }
    for value in [
        "",
        "PrivateToken",
        "Bearer x",
        "PrivateToken token=",
        "PrivateToken token=\"AAA\"",
        &format!("PrivateToken token={}", "A".repeat(9_000)),
    ] {
        assert_eq!(Token::from_authorization(value).map(|_| ()), Err(TokenError::Form));
    }
}

const TOKENS: &str = r#"
[tokens]
stages = ["academic"]
models = ["small"]
days = 60
tokens_per_term = 5000
"#;

/// A programme with tokens, whose key is that of the RFC; and applicants who are vouched for.
fn office(people: &[&str]) -> Office {
    let folder = tempfile::tempdir().unwrap();
    crate::support::write_keys(folder.path());
    for name in people {
        let bytes = loadline_trust::published::publish(&key(name)).unwrap();
        std::fs::write(folder.path().join(format!("{name}.pub.json")), bytes).unwrap();
    }
    let list: Vec<_> = people.iter().map(|name| format!("\"{name}.pub.json\"")).collect();
    let listed = format!("keys = \"listed\"\nlisted = [{}]", list.join(", "));
    let text = crate::support::text(TOKENS).replace("keys = \"any\"", &listed);
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let secret = rsa_key();
    std::fs::write(folder.path().join("state/token.key"), secret).unwrap();
    let programme = loadline_access::programme::parse(&text, folder.path()).unwrap();
    let (now, random) = (at("2026-12-02T10:00:00Z"), crate::support::random());
    let desk = loadline_access::Desk::found(
        std::sync::Arc::new(RealDisk),
        programme,
        now,
        std::sync::Arc::clone(&random),
    );
    Office { folder, desk: Some(desk.unwrap()), now, random }
}

fn draw(office: &mut Office) {
    office.now = at("2027-01-01T00:00:00Z");
    let now = office.now;
    office.desk().draw("2026-1", None, now).unwrap();
}

fn asked(office: &mut Office, seed: u8) -> Asked {
    let challenge = token::challenge("example.org/access", "2026-1").unwrap();
    Asked::new(office.desk().token_key().unwrap(), &challenge, &[seed; 32]).unwrap()
}

fn issue(office: &mut Office, name: &str, id: &str, seed: u8) -> Result<Token, Refusal> {
    let asked = asked(office, seed);
    match office.ask(name, Some(id), Act::Token(STANDARD.encode(asked.request())))? {
        Reply::Token(answer) => Ok(asked.finish(&STANDARD.decode(answer.answer).unwrap()).unwrap()),
        other => panic!("no token: {other:?}"),
    }
}

#[test]
fn one_person_gets_one_token_and_one_token_gives_one_key() {
    let mut office = office(&["ada", "bob"]);
    let ids: Vec<_> = ["ada", "bob"].map(|name| office.apply(name, "uni.example")).into();
    ids.iter().for_each(|id| office.decide(id, Verdict::Accept));
    assert_eq!(issue(&mut office, "ada", &ids[0], 1).unwrap_err().code, Code::WrongMoment, "not drawn");
    draw(&mut office);
    let token = issue(&mut office, "ada", &ids[0], 1).unwrap();
    let (now, status) = (office.now, office.status("ada", &ids[0]));
    assert_eq!((status.state, status.key, status.expires), (State::Granted, None, Some(now.plus_days(60))));
    // An answer that was lost comes again; another token does not, nor a key beside it, also after a restart.
    for _ in 0..2 {
        assert_eq!(issue(&mut office, "ada", &ids[0], 1).unwrap(), token);
        assert!(issue(&mut office, "ada", &ids[0], 2).unwrap_err().message.contains("issued once"));
        let error = office.ask("ada", Some(&ids[0]), Act::Claim).unwrap_err();
        assert!(error.message.contains("instead of a key"), "{error}");
        assert!(office.ask("ada", Some(&ids[0]), Act::Withdraw).is_err());
        office.reopen();
    }
    office.ask("bob", Some(&ids[1]), Act::Claim).unwrap();
    assert_eq!(issue(&mut office, "bob", &ids[1], 3).unwrap_err().code, Code::WrongMoment, "it has its key");

    let redeemed = office.desk().redeem(&token, now.plus_days(9)).unwrap();
    assert_eq!(redeemed.expires, now.plus_days(60), "the same for all of a round");
    let file = KeyFile::read(&RealDisk, &office.programme().keys).unwrap();
    let made = file.keys().iter().find(|key| key.id == redeemed.key).unwrap();
    assert_eq!(made.hash, Digest::of(redeemed.secret.expose().as_bytes()));
    assert_eq!(made.subject, format!("token/{}", token.nullifier().hex()));
    assert_eq!((made.limits.tokens_per_term, made.quota == made.subject), (Some(5_000), true));
    for _ in 0..2 {
        assert_eq!(office.desk().redeem(&token, now.plus_days(10)).unwrap_err().code, Code::Spent);
        office.reopen();
    }
    let figures = office.desk().figures(now);
    assert_eq!((figures.total.tokens, figures.tokens_used, figures.total.granted), (1, 1, 2));
    // Nothing in the log ties the two ends together: no value of the one is in the row of the other.
    let log = std::fs::read_to_string(office.state().join("segment-00000000000000000000")).unwrap();
    let row = |kind: &str| log.lines().find(|line| line.contains(kind)).unwrap().to_owned();
    let (issued, spent) = (row("{\"issued\""), row("{\"spent\""));
    assert!(!spent.contains(&ids[0]) && !issued.contains(&token.nullifier().hex()));
}

#[test]
fn a_token_for_another_round_too_old_or_forged_gives_nothing() {
    let mut office = office(&["ada"]);
    let id = office.apply("ada", "uni.example");
    office.decide(&id, Verdict::Accept);
    let before = asked(&mut office, 1);
    draw(&mut office);
    let token = issue(&mut office, "ada", &id, 1).unwrap();
    let now = office.now;
    assert_eq!(before.request().len(), REQUEST_LEN);
    let error = office.desk().redeem(&token, now.plus_days(61)).unwrap_err();
    assert!(error.message.contains("good until"), "{error}");
    let foreign = {
        let vector = &vectors()[0];
        Token::parse(&base64::engine::general_purpose::URL_SAFE.encode(unhex(&vector.token))).unwrap()
    };
    let error = office.desk().redeem(&foreign, now).unwrap_err();
    assert!(error.code == Code::BadRequest && error.message.contains("another programme"), "{error}");
    let mut bytes = base64::engine::general_purpose::URL_SAFE.decode(token.expose()).unwrap();
    bytes[5] ^= 1;
    let forged = Token::parse(&base64::engine::general_purpose::URL_SAFE.encode(&bytes)).unwrap();
    assert!(office.desk().redeem(&forged, now).unwrap_err().message.contains("signature"));
    for asked in ["", "AAAA", "not base64"] {
        let error = office.ask("ada", Some(&id), Act::Token(asked.to_owned())).unwrap_err();
        assert_eq!(error.code, Code::BadRequest);
    }
    assert_eq!(KeyFile::read(&RealDisk, &office.programme().keys).unwrap().keys().len(), 0);
    office.desk().redeem(&token, now).unwrap();
}

#[test]
fn the_end_of_a_rounds_tokens_stays_when_the_programme_changes_its_days() {
    let mut office = office(&["ada", "bob"]);
    let ids: Vec<_> = ["ada", "bob"].map(|name| office.apply(name, "uni.example")).into();
    ids.iter().for_each(|id| office.decide(id, Verdict::Accept));
    draw(&mut office);
    let token = issue(&mut office, "ada", &ids[0], 1).unwrap();
    let end = office.now.plus_days(60);
    assert_eq!(office.status("ada", &ids[0]).expires, Some(end));
    let mut programme = office.programme();
    office.desk = None;
    programme.tokens.as_mut().unwrap().days = 90;
    let (disk, random) = (std::sync::Arc::new(RealDisk), std::sync::Arc::clone(&office.random));
    office.desk = Some(loadline_access::Desk::open(disk, programme, office.now, random).unwrap().0);
    let second = issue(&mut office, "bob", &ids[1], 2).unwrap();
    assert_eq!(office.status("bob", &ids[1]).expires, Some(end), "the same for all of a round");
    // Whoever may claim another key, since the token is over, has no key of it that still works.
    let now = office.now;
    assert_eq!(office.desk().redeem(&token, now).unwrap().expires, end);
    let late = office.desk().redeem(&second, end.plus_days(1)).unwrap_err();
    assert!(late.message.contains("good until"), "{late}");
}

#[test]
fn whoever_took_a_token_can_be_erased_and_the_token_stays_good() {
    let mut office = office(&["ada", "bob"]);
    let ids: Vec<_> = ["ada", "bob"].map(|name| office.apply(name, "uni.example")).into();
    ids.iter().for_each(|id| office.decide(id, Verdict::Accept));
    draw(&mut office);
    let token = issue(&mut office, "ada", &ids[0], 1).unwrap();
    office.ask("bob", Some(&ids[1]), Act::Claim).unwrap();
    let now = office.now;
    let error = office.desk().revoke(&ids[0], now).unwrap_err();
    assert!(error.message.contains("a token was issued") && error.hint.contains("erase"), "{error}");
    office.desk().erase(&ids[0], now).unwrap();
    let error = office.desk().erase(&ids[1], now).unwrap_err();
    assert!(error.message.contains("still works"), "{error}");
    office.reopen();
    assert!(office.ask("ada", Some(&ids[0]), Act::Status).is_err(), "nobody knows the key that could ask");
    office.desk().redeem(&token, now).unwrap();
}

#[test]
fn an_identity_that_nobody_vouched_for_gets_no_token() {
    let mut office = Office::with("");
    assert!(office.desk().token_key().unwrap_err().message.contains("no anonymous tokens"));
    let mut open = office_of_anybody();
    let id = open.apply("ada", "uni.example");
    open.decide(&id, Verdict::Accept);
    draw(&mut open);
    let error = issue(&mut open, "ada", &id, 1).unwrap_err();
    assert!(error.code == Code::IdentityRefused && error.message.contains("vouched"), "{error}");
}

/// Every key is an identity; the key of tokens is made here, which takes a moment.
fn office_of_anybody() -> Office {
    Office::with(&TOKENS.replace("\n\n", "\n"))
}

#[test]
fn the_key_of_tokens_is_bound_by_the_log() {
    let mut office = office_of_anybody();
    let made = office.desk().token_key().unwrap().id();
    office.reopen();
    assert_eq!(office.desk().token_key().unwrap().id(), made);
    let programme = office.programme();
    let open = |office: &Office| {
        let disk = std::sync::Arc::new(RealDisk);
        loadline_access::Desk::open(
            disk,
            programme.clone(),
            office.now,
            std::sync::Arc::clone(&office.random),
        )
        .map(|_| ())
    };
    office.desk = None;
    let path = office.state().join("token.key");
    std::fs::write(&path, rsa_key()).unwrap();
    assert!(open(&office).unwrap_err().to_string().contains("another key"));
    std::fs::remove_file(&path).unwrap();
    assert!(open(&office).unwrap_err().to_string().contains("is gone"));
}
