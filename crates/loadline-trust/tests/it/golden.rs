//! Golden files: what was written once is written and read for ever.
//!
//! A new file is made by running the tests with `LOADLINE_BLESS=1`; an old one is never changed.

use loadline_core::digest::canonical_json;
use loadline_trust::{Envelope, IN_TOTO_TYPE, RootChain, SecretKey, Standing, published};

use crate::support::{Keys, at, chain, first, key, keys, second, signed, standing};

/// The file's bytes, which are these.
fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LOADLINE_BLESS").is_some() && !std::path::Path::new(&path).exists() {
        std::fs::write(&path, bytes).unwrap();
    }
    let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&stored), "{name}");
    stored
}

#[test]
fn keys_as_text() {
    let examiner = key("examiner", 4);
    let text = golden("secret-key.txt", examiner.expose_text().as_bytes());
    let read = SecretKey::parse(std::str::from_utf8(&text).unwrap()).unwrap();
    assert_eq!(read.public(), examiner.public());
    let public = golden("examiner.pub.json", &published::publish(&examiner).unwrap());
    assert_eq!(&published::read(&public).unwrap(), examiner.public());
}

#[test]
fn an_envelope() {
    let Keys { examiner, authority, .. } = keys();
    let payload = br#"{"_type":"https://in-toto.io/Statement/v1"}"#.to_vec();
    let envelope = Envelope::sign(IN_TOTO_TYPE, payload, &[&examiner, &authority]).unwrap();
    assert_eq!(Envelope::parse(&golden("envelope.json", &envelope.to_bytes())).unwrap(), envelope);
}

#[test]
fn roots_and_a_standing() {
    let [a, b] = keys().root;
    let stored =
        [golden("root-1.json", &first()), golden("root-2.json", &signed(&second(&chain()), &[&a, &b]))];
    golden("root-1.payload.json", &canonical_json(chain().current()).unwrap());
    let read = RootChain::read(stored, Some(chain().authority())).unwrap();
    assert_eq!(read.current().version, 2);
    let bytes = standing(3).sign(&[&keys().standing]).unwrap().to_bytes();
    let stored = golden("standing.json", &bytes);
    golden("standing.payload.json", &canonical_json(&standing(3)).unwrap());
    assert_eq!(Standing::accept(&stored, &read, None, at(20)).unwrap().0, standing(3));
}
