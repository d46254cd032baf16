//! What a scorer says of one answer.

use serde::{Deserialize, Serialize};

/// Why there is no value. Never NaN: an answer that could not be scored is counted and named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unscored {
    /// In words, for a person.
    pub reason: String,
}

/// The value of one metric on one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A number, to be averaged. 1 is right and 0 is wrong where the metric is an accuracy.
    Number(f64),
    /// A total and the amount it is spread over (log-likelihood and words, say): the metric is a ratio of sums.
    Ratio {
        /// The total.
        total: f64,
        /// What it is divided by.
        per: f64,
    },
    /// True class and predicted class, for metrics of the whole table such as F1.
    Class {
        /// The class the answer key names.
        gold: i64,
        /// The class the model chose.
        predicted: i64,
    },
    /// No value, and why.
    Unscored(Unscored),
}

impl Value {
    /// 1 or 0.
    pub fn correct(right: bool) -> Self {
        Self::Number(if right { 1.0 } else { 0.0 })
    }

    /// No value, because of this.
    pub fn unscored(reason: impl Into<String>) -> Self {
        Self::Unscored(Unscored { reason: reason.into() })
    }

    /// The number, where it is a plain one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// One metric's verdict on one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The metric, with the filter's name after a comma where a task has several (`exact_match,strict`).
    pub metric: String,
    /// Its value.
    pub value: Value,
    /// The answer as the scorer read it out of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Why the value is what it is, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// One reported metric. Part of a run's record, so that results can be computed from it alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSpec {
    /// As in [`Score::metric`].
    pub name: String,
    /// How the values of the samples become one number.
    pub aggregation: Aggregation,
    /// Whether more is better.
    pub higher_is_better: bool,
}

/// How the values of the samples become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Arithmetic mean of numbers.
    Mean,
    /// F1 of class 1 over the whole table.
    F1,
    /// exp(-(sum of totals) / (sum of pers)).
    WeightedPerplexity,
    /// exp(-(mean of numbers)).
    Perplexity,
    /// -(sum of totals) / (sum of pers) / ln 2.
    BitsPerByte,
}
