//! Chat completions and completions as OpenAI, vLLM and llama.cpp's relatives speak them.

use serde_json::{Value, json};

use super::fault::Fault;
use super::reply::Reply;
use super::serve::last_text;
use super::tokens::tokenize;
use super::{Api, Ask, Builder, Echo};

/// What is asked: the last user message, or the first text to complete.
pub(super) fn prompt(body: &Value) -> String {
    last_text(&body["messages"]).or_else(|| prompts(body).into_iter().next()).unwrap_or_default()
}

fn prompts(body: &Value) -> Vec<String> {
    match &body["prompt"] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// `GET /v1/models`
pub(super) fn models(behaviour: &Builder) -> Reply {
    let names = if behaviour.models.is_empty() { vec!["mock".to_owned()] } else { behaviour.models.clone() };
    let data: Vec<Value> = names.iter().map(|name| json!({ "id": name, "object": "model" })).collect();
    Reply::json(200, &json!({ "object": "list", "data": data }))
}

/// `POST /v1/embeddings`
pub(super) fn embeddings(ask: &Ask) -> Reply {
    let read = ask.body["input"].as_str().map_or(0, |text| tokenize(text).len());
    let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.5, -0.25] }]);
    let usage = json!({ "prompt_tokens": read, "total_tokens": read });
    Reply::json(200, &json!({ "object": "list", "data": data, "model": ask.model, "usage": usage }))
}

/// What the model wrote and why it stopped.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) finish: &'static str,
}

/// Applies stop texts and the token limit to an answer.
pub(super) fn limit(answer: &str, stops: &Value, max_tokens: Option<u64>) -> Written {
    let stops: Vec<&str> = match stops {
        Value::String(stop) => vec![stop],
        Value::Array(stops) => stops.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let end = stops.iter().filter_map(|stop| answer.find(stop)).min().unwrap_or(answer.len());
    let tokens = tokenize(&answer[..end]);
    let most = max_tokens.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    if tokens.len() > most {
        return Written { text: tokens[..most].concat(), finish: "length" };
    }
    Written { text: answer[..end].to_owned(), finish: "stop" }
}

pub(super) fn answer(behaviour: &Builder, ask: &Ask, fault: Option<&Fault>) -> Reply {
    let body = &ask.body;
    if body["stop"].as_array().is_some_and(|stops| stops.len() > 4) {
        return Reply::error(400, "invalid_request_error", "`stop` may have at most 4 texts");
    }
    let max_tokens = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    if ask.api == Api::Completions && body["echo"] == true {
        return echo(behaviour, ask, max_tokens.unwrap_or(16));
    }
    let written = limit(&(behaviour.answer)(ask), &body["stop"], max_tokens);
    let thought = behaviour.reasoning.as_ref().filter(|_| ask.api == Api::Chat);
    let mut usage = usage(&ask.prompt, &written.text, thought.map_or("", String::as_str));
    if let Some(Fault::Lies(tokens)) = fault {
        usage = json!({ "prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1 });
    }
    if body["stream"] == true {
        return stream(ask, fault, &written, thought, &usage);
    }
    let choice = match (ask.api, fault) {
        (Api::Completions, _) => {
            json!({ "index": 0, "text": written.text, "finish_reason": written.finish, "logprobs": null })
        }
        (_, fault) => {
            let (content, refusal, finish) = content(&written, fault);
            let mut message = json!({ "role": "assistant", "content": content, "refusal": refusal });
            if let Some(thought) = thought {
                message["reasoning_content"] = json!(thought);
            }
            json!({ "index": 0, "message": message, "finish_reason": finish, "logprobs": null })
        }
    };
    Reply::json(200, &envelope(ask, &[choice], &usage))
}

fn content(written: &Written, fault: Option<&Fault>) -> (Value, Value, &'static str) {
    match fault {
        Some(Fault::NullContent) => (Value::Null, Value::Null, written.finish),
        Some(Fault::Refusal) => (Value::Null, json!("I cannot help with that."), "stop"),
        Some(Fault::ContentFilter) => (Value::Null, Value::Null, "content_filter"),
        _ => (json!(written.text), Value::Null, written.finish),
    }
}

fn usage(read: &str, written: &str, thought: &str) -> Value {
    let (read, written) = (tokenize(read).len(), tokenize(written).len() + tokenize(thought).len());
    json!({ "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written })
}

fn envelope(ask: &Ask, choices: &[Value], usage: &Value) -> Value {
    let object = if ask.api == Api::Chat { "chat.completion" } else { "text_completion" };
    json!({
        "id": format!("cmpl-{}", ask.index), "object": object, "created": 1_700_000_000,
        "model": ask.model, "choices": choices, "usage": usage,
    })
}

fn stream(
    ask: &Ask,
    fault: Option<&Fault>,
    written: &Written,
    thought: Option<&String>,
    usage: &Value,
) -> Reply {
    let object = if ask.api == Api::Chat { "chat.completion.chunk" } else { "text_completion" };
    let event = |choices: Value, usage: Value| {
        let chunk =
            json!({ "id": "1", "object": object, "model": ask.model, "choices": choices, "usage": usage });
        format!("data: {chunk}\n\n")
    };
    let piece = |delta: Value, text: &str, finish: Value| {
        let choice = match ask.api {
            Api::Chat => json!([{ "index": 0, "delta": delta, "finish_reason": finish }]),
            _ => json!([{ "index": 0, "text": text, "finish_reason": finish }]),
        };
        event(choice, Value::Null)
    };
    let (content, refusal, finish) = content(written, fault);
    let mut events = vec![piece(json!({ "role": "assistant", "content": "" }), "", Value::Null)];
    events.extend(thought.map(|thought| piece(json!({ "reasoning_content": thought }), "", Value::Null)));
    for token in tokenize(content.as_str().unwrap_or_default()) {
        events.push(piece(json!({ "content": token }), token, Value::Null));
    }
    if !refusal.is_null() {
        events.push(piece(json!({ "refusal": refusal }), "", Value::Null));
    }
    events.push(piece(json!({}), "", json!(finish)));
    if ask.body["stream_options"]["include_usage"] == true {
        events.push(event(json!([]), usage.clone()));
    }
    events.push("data: [DONE]\n\n".to_owned());
    Reply::events(events)
}

fn echo(behaviour: &Builder, ask: &Ask, max_tokens: u64) -> Reply {
    let prompts = prompts(&ask.body);
    let written = match behaviour.echo {
        Echo::Rejected => return Reply::error(400, "invalid_request_error", "Only no echo is supported"),
        Echo::OneByOne if prompts.len() != 1 => return Reply::error(500, "server_error", "one prompt only"),
        Echo::OneByOne => max_tokens.max(1),
        Echo::Ignored | Echo::Full => max_tokens,
    };
    let more: Vec<&str> =
        [" and", " so", " on"].into_iter().cycle().take(usize::try_from(written).unwrap_or(0)).collect();
    let mut read = 0;
    let mut choices = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        read += tokenize(prompt).len();
        let shown = if behaviour.echo == Echo::Ignored { "" } else { prompt };
        let logprobs = logprobs(behaviour, shown, &more);
        let text = format!("{shown}{}", more.concat());
        choices
            .push(json!({ "index": index, "text": text, "finish_reason": "length", "logprobs": logprobs }));
    }
    let usage = json!({ "prompt_tokens": read, "completion_tokens": more.len() * prompts.len() });
    Reply::json(200, &envelope(ask, &choices, &usage))
}

/// Log-probabilities of the tokens of a text and of what was written after it; offsets count characters.
fn logprobs(behaviour: &Builder, text: &str, more: &[&str]) -> Value {
    let (mut tokens, mut token_logprobs, mut top, mut offsets) = (vec![], vec![], vec![], vec![]);
    let (mut before, mut offset) = (String::new(), 0);
    let start = behaviour.start_token.as_deref().filter(|_| !text.is_empty());
    for token in start.into_iter().chain(tokenize(text)).chain(more.iter().copied()) {
        let logprob = (!tokens.is_empty()).then(|| (behaviour.logprob)(&before, token));
        top.push(match logprob {
            None => Value::Null,
            Some(logprob) if logprob >= -1.0 => json!({ token: logprob }),
            Some(logprob) => json!({ "\u{2}other": -0.9, token: logprob }),
        });
        token_logprobs.push(logprob);
        tokens.push(token);
        offsets.push(offset);
        offset += token.chars().count();
        if start != Some(token) || tokens.len() > 1 {
            before.push_str(token);
        }
    }
    json!({ "tokens": tokens, "token_logprobs": token_logprobs, "top_logprobs": top, "text_offset": offsets })
}
