//! Envelopes: one form each, both halves, and what a plain DSSE implementation makes of them.

use dsse::{Ed25519Signer, Ed25519Verifier};
use loadline_trust::envelope::{MAX_PAYLOAD_BYTES, MAX_SIGNERS, pae};
use loadline_trust::key::Scheme;
use loadline_trust::{Envelope, EnvelopeError, IN_TOTO_TYPE, SecretKey, published};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::key;

fn statement() -> Value {
    json!({ "_type": "https://in-toto.io/Statement/v1", "predicate": { "rows": 3 } })
}

fn two() -> (SecretKey, SecretKey, Envelope) {
    let (a, b) = (key("a", 1), key("b", 2));
    let envelope = Envelope::sign_json(IN_TOTO_TYPE, &statement(), &[&b, &a]).unwrap();
    (a, b, envelope)
}

/// An envelope's JSON, changed, in canonical form again.
fn changed(envelope: &Envelope, change: impl FnOnce(&mut Value)) -> Result<Envelope, EnvelopeError> {
    let mut value: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    change(&mut value);
    Envelope::parse(&loadline_core::digest::canonical_json(&value).unwrap())
}

#[test]
fn what_is_written_is_read_and_the_order_of_signers_does_not_matter() {
    let (a, b, envelope) = two();
    assert_eq!(Envelope::parse(&envelope.to_bytes()).unwrap(), envelope);
    assert_eq!(Envelope::sign_json(IN_TOTO_TYPE, &statement(), &[&a, &b]).unwrap(), envelope);
    let alone = Envelope::sign_json(IN_TOTO_TYPE, &statement(), &[&a]).unwrap();
    assert_eq!(alone.cosign(&b).unwrap(), envelope);
    let signers = envelope.signers([a.public(), b.public()]).unwrap();
    assert_eq!(signers.len(), 2);
    assert_eq!(envelope.json::<Value>(IN_TOTO_TYPE).unwrap(), statement());
}

#[test]
fn it_is_canonical_json() {
    let (.., envelope) = two();
    let value: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    assert_eq!(loadline_core::digest::canonical_json(&value).unwrap(), envelope.to_bytes());
}

#[test]
fn a_plain_dsse_implementation_accepts_the_ed25519_entries() {
    let (a, b, envelope) = two();
    let theirs = dsse::Envelope::from_json(&envelope.to_bytes()).unwrap();
    let verifier = |key: &SecretKey| {
        let public = Ed25519Verifier::from_bytes(key.public().half(Scheme::Ed25519)).unwrap();
        public.with_key_id(format!("ed25519:{}", key.public().id()))
    };
    let (a, b, other) = (verifier(&a), verifier(&b), verifier(&key("c", 3)));
    let verified = dsse::verify(&theirs, &[&a, &b], 2).unwrap();
    assert_eq!((verified.payload_type.as_str(), &verified.payload[..]), (IN_TOTO_TYPE, envelope.payload()));
    assert!(dsse::verify(&theirs, &[&a, &other], 2).is_err());
}

#[test]
fn another_implementation_makes_the_same_ed25519_entry() {
    let envelope = Envelope::sign_json(IN_TOTO_TYPE, &statement(), &[&key("a", 1)]).unwrap();
    let signer = Ed25519Signer::from_bytes(&[1; 32]).unwrap();
    let theirs = dsse::sign(IN_TOTO_TYPE, envelope.payload(), &signer).unwrap();
    let ours: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    let theirs: Value = serde_json::from_slice(&theirs.to_json().unwrap()).unwrap();
    assert_eq!(ours["signatures"][0]["sig"], theirs["signatures"][0]["sig"]);
    assert_eq!(ours["payload"], theirs["payload"]);
}

#[test]
fn the_example_of_the_dsse_text() {
    let text = pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(text, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn one_half_is_no_signature() {
    let (a, b, envelope) = two();
    let last = |value: &mut Value| value["signatures"].as_array_mut().unwrap().truncate(3);
    let error = changed(&envelope, last).unwrap_err();
    assert!(matches!(error, EnvelopeError::OneHalf { missing: Scheme::MlDsa44, .. }), "{error}");
    let first = |value: &mut Value| drop(value["signatures"].as_array_mut().unwrap().remove(0));
    let error = changed(&envelope, first).unwrap_err();
    assert!(matches!(error, EnvelopeError::OneHalf { missing: Scheme::Ed25519, .. }), "{error}");
    assert!(error.hint().contains("both halves"));
    // Half of one key and half of another are nobody's signature either.
    let mixed = |value: &mut Value| {
        let entries = value["signatures"].as_array_mut().unwrap();
        *entries = vec![entries[0].clone(), entries[3].clone()];
    };
    assert!(matches!(changed(&envelope, mixed), Err(EnvelopeError::OneHalf { .. })));
    for half in [0, 2] {
        let swap = |value: &mut Value| {
            let other = Envelope::sign(IN_TOTO_TYPE, b"{}".to_vec(), &[&a, &b]).unwrap();
            let other: Value = serde_json::from_slice(&other.to_bytes()).unwrap();
            value["signatures"][half] = other["signatures"][half].clone();
        };
        let error = changed(&envelope, swap).unwrap().signers([a.public(), b.public()]).unwrap_err();
        assert!(matches!(error, EnvelopeError::Wrong { .. }), "{error}");
    }
}

#[test]
fn doubled_unknown_unordered_and_missing_signers() {
    let (a, b, envelope) = two();
    assert!(matches!(envelope.cosign(&a), Err(EnvelopeError::Doubled { .. })));
    let twice = Envelope::sign_json(IN_TOTO_TYPE, &statement(), &[&a, &a]);
    assert!(matches!(twice, Err(EnvelopeError::Doubled { .. })));
    let doubled = |value: &mut Value| {
        let entries = value["signatures"].as_array_mut().unwrap();
        entries.insert(1, entries[0].clone());
    };
    assert!(matches!(changed(&envelope, doubled), Err(EnvelopeError::Doubled { .. })));
    let swapped = |value: &mut Value| value["signatures"].as_array_mut().unwrap().swap(0, 1);
    assert!(matches!(changed(&envelope, swapped), Err(EnvelopeError::Order)));
    let none = |value: &mut Value| value["signatures"].as_array_mut().unwrap().clear();
    assert!(matches!(changed(&envelope, none), Err(EnvelopeError::Unsigned)));
    assert!(matches!(Envelope::sign(IN_TOTO_TYPE, vec![], &[]), Err(EnvelopeError::Unsigned)));
    // One signer that nobody asked for makes the envelope worthless, although the other one holds.
    assert!(
        matches!(envelope.signers([a.public()]), Err(EnvelopeError::Unknown(id)) if id == b.public().id())
    );
}

#[test]
fn another_type_or_key_is_another_message() {
    let (a, b, envelope) = two();
    let renamed = |value: &mut Value| value["payloadType"] = json!("application/vnd.loadline.root+json");
    let renamed = changed(&envelope, renamed).unwrap();
    assert!(matches!(renamed.signers([a.public(), b.public()]), Err(EnvelopeError::Wrong { .. })));
    let error = envelope.json::<Value>("application/vnd.loadline.root+json").unwrap_err();
    assert!(matches!(error, EnvelopeError::Type { .. }), "{error}");
}

#[test]
fn limits() {
    let a = key("a", 1);
    let large = Envelope::sign(IN_TOTO_TYPE, vec![b' '; MAX_PAYLOAD_BYTES + 1], &[&a]);
    assert!(matches!(large, Err(EnvelopeError::TooMuch { what: "bytes of payload", .. })));
    let largest = Envelope::sign(IN_TOTO_TYPE, vec![b' '; MAX_PAYLOAD_BYTES], &[&a]).unwrap();
    assert_eq!(Envelope::parse(&largest.to_bytes()).unwrap(), largest);
    let many: Vec<_> = (0..=MAX_SIGNERS as u8).map(|number| key("many", number)).collect();
    let many: Vec<_> = many.iter().collect();
    assert!(Envelope::sign(IN_TOTO_TYPE, vec![], &many[1..]).is_ok());
    assert!(matches!(Envelope::sign(IN_TOTO_TYPE, vec![], &many), Err(EnvelopeError::TooMuch { .. })));
    for kind in ["", "a\"b", "a b", "a\nb", "é", &"x".repeat(128)] {
        assert!(Envelope::sign(kind, vec![], &[&a]).is_err(), "{kind:?}");
    }
    let wide = vec![b'['; 5 << 20];
    assert!(matches!(Envelope::parse(&wide), Err(EnvelopeError::Form(_))));
    let deep = vec![b'['; 1 << 20];
    assert!(matches!(Envelope::parse(&deep), Err(EnvelopeError::Form(_))));
}

#[test]
fn canonicalisation_tricks() {
    let (.., envelope) = two();
    let text = String::from_utf8(envelope.to_bytes()).unwrap();
    let tricks = [
        text.replace("{\"payload\":", "{ \"payload\":"),
        format!("{text}\n"),
        format!("\u{feff}{text}"),
        text.replace("\"payloadType\"", "\"payload\\u0054ype\""),
        text.replace("vnd.in-toto", "vnd.in\\u002dtoto"),
        text.replace("application/vnd", "application\\/vnd"),
        text.replacen("{\"payload\":", "{\"payload\":\"e30=\",\"payload\":", 1),
        text.replacen("\"signatures\":[", "\"signatures\":[],\"signatures\":[", 1),
        text.replacen("\"signatures\":", "\"more\":1,\"signatures\":", 1),
        text.replacen("{\"keyid\":", "{\"alg\":\"none\",\"keyid\":", 1),
        text.replace("ed25519:", "ED25519:"),
        text.replace("ed25519:", "ed25519:0x"),
        text.replace("ed25519:", "rsa:"),
    ];
    for trick in tricks {
        assert_ne!(trick, text);
        assert!(Envelope::parse(trick.as_bytes()).is_err(), "{}", &trick[..120]);
    }
}

#[test]
fn other_base64_of_the_same_bytes() {
    let a = key("a", 1);
    // One byte more than a multiple of three: padding, and bits that no byte uses.
    let envelope = Envelope::sign(IN_TOTO_TYPE, vec![0xfb; 4], &[&a]).unwrap();
    let payload = |text: &str| changed(&envelope, |value| value["payload"] = json!(text));
    assert!(payload("+/v7+w==").is_ok());
    for other in
        ["+/v7+w", "+/v7+w=", "-_v7-w==", "+/v7+x==", "+/v7\n+w==", " +/v7+w==", "+/v7+w===", "+/v7+w==AA=="]
    {
        assert!(matches!(payload(other), Err(EnvelopeError::Base64("payload"))), "{other}");
    }
    let padded = changed(&envelope, |value| {
        let sig = value["signatures"][0]["sig"].as_str().unwrap().replace('=', "");
        value["signatures"][0]["sig"] = json!(sig);
    });
    assert!(matches!(padded, Err(EnvelopeError::Base64("signature"))));
}

#[test]
fn floats_and_huge_numbers_in_a_payload() {
    let a = key("a", 1);
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Counted {
        rows: u64,
    }
    let read = |payload: &str| {
        let envelope = Envelope::sign(IN_TOTO_TYPE, payload.as_bytes().to_vec(), &[&a]).unwrap();
        envelope.json::<Counted>(IN_TOTO_TYPE).map(|counted| counted.rows)
    };
    assert_eq!(read(r#"{"rows":9007199254740991}"#).unwrap(), 9_007_199_254_740_991);
    for wrong in [
        r#"{"rows":9007199254740992}"#,
        r#"{"rows":18446744073709551616}"#,
        r#"{"rows":1e3}"#,
        r#"{"rows":1.0}"#,
        r#"{"rows":-0}"#,
        r#"{"rows":01}"#,
        r#"{"rows":1,"rows":1}"#,
        r#"{"rows":1,"more":1}"#,
        r#"{"rows": 1}"#,
        r#"{"\u0072ows":1}"#,
        r#"{"rows":1}}"#,
        r#"{"rows":"1"}"#,
        "{}",
        "",
    ] {
        assert!(matches!(read(wrong), Err(EnvelopeError::Payload { .. })), "{wrong}");
    }
    let beyond = Envelope::sign_json(IN_TOTO_TYPE, &Counted { rows: 1 << 53 }, &[&a]);
    assert!(matches!(beyond, Err(EnvelopeError::Unwritable(_))));
}

#[test]
fn a_public_file_is_signed_by_its_own_key_and_no_other() {
    let (a, b, _) = two();
    let file = published::publish(&a).unwrap();
    assert_eq!(&published::read(&file).unwrap(), a.public());
    let by_another = Envelope::sign_json(published::KEY_TYPE, a.public(), &[&b]).unwrap();
    assert!(matches!(published::read(&by_another.to_bytes()), Err(EnvelopeError::Unknown(_))));
    let by_both = Envelope::parse(&file).unwrap().cosign(&b).unwrap();
    assert!(matches!(published::read(&by_both.to_bytes()), Err(EnvelopeError::Unknown(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_payload_comes_back(payload: Vec<u8>, kind in "[a-z/+.-]{1,40}") {
        let a = key("a", 1);
        let envelope = Envelope::sign(&kind, payload.clone(), &[&a]).unwrap();
        prop_assert_eq!(dsse::pae(&kind, &payload), pae(&kind, &payload));
        let read = Envelope::parse(&envelope.to_bytes()).unwrap();
        prop_assert_eq!(read.payload(), &payload[..]);
        prop_assert!(read.signers([a.public()]).is_ok());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, text in "\\PC{0,200}") {
        prop_assert!(Envelope::parse(&bytes).is_err());
        prop_assert!(Envelope::parse(text.as_bytes()).is_err());
        prop_assert!(SecretKey::parse(&text).is_err());
    }
}
