//! A public key as a file: signed by itself, so that no byte of it changes unnoticed and nobody offers a key whose secret
//! he does not have.

use crate::envelope::{Envelope, EnvelopeError};
use crate::key::PublicKey;
use crate::secret::SecretKey;

/// `payloadType` of a public key; the payload is the key's JSON.
pub const KEY_TYPE: &str = "application/vnd.loadline.key.v1+json";

/// The public key of a secret one, as a file.
///
/// # Errors
/// Never for a key that was made: kept as a result, since signing has one.
pub fn publish(key: &SecretKey) -> Result<Vec<u8>, EnvelopeError> {
    Ok(Envelope::sign_json(KEY_TYPE, key.public(), &[key])?.to_bytes())
}

/// Reads such a file.
///
/// # Errors
/// When it is no such file, or is not signed by the key that it holds and by no other.
pub fn read(bytes: &[u8]) -> Result<PublicKey, EnvelopeError> {
    let envelope = Envelope::parse(bytes)?;
    let key: PublicKey = envelope.json(KEY_TYPE)?;
    envelope.signers([&key])?;
    Ok(key)
}
