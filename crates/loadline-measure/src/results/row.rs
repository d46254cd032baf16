//! The part of a row that results need. Everything else is skipped, not copied.

use std::borrow::Cow;

use loadline_core::Usage;
use loadline_core::score::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A row of any kind; only samples are looked into.
#[derive(Deserialize)]
pub(crate) struct LightRow<'a> {
    #[serde(default, borrow)]
    pub(crate) sample: Option<LightSample<'a>>,
}

/// What results need of a sample's row.
#[derive(Deserialize)]
pub(crate) struct LightSample<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    pub(crate) index: u64,
    pub(crate) epoch: u32,
    #[serde(default)]
    pub(crate) cluster: Option<String>,
    #[serde(default)]
    pub(crate) metadata: LightMetadata,
    #[serde(default, borrow)]
    pub(crate) scores: Vec<LightScore<'a>>,
    pub(crate) usage: Usage,
    #[serde(default, borrow)]
    pub(crate) error: Option<Cow<'a, str>>,
}

/// What results need of a score.
#[derive(Deserialize)]
pub(crate) struct LightScore<'a> {
    #[serde(borrow)]
    pub(crate) metric: Cow<'a, str>,
    pub(crate) value: Value,
}

#[derive(Default, Deserialize)]
pub(crate) struct LightMetadata {
    #[serde(default)]
    pub(crate) level: Option<LevelLabel>,
}

/// How difficult a sample is, as its metadata says. Numbers sort as numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(untagged)]
pub(crate) enum LevelLabel {
    Number(i64),
    Text(String),
    /// Something that is no label.
    Other(Ignored),
}

/// Any JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_rows_and_odd_levels_are_passed_over() {
        for text in [r#"{"opened":{"at_ms":1,"program":"x"}}"#, r#"{"recovered":{"at_ms":1,"bytes_cut":2}}"#]
        {
            assert!(serde_json::from_str::<LightRow<'_>>(text).unwrap().sample.is_none());
        }
        for (level, label) in [
            ("3", Some(LevelLabel::Number(3))),
            (r#""hard""#, Some(LevelLabel::Text("hard".into()))),
            (r#"{"a":[1.5]}"#, Some(LevelLabel::Other(Ignored))),
            ("null", None),
        ] {
            let text = format!(
                r#"{{"sample":{{"id":"a","index":0,"epoch":0,"input":{{"rolling":{{"text":"x"}}}},"target":[],
                "metadata":{{"level":{level}}},"usage":{{"input_tokens":1,"output_tokens":2}},"started_ms":1}}}}"#
            );
            let row: LightRow<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(row.sample.unwrap().metadata.level, label, "{level}");
        }
    }
}
