//! Signed documents and the log's entries. Whatever is read is written back byte for byte.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use loadline_core::{Digest, Instant};
use loadline_exam::fixture::{Plan, make};
use loadline_exam::{Entry, Manifest};
use loadline_trust::{Envelope, ROOT_TYPE, Root, RootChain, STANDING_TYPE, SecretKey, Standing, published};

/// Largest input, in bytes.
const MOST: usize = 128 << 10;

fn text(data: &[u8]) -> &str {
    std::str::from_utf8(data).unwrap_or_default()
}

/// A good root, from which the fuzzer's may go on.
fn good_root() -> &'static [u8] {
    static ROOT: OnceLock<Vec<u8>> = OnceLock::new();
    ROOT.get_or_init(|| make(&Plan::default()).expect("the fixture is made").contents.roots.remove(0))
}

fn chain(data: &[u8]) {
    // Versions are cut at NUL bytes.
    if let Ok(chain) = RootChain::read(data.split(|byte| *byte == 0), None) {
        let now = Instant::from_seconds(1_793_500_000).expect("a moment");
        let _ = (chain.check_at(now), chain.current().check(), chain.current().parsed_log_policy());
    }
    let mut chain = RootChain::read([good_root()], None).expect("the good root");
    assert!(chain.extend(data).is_err() || chain.mark().version == 2, "a version was left out");
    let _ = Standing::accept(data, &chain, None, Instant::from_seconds(1_793_500_000).expect("a moment"));
}

/// A payload that stands in an envelope without a signature that holds still goes through its reader.
fn payloads(envelope: &Envelope) {
    if let Ok(root) = envelope.json::<Root>(ROOT_TYPE) {
        let _ = (root.check(), root.parsed_log_policy());
    }
    let _ = envelope.json::<Standing>(STANDING_TYPE);
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    match selector % 8 {
        0 => {
            if let Ok(envelope) = Envelope::parse(data) {
                assert_eq!(envelope.to_bytes(), data, "another form of an envelope was read");
                payloads(&envelope);
            }
        }
        1 => chain(data),
        2 => {
            if let Ok(root) = loadline_core::strict::from_canonical_json::<Root>(data) {
                let _ = (root.check(), root.parsed_log_policy());
            }
        }
        3 => drop(published::read(data)),
        4 => {
            if let Ok(entry) = Entry::parse(data) {
                assert_eq!(
                    entry.to_bytes().expect("a read entry is written"),
                    data,
                    "another form of an entry"
                );
            }
        }
        5 => {
            if let Ok(manifest) = Manifest::parse(data) {
                assert_eq!(manifest.to_bytes().expect("a read manifest is written"), data);
                let _ = (manifest.name(), manifest.basis());
            }
        }
        6 => {
            let text = text(data);
            if let Ok(digest) = text.parse::<Digest>() {
                assert_eq!(digest.to_string(), text);
            }
            if let Ok(instant) = text.parse::<Instant>() {
                assert_eq!(instant.to_string(), text);
            }
        }
        _ => drop(SecretKey::parse(text(data))),
    }
});
