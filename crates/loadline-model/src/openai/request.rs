//! What is sent to an OpenAI-compatible endpoint.

use loadline_core::ModelError;
use loadline_core::ModelErrorKind;
use loadline_core::model::{Generate, Message, Prompt, Sampling};
use serde::Serialize;

use crate::options::{HttpOptions, MaxTokensField};

/// Most stop texts that the protocol takes; the rest are applied to what comes back.
const STOP_LIMIT: usize = 4;

/// The body of a chat completion or a completion: one of `messages` and `prompt` is there.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Messages<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Messages<'a> {
    Chat(&'a [Message]),
    Text([UserText<'a>; 1]),
}

#[derive(Serialize)]
struct UserText<'a> {
    role: &'static str,
    content: &'a str,
}

/// The body of a chat completion.
pub(super) fn chat(
    model: &str,
    options: &HttpOptions,
    field: MaxTokensField,
    asked: &Generate,
) -> Result<Vec<u8>, ModelError> {
    let messages = match &asked.prompt {
        Prompt::Chat(messages) => Messages::Chat(messages),
        Prompt::Text(text) => Messages::Text([UserText { role: "user", content: text }]),
    };
    let length = asked.prompt_bytes();
    let body = Body { messages: Some(messages), ..body(model, options, field, &asked.sampling) };
    serialize(&body, &options.more_body, length)
}

/// The body of a completion of a plain text.
pub(super) fn completion(
    model: &str,
    options: &HttpOptions,
    prompt: &str,
    sampling: &Sampling,
) -> Result<Vec<u8>, ModelError> {
    let field = options.max_tokens_field.unwrap_or(MaxTokensField::MaxTokens);
    let body = Body { prompt: Some(prompt), ..body(model, options, field, sampling) };
    serialize(&body, &options.more_body, prompt.len())
}

fn body<'a>(
    model: &'a str,
    options: &HttpOptions,
    field: MaxTokensField,
    sampling: &'a Sampling,
) -> Body<'a> {
    let limit = |this| (field == this).then_some(sampling.max_tokens);
    let stop = &sampling.stop[..sampling.stop.len().min(STOP_LIMIT)];
    Body {
        model,
        messages: None,
        prompt: None,
        max_tokens: limit(MaxTokensField::MaxTokens),
        max_completion_tokens: limit(MaxTokensField::MaxCompletionTokens),
        temperature: sampling.temperature.filter(|_| options.sends("temperature")),
        top_p: sampling.top_p.filter(|_| options.sends("top_p")),
        stop: Some(stop).filter(|stop| !stop.is_empty() && options.sends("stop")),
        seed: sampling.seed.filter(|_| options.sends("seed")),
        stream: options.stream.then_some(true),
        stream_options: options.stream.then_some(StreamOptions { include_usage: true }),
    }
}

/// The body that asks for the log-probabilities of the tokens of texts. With one text it is sent bare, since not
/// every server takes a list.
#[derive(Serialize)]
struct Echo<'a> {
    model: &'a str,
    prompt: Texts<'a>,
    max_tokens: u32,
    echo: bool,
    logprobs: u32,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Texts<'a> {
    One(&'a str),
    Many(&'a [String]),
}

/// See [`Echo`].
pub(super) fn echo(
    model: &str,
    options: &HttpOptions,
    texts: &[String],
    max_tokens: u32,
) -> Result<Vec<u8>, ModelError> {
    let prompt = match texts {
        [only] => Texts::One(only),
        many => Texts::Many(many),
    };
    let body = Echo { model, prompt, max_tokens, echo: true, logprobs: 1 };
    serialize(&body, &options.more_body, texts.iter().map(String::len).sum())
}

/// Serialises a body, with the user's own fields behind its own.
pub(crate) fn serialize(body: &impl Serialize, more: &str, text_bytes: usize) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::with_capacity(text_bytes + text_bytes / 8 + 256);
    serde_json::to_writer(&mut bytes, body).map_err(|error| {
        ModelError::new(ModelErrorKind::Internal, format!("the request cannot be written as JSON: {error}"))
    })?;
    if !more.is_empty() {
        bytes.pop();
        bytes.push(b',');
        bytes.extend_from_slice(more.as_bytes());
        bytes.push(b'}');
    }
    Ok(bytes)
}

/// How long a prompt is, for sizing a buffer.
pub(crate) trait PromptBytes {
    /// Bytes of text in it.
    fn prompt_bytes(&self) -> usize;
}

impl PromptBytes for Generate {
    fn prompt_bytes(&self) -> usize {
        match &self.prompt {
            Prompt::Text(text) => text.len(),
            Prompt::Chat(messages) => messages.iter().map(|message| message.content.len() + 40).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::options::ModelArgs;

    fn sampling() -> Sampling {
        let stop = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        Sampling { max_tokens: 9, temperature: Some(0.0), top_p: None, stop, seed: Some(7) }
    }

    fn options(pairs: &[&str]) -> HttpOptions {
        HttpOptions::from_args("openai", &ModelArgs::parse(None, pairs).unwrap()).unwrap()
    }

    fn read(body: Result<Vec<u8>, ModelError>) -> Value {
        serde_json::from_slice(&body.unwrap()).unwrap()
    }

    #[test]
    fn a_chat_body_is_what_the_protocol_says() {
        let asked = Generate { prompt: Prompt::Text("hi \"there\"".to_owned()), sampling: sampling() };
        let body = read(chat("m", &options(&[]), MaxTokensField::MaxTokens, &asked));
        let expected = json!({
            "model": "m", "messages": [{ "role": "user", "content": "hi \"there\"" }],
            "max_tokens": 9, "temperature": 0.0, "stop": ["a", "b", "c", "d"], "seed": 7,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn options_change_the_body() {
        let asked = Generate { prompt: Prompt::user("hi"), sampling: sampling() };
        let options =
            options(&["stream=true", "omit=temperature,stop", "body={\"reasoning_effort\": \"low\"}"]);
        let body = read(chat("m", &options, MaxTokensField::MaxCompletionTokens, &asked));
        let expected = json!({
            "model": "m", "messages": [{ "role": "user", "content": "hi" }], "max_completion_tokens": 9, "seed": 7,
            "stream": true, "stream_options": { "include_usage": true }, "reasoning_effort": "low",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn one_text_goes_bare_and_several_as_a_list() {
        let body = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|&text| text.to_owned()).collect();
            read(echo("m", &options(&[]), &texts, 0))
        };
        assert_eq!(
            body(&["a"]),
            json!({ "model": "m", "prompt": "a", "max_tokens": 0, "echo": true, "logprobs": 1 })
        );
        assert_eq!(body(&["a", "b"])["prompt"], json!(["a", "b"]));
    }
}
