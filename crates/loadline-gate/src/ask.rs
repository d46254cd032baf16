//! What is looked at in a request's body. Only a few fields are; the rest is checked to be JSON and passed on as it came.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use loadline_core::untrusted::one_line;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::refusal::{Code, Refusal};

/// The longest model name that is read, in bytes.
const MAX_MODEL_BYTES: usize = 200;
/// The most answers to one request.
const MAX_CHOICES: u64 = 128;

/// What is known of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The model, by its public name.
    pub model: String,
    /// Where the model stands in the body, with its quotation marks.
    model_at: Range<usize>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The most tokens of all answers together, where the request says so.
    pub max_output_tokens: Option<u64>,
    /// Whether tools are offered.
    pub tools: bool,
}

/// The fields that are looked at. A field that is there twice is refused, however it is spelt.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    best_of: Option<u64>,
    #[serde(default)]
    tools: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    functions: Option<Vec<IgnoredAny>>,
}

impl Ask {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is not UTF-8, not JSON, nested too deep, or one of the fields is not what it should be.
    pub fn read(body: &[u8], most_depth: usize) -> Result<Self, Refusal> {
        let bad = |message: String| Refusal::new(Code::BadRequest, message);
        let text = std::str::from_utf8(body).map_err(|error| {
            bad(format!("the body is not UTF-8: it breaks at byte {}", error.valid_up_to()))
        })?;
        if let Some(at) = too_deep(body, most_depth) {
            return Err(bad(format!("the body is nested deeper than {most_depth} at byte {at}")));
        }
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| {
            bad(format!("the body is not a request: {}", one_line(&error.to_string(), 200)))
        })?;
        let raw = fields.model.get();
        let model: Cow<'_, str> =
            serde_json::from_str(raw).map_err(|_| bad("`model` is not a text".to_owned()))?;
        if model.is_empty() || model.len() > MAX_MODEL_BYTES || model.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(bad(format!("`{}` is not a model name", one_line(&model, 60))));
        }
        let choices = fields.n.unwrap_or(1).max(fields.best_of.unwrap_or(1));
        if choices > MAX_CHOICES {
            return Err(bad(format!("{choices} answers are asked for; at most {MAX_CHOICES} may be")));
        }
        let tokens = fields.max_completion_tokens.max(fields.max_tokens);
        let offered = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let start = raw.as_ptr() as usize - text.as_ptr() as usize;
        Ok(Self {
            model: model.into_owned(),
            model_at: start..start + raw.len(),
            stream: fields.stream.unwrap_or(false),
            max_output_tokens: tokens.map(|tokens| tokens.saturating_mul(choices)),
            tools: offered(&fields.tools) || offered(&fields.functions),
        })
    }

    /// The body for the upstream: as it came, with the model's name there.
    pub fn with_model(&self, body: &Bytes, model: &str) -> Bytes {
        if model == self.model {
            return body.clone();
        }
        let name = serde_json::Value::from(model).to_string();
        let mut changed = Vec::with_capacity(body.len() + name.len());
        changed.extend_from_slice(&body[..self.model_at.start]);
        changed.extend_from_slice(name.as_bytes());
        changed.extend_from_slice(&body[self.model_at.end..]);
        Bytes::from(changed)
    }
}

/// Where JSON is nested deeper than it may be, if anywhere. One pass, no memory; what is not JSON is found later.
fn too_deep(body: &[u8], most: usize) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > most {
                    return Some(at);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Ask, String> {
        Ask::read(text.as_bytes(), 16).map_err(|refusal| refusal.message)
    }

    #[test]
    fn reads_what_it_needs_and_changes_the_model_only() {
        let text = r#"{"messages":[{"role":"user","content":"{\"model\":\"x\"}"}], "model" : "a/b", "n":2,"max_tokens":10,"stream":true,"tools":[]}"#;
        let ask = read(text).unwrap();
        assert_eq!((ask.model.as_str(), ask.stream, ask.tools), ("a/b", true, false));
        assert_eq!(ask.max_output_tokens, Some(20));
        let changed = ask.with_model(&Bytes::from_static(text.as_bytes()), "c\"d");
        assert_eq!(changed, text.replace(r#""a/b""#, r#""c\"d""#).as_bytes());
        assert_eq!(ask.with_model(&Bytes::from_static(text.as_bytes()), "a/b"), text.as_bytes());
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        let ask = read(r#"{"mod\u0065l":"\u0061/b"}"#).unwrap();
        assert_eq!(ask.model, "a/b");
        assert_eq!(
            ask.with_model(&Bytes::from_static(br#"{"mod\u0065l":"\u0061/b"}"#), "c"),
            r#"{"mod\u0065l":"c"}"#.as_bytes()
        );
    }

    #[test]
    fn tricks_are_refused() {
        for (text, why) in [
            (r#"{"model":"a","model":"b"}"#, "duplicate field"),
            (r#"{"model":"a","mod\u0065l":"b"}"#, "duplicate field"),
            (r#"{"model":"a","max_tokens":1,"max_tokens":9}"#, "duplicate field"),
            (r#"{"model":"a","stream":"yes"}"#, "expected a boolean"),
            (r#"{"model":"a","max_tokens":-1}"#, "invalid value"),
            (r#"{"model":["a"]}"#, "`model` is not a text"),
            (r#"{"model":""}"#, "not a model name"),
            (r#"{"model":"a b"}"#, "not a model name"),
            ("{\"model\":\"a\\u0000\"}", "not a model name"),
            ("{\"model\":\"\\u202ea\"}", "not a model name"),
            (r#"{"messages":[]}"#, "missing field `model`"),
            (r#"{"model":"a"} {"model":"b"}"#, "trailing characters"),
            (r#"{"model":"a","x":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}"#, "deeper than 16"),
            (r#"{"model":"a","n":1000000}"#, "at most 128"),
            ("[]", "invalid"),
            ("", "EOF"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(
            Ask::read(b"{\"model\":\"\xff\"}", 9)
                .unwrap_err()
                .message
                .contains("not UTF-8: it breaks at byte 10")
        );
    }

    #[test]
    fn brackets_in_texts_are_no_nesting() {
        let many = "[".repeat(1_000);
        assert!(read(&format!(r#"{{"model":"a","x":"{many}\"{many}"}}"#)).is_ok());
    }
}
