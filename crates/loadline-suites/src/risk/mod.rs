//! The suites of the risk classes: conduct that can be checked exactly.
//!
//! Each is a function that draws a [`Case`]: a conversation, what makes an answer right ([`Key`]), an answer that
//! keeps the rules and one that breaks them. Everything else is the same for all and stands here.

pub(crate) mod abstention;
pub(crate) mod bias;
pub(crate) mod calibration;
pub(crate) mod consistency;
mod draw;
pub(crate) mod hierarchy;
pub(crate) mod injection;
mod key;
pub(crate) mod office;
mod read;
pub(crate) mod refusal;
pub(crate) mod secrets;
pub(crate) mod shutdown;
pub(crate) mod sycophancy;

use loadline_core::model::{Message, Role};
use loadline_core::{ModelOutput, Sample, Score, Value};
use serde_json::Map;

use self::key::Key;
use crate::item::{Item, exact_match};
use crate::seed::Seed;
use crate::suite::{About, Form, Suite};

/// A suite of this folder.
pub(crate) struct Risk {
    name: &'static str,
    version: &'static str,
    about: &'static About,
    /// Neighbouring samples that share a problem: 1, or more where the same thing is asked several times.
    twins: u64,
    /// Draws a problem and asks it for the given twin.
    draw: fn(&Item, u64) -> Case,
    /// Accuracy of the guesser at a level.
    chance: fn(u32) -> f64,
    /// The metric that is reported besides `exact_match`.
    second: Option<&'static str>,
}

/// A problem, ready to be asked.
struct Case {
    messages: Vec<Message>,
    key: Key,
    /// An answer that keeps the rules.
    right: String,
    /// An answer that breaks them.
    broken: String,
    max_tokens: u32,
    /// What else the sample says of itself, for whoever analyses a record.
    notes: Map<String, serde_json::Value>,
}

impl Case {
    /// A case without notes, with room for a short answer.
    fn new(messages: Vec<Message>, key: Key, right: impl Into<String>, broken: impl Into<String>) -> Self {
        Self { messages, key, right: right.into(), broken: broken.into(), max_tokens: 512, notes: Map::new() }
    }

    /// The same with a note.
    fn note(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.notes.insert(name.into(), value.into());
        self
    }
}

fn system(text: impl Into<String>) -> Message {
    Message { role: Role::System, content: text.into() }
}

fn user(text: impl Into<String>) -> Message {
    Message { role: Role::User, content: text.into() }
}

fn assistant(text: impl Into<String>) -> Message {
    Message { role: Role::Assistant, content: text.into() }
}

impl Suite for Risk {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> &'static str {
        self.version
    }

    fn about(&self) -> &'static About {
        self.about
    }

    fn forms(&self) -> &'static [Form] {
        // Conduct shows in what is written.
        &[Form::Generate]
    }

    fn sample(&self, seed: &Seed, _form: Form, level: u32, index: u64) -> Sample {
        let item = Item::new(self, seed, level, index / self.twins);
        let twin = index % self.twins;
        let case = (self.draw)(&item, twin);
        let mut metadata = case.notes;
        // A key is plain data: it can always be written as JSON.
        metadata.insert("key".into(), serde_json::to_value(&case.key).unwrap_or_default());
        metadata.insert("broken".into(), case.broken.into());
        let mut sample = item.conversation(case.messages, case.right, case.max_tokens, metadata);
        if self.twins > 1 {
            sample.id = format!("{}-{}", item.id(), twin + 1);
            sample.cluster = Some(item.id());
        }
        sample
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        let key = sample.metadata.get("key").cloned().unwrap_or_default();
        let verdict = match serde_json::from_value::<Key>(key) {
            Ok(key) => key.judge(&output.completion),
            Err(error) => {
                let reason = format!("the sample's metadata has no `key` to score by: {error}");
                return std::iter::once("exact_match")
                    .chain(self.second)
                    .map(|m| unscored(m, &reason))
                    .collect();
            }
        };
        let explanation = verdict.why.filter(|_| !verdict.right).map(str::to_owned);
        let mut scores = vec![exact_match(verdict.right, verdict.answer, explanation)];
        scores.extend(self.second.map(|metric| Score {
            metric: metric.into(),
            value: Value::Number(verdict.second),
            answer: None,
            explanation: None,
        }));
        scores
    }

    fn chance(&self, _form: Form, level: u32) -> f64 {
        (self.chance)(level.clamp(1, self.last_level()))
    }

    fn wrong_answer(&self, sample: &Sample) -> String {
        let broken = sample.metadata.get("broken").and_then(serde_json::Value::as_str);
        broken.unwrap_or_default().to_owned()
    }
}

/// No score, and why.
fn unscored(metric: &str, reason: &str) -> Score {
    Score { metric: metric.into(), value: Value::unscored(reason), answer: None, explanation: None }
}

/// One in so many.
fn one_in(count: usize) -> f64 {
    // Counts of options: far below 2^32.
    1.0 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What a table has for a level; its last entry for higher ones.
fn at<T: Copy>(table: &[T], level: u32) -> T {
    let place = usize::try_from(level.saturating_sub(1)).unwrap_or_default();
    table[place.min(table.len() - 1)]
}
