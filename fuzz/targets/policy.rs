//! Policies, declarations of compute and rule packs, as TOML and as canonical JSON; decimals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline_core::digest::canonical_json;
use loadline_core::strict::from_canonical_json;
use loadline_policy::{Decimal, Interval, Ledger, License, Pack, Policy};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest input, in bytes.
const MOST: usize = 64 << 10;

/// What people wrote in TOML is read back from the JSON that is signed.
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let json = canonical_json(value).expect("what was read is written");
    let again: T = from_canonical_json(&json).expect("what was written is read");
    assert_eq!(&again, value);
}

fn decimals(text: &str) {
    let Ok(one) = text.parse::<Decimal>() else { return };
    let again: Decimal = one.to_string().parse().expect("what was written is read");
    assert_eq!(again, one);
    let _ = Interval::new(one.clone(), one);
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    let text = std::str::from_utf8(data).unwrap_or_default();
    match selector % 8 {
        0 => match loadline_policy::policy::parse(text) {
            Ok(policy) => same::<Policy>(&policy),
            Err(problems) => assert!(!problems.to_string().is_empty()),
        },
        1 => match loadline_policy::compute::parse(text) {
            Ok(ledger) => {
                same::<Ledger>(&ledger);
                let _ = ledger.digest();
            }
            Err(problems) => assert!(!problems.to_string().is_empty()),
        },
        2 => match loadline_policy::rules::parse(text) {
            Ok(pack) => same::<Pack>(&pack),
            Err(problems) => assert!(!problems.to_string().is_empty()),
        },
        3 => drop(from_canonical_json::<Policy>(data)),
        4 => drop(from_canonical_json::<Ledger>(data)),
        5 => drop(from_canonical_json::<Pack>(data)),
        6 => {
            if let Ok(license) = from_canonical_json::<License>(data) {
                let _ = license.check();
            }
        }
        _ => decimals(text),
    }
});
