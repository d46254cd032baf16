//! One question with its answer key.

use serde::{Deserialize, Serialize};

use crate::model::Request;

/// One question put to a model: what is asked, and what counts as right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Unique within its dataset, stable across runs: pairs two runs, cites a sample.
    pub id: String,
    /// What the model is asked.
    pub input: Request,
    /// The right answer as text; for a choice, the text of the right choice. Several when any of them counts.
    pub target: Vec<String>,
    /// Index of the right choice, for a multiple-choice sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<usize>,
    /// The group this sample belongs to, when samples are not independent (a passage, a level, a language).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whatever else the dataset says of it (difficulty level, language, …).
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}
