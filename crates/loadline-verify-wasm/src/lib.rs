//! What `loadline-verify` does, as a WebAssembly module that imports nothing: it can reach no network, no clock and no
//! file, only the bytes that it is given. `web/host.mjs` is the other side, `build.sh` makes both.
//!
//! All checks are in `loadline_exam::verify`; here is only the way in and out:
//!
//! 1. `loadline_input(part, bytes)` gives the place where the host writes that many bytes of a part:
//!    [`BUNDLE`], [`OPTIONS`] or [`STANDING`]. 0 means no: the result says why.
//! 2. `loadline_verify()` verifies, and frees what was put in.
//! 3. `loadline_result()` and `loadline_result_bytes()` give the place and length of the result: the report as JSON, as
//!    `loadline-verify --json` prints it, or `{"error": …, "hint": …}` when there is none.
//!
//! A panic is a bug. It ends the module, and the result says where it was.

mod input;
mod module;

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_exam::{Anchor, verify};
use serde::{Deserialize, Serialize};

pub use input::{
    BUNDLE, Inputs, MOST_BUNDLE_BYTES, MOST_OPTIONS_BYTES, MOST_STANDING_BYTES, OPTIONS, STANDING,
};

/// How to verify.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The moment to verify at. The module has no clock.
    now: Instant,
    /// Which authority it must be.
    #[serde(default)]
    root: Option<Digest>,
    /// Whether witnesses must have cosigned the exam's start.
    #[serde(default)]
    witnessed: bool,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    fn new(error: impl Into<String>, hint: &str) -> Self {
        Self { error: error.into(), hint: hint.to_owned() }
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        // Two texts: writing them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Verifies what was put in, and gives the report as JSON.
///
/// # Errors
/// When the options cannot be read, or no bundle was put in. Everything else is in the report.
pub fn report(inputs: Inputs) -> Result<String, Refusal> {
    let options: Options = serde_json::from_slice(&inputs.options).map_err(|error| {
        Refusal::new(
            format!("the options cannot be read: {}", one_line(&error.to_string(), 200)),
            r#"give JSON such as {"now":"2027-01-01T00:00:00Z","root":"sha256:…","witnessed":true}; only `now` must be there"#,
        )
    })?;
    let bundle =
        inputs.bundle.ok_or_else(|| Refusal::new("no bundle is given", "put in the bytes of one first"))?;
    let Options { now, root, witnessed } = options;
    let anchor = Anchor { root, witnessed, standing: inputs.standing, ..Anchor::at(now) };
    verify(bundle.as_slice(), &anchor).to_json().map_err(|error| {
        Refusal::new(format!("the report cannot be written: {error}"), "this is a bug: please report it")
    })
}
