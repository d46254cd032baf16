//! Changed bytes: none goes unnoticed, none makes a reader panic.

use std::sync::LazyLock;

use loadline_trust::{Envelope, IN_TOTO_TYPE, RootChain, SecretKey, Standing, published};
use proptest::prelude::*;

use crate::support::{at, chain, first, key, keys, root, second, signed, standing};

/// Changes one byte, cuts the bytes there, or puts a byte in.
fn change(bytes: &[u8], place: prop::sample::Index, how: u8, byte: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let place = place.index(bytes.len());
    match how {
        0 => changed.truncate(place),
        1 => changed.insert(place, byte),
        2 => drop(changed.remove(place)),
        // Never 0: the byte is another.
        _ => changed[place] ^= byte.max(1),
    }
    changed
}

/// Something that is signed, and who accepts it.
struct Reader {
    name: &'static str,
    good: Vec<u8>,
    accepts: Accepts,
}

type Accepts = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The readers of everything that is signed, each with a file that it accepts.
static READERS: LazyLock<Vec<Reader>> = LazyLock::new(|| {
    let [a, b] = keys().root;
    let signers = [a.public().clone(), b.public().clone()];
    let attestation = Envelope::sign(IN_TOTO_TYPE, br#"{"rows":3}"#.to_vec(), &[&a, &b]).unwrap();
    let (chain, same) = (chain(), chain());
    let next = signed(&second(&chain), &[&a, &b]);
    let lease = standing(1).sign(&[&keys().standing]).unwrap().to_bytes();
    let reader = |name, good, accepts| Reader { name, good, accepts };
    vec![
        reader("root 1", first(), Box::new(|bytes| RootChain::start(bytes, None).is_ok())),
        reader("root 2", next, Box::new(move |bytes| chain.clone().extend(bytes).is_ok())),
        reader(
            "public key",
            published::publish(&a).unwrap(),
            Box::new(|bytes| published::read(bytes).is_ok()),
        ),
        reader(
            "standing",
            lease,
            Box::new(move |bytes| Standing::accept(bytes, &same, None, at(20)).is_ok()),
        ),
        reader(
            "envelope",
            attestation.to_bytes(),
            Box::new(move |bytes| Envelope::parse(bytes).is_ok_and(|read| read.signers(&signers).is_ok())),
        ),
    ]
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_changed_byte_anywhere_is_noticed(place: prop::sample::Index, how in 0_u8..8, byte: u8) {
        for Reader { name, good, accepts } in READERS.iter() {
            let changed = change(good, place, how, byte);
            if changed != *good {
                prop_assert!(!accepts(&changed), "{name}: {}", place.index(good.len()));
            }
        }
    }
}

#[test]
fn what_was_not_changed_is_accepted() {
    for Reader { name, good, accepts } in READERS.iter() {
        assert!(accepts(good), "{name}");
    }
}

#[test]
fn every_bit_of_a_secret_key_text_counts() {
    let text = key("a", 1).expose_text();
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] ^= 1 << bit;
            if let Ok(changed) = std::str::from_utf8(&bytes) {
                // The name is what a person calls it; the id does not depend on it.
                let renamed = SecretKey::parse(changed).is_ok_and(|key| key.public().name() != "a");
                assert!(renamed || SecretKey::parse(changed).is_err(), "byte {place}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_secret_is_not_shown() {
    let secret = SecretKey::from_seeds("a", &[0xab; 32], &[0xcd; 32]).unwrap();
    let shown = format!("{secret:?}");
    assert!(!shown.contains("abab") && !shown.contains("cdcd") && !shown.contains("171"), "{shown}");
    assert!(shown.contains("masked"));
    for text in ["", "loadline-secret-key 1\n", &secret.expose_text().replace('a', "g")] {
        let error = SecretKey::parse(text).unwrap_err().to_string();
        assert!(!error.contains("cdcd") && !error.contains("gbgb"), "{error}");
    }
}

#[test]
fn names_that_could_leave_their_folder_are_no_names() {
    for name in
        ["", ".", "..", ".age", "-a", "a/b", "../a", "a\\b", "A", "ä", "a b", "a\0", "a+b", &"x".repeat(65)]
    {
        assert!(SecretKey::from_seeds(name, &[1; 32], &[2; 32]).is_err(), "{name:?}");
    }
    for name in ["a", "0", "red-team_2.b", &"x".repeat(64)] {
        assert!(SecretKey::from_seeds(name, &[1; 32], &[2; 32]).is_ok(), "{name:?}");
    }
    assert_eq!(root().keys.len(), 5);
}
