//! Anthropic's messages.

use serde_json::{Value, json};

use super::fault::Fault;
use super::openai::{Written, limit};
use super::reply::Reply;
use super::tokens::tokenize;
use super::{Ask, Builder};

pub(super) fn answer(behaviour: &Builder, ask: &Ask, fault: Option<&Fault>) -> Reply {
    let body = &ask.body;
    let Some(max_tokens) = body["max_tokens"].as_u64() else {
        return Reply::error(400, "invalid_request_error", "max_tokens: Field required");
    };
    let is_turn = |message: &Value| message["role"] == "user" || message["role"] == "assistant";
    if !body["messages"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_turn)) {
        return Reply::error(400, "invalid_request_error", "messages: roles must be user or assistant");
    }
    let mut written = limit(&(behaviour.answer)(ask), &body["stop_sequences"], Some(max_tokens));
    let stop_reason = match fault {
        Some(Fault::Refusal | Fault::ContentFilter) => "refusal",
        _ if written.finish == "length" => "max_tokens",
        _ => "end_turn",
    };
    if matches!(fault, Some(Fault::NullContent | Fault::Refusal | Fault::ContentFilter)) {
        written.text.clear();
    }
    let thought = behaviour.reasoning.as_deref();
    let read = tokenize(&ask.prompt).len();
    let wrote = tokenize(&written.text).len() + tokenize(thought.unwrap_or_default()).len();
    if body["stream"] == true {
        return stream(ask, &written, thought, stop_reason, read, wrote);
    }
    let mut content: Vec<Value> = Vec::new();
    content
        .extend(thought.map(|thought| json!({ "type": "thinking", "thinking": thought, "signature": "s" })));
    if !written.text.is_empty() {
        content.push(json!({ "type": "text", "text": written.text }));
    }
    let mut message = message(ask, read, wrote);
    message["content"] = json!(content);
    message["stop_reason"] = json!(stop_reason);
    Reply::json(200, &message)
}

fn message(ask: &Ask, read: usize, wrote: usize) -> Value {
    json!({
        "id": format!("msg_{}", ask.index), "type": "message", "role": "assistant", "model": ask.model,
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": { "input_tokens": read, "output_tokens": wrote },
    })
}

fn stream(
    ask: &Ask,
    written: &Written,
    thought: Option<&str>,
    stop: &str,
    read: usize,
    wrote: usize,
) -> Reply {
    let event = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let mut events = vec![event("message_start", json!({ "message": message(ask, read, 1) }))];
    let mut blocks: Vec<(Value, Vec<Value>)> = Vec::new();
    if let Some(thought) = thought {
        let delta = json!({ "type": "thinking_delta", "thinking": thought });
        blocks.push((json!({ "type": "thinking", "thinking": "" }), vec![delta]));
    }
    let text =
        tokenize(&written.text).into_iter().map(|token| json!({ "type": "text_delta", "text": token }));
    blocks.push((json!({ "type": "text", "text": "" }), text.collect()));
    for (index, (block, deltas)) in blocks.into_iter().enumerate() {
        events.push(event("content_block_start", json!({ "index": index, "content_block": block })));
        events.push(event("ping", json!({})));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| event("content_block_delta", json!({ "index": index, "delta": delta }))),
        );
        events.push(event("content_block_stop", json!({ "index": index })));
    }
    let delta = json!({ "stop_reason": stop, "stop_sequence": null });
    events.push(event("message_delta", json!({ "delta": delta, "usage": { "output_tokens": wrote } })));
    events.push(event("message_stop", json!({})));
    Reply::events(events)
}
