//! What a model is asked and what it answers. `measure` knows models only through [`Model`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::sample::Sample;

/// A boxed future, so that [`Model`] can be used behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Anything that answers requests: an endpoint, a model in this process, a simulated subject.
pub trait Model: Send + Sync {
    /// The name it was asked for by.
    fn reference(&self) -> &ModelRef;

    /// On what the name rests: a digest of the weights, or only what the endpoint says of itself.
    fn identity(&self) -> ModelIdentity;

    /// What it can be asked.
    fn capabilities(&self) -> Capabilities;

    /// Makes one attempt. Retries, time limits, back-off and concurrency are the runner's, alike for every model.
    fn call<'a>(
        &'a self,
        request: &'a Request,
        context: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>>;
}

/// What is known about a call besides the request.
#[derive(Clone, Copy, Debug)]
pub struct CallContext<'a> {
    /// The sample the request came from, with its answer key. For simulated subjects only: a real model's
    /// adapter reads nothing but the request.
    pub sample: &'a Sample,
    /// Which repetition of the sample this is, from 0.
    pub epoch: u32,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// Provider and name, as the user writes them: `openai/gpt-5`, `gguf/model.gguf`, `qwen2.5-coder-0.5b-instruct`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    /// `openai`, `anthropic`, `gguf`, `fake`, or `local` for a catalogue name.
    pub provider: String,
    /// The model's name with that provider; for `gguf` a path.
    pub name: String,
}

/// The provider of simulated subjects.
pub const SIMULATED_PROVIDER: &str = "fake";

/// Why a text is not a model reference.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a model reference: expected a catalogue name or PROVIDER/NAME")]
pub struct ModelRefParseError(String);

impl FromStr for ModelRef {
    type Err = ModelRefParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (provider, name) = text.split_once('/').unwrap_or(("local", text));
        if provider.is_empty() || name.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(ModelRefParseError(crate::untrusted::one_line(text, 80)));
        }
        Ok(Self { provider: provider.to_owned(), name: name.to_owned() })
    }
}

impl TryFrom<String> for ModelRef {
    type Error = ModelRefParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ModelRef> for String {
    fn from(reference: ModelRef) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.provider.as_str() {
            "local" => f.write_str(&self.name),
            provider => write!(f, "{provider}/{}", self.name),
        }
    }
}

/// On what the claim "this is that model" rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// How far the claim goes.
    pub basis: Basis,
    /// Digest of the weights file, where the weights are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Digest>,
    /// Settings that change answers (precision, endpoint, chat template use), as `key = value`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub settings: std::collections::BTreeMap<String, String>,
}

/// On what a field rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Checked here, by digest or recomputation.
    Verified,
    /// The other side says so.
    SelfReported,
    /// Concluded from a statistical test.
    Inferred,
    /// Nothing is known.
    Absent,
}

/// What a model can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Writes text.
    pub generate: bool,
    /// Gives the log-likelihood of a continuation.
    pub loglikelihood: bool,
    /// Most requests it can work on at once, when that is fixed (1 for a model in this process); `None` lets
    /// the runner find it.
    pub max_concurrency: Option<usize>,
}

/// One request to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Write a continuation.
    Generate(Generate),
    /// How likely is each of these continuations?
    Loglikelihood(Loglikelihood),
    /// How likely is this whole text?
    Rolling(Rolling),
}

/// A request to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// What to continue or answer.
    pub prompt: Prompt,
    /// How to write.
    pub sampling: Sampling,
}

/// A request for the log-likelihood of each continuation after one context (natural logarithm, summed over tokens).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loglikelihood {
    /// What comes before; shared by all continuations.
    pub context: Prompt,
    /// The continuations, each with its leading space where it has one.
    pub continuations: Vec<String>,
}

/// A request for the log-likelihood of a whole text, in windows as long as the model's context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rolling {
    /// The text.
    pub text: String,
}

/// Plain text to continue, or a conversation to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Text that the model continues. A chat-only endpoint gets it as one user message.
    Text(String),
    /// A conversation; a model in this process puts it through its own chat template.
    Chat(Vec<Message>),
}

impl Prompt {
    /// A conversation of one user message.
    pub fn user(text: impl Into<String>) -> Self {
        Self::Chat(vec![Message { role: Role::User, content: text.into() }])
    }

    /// The whole prompt as one text, for showing and searching.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) => text.into(),
            Self::Chat(messages) => match messages.as_slice() {
                [only] => only.content.as_str().into(),
                many => many
                    .iter()
                    .map(|m| format!("{}: {}", m.role.name(), m.content))
                    .collect::<Vec<_>>()
                    .join("\n\n")
                    .into(),
            },
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that chat protocols use.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// How to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Most tokens to write.
    pub max_tokens: u32,
    /// 0 is greedy. `None` leaves it to the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts that end the answer; they are not part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Seed for sampling, where the model takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelOutput {
    /// The text written; empty for a log-likelihood request.
    #[serde(default)]
    pub completion: String,
    /// Why it stopped writing.
    #[serde(default)]
    pub stop_reason: StopReason,
    /// One for each continuation, in order; one for a rolling request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loglikelihoods: Vec<ContinuationLoglikelihood>,
    /// What it cost.
    #[serde(default)]
    pub usage: Usage,
}

/// Why a model stopped writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It ended by itself, or at a stop text.
    #[default]
    Stop,
    /// It reached the most tokens allowed.
    Length,
    /// The provider withheld the answer.
    ContentFilter,
    /// Something else.
    Other,
}

impl StopReason {
    /// Whether it ended by itself.
    pub fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// The log-likelihood of one continuation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContinuationLoglikelihood {
    /// Sum over its tokens, natural logarithm.
    pub sum: f64,
    /// How many tokens it is.
    pub tokens: u32,
    /// Whether each of its tokens was the likeliest one.
    pub greedy: bool,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Why an attempt gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What kind of failure it is: decides whether another attempt can help.
    pub kind: ModelErrorKind,
    /// In words, with secrets already masked; may quote the server.
    pub message: String,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelErrorKind {
    /// 429, or the provider's "overloaded": slow down, then try again.
    RateLimited,
    /// 5xx.
    Server,
    /// No connection, or it broke.
    Connection,
    /// No answer in time.
    Timeout,
    /// A 2xx whose body is cut short or is not what the protocol says.
    Malformed,
    /// 4xx: the request itself is refused; the same request would be refused again.
    Refused,
    /// 401 or 403.
    Unauthorized,
    /// 404: no such model or path.
    NotFound,
    /// The model cannot be asked this (no log-probabilities, say).
    Unsupported,
    /// The prompt does not fit the model's context.
    TooLong,
    /// A fault of our own.
    Internal,
}

impl ModelError {
    /// An error of this kind.
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, hint: None }
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the same request may succeed on another attempt.
    pub fn is_retryable(&self) -> bool {
        use ModelErrorKind::{Connection, Malformed, RateLimited, Server, Timeout};
        matches!(self.kind, RateLimited | Server | Connection | Timeout | Malformed)
    }

    /// Whether no request to this model can succeed: the run ends instead of failing every sample.
    pub fn is_fatal(&self) -> bool {
        use ModelErrorKind::{NotFound, Unauthorized, Unsupported};
        matches!(self.kind, NotFound | Unauthorized | Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip() {
        for text in ["openai/gpt-5", "gguf/a/b.gguf", "qwen2.5-coder-0.5b-instruct", "fake/ability=0.7"] {
            assert_eq!(text.parse::<ModelRef>().unwrap().to_string(), text);
        }
        for bad in ["", "/x", "openai/", "a/\u{1b}b"] {
            assert!(bad.parse::<ModelRef>().is_err(), "{bad:?}");
        }
    }
}
