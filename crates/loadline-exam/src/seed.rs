//! Where the questions come from: nobody but the authority can know them before the exam is over, and nobody can choose
//! them. Who does not know the secret cannot even try; the authority, who does, gets another try only with the cosignatures
//! of its log's witnesses anew ([`Witnessed`]). A log without witnesses leaves it as many as it likes.
//!
//! The seed is a digest of the authority's secret (bound by its logged hash), of the log's state right before the exam
//! began, of the policy and the model (both bound by that state), and of the cosignatures under that state.

use std::fmt;
use std::str::FromStr;

use loadline_core::Digest;
use loadline_core::digest::hex;
use loadline_suites::Seed;
use loadline_tlog::{Checkpoint, CheckpointError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

use crate::witnessed::Witnessed;

/// 32 random bytes that the authority keeps until the exam is over. Masked in `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ExamSecret([u8; 32]);

/// Why a text is no secret. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an exam's secret is 64 lower-case hexadecimal digits")]
pub struct ExamSecretError;

impl ExamSecret {
    /// The secret that is these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// What is logged before the registration: a digest under its own domain.
    pub fn hash(&self) -> Digest {
        Digest::of_parts("loadline/exam/secret/1", &[&self.0])
    }

    /// The secret as text, for the file that keeps it and for the entry that makes it public.
    pub fn expose_hex(&self) -> String {
        hex(&self.0)
    }
}

impl FromStr for ExamSecret {
    type Err = ExamSecretError;

    fn from_str(text: &str) -> Result<Self, ExamSecretError> {
        format!("sha256:{text}").parse::<Digest>().map(|digest| Self(digest.0)).map_err(|_| ExamSecretError)
    }
}

impl fmt::Debug for ExamSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExamSecret(masked)")
    }
}

impl Drop for ExamSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Serialize for ExamSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose_hex())
    }
}

impl<'de> Deserialize<'de> for ExamSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The state of the log that goes into the seed: right before the start, after the registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedCheckpoint {
    /// Which log.
    pub origin: String,
    /// How many entries: the index of the start. In exams without [`crate::entry::Start::witnessed`], one more than the
    /// registration's index.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Digest,
}

impl SeedCheckpoint {
    /// The three lines of a C2SP checkpoint: what goes into the seed.
    ///
    /// # Errors
    /// When the origin cannot be one.
    pub fn to_text(&self) -> Result<String, CheckpointError> {
        Ok(Checkpoint::new(&self.origin, self.size, self.root.0)?.to_text())
    }
}

/// What all questions of one exam are made from.
#[derive(Clone, PartialEq, Eq)]
pub struct ExamSeed(Digest);

/// Shows nothing of it: an exam's seed is secret until the exam is over.
impl fmt::Debug for ExamSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExamSeed(masked)")
    }
}

impl ExamSeed {
    /// Derives it. `witnessed` is none only for exams of before there was one.
    ///
    /// # Errors
    /// When the checkpoint's origin cannot be one.
    pub fn derive(
        secret: &ExamSecret,
        checkpoint: &SeedCheckpoint,
        witnessed: Option<&Witnessed>,
        policy: Digest,
        model: Digest,
    ) -> Result<Self, CheckpointError> {
        let text = checkpoint.to_text()?;
        let mut parts: Vec<&[u8]> = vec![&secret.0, text.as_bytes(), &policy.0, &model.0];
        let Some(witnessed) = witnessed else {
            return Ok(Self(Digest::of_parts("loadline/exam/seed/1", &parts)));
        };
        let cosignatures = witnessed.cosignatures();
        parts.extend(cosignatures.iter().map(Vec::as_slice));
        Ok(Self(Digest::of_parts("loadline/exam/seed/2", &parts)))
    }

    /// The seed of one test of the policy.
    pub fn of_test(&self, test: &str) -> Seed {
        Seed::from_bytes(Digest::of_parts("loadline/exam/test/1", &[&self.0.0, test.as_bytes()]).0)
    }
}

/// The number that stands for a test's seed in a run's specification: its first 53 bits, the most that canonical JSON
/// keeps exact. The questions follow from all 256, which the task's digest covers.
pub fn seed_number(seed: &Seed) -> u64 {
    seed.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)) >> 11
}
