//! Reading JSON that was signed or will be: one value has one sequence of bytes.

use crate::digest::canonical_json;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest JSON text that is read, in bytes.
pub const MOST_JSON_BYTES: usize = 4 << 20;

/// Why JSON is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum StrictError {
    /// Larger than is read.
    #[error("the JSON has {0} bytes; at most {MOST_JSON_BYTES} are read")]
    TooLarge(usize),
    /// Not what is expected: unknown, missing or repeated fields, a float, a wrong type.
    #[error("the JSON is not of the expected form: {}", crate::untrusted::one_line(&.0.to_string(), 300))]
    Form(#[source] serde_json::Error),
    /// The same value can be written in other bytes than its canonical ones, and is here.
    #[error("the JSON is not in canonical form (RFC 8785): it differs from byte {0} on")]
    NotCanonical(usize),
}

/// Reads a value from its canonical JSON (RFC 8785). Spaces, another order of keys, escapes that need not be, repeated
/// keys and floats are all refused, since the bytes are compared with those the value is written as.
///
/// # Errors
/// See [`StrictError`].
pub fn from_canonical_json<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, StrictError> {
    if bytes.len() > MOST_JSON_BYTES {
        return Err(StrictError::TooLarge(bytes.len()));
    }
    let value: T = serde_json::from_slice(bytes).map_err(StrictError::Form)?;
    let canonical = canonical_json(&value).map_err(StrictError::Form)?;
    if canonical != bytes {
        let same = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(StrictError::NotCanonical(same));
    }
    Ok(value)
}
