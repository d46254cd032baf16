//! Keys and notes: published vectors, changed bytes, hostile forms.

use loadline_tlog::note::{MAX_NOTE_BYTES, MAX_SIGNATURES};
use loadline_tlog::{Algorithm, Checkpoint, KeyError, Note, NoteError, SignerKey, VerifierKey, cosignature};
use ml_dsa::MlDsa44;

use crate::support::{MemoryLog, NOW, changed, key, log_verifier};

/// The example of C2SP signed-note.
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of the Go package golang.org/x/mod/sumdb/note.
const GO_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn hex(text: &str) -> Vec<u8> {
    let text = text.strip_prefix('-').unwrap_or(text);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_example_of_the_specification_verifies() {
    let key = VerifierKey::parse(SPEC_KEY).unwrap();
    assert_eq!(key.to_vkey(), SPEC_KEY);
    let note = Note::parse(SPEC_NOTE.as_bytes()).unwrap();
    assert_eq!(note.to_text(), SPEC_NOTE);
    assert_eq!(note.verify([&key]).unwrap()[0].key, &key);
}

#[test]
fn the_example_of_the_go_package_is_signed_byte_for_byte() {
    let key = SignerKey::parse(GO_SECRET).unwrap();
    assert_eq!((key.expose_skey().as_str(), key.verifier().to_vkey().as_str()), (GO_SECRET, GO_PUBLIC));
    let mut note = Note::unsigned(GO_TEXT).unwrap();
    note.sign(&key, 0).unwrap();
    assert_eq!(note.to_text(), format!("{GO_TEXT}\n{GO_LINE}"));
}

#[test]
fn ed25519_is_that_of_rfc_8032() {
    // Section 7.1, tests 1 to 3: secret, public, message, signature.
    let tests = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (secret, public, message, signature) in tests {
        let seed = hex(secret).try_into().unwrap();
        let key = SignerKey::from_seed("rfc8032", Algorithm::Ed25519, &seed).unwrap();
        assert_eq!(key.verifier().public(), hex(public));
        assert_eq!(key.sign(&hex(message)), hex(signature));
        assert!(key.verifier().verify(&hex(message), &hex(signature)));
        assert!(!key.verifier().verify(b"another", &hex(signature)));
    }
}

#[test]
fn ml_dsa_44_is_that_of_nist() {
    let mut ran = 0;
    for line in include_str!("../vectors/ml-dsa-44.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["keygen", _, seed, public] => {
                let seed = hex(seed).try_into().unwrap();
                let key = SignerKey::from_seed("acvp", Algorithm::CosignatureMlDsa44, &seed).unwrap();
                assert_eq!(key.verifier().public(), hex(public));
            }
            // Notes use the empty context; most tests of NIST have others, so they go to the library itself.
            ["sigver", id, passes, public, context, message, signature] => {
                let [public, message, signature] = [public, message, signature].map(|text| hex(text));
                let encoded = public.as_slice().try_into().unwrap();
                let key = ml_dsa::VerifyingKey::<MlDsa44>::decode(&encoded);
                let read = ml_dsa::Signature::<MlDsa44>::try_from(signature.as_slice());
                let holds =
                    read.is_ok_and(|read| key.verify_with_context(&message, &of_context(context), &read));
                assert_eq!(holds, *passes == "true", "sigver {id}");
                let ours = VerifierKey::new("acvp", Algorithm::CosignatureMlDsa44, &public).unwrap();
                assert_eq!(ours.verify(&message, &signature), holds && *context == "-", "sigver {id}");
            }
            _ => panic!("{line}"),
        }
        ran += 1;
    }
    assert_eq!(ran, 12 + 8);
}

fn of_context(text: &str) -> Vec<u8> {
    if text == "-" { Vec::new() } else { hex(text) }
}

/// The secret keys of these tests are expanded ones without a seed, which keys here do not have: so the library signs, and
/// what it signed with the empty context is verified by ours.
#[test]
#[expect(deprecated, reason = "NIST's tests have expanded secret keys")]
fn ml_dsa_44_signs_as_that_of_nist() {
    let (mut whole, mut digests) = (0, 0);
    let lines = include_str!("../vectors/ml-dsa-44-siggen.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let secret = hex(words[2]);
        let key =
            ml_dsa::ExpandedSigningKey::<MlDsa44>::from_expanded(&secret.as_slice().try_into().unwrap());
        match words.as_slice() {
            ["siggen", id, _, context, message, signature] => {
                let [message, signature] = [message, signature].map(|text| hex(text));
                let signed = key.sign_deterministic(&message, &of_context(context)).unwrap();
                assert_eq!(signed.encode().as_slice(), signature, "siggen {id}");
                let public = key.verifying_key().encode();
                let ours = VerifierKey::new("acvp", Algorithm::CosignatureMlDsa44, &public).unwrap();
                assert_eq!(ours.verify(&message, &signature), *context == "-", "siggen {id}");
                whole += 1;
            }
            ["siggen-mu", id, _, mu, signature] => {
                let mu = hex(mu).as_slice().try_into().unwrap();
                assert_eq!(key.sign_mu_deterministic(&mu).encode().as_slice(), hex(signature), "siggen {id}");
                digests += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!((whole, digests), (6, 6));
}

#[test]
fn a_damaged_key_is_refused_with_a_hint() {
    let weak = format!("weak+{}", "AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (vkey, part) in [
        ("", "NAME+ID+DATA"),
        ("PeterNeumann+c74f20a3", "NAME+ID+DATA"),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "cannot name a key"),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "the id of key"),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "the id of key"),
        ("PeterNeumann+c74f20a3+AhpcAA==", "type 0x02"),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", "damaged"),
        (&weak.replace("weak+", "weak+00000000+"), "usable point"),
    ] {
        let error = VerifierKey::parse(vkey).unwrap_err();
        assert!(error.to_string().contains(part), "{error} for {vkey}");
        assert!(!error.hint().is_empty());
    }
    for cut in 0..SPEC_KEY.len() {
        assert!(VerifierKey::parse(&SPEC_KEY[..cut]).is_err(), "{cut}");
    }
    for bytes in changed(SPEC_KEY.as_bytes()) {
        assert!(String::from_utf8(bytes).map_or(true, |text| VerifierKey::parse(&text).is_err()));
    }
}

#[test]
fn a_secret_key_is_never_shown() {
    let secret = SignerKey::parse(GO_SECRET).unwrap();
    assert!(!format!("{secret:?}").contains("gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS"));
    for broken in [GO_SECRET.trim_end_matches('z'), &GO_SECRET.replace("c74f20a3+", ""), &GO_SECRET[8..]] {
        let error = SignerKey::parse(broken).unwrap_err();
        assert!(!error.to_string().contains("EKFALVFGyN"), "{error}");
    }
}

#[test]
fn every_kind_of_key_signs_a_checkpoint_and_no_changed_byte_passes() {
    let log = MemoryLog::of(3);
    for algorithm in [Algorithm::Ed25519, Algorithm::CosignatureEd25519, Algorithm::CosignatureMlDsa44] {
        let signer = key("witness.example/w", algorithm, 9);
        assert_eq!(SignerKey::parse(&signer.expose_skey()).unwrap().verifier(), signer.verifier());
        assert_eq!(&VerifierKey::parse(&signer.verifier().to_vkey()).unwrap(), signer.verifier());
        let mut note = Note::unsigned(&log.checkpoint().to_text()).unwrap();
        note.sign(&signer, NOW).unwrap();
        let text = note.to_text();
        let signed = note.verify([signer.verifier()]).unwrap();
        assert_eq!(signed[0].time, algorithm.is_cosignature().then_some(NOW));
        let every = if algorithm == Algorithm::CosignatureMlDsa44 { 61 } else { 1 };
        for bytes in changed(text.as_bytes()).step_by(every) {
            let verified = Note::parse(&bytes).and_then(|note| note.verify([signer.verifier()]).map(drop));
            assert!(verified.is_err(), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn with_several_signers_a_changed_byte_never_changes_what_is_believed() {
    let (log, witness) = (log_verifier(), key("w", Algorithm::CosignatureEd25519, 9));
    let mut note = MemoryLog::of(5).note();
    note.sign(&witness, NOW).unwrap();
    let keys = [log, witness.verifier().clone()];
    for bytes in changed(note.to_text().as_bytes()) {
        let Ok(changed) = Note::parse(&bytes) else { continue };
        // At most a line became one of an unknown key, and counts no more.
        if let Ok(signed) = changed.verify(&keys) {
            assert_eq!((changed.text(), signed.len()), (note.text(), 1));
        }
    }
}

#[test]
fn a_cosignature_says_what_the_specification_says() {
    let checkpoint = MemoryLog::of(2).checkpoint();
    let text = checkpoint.to_text();
    let ed25519 = cosignature::message(Algorithm::CosignatureEd25519, "w", 7, &text, &checkpoint).unwrap();
    assert_eq!(ed25519, format!("cosignature/v1\ntime 7\n{text}").into_bytes());
    let ml_dsa = cosignature::message(Algorithm::CosignatureMlDsa44, "wit", 7, &text, &checkpoint).unwrap();
    let mut expected = b"subtree/v1\n\0\x03wit\0\0\0\0\0\0\0\x07\x0fexample.com/log".to_vec();
    expected.extend_from_slice(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02");
    expected.extend_from_slice(checkpoint.root());
    assert_eq!(ml_dsa, expected);
    let late = cosignature::message(Algorithm::CosignatureEd25519, "w", 1 << 63, &text, &checkpoint);
    assert_eq!(late, None);
}

#[test]
fn what_is_not_a_note_is_refused() {
    let many = format!("{GO_TEXT}\n{}", GO_LINE.repeat(2));
    for (text, part) in [
        ("", "not a signed note"),
        (GO_TEXT, "not a signed note"),
        (&format!("{GO_TEXT}\n"), "not a signed note"),
        (&format!("{GO_TEXT}{GO_LINE}"), "not a signed note"),
        (format!("{GO_TEXT}\n{GO_LINE}").trim_end(), "not a signed note"),
        (&format!("{GO_TEXT}\n{GO_LINE}\n"), "not a signed note"),
        (&format!("{GO_TEXT}\n{}", GO_LINE.replace("PeterNeumann", "Peter\u{a0}Neumann")), "signature 1"),
        (&format!("{GO_TEXT}\n{}", GO_LINE.replace("nAM=", "nAM")), "signature 1"),
        (&format!("{GO_TEXT}\n{}", GO_LINE.replace("nAM=", "nAN=")), "signature 1"),
        (&format!("{GO_TEXT}\n\u{2014} a AAAAAA==\n"), "signature 1"),
        (&format!("{GO_TEXT}\n-- {GO_LINE}"), "signature 1"),
        (&many, "twice"),
        (&format!("a\tb\n\n{GO_LINE}"), "byte at 1"),
        (&format!("a\r\n\n{GO_LINE}"), "byte at 1"),
    ] {
        let error = Note::parse(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(part), "{error} for {text:?}");
        assert!(!error.hint().is_empty());
    }
    assert_eq!(Note::parse(b"a\xff\n\n"), Err(NoteError::Byte(1)));
    let long = vec![b'x'; MAX_NOTE_BYTES + 1];
    assert_eq!(Note::parse(&long), Err(NoteError::TooLong(MAX_NOTE_BYTES + 1)));
    let lines: String =
        (0..=MAX_SIGNATURES).map(|n| GO_LINE.replace("PeterNeumann", &format!("P{n}"))).collect();
    assert_eq!(Note::parse(format!("{GO_TEXT}\n{lines}").as_bytes()), Err(NoteError::TooManySignatures));
}

#[test]
fn a_known_key_must_hold_and_an_unknown_one_is_ignored() {
    let note = MemoryLog::of(1).note();
    let other = key("other", Algorithm::Ed25519, 5);
    let error = note.verify([other.verifier()]).unwrap_err();
    assert_eq!(error.to_string(), "no known key signed this; there are signatures of example.com/log");
    // The same name and key id, but another key: what an attacker without the key can do.
    let mut text = note.to_text();
    text.replace_range(text.len() - 8..text.len() - 2, "AAAAA=");
    let forged = Note::parse(text.replace("AAAAA==", "AAAAAA=").as_bytes());
    assert!(forged.is_err() || forged.unwrap().verify([&log_verifier()]).is_err());
    let mut plain = Note::unsigned("no checkpoint\n").unwrap();
    let cosigner = key("w", Algorithm::CosignatureEd25519, 5);
    assert!(matches!(plain.sign(&cosigner, NOW), Err(NoteError::NotACheckpoint(_))));
    assert!(matches!(VerifierKey::new("a b", Algorithm::Ed25519, &[0; 32]), Err(KeyError::Name(_))));
    assert!(Checkpoint::new(&"o".repeat(256), 1, [0; 32]).is_err());
}
