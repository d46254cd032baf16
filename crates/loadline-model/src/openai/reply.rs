//! What an OpenAI-compatible endpoint sends back.

use std::fmt;

use loadline_core::model::{ModelOutput, StopReason, Usage};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de::IgnoredAny};

/// A whole answer, of chat completions and of completions.
#[derive(Deserialize)]
pub(super) struct Reply {
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) usage: Option<Tokens>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    /// Which of several prompts it answers.
    #[serde(default)]
    pub(super) index: usize,
    #[serde(default)]
    pub(super) message: Option<Piece>,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) finish_reason: Option<Finish>,
    #[serde(default)]
    pub(super) logprobs: Option<Logprobs>,
}

/// One event of a streamed answer.
#[derive(Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) choices: Option<Vec<ChunkChoice>>,
    #[serde(default)]
    pub(super) usage: Option<Tokens>,
    #[serde(default)]
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct ChunkChoice {
    #[serde(default)]
    pub(super) index: usize,
    #[serde(default)]
    pub(super) delta: Option<Piece>,
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) finish_reason: Option<Finish>,
}

/// A message, or a piece of one. Reasoning has fields of its own (`reasoning_content`, `reasoning`), which are left
/// unread: it is not part of the answer, and `usage` counts it.
#[derive(Default, Deserialize)]
pub(super) struct Piece {
    #[serde(default)]
    pub(super) content: Content,
    #[serde(default)]
    pub(super) refusal: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Tokens {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.prompt_tokens.unwrap_or(0),
            output_tokens: tokens.completion_tokens.unwrap_or(0),
        }
    }
}

/// Why it stopped, by the names in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Finish {
    #[serde(alias = "eos", alias = "eos_token", alias = "stop_sequence", alias = "end_turn")]
    Stop,
    #[serde(alias = "max_tokens", alias = "max_length")]
    Length,
    #[serde(alias = "safety")]
    ContentFilter,
    #[serde(other)]
    Other,
}

impl From<Finish> for StopReason {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Stop => Self::Stop,
            Finish::Length => Self::Length,
            Finish::ContentFilter => Self::ContentFilter,
            Finish::Other => Self::Other,
        }
    }
}

/// Log-probabilities of the tokens of a completion.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Logprobs {
    #[serde(default)]
    pub(super) tokens: Vec<String>,
    #[serde(default)]
    pub(super) token_logprobs: Vec<Option<f64>>,
    #[serde(default)]
    pub(super) top_logprobs: Option<Vec<Option<Likeliest>>>,
    #[serde(default)]
    pub(super) text_offset: Option<Vec<usize>>,
}

/// The highest of the log-probabilities at one place; which token has it does not matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Likeliest(pub(super) f64);

impl<'de> Deserialize<'de> for Likeliest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;
        impl<'de> Visitor<'de> for Tokens {
            type Value = Likeliest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from tokens to log-probabilities")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Likeliest, A::Error> {
                let mut highest = f64::NEG_INFINITY;
                while let Some((_, logprob)) = map.next_entry::<IgnoredAny, Option<f64>>()? {
                    highest = highest.max(logprob.unwrap_or(f64::NEG_INFINITY));
                }
                Ok(Likeliest(highest))
            }
        }
        deserializer.deserialize_map(Tokens)
    }
}

/// Text as a string, as null, or as a list of parts of which those of type `text` count.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content(pub(super) String);

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of parts or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
        Ok(Content(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            text: Option<String>,
        }
        let mut all = String::new();
        while let Some(part) = parts.next_element::<Part>()? {
            all.extend(part.text);
        }
        Ok(Content(all))
    }
}

/// What is written so far, whole or piece by piece.
#[derive(Default)]
pub(super) struct Writing {
    text: String,
    refusal: String,
    pub(super) finish: Option<Finish>,
    usage: Usage,
}

impl Writing {
    pub(super) fn add(&mut self, piece: Option<Piece>, text: Option<String>, finish: Option<Finish>) {
        let Piece { content, refusal } = piece.unwrap_or_default();
        for more in [content.0, text.unwrap_or_default()] {
            if self.text.is_empty() { self.text = more } else { self.text.push_str(&more) }
        }
        self.refusal.push_str(&refusal.unwrap_or_default());
        self.finish = finish.or(self.finish);
    }

    pub(super) fn used(&mut self, tokens: Option<Tokens>) {
        if let Some(tokens) = tokens {
            self.usage = tokens.into();
        }
    }

    /// The answer, ended at the first stop text: servers take few of them, and some leave the text in.
    pub(super) fn finish(self, stops: &[String]) -> ModelOutput {
        let Self { text, refusal, finish, usage } = self;
        let mut stop_reason = finish.map_or(StopReason::Other, StopReason::from);
        // What a model says in refusing is its answer; a scorer will find it wrong, not missing.
        let mut completion = if text.is_empty() && !refusal.is_empty() {
            stop_reason = StopReason::Other;
            refusal
        } else {
            text
        };
        if cut_at_stop(&mut completion, stops) {
            stop_reason = StopReason::Stop;
        }
        ModelOutput { completion, stop_reason, loglikelihoods: Vec::new(), usage }
    }
}

/// Ends a text before the earliest stop text in it; says whether there was one.
pub(crate) fn cut_at_stop(text: &mut String, stops: &[String]) -> bool {
    let end = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min();
    if let Some(end) = end {
        text.truncate(end);
    }
    end.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(body: &str, stops: &[&str]) -> ModelOutput {
        let reply: Reply = serde_json::from_str(body).unwrap();
        let mut writing = Writing::default();
        writing.used(reply.usage);
        let choice = reply.choices.into_iter().next().unwrap();
        writing.add(choice.message, choice.text, choice.finish_reason);
        writing.finish(&stops.iter().map(|&stop| stop.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_shape_of_content_is_read() {
        let shapes = [
            (r#""content": "a\"b""#, "a\"b"),
            (r#""content": null"#, ""),
            (r#""role": "assistant""#, ""),
            (r#""content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "x"}]"#, "x"),
            (r#""content": "x", "reasoning_content": "hm""#, "x"),
            (r#""content": null, "refusal": "no""#, "no"),
        ];
        for (message, expected) in shapes {
            let body = format!(r#"{{"choices": [{{"message": {{{message}}}, "finish_reason": "stop"}}]}}"#);
            assert_eq!(output(&body, &[]).completion, expected, "{message}");
        }
    }

    #[test]
    fn every_reason_to_stop_is_read() {
        for (reason, expected) in [
            ("\"stop\"", StopReason::Stop),
            ("\"eos_token\"", StopReason::Stop),
            ("\"length\"", StopReason::Length),
            ("\"content_filter\"", StopReason::ContentFilter),
            ("\"tool_calls\"", StopReason::Other),
            ("null", StopReason::Other),
        ] {
            let body = format!(r#"{{"choices": [{{"text": "x", "finish_reason": {reason}}}]}}"#);
            assert_eq!(output(&body, &[]).stop_reason, expected, "{reason}");
        }
    }

    #[test]
    fn stop_texts_end_the_answer_here_too() {
        let body = r#"{"choices": [{"text": "one\ntwo;three", "finish_reason": "length"}]}"#;
        let cut = output(body, &["!", "", ";", "\n"]);
        assert_eq!((cut.completion.as_str(), cut.stop_reason), ("one", StopReason::Stop));
        let whole = output(body, &["!"]);
        assert_eq!((whole.completion.as_str(), whole.stop_reason), ("one\ntwo;three", StopReason::Length));
    }

    #[test]
    fn usage_may_be_missing_or_partly_null() {
        let usage = |usage: &str| output(&format!(r#"{{"choices": [{{"text": "x"}}]{usage}}}"#), &[]).usage;
        assert_eq!(usage(""), Usage::default());
        assert_eq!(usage(r#", "usage": null"#), Usage::default());
        let partly = usage(r#", "usage": {"prompt_tokens": 3, "completion_tokens": null}"#);
        assert_eq!(partly, Usage { input_tokens: 3, output_tokens: 0 });
    }
}
