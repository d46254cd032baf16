//! Key files: what opens them, and what does not.

use super::*;

const WORDS: &str = "correct horse battery staple";

fn secret() -> SecretKey {
    SecretKey::from_seeds("examiner", &[4; 32], &[4 ^ 0x80; 32]).unwrap()
}

/// A folder with one light key file in it.
fn kept() -> (tempfile::TempDir, Keyring) {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Keyring::new(folder.path().join("keys"), Secret::new(WORDS)).with_work(Work::LIGHT);
    keyring.save(&secret()).unwrap();
    (folder, keyring)
}

fn beside(keyring: &Keyring, name: &str) -> PathBuf {
    keyring.path("x").with_file_name(name)
}

#[test]
fn what_is_kept_is_opened() {
    let (_folder, keyring) = kept();
    assert_eq!(keyring.open("examiner").unwrap().public(), secret().public());
    assert_eq!(&read_public(&beside(&keyring, "examiner.pub.json")).unwrap(), secret().public());
    let log = SignerKey::from_seed("example.com/log", Algorithm::Ed25519, &[9; 32]).unwrap();
    keyring.save_note("log", &log).unwrap();
    assert_eq!(keyring.open_note("log").unwrap().verifier(), log.verifier());
    assert_eq!(&read_vkey(&beside(&keyring, "log.vkey")).unwrap(), log.verifier());
    assert!(matches!(keyring.open("log"), Err(KeyFileError::Kind { found: "a key for notes", .. })));
    assert!(matches!(keyring.open_note("examiner"), Err(KeyFileError::Kind { found: "a hybrid key", .. })));
    assert!(matches!(keyring.open("nobody"), Err(KeyFileError::Io { .. })));
    assert!(matches!(keyring.open("../log"), Err(KeyFileError::BadName(_))));
}

#[test]
fn nothing_is_overwritten() {
    let (_folder, keyring) = kept();
    assert!(matches!(keyring.save(&secret()), Err(KeyFileError::Exists(_))));
    std::fs::remove_file(keyring.path("examiner")).unwrap();
    let error = keyring.save(&secret()).unwrap_err();
    assert!(
        matches!(&error, KeyFileError::Exists(path) if *path == beside(&keyring, "examiner.pub.json")),
        "{error}"
    );
    assert!(!keyring.path("examiner").exists(), "no half of a pair is left behind");
}

#[test]
fn no_secret_is_in_what_others_see() {
    let (_folder, keyring) = kept();
    let seed = "04".repeat(16);
    for path in [keyring.path("examiner"), beside(&keyring, "examiner.pub.json")] {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        assert!(!text.contains(&seed) && !text.contains("loadline-secret-key"));
    }
}

#[test]
fn a_file_of_another_name_is_not_that_key() {
    let (_folder, keyring) = kept();
    std::fs::copy(keyring.path("examiner"), keyring.path("root")).unwrap();
    assert!(matches!(keyring.open("root"), Err(KeyFileError::Name { found, .. }) if found == "examiner"));
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let (_folder, keyring) = kept();
    let (path, words) = (keyring.path("examiner"), Secret::new(WORDS));
    let good = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read(&path, &words).map(|_| ())
    };
    for place in 0..good.len() {
        let mut bytes = good.clone();
        // Within the header's digits a higher bit could ask for more work than is done: that is an error as well.
        bytes[place] ^= 1;
        assert!(open(&bytes).is_err(), "byte {place}");
        assert!(open(&good[..place]).is_err(), "cut at {place}");
    }
    let mut longer = good.clone();
    longer.push(b'x');
    assert!(matches!(open(&longer), Err(KeyFileError::Damaged(_))));
    open(&good).unwrap();
}

#[test]
fn what_is_wrong_is_told_apart() {
    let (_folder, keyring) = kept();
    let path = keyring.path("examiner");
    let good = std::fs::read(&path).unwrap();
    let error = read(&path, &Secret::new("another one")).unwrap_err();
    assert!(matches!(error, KeyFileError::Passphrase(_)), "{error}");
    assert!(!format!("{error} {error:?} {}", error.hint()).contains("another one"));
    let text = |change: &dyn Fn(&str) -> String| {
        // The header is text; what follows it is not.
        let end = good.windows(5).position(|window| window == b"\n--- ").unwrap();
        let mut bytes = change(std::str::from_utf8(&good[..end]).unwrap()).into_bytes();
        bytes.extend_from_slice(&good[end..]);
        std::fs::write(&path, bytes).unwrap();
        read(&path, &Secret::new(WORDS)).map(|_| ()).unwrap_err()
    };
    let work = text(&|header| header.replacen(" 10\n", " 21\n", 1));
    assert!(matches!(work, KeyFileError::Work { log_n: 21, .. }), "{work}");
    let form = text(&|header| header.replacen("age-encryption.org/v1", "age-encryption.org/v2", 1));
    assert!(matches!(form, KeyFileError::Form(_)), "{form}");
    let kind = text(&|header| header.replacen("-> scrypt", "-> X25519", 1));
    assert!(matches!(kind, KeyFileError::Form(_)), "{kind}");
    let mut last = good.clone();
    *last.last_mut().unwrap() ^= 1;
    std::fs::write(&path, last).unwrap();
    assert!(matches!(read(&path, &Secret::new(WORDS)), Err(KeyFileError::Damaged(_))));
    std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    assert!(matches!(read(&path, &Secret::new(WORDS)), Err(KeyFileError::Form(_))));
}

#[test]
fn what_was_locked_once_is_opened_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/examiner.age");
    if std::env::var_os("LOADLINE_BLESS").is_some() && !path.exists() {
        save(&path, &StoredKey::Hybrid(Box::new(secret())), &Secret::new(WORDS), Work::LIGHT).unwrap();
        std::fs::remove_file(path.with_extension("pub.json")).unwrap();
    }
    let key = read_hybrid(&path, &Secret::new(WORDS)).unwrap();
    assert_eq!(key.public(), secret().public());
}

#[test]
fn two_new_keys_differ() {
    let [a, b] = ["a", "a"].map(|name| new_key(name).unwrap());
    assert_ne!(a.public().id(), b.public().id());
    assert_ne!(a.expose_text(), b.expose_text());
    assert_eq!((Work::new(9), Work::new(21)), (None, None));
}
