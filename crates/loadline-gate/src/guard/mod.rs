//! Guards: rules on what goes to a model and on what comes from it. Each says in the configuration how often it was wrong
//! on which texts, or that nobody has measured it.
//!
//! Read in this order: this file (what a guard is) → `text` (what is looked at) → `check` (a whole request or answer)
//! → `screen` (an answer that comes piece by piece) → `ask` (a classifier or a judge) → `own` (what the gate itself
//! asks of a model, and how a stop cuts it). `hold` bounds the answers that wait.

pub(crate) mod ask;
pub(crate) mod check;
mod escape;
pub(crate) mod hold;
pub(crate) mod own;
pub(crate) mod screen;
mod text;

use std::sync::Arc;
use std::time::Duration;

use loadline_core::{Digest, Instant};
use loadline_policy::Named;
use loadline_policy::policy::Stage;
use regex::{Regex, RegexBuilder};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::admission::BYTES_PER_TOKEN;
use crate::upstream::{Dial, Upstream};

pub(crate) use text::texts_of_answer;
pub use text::{Texts, texts_of_request};

/// The largest compiled form of all patterns of a guard, in bytes.
const MAX_PROGRAM_BYTES: usize = 16 << 20;
/// The most patterns of a guard.
pub const MAX_PATTERNS: usize = 10_000;

/// Up to so many bytes are looked at where they came in.
const MAX_BYTES_AT_ONCE: usize = 64 << 10;
/// So many larger texts are looked at at one time, over the whole process.
static ASIDE: Semaphore = Semaphore::const_new(2);

/// Which way a guard looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// At requests.
    Input,
    /// At answers.
    Output,
}

impl Named for Side {
    const ALL: &'static [Self] = &[Self::Input, Self::Output];

    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// What happens when a guard matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing of it is passed on. Of a stream, what may still become a match is held back.
    Refuse,
    /// A stream ends there; what came before has left. Whatever is no stream is refused.
    Cut,
    /// It is written down and passed on.
    Flag,
    /// Nothing: it is there for a watch alone.
    Score,
}

impl Named for Action {
    const ALL: &'static [Self] = &[Self::Refuse, Self::Cut, Self::Flag, Self::Score];

    fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Cut => "cut",
            Self::Flag => "flag",
            Self::Score => "score",
        }
    }
}

/// What happens when a classifier or a judge does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is refused.
    Closed,
    /// It is passed on, and written down.
    Open,
}

impl Named for OnFailure {
    const ALL: &'static [Self] = &[Self::Closed, Self::Open];

    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// A classifier behind an upstream: a text goes there, a number comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Classifier {
    /// The upstream whose address is the classifier's, by name.
    pub upstream: String,
    /// The key of the request that holds the text.
    pub input: String,
    /// The value of `model` in the request, where one is wanted.
    pub model: Option<String>,
    /// Where the number stands in the answer: a JSON pointer.
    pub field: String,
    /// It matches from this number on.
    pub threshold: String,
}

/// A model that is asked whether a text matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judge {
    /// The upstream where it is, by name.
    pub upstream: String,
    /// Its name there.
    pub model: String,
    /// The question; its answer must begin with `yes` (a match) or `no`.
    pub prompt: String,
    /// Most tokens of its answer.
    pub answer_tokens: u64,
}

/// What a guard goes by, as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// It matches where one of these regular expressions does.
    Patterns(Vec<String>),
    /// It matches what has more than so many tokens, estimated.
    MaxTokens(u64),
    /// It matches what a classifier gives at least a certain number.
    Classifier(Classifier),
    /// It matches what a model says yes to.
    Judge(Judge),
}

impl Rule {
    /// What kind of rule it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Patterns(_) => "patterns",
            Self::MaxTokens(_) => "max_tokens",
            Self::Classifier(_) => "classifier",
            Self::Judge(_) => "judge",
        }
    }
}

/// How often something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How often it did.
    pub k: u64,
    /// Of how many.
    pub n: u64,
}

/// How often a guard was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// It matched, of the texts that it should not match.
    pub false_refusal: Counts,
    /// It did not match, of the texts that it should match.
    pub miss: Counts,
    /// On which texts, in words.
    pub on: String,
    /// When, as a day.
    pub date: Instant,
    /// The guard that was measured: its definition's digest.
    pub guard: Digest,
    /// The file of texts that it should not match.
    pub good: Option<Digest>,
    /// The file of texts that it should match.
    pub bad: Option<Digest>,
}

/// How a guard decides.
enum Decider {
    Pattern(Arc<Regex>),
    MaxTokens(u64),
    Asks { what: ask::Asked, upstream: Arc<Upstream>, timeout: Duration },
}

/// A guard.
pub struct Guard {
    /// Its name.
    pub name: Arc<str>,
    /// Which way it looks.
    pub side: Side,
    /// What it does.
    pub action: Action,
    /// What happens when it cannot decide.
    pub on_failure: OnFailure,
    /// The longest match that is found in a stream, in bytes.
    pub window: usize,
    /// Only at these models; at every one when empty.
    pub models: Vec<String>,
    /// Only at these stages; at every one when empty.
    pub stages: Vec<Stage>,
    /// What it goes by.
    pub rule: Rule,
    /// Names what it goes by: measured rates belong to this digest.
    pub digest: Digest,
    /// How often it was wrong; none when nobody has measured it.
    pub measured: Option<Measured>,
    decider: Decider,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("name", &self.name).field("rule", &self.rule).finish_non_exhaustive()
    }
}

/// The digest of what a guard goes by. Its action, window and time limit do not change what it matches.
fn digest_of(side: Side, rule: &Rule, upstream: Option<&Upstream>) -> Digest {
    let address = upstream.map(|upstream| match upstream.as_resident() {
        Some(_) => format!("resident {}", upstream.name),
        None => format!("{upstream:?}"),
    });
    let address = address.unwrap_or_default();
    let rule = loadline_core::digest::canonical_json(rule).unwrap_or_default();
    Digest::of_parts("loadline-guard/1", &[side.name().as_bytes(), &rule, address.as_bytes()])
}

/// All patterns as one program. It runs in time linear in the text, whatever the patterns are.
///
/// # Errors
/// Which pattern is wrong, counted from 1, and why.
pub fn compile(patterns: &[String]) -> Result<Regex, (usize, String)> {
    let build = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(MAX_PROGRAM_BYTES).dfa_size_limit(MAX_PROGRAM_BYTES).build()
    };
    let joined: Vec<_> = patterns.iter().map(|pattern| format!("(?:{pattern})")).collect();
    let wrong = |at: usize, error: &str| {
        // Its message shows the pattern over several lines; the last says what is wrong.
        let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        (at, loadline_core::untrusted::one_line(last.trim().trim_start_matches("error: "), 200))
    };
    // Each by itself first: two halves of a group must not make a whole one.
    for (at, pattern) in patterns.iter().enumerate() {
        let one = build(pattern).map_err(|error| wrong(at + 1, &error.to_string()))?;
        if one.is_match("") {
            return Err((at + 1, "it matches the empty text, so it would match everything".to_owned()));
        }
    }
    build(&joined.join("|")).map_err(|error| wrong(patterns.len(), &error.to_string()))
}

/// What a guard is made from, besides its rule.
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) side: Side,
    pub(crate) action: Action,
    pub(crate) on_failure: OnFailure,
    pub(crate) window: usize,
    pub(crate) timeout: Duration,
    pub(crate) models: Vec<String>,
    pub(crate) stages: Vec<Stage>,
    pub(crate) measured: Option<Measured>,
}

impl Guard {
    /// A guard. `upstream` is there for a classifier and a judge.
    pub(crate) fn new(
        settings: Settings,
        rule: Rule,
        upstream: Option<&Arc<Upstream>>,
    ) -> Result<Self, String> {
        let Settings { name, side, action, on_failure, window, timeout, models, stages, measured } = settings;
        let asks = |what| match upstream {
            Some(upstream) => Ok(Decider::Asks { what, upstream: Arc::clone(upstream), timeout }),
            None => Err("its upstream is not known".to_owned()),
        };
        let decider = match &rule {
            Rule::Patterns(patterns) => {
                let compiled = compile(patterns);
                let regex = compiled.map_err(|(at, why)| format!("pattern {at}: {why}"))?;
                Decider::Pattern(Arc::new(regex))
            }
            Rule::MaxTokens(most) => Decider::MaxTokens(*most),
            Rule::Classifier(classifier) => asks(ask::Asked::Classifier(classifier.clone()))?,
            Rule::Judge(judge) => asks(ask::Asked::Judge(judge.clone()))?,
        };
        let digest = digest_of(side, &rule, upstream.map(|upstream| &**upstream));
        let name = name.into();
        Ok(Self { name, side, action, on_failure, window, models, stages, rule, digest, measured, decider })
    }

    /// Whether somebody else is asked.
    pub fn asks(&self) -> bool {
        matches!(self.decider, Decider::Asks { .. })
    }

    /// Whether it looks at what this model gets and gives at this stage.
    pub fn is_for(&self, model: &str, stage: Stage) -> bool {
        (self.models.is_empty() || self.models.iter().any(|name| name == model))
            && (self.stages.is_empty() || self.stages.contains(&stage))
    }

    /// The upstream that it asks, where it asks one.
    pub(crate) fn asked(&self) -> Option<&Arc<Upstream>> {
        match &self.decider {
            Decider::Asks { upstream, .. } => Some(upstream),
            Decider::Pattern(_) | Decider::MaxTokens(_) => None,
        }
    }

    /// Whether it matches any of these texts. Patterns look at them in every form, the others once at all of them.
    /// `passed_ms` is the time by which upstreams remember that they failed.
    ///
    /// # Errors
    /// When a classifier or judge gives no answer, in words.
    pub async fn matches(&self, texts: &Arc<Texts>, dial: &dyn Dial, passed_ms: u64) -> Result<bool, String> {
        match &self.decider {
            Decider::Pattern(regex) => {
                let (regex, texts) = (Arc::clone(regex), Arc::clone(texts));
                let size = texts.bytes();
                aside(size, move || texts.all().iter().any(|text| regex.is_match(text))).await
            }
            Decider::MaxTokens(most) => {
                let bytes: u64 = texts.once().iter().map(|text| text.len() as u64).sum();
                Ok(bytes.div_ceil(BYTES_PER_TOKEN) > *most)
            }
            Decider::Asks { what, upstream, timeout } => {
                let text = texts.once().join("\n");
                let asked = ask::ask(what, upstream, dial, &text, passed_ms);
                let late = |_| Err(format!("no answer within {} ms", timeout.as_millis()));
                tokio::time::timeout(*timeout, asked).await.unwrap_or_else(late)
            }
        }
    }
}

/// Does what takes time in the size of a text, on a thread of its own where that is much: whoever else waits for this one
/// must not wait for it.
///
/// # Errors
/// When it could not be done, in words.
pub(crate) async fn aside<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    if size <= MAX_BYTES_AT_ONCE {
        return Ok(work());
    }
    let turn = ASIDE.acquire().await.map_err(|error| error.to_string())?;
    let work = move || {
        // Held to the end, also when nobody waits for it any more.
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// The guards of one model.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    /// At requests.
    pub input: Vec<Arc<Guard>>,
    /// At answers.
    pub output: Vec<Arc<Guard>>,
}

impl Guards {
    /// Those of `all` that look at this model at this stage. What needs nobody else is asked first.
    pub fn of(all: &[Arc<Guard>], model: &str, stage: Stage) -> Self {
        let on = |side| {
            let mine = all.iter().filter(|guard| guard.side == side && guard.action != Action::Score);
            let mine = mine.filter(|guard| guard.is_for(model, stage));
            let mut mine: Vec<_> = mine.cloned().collect();
            mine.sort_by_key(|guard| guard.asks());
            mine
        };
        Self { input: on(Side::Input), output: on(Side::Output) }
    }

    /// Whether an answer must be whole before anything of it is passed on, a stream too.
    pub(crate) fn need_all(&self) -> bool {
        self.output.iter().any(|guard| guard.asks())
    }
}

/// What a guard did about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Nothing was passed on, or nothing from there on.
    Refused,
    /// It was passed on.
    Flagged,
    /// It could not decide; it was refused.
    FailedClosed,
    /// It could not decide; it was passed on.
    FailedOpen,
}
