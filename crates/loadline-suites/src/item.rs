//! From a suite's question to a sample.

use loadline_core::model::{Generate, Loglikelihood, Message, Prompt, Request, Sampling};
use loadline_core::{Digest, ModelOutput, Sample, Score, Value};
use serde_json::Map;

use crate::seed::{Seed, stream};
use crate::stream::Stream;
use crate::suite::Suite;

/// How many answers a multiple-choice item offers.
pub(crate) const CHOICES: usize = 4;

/// One item: its place in a suite and its own source of draws.
pub(crate) struct Item {
    suite: &'static str,
    /// The level, brought into the suite's range.
    pub(crate) level: u32,
    index: u64,
    key: Digest,
    /// The key of the group of [`CHOICES`] neighbouring items over which right answers are spread evenly.
    group_key: Digest,
}

impl Item {
    /// Item `index` of a level.
    pub(crate) fn new(suite: &dyn Suite, seed: &Seed, level: u32, index: u64) -> Self {
        let level = level.clamp(1, suite.last_level());
        let group = index / CHOICES as u64;
        Self {
            suite: suite.name(),
            level,
            index,
            key: seed.key("loadline/suites/item/1", suite.name(), suite.version(), level, index),
            group_key: seed.key("loadline/suites/group/1", suite.name(), suite.version(), level, group),
        }
    }

    /// The draws for one purpose.
    pub(crate) fn stream(&self, purpose: &str) -> Stream {
        stream(&self.key, purpose)
    }

    /// The draws for one purpose that a group of [`CHOICES`] neighbours has in common.
    pub(crate) fn group_stream(&self, purpose: &str) -> Stream {
        stream(&self.group_key, purpose)
    }

    /// `SUITE-LEVEL-INDEX-HEX`, the last being the start of the item's own key.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}-{:06}-{}", self.suite, self.level, self.index, &self.key.hex()[..8])
    }

    /// Where the right answer stands among [`CHOICES`]: each place once in every group of as many neighbours.
    pub(crate) fn gold_place(&self) -> usize {
        let mut places: Vec<usize> = (0..CHOICES).collect();
        stream(&self.group_key, "gold").shuffle(&mut places);
        // The remainder is below CHOICES.
        places[usize::try_from(self.index % CHOICES as u64).unwrap_or_default()]
    }

    /// What every sample says of itself.
    fn metadata(&self, extra: Map<String, serde_json::Value>) -> Map<String, serde_json::Value> {
        let mut metadata = extra;
        metadata.insert("suite".into(), self.suite.into());
        metadata.insert("level".into(), self.level.into());
        metadata
    }

    /// A sample in the generate form. `answer` is a whole reference answer.
    pub(crate) fn generate(
        &self,
        prompt: impl Into<String>,
        answer: impl Into<String>,
        max_tokens: u32,
        extra: Map<String, serde_json::Value>,
    ) -> Sample {
        self.written(Prompt::user(prompt), answer.into(), max_tokens, extra)
    }

    /// A sample in the generate form that goes on with a conversation.
    pub(crate) fn conversation(
        &self,
        messages: Vec<Message>,
        answer: impl Into<String>,
        max_tokens: u32,
        extra: Map<String, serde_json::Value>,
    ) -> Sample {
        self.written(Prompt::Chat(messages), answer.into(), max_tokens, extra)
    }

    fn written(
        &self,
        prompt: Prompt,
        answer: String,
        max_tokens: u32,
        extra: Map<String, serde_json::Value>,
    ) -> Sample {
        Sample {
            id: self.id(),
            input: Request::Generate(Generate {
                prompt,
                sampling: Sampling {
                    max_tokens,
                    temperature: Some(0.0),
                    top_p: None,
                    stop: Vec::new(),
                    seed: None,
                },
            }),
            target: vec![answer],
            gold: None,
            cluster: None,
            metadata: self.metadata(extra),
        }
    }

    /// A sample in the choice form: the question as text that ends in the word before the answer, the right
    /// answer, and [`CHOICES`] − 1 wrong ones.
    pub(crate) fn choice(
        &self,
        context: impl Into<String>,
        right: &str,
        wrong: &[String],
        extra: Map<String, serde_json::Value>,
    ) -> Sample {
        let gold = self.gold_place().min(wrong.len());
        let mut options: Vec<&str> = wrong.iter().map(String::as_str).collect();
        self.stream("order").shuffle(&mut options);
        options.insert(gold, right);
        Sample {
            id: self.id(),
            input: Request::Loglikelihood(Loglikelihood {
                context: Prompt::Text(context.into()),
                continuations: options.iter().map(|option| format!(" {option}")).collect(),
            }),
            target: vec![right.to_owned()],
            gold: Some(gold),
            cluster: None,
            metadata: self.metadata(extra),
        }
    }
}

/// Whether this is a multiple-choice sample.
pub(crate) fn is_choice(sample: &Sample) -> bool {
    matches!(sample.input, Request::Loglikelihood(_))
}

/// The metric `acc`: whether the continuation with the greatest summed log-likelihood is the right one. Of equals
/// the first counts.
pub(crate) fn score_choice(sample: &Sample, output: &ModelOutput) -> Vec<Score> {
    let (value, answer) = choose(sample, output).unwrap_or_else(|reason| (Value::unscored(reason), None));
    vec![Score { metric: "acc".into(), value, answer, explanation: None }]
}

fn choose(sample: &Sample, output: &ModelOutput) -> Result<(Value, Option<String>), String> {
    let Request::Loglikelihood(request) = &sample.input else {
        return Err("the sample is not a multiple-choice one".into());
    };
    let gold = sample.gold.ok_or("the sample does not say which choice is right")?;
    let (asked, answered) = (request.continuations.len(), output.loglikelihoods.len());
    if asked == 0 || asked != answered {
        return Err(format!(
            "{asked} continuations were asked about and {answered} log-likelihoods came back"
        ));
    }
    if output.loglikelihoods.iter().any(|l| l.sum.is_nan()) {
        return Err("a log-likelihood is not a number".into());
    }
    let mut best = 0;
    for (i, likelihood) in output.loglikelihoods.iter().enumerate() {
        if likelihood.sum > output.loglikelihoods[best].sum {
            best = i;
        }
    }
    Ok((Value::correct(best == gold), Some(request.continuations[best].trim().to_owned())))
}

/// The metric `exact_match` with the answer as it was read.
pub(crate) fn exact_match(right: bool, answer: Option<String>, explanation: Option<String>) -> Score {
    Score { metric: "exact_match".into(), value: Value::correct(right), answer, explanation }
}
