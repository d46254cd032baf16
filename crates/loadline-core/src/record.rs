//! The rows of a run's record. `docs/formats/record.md` is the page of this format.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::{Digest, hex};
use crate::model::{ContinuationLoglikelihood, ModelIdentity, ModelRef, Request, StopReason, Usage};
use crate::score::{MetricSpec, Score};

/// Version of the row format written by this build.
pub const RECORD_FORMAT: u32 = 1;

/// Names a run: the first 16 bytes of the digest of what was measured and how. 32 hexadecimal digits; people
/// use the shortest unique prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 16]);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for RunId {
    type Err = crate::digest::DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let padded: Digest = format!("sha256:{text}{}", "0".repeat(32)).parse()?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&padded.0[..16]);
        Ok(Self(bytes))
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What is measured and how: the first row of every record. Everything that can change a result is in it, and
/// nothing else (no concurrency, no clock), so that the same command names the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalSpec {
    /// [`RECORD_FORMAT`].
    pub format: u32,
    /// The task.
    pub task: TaskIdentity,
    /// The model, as asked for.
    pub model: ModelRef,
    /// On what its identity rests.
    pub identity: ModelIdentity,
    /// What is reported, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricSpec>,
    /// Whether a score needs the outputs of all epochs of a sample together (majority vote). The rows then carry no
    /// scores; results need the task's scorer besides the record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub groups_epochs: bool,
    /// How many samples are asked (after the limit), each once per epoch: the record is complete when each of them
    /// has a row without an error.
    pub samples: u64,
    /// First this many samples; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Repetitions of each sample.
    pub epochs: u32,
    /// Seed of generated items, few-shot choice and sampling.
    pub seed: u64,
    /// Overrides of the task's sampling settings that the user gave (`temperature`, `max_tokens`).
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub overrides: std::collections::BTreeMap<String, serde_json::Value>,
    /// 0, or how many runs of the same specification were there before a `--fresh` one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeat: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl EvalSpec {
    /// The run this specification names.
    ///
    /// # Errors
    /// When an override cannot be written as canonical JSON.
    pub fn run_id(&self) -> Result<RunId, serde_json::Error> {
        let digest = Digest::of_json(self)?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.0[..16]);
        Ok(RunId(bytes))
    }
}

/// Which task, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskIdentity {
    /// Its name.
    pub name: String,
    /// The version its author gave it.
    pub version: String,
    /// Digest of everything that makes the questions and the scores: task file with what it includes, data
    /// files, or suite parameters.
    pub digest: Digest,
}

/// A place among choices: 32 bits, so that machines of every width read the same rows.
fn choice<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let place = Option::<u32>::deserialize(deserializer)?;
    place.map(usize::try_from).transpose().map_err(serde::de::Error::custom)
}

/// One sample, asked once per epoch: the row that is paid for and must never be lost.
///
/// A row with an [error](SampleRecord::error) is asked again when the run is resumed; the row of that later try
/// supersedes it. A row without an error is final: no second row with its index and epoch may follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// The sample's id.
    pub id: String,
    /// Its place in the dataset, from 0.
    pub index: u64,
    /// Which repetition, from 0.
    pub epoch: u32,
    /// Group of samples that are not independent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What was asked.
    pub input: Request,
    /// What counts as right.
    pub target: Vec<String>,
    /// Index of the right choice.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "choice")]
    pub gold: Option<usize>,
    /// What the dataset says of the sample (level, language, …).
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// What the model wrote; absent when every attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why the model stopped writing.
    #[serde(default, skip_serializing_if = "StopReason::is_stop")]
    pub stop_reason: StopReason,
    /// Log-likelihood of each choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loglikelihoods: Vec<ContinuationLoglikelihood>,
    /// One for each metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Score>,
    /// What it cost.
    pub usage: Usage,
    /// When the first attempt began, in milliseconds since 1970-01-01 UTC.
    pub started_ms: u64,
    /// From first attempt to answer, in milliseconds.
    pub duration_ms: u64,
    /// Attempts made.
    pub attempts: u32,
    /// Why there is no output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl SampleRecord {
    /// Whether the row is final: it was answered, and is never asked again.
    pub fn is_final(&self) -> bool {
        self.error.is_none()
    }
}

/// One row of a record. Rows are only ever appended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// The first row.
    Spec(Box<EvalSpec>),
    /// A sample was answered, or failed for good.
    Sample(Box<SampleRecord>),
    /// A process opened the record to add to it.
    Opened {
        /// When, in milliseconds since 1970-01-01 UTC.
        at_ms: u64,
        /// Version of the program.
        program: String,
    },
    /// The log cut a torn tail when it was opened.
    Recovered {
        /// When, in milliseconds since 1970-01-01 UTC.
        at_ms: u64,
        /// Bytes cut.
        bytes_cut: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_round_trip() {
        let id = RunId([0xab; 16]);
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert!("abc".parse::<RunId>().is_err());
    }
}
