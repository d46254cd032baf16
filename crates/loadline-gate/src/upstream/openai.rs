//! OpenAI's wire format for a resident: from a body to a request, and from what is written to events or one answer.
//! What a resident cannot do is refused by name; nothing that would change an answer is passed over.

use loadline_core::model::{Generate, Message, Prompt, Role, Sampling, StopReason, Usage};
use loadline_core::untrusted::one_line;
use serde_json::{Map, Value, json};

use super::Outgoing;
use crate::refusal::{Code, Refusal};

/// The most stop texts of a request, and the longest of them in bytes.
const MOST_STOPS: usize = 16;
const MOST_STOP_BYTES: usize = 1_000;
/// The most messages of a conversation.
const MOST_MESSAGES: usize = 10_000;
/// Tokens of a completion whose request names no limit, as OpenAI's protocol has it.
const COMPLETION_TOKENS: u64 = 16;

/// How an answer looks.
#[derive(Clone, Debug)]
pub(super) struct Form {
    is_chat: bool,
    pub(super) is_stream: bool,
    /// Whether a stream ends with an event that says what was used.
    says_usage: bool,
    id: String,
    created_s: u64,
    model: String,
}

fn refused(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::UpstreamRefused, message)
}

fn wrong(key: &str, expected: &str) -> Refusal {
    refused(format!("`{key}` is not {expected}"))
}

fn unsupported(key: &str) -> Refusal {
    let key = one_line(key, 60);
    refused(format!("`{key}` is not supported by a model in this process; leave it out"))
}

/// Reads a request.
///
/// # Errors
/// What is wrong with it, or not supported.
pub(super) fn read(outgoing: &Outgoing) -> Result<(Generate, Form), Refusal> {
    let is_chat = match outgoing.path {
        "/chat/completions" => true,
        "/completions" => false,
        other => return Err(refused(format!("a model in this process does not answer at `/v1{other}`"))),
    };
    // It was read before; an upstream checks for itself.
    let fields: Map<String, Value> =
        serde_json::from_slice(&outgoing.body).map_err(|_| refused("the body is not a JSON object"))?;
    let prompt = match is_chat {
        true => Prompt::Chat(messages(fields.get("messages").unwrap_or(&Value::Null))?),
        false => Prompt::Text(plain(fields.get("prompt").unwrap_or(&Value::Null))?),
    };
    let mut asked = Asked::default();
    for (key, value) in &fields {
        asked.take(key, value, is_chat)?;
    }
    let id = outgoing.request;
    let default = if is_chat { outgoing.default_output_tokens } else { COMPLETION_TOKENS };
    let sampling = Sampling {
        max_tokens: u32::try_from(asked.most.unwrap_or(default)).unwrap_or(u32::MAX),
        temperature: asked.temperature,
        top_p: asked.top_p,
        stop: asked.stop,
        // Another one for each request, and known from the audit log.
        seed: Some(asked.seed.unwrap_or_else(|| {
            let (first, last) = id.0.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().fold(0, |n: u64, byte| n << 8 | u64::from(*byte));
            number(first) ^ number(last)
        })),
    };
    let form = Form {
        is_chat,
        is_stream: asked.stream,
        says_usage: asked.says_usage,
        id: format!("{}-{id}", if is_chat { "chatcmpl" } else { "cmpl" }),
        created_s: outgoing.at.wall_ms / 1_000,
        model: fields.get("model").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    Ok((Generate { prompt, sampling }, form))
}

/// Everything but the prompt.
#[derive(Default)]
struct Asked {
    most: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop: Vec<String>,
    seed: Option<u64>,
    stream: bool,
    says_usage: bool,
}

impl Asked {
    fn take(&mut self, key: &str, value: &Value, is_chat: bool) -> Result<(), Refusal> {
        if value.is_null() {
            return Ok(());
        }
        let number = || value.as_f64().ok_or_else(|| wrong(key, "a number"));
        let flag = || value.as_bool().ok_or_else(|| wrong(key, "true or false"));
        // What asks for nothing is taken, since many clients send it.
        let only = |nothing: bool| if nothing { Ok(()) } else { Err(unsupported(key)) };
        match key {
            "messages" if is_chat => Ok(()),
            "prompt" if !is_chat => Ok(()),
            // Nothing of this changes an answer.
            "model"
            | "user"
            | "metadata"
            | "store"
            | "service_tier"
            | "safety_identifier"
            | "prompt_cache_key"
            | "parallel_tool_calls" => Ok(()),
            "max_tokens" | "max_completion_tokens" => {
                let count = value.as_u64().ok_or_else(|| wrong(key, "a number of tokens"))?;
                self.most = self.most.max(Some(count));
                Ok(())
            }
            "temperature" => number().map(|number| self.temperature = Some(number)),
            "top_p" => number().map(|number| self.top_p = Some(number)),
            "seed" => {
                let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
                self.seed = Some(seed.ok_or_else(|| wrong(key, "a whole number"))?);
                Ok(())
            }
            "stop" => stops(value).map(|stops| self.stop = stops),
            "stream" => flag().map(|flag| self.stream = flag),
            "stream_options" => {
                let options = value.as_object().ok_or_else(|| wrong(key, "an object"))?;
                let usage = options.get("include_usage").unwrap_or(&Value::Bool(false));
                self.says_usage =
                    usage.as_bool().ok_or_else(|| wrong(key, "`include_usage`: true or false"))?;
                Ok(())
            }
            "n" | "best_of" => only(value.as_u64() == Some(1)),
            "frequency_penalty" | "presence_penalty" => only(value.as_f64() == Some(0.0)),
            "tools" | "functions" => only(value.as_array().is_some_and(Vec::is_empty)),
            "tool_choice" | "function_call" => only(matches!(value.as_str(), Some("none" | "auto"))),
            "logit_bias" => only(value.as_object().is_some_and(Map::is_empty)),
            "logprobs" | "echo" => only(value.as_bool() == Some(false)),
            "top_logprobs" => only(value.as_u64() == Some(0)),
            "suffix" => only(value.as_str() == Some("")),
            "response_format" => only(value["type"].as_str() == Some("text")),
            other => Err(unsupported(other)),
        }
    }
}

fn stops(value: &Value) -> Result<Vec<String>, Refusal> {
    let one = std::slice::from_ref(value);
    let list = value.as_array().map_or(one, Vec::as_slice);
    let text = |value: &Value| value.as_str().filter(|text| text.len() <= MOST_STOP_BYTES).map(str::to_owned);
    let texts = list.iter().map(text).collect::<Option<Vec<_>>>().filter(|list| list.len() <= MOST_STOPS);
    let expected =
        format!("a text or a list of at most {MOST_STOPS}, each of at most {MOST_STOP_BYTES} bytes");
    texts.ok_or_else(|| wrong("stop", &expected))
}

/// The prompt of a completion: one text.
fn plain(value: &Value) -> Result<String, Refusal> {
    let one = match value {
        Value::Array(list) if list.len() == 1 => &list[0],
        other => other,
    };
    one.as_str().map(str::to_owned).ok_or_else(|| wrong("prompt", "one text"))
}

fn messages(value: &Value) -> Result<Vec<Message>, Refusal> {
    let list = value.as_array().filter(|list| (1..=MOST_MESSAGES).contains(&list.len()));
    let list = list.ok_or_else(|| wrong("messages", "a list of messages"))?;
    list.iter().enumerate().map(|(at, value)| message(at, value)).collect()
}

fn message(at: usize, value: &Value) -> Result<Message, Refusal> {
    let role = match value["role"].as_str() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        other => {
            let role = one_line(other.unwrap_or_default(), 40);
            let message =
                format!("`messages[{at}].role` is `{role}`: expected system, developer, user or assistant");
            return Err(refused(message));
        }
    };
    for key in ["tool_calls", "function_call", "audio"] {
        if value
            .get(key)
            .is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|l| !l.is_empty()))
        {
            return Err(unsupported(&format!("messages[{at}].{key}")));
        }
    }
    let text = match &value["content"] {
        Value::String(text) => Some(text.clone()),
        Value::Null if role == Role::Assistant => Some(String::new()),
        Value::Array(parts) => parts
            .iter()
            .map(|part| part["text"].as_str().filter(|_| part["type"] == "text"))
            .collect::<Option<Vec<_>>>()
            .map(|parts| parts.concat()),
        _ => None,
    };
    let content =
        text.ok_or_else(|| wrong(&format!("messages[{at}].content"), "text, or parts that are text"))?;
    Ok(Message { role, content })
}

fn reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Length => "length",
        StopReason::ContentFilter => "content_filter",
        StopReason::Stop | StopReason::Other => "stop",
    }
}

fn usage(usage: Usage) -> Value {
    let Usage { input_tokens, output_tokens } = usage;
    let total = input_tokens.saturating_add(output_tokens);
    json!({ "prompt_tokens": input_tokens, "completion_tokens": output_tokens, "total_tokens": total })
}

impl Form {
    /// An answer that is not streamed.
    pub(super) fn whole(&self, text: &str, stopped: StopReason, used: Usage) -> String {
        let finish = reason(stopped);
        let (object, choice) = match self.is_chat {
            true => {
                let message = json!({ "role": "assistant", "content": text, "refusal": null });
                let choice =
                    json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": finish });
                ("chat.completion", choice)
            }
            false => {
                let choice = json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish });
                ("text_completion", choice)
            }
        };
        let mut answer = self.head(object, json!([choice]));
        answer["usage"] = usage(used);
        answer.to_string()
    }

    fn head(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created_s, "model": self.model, "choices": choices,
        })
    }

    fn event(&self, choices: Value, used: Value) -> String {
        let object = if self.is_chat { "chat.completion.chunk" } else { "text_completion" };
        let mut event = self.head(object, choices);
        if self.says_usage {
            event["usage"] = used;
        }
        format!("data: {event}\n\n")
    }

    fn piece(&self, delta: Value, finish: Value) -> String {
        let mut choice = json!({ "index": 0, "logprobs": null, "finish_reason": finish });
        choice[if self.is_chat { "delta" } else { "text" }] = delta;
        self.event(json!([choice]), Value::Null)
    }

    /// What stands before the first piece of a stream.
    pub(super) fn begin(&self) -> String {
        match self.is_chat {
            true => self.piece(json!({ "role": "assistant", "content": "" }), Value::Null),
            false => String::new(),
        }
    }

    /// A piece of text in a stream.
    pub(super) fn text(&self, text: &str) -> String {
        let delta = if self.is_chat { json!({ "content": text }) } else { json!(text) };
        self.piece(delta, Value::Null)
    }

    /// The end of a stream.
    pub(super) fn end(&self, stopped: StopReason, used: Usage) -> String {
        let nothing = if self.is_chat { json!({}) } else { json!("") };
        let mut events = self.piece(nothing, json!(reason(stopped)));
        if self.says_usage {
            events.push_str(&self.event(json!([]), usage(used)));
        }
        events.push_str("data: [DONE]\n\n");
        events
    }
}
