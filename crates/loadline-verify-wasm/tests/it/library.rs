//! The way in and out, without a module around it.

use loadline_verify_wasm::{
    BUNDLE, Inputs, MOST_BUNDLE_BYTES, MOST_OPTIONS_BYTES, MOST_STANDING_BYTES, OPTIONS, Refusal, STANDING,
    report,
};
use serde_json::Value;

use crate::support::vectors;

#[test]
fn the_report_is_the_one_of_the_library() {
    for vector in vectors(10) {
        let mut inputs = Inputs::EMPTY;
        let mut put = |part, bytes: &[u8]| inputs.room(part, bytes.len()).unwrap().copy_from_slice(bytes);
        put(BUNDLE, &vector.bundle);
        put(OPTIONS, vector.options().to_string().as_bytes());
        if let Some(standing) = &vector.anchor.standing {
            put(STANDING, standing);
        }
        let report: Value = serde_json::from_str(&report(inputs).unwrap()).unwrap();
        assert_eq!(report, vector.report(), "{}", vector.name);
    }
}

#[test]
fn what_cannot_be_verified_is_named() {
    let of = |options: &str| {
        let bundle = Some(b"not a bundle".to_vec());
        report(Inputs { bundle, options: options.into(), standing: None })
    };
    assert!(of(r#"{"now":"2027-01-01T00:00:00Z"}"#).unwrap().contains("the first line is not"));
    for (options, words) in [
        ("", "EOF while parsing"),
        ("{}", "missing field `now`"),
        (r#"{"now":"yesterday"}"#, "`yesterday` is not a moment"),
        (r#"{"now":"2027-01-01T00:00:00Z","root":"sha256:12"}"#, "`sha256:12` is not a digest"),
        (r#"{"now":"2027-01-01T00:00:00Z","roots":null}"#, "unknown field `roots`"),
        (r#"{"now":"2027-01-01T00:00:00Z","witnessed":"yes"}"#, "expected a boolean"),
        ("{\"now\":\"\\u202e\"}", "is not a moment"),
    ] {
        let Refusal { error, hint } = of(options).unwrap_err();
        assert!(error.starts_with("the options cannot be read: ") && error.contains(words), "{error}");
        assert!(!error.contains('\u{202e}') && hint.starts_with("give JSON such as {\"now\":"), "{error}");
    }
    let options = br#"{"now":"2027-01-01T00:00:00Z"}"#.to_vec();
    let none = report(Inputs { options, ..Inputs::EMPTY }).unwrap_err();
    assert_eq!(none.to_json(), r#"{"error":"no bundle is given","hint":"put in the bytes of one first"}"#);
}

#[test]
fn every_part_has_a_limit() {
    let mut inputs = Inputs::EMPTY;
    for (part, name, most) in [
        (BUNDLE, "bundle", MOST_BUNDLE_BYTES),
        (OPTIONS, "options", MOST_OPTIONS_BYTES),
        (STANDING, "standing", MOST_STANDING_BYTES),
    ] {
        let Refusal { error, hint } = inputs.room(part, most + 1).unwrap_err();
        let expected = format!("{name} of {} bytes: at most {most} are accepted here", most + 1);
        assert_eq!(error, expected);
        assert!(hint.contains("loadline-verify"));
        assert_eq!(inputs.room(part, 3).unwrap(), [0; 3]);
    }
    assert_eq!(inputs.room(3, 1).unwrap_err().error, "there is no part 3");
}
