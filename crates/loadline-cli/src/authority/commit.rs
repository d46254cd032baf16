//! `exam commit`: a policy is published, and the authority binds itself to a secret before any model is registered.

use loadline_core::digest::canonical_json;
use loadline_core::{Digest, Secret};
use loadline_exam::entry::{Commitment, PolicyEntry};
use loadline_exam::{Entry, ExamSecret};
use loadline_policy::Policy;
use serde::Serialize;

use super::folder;
use super::office::Office;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring;

/// What was committed to.
#[derive(Clone, Debug, Serialize)]
pub struct Committed {
    /// Its log index.
    pub commitment: u64,
    /// The policy's digest.
    pub policy: Digest,
    /// Whether the policy was published with it.
    pub policy_is_new: bool,
}

/// Publishes a policy, unless it is, and commits to a fresh secret for one exam under it.
///
/// # Errors
/// When the disk refuses or a key cannot be opened.
pub fn commit(office: &mut Office, policy: &Policy) -> Result<Committed> {
    let unexpected = |error: serde_json::Error| Failure::of(Exit::Unexpected, &error);
    let bytes = canonical_json(policy).map_err(unexpected)?;
    let digest = Digest::of(&bytes);
    let path = office.folder.policy(digest);
    folder::write(&path, &bytes, folder::PUBLIC)?;
    let secret = ExamSecret::from_bytes(*keyring::fresh_seed()?);
    let hash = secret.hash();
    // Durable before its hash is public: without it, the exam could not be finished.
    folder::write(&office.folder.secret(hash), secret.expose_hex().as_bytes(), folder::PRIVATE)?;
    let policy_is_new = !office.history.has_policy(digest);
    let mut entries = Vec::new();
    if policy_is_new {
        let (name, version) = (policy.name.clone(), policy.version.clone());
        entries.push(Entry::Policy(PolicyEntry { name, version, digest }));
    }
    entries.push(Entry::Commitment(Commitment { policy: digest, secret_hash: hash }));
    let last = entries.len() as u64 - 1;
    let first = office.log(entries)?;
    Ok(Committed { commitment: first + last, policy: digest, policy_is_new })
}

/// The secret of a commitment.
///
/// # Errors
/// When it is not here, or is not the one that was committed to.
pub fn secret(office: &Office, commitment: u64) -> Result<ExamSecret> {
    let hash = office.history.commitment(commitment)?.secret_hash;
    let path = office.folder.secret(hash);
    let text = Secret::new(String::from_utf8_lossy(&folder::read(&path)?).into_owned());
    let secret: ExamSecret = text.expose().parse().map_err(|error| folder::changed(&path, &error))?;
    if secret.hash() == hash {
        return Ok(secret);
    }
    Err(folder::not_as_written(&path).cause("it is not the secret that was committed to"))
}
