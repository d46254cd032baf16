//! What guards look at: every text in a request, and every text that a model wrote, after JSON is decoded, so that no
//! escape hides anything.

use std::fmt;

use serde::de::{Deserialize as _, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Keys of the protocols themselves, which say nothing to a model. Every other key is looked at: a model reads the names
/// of a tool's parameters.
const PLAIN_KEYS: &[&str] = &[
    "anyOf",
    "arguments",
    "budget_tokens",
    "cache_control",
    "content",
    "data",
    "default",
    "description",
    "detail",
    "echo",
    "encoding_format",
    "enum",
    "file",
    "frequency_penalty",
    "function",
    "function_call",
    "functions",
    "id",
    "image_url",
    "include_usage",
    "input",
    "input_audio",
    "input_schema",
    "is_error",
    "items",
    "json_schema",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "media_type",
    "messages",
    "metadata",
    "model",
    "n",
    "name",
    "parallel_tool_calls",
    "parameters",
    "presence_penalty",
    "prompt",
    "properties",
    "reasoning_effort",
    "required",
    "response_format",
    "role",
    "schema",
    "seed",
    "source",
    "stop",
    "stop_sequences",
    "store",
    "stream",
    "stream_options",
    "strict",
    "suffix",
    "system",
    "temperature",
    "text",
    "thinking",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tool_use_id",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "type",
    "url",
    "user",
    "user_id",
];

/// Values of `role` and `type` in the protocols themselves.
const PLAIN_WORDS: &[&str] = &[
    "array",
    "assistant",
    "base64",
    "boolean",
    "developer",
    "document",
    "enabled",
    "ephemeral",
    "function",
    "image",
    "image_url",
    "input_audio",
    "integer",
    "json_object",
    "json_schema",
    "number",
    "object",
    "string",
    "system",
    "text",
    "thinking",
    "tool",
    "tool_result",
    "tool_use",
    "user",
];

/// Keys of an answer whose value no model wrote.
const NOT_WRITTEN: &[&str] = &[
    "finish_reason",
    "id",
    "model",
    "object",
    "role",
    "service_tier",
    "stop_reason",
    "stop_sequence",
    "system_fingerprint",
    "type",
];

/// The texts of a request.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Every text, one after the other with line breaks between.
    all: String,
    /// The parts of messages without anything between: some servers put them together so.
    glued: String,
    parts: u32,
    /// The prompt is given as numbers of tokens, which nobody here can read.
    pub(crate) tokens: bool,
}

impl Texts {
    fn add(&mut self, key: &str, text: &str) {
        if matches!(key, "role" | "type") && PLAIN_WORDS.contains(&text) {
            return;
        }
        if key == "text" {
            self.glued.push_str(text);
            self.parts += 1;
        }
        self.all.push_str(text);
        self.all.push('\n');
    }

    /// What is to be looked at: every text first, then the same in other forms.
    pub(crate) fn views(&self) -> Vec<&str> {
        let mut views = vec![self.all.trim_end_matches('\n')];
        views.extend((self.parts > 1).then_some(self.glued.as_str()));
        views
    }
}

/// The texts of a request's body; those of a key that is there twice too, since nobody knows which one counts elsewhere.
/// A body that is not JSON is one text.
pub(crate) fn of_request(body: &[u8]) -> Texts {
    let mut texts = Texts::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Walk { key: "", level: 0, texts: &mut texts }.deserialize(&mut reader);
    if read.is_err() {
        texts.add("", &String::from_utf8_lossy(body));
    }
    texts
}

/// The texts of a request's body, as guards look at them. None when it holds tokens by their numbers.
pub fn texts_of_request(body: &[u8]) -> Option<Vec<String>> {
    let texts = of_request(body);
    (!texts.tokens).then(|| texts.views().into_iter().map(str::to_owned).collect())
}

/// Walks through a JSON value and collects texts on its way; nothing else is kept.
struct Walk<'k, 't> {
    key: &'k str,
    /// How many objects it is inside of.
    level: u32,
    texts: &'t mut Texts,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.texts.add(self.key, text);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.texts.tokens |= self.level == 1 && matches!(self.key, "prompt" | "input");
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Walk { key: self.key, level: self.level, texts: self.texts })?.is_some()
        {
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if !PLAIN_KEYS.contains(&&*key) {
                self.texts.add("", &key);
            }
            map.next_value_seed(Walk { key: &key, level: self.level + 1, texts: self.texts })?;
        }
        Ok(())
    }
}

/// Calls `take` with each text in an answer, or in an event of one, and with the channel that it belongs to: pieces of one
/// channel follow each other. What is not JSON is one text.
pub(crate) fn written(json: &[u8], take: &mut dyn FnMut(&str, &str)) {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = Value::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(value) => walk(&value, &mut String::new(), take),
        Err(_) => take("", &String::from_utf8_lossy(json)),
    }
}

fn walk(value: &Value, path: &mut String, take: &mut dyn FnMut(&str, &str)) {
    let length = path.len();
    match value {
        Value::String(text) if !text.is_empty() => take(path, text),
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                // Events number the members of a list themselves: the second of them may come alone.
                if value.get("index").is_none() {
                    path.push_str(&format!("/{at}"));
                }
                walk(value, path, take);
                path.truncate(length);
            }
        }
        Value::Object(map) => {
            if let Some(index) = map.get("index").and_then(Value::as_u64) {
                path.push_str(&format!("/{index}"));
            }
            let numbered = path.len();
            for (key, value) in map {
                if value.is_string() && NOT_WRITTEN.contains(&key.as_str()) {
                    continue;
                }
                path.push('/');
                path.push_str(key);
                walk(value, path, take);
                path.truncate(numbered);
            }
            path.truncate(length);
        }
        _ => {}
    }
}

/// The texts of a whole answer, one for each channel. `is_stream` says that it is a stream of events.
pub(crate) fn of_answer(body: &[u8], is_stream: bool) -> Vec<String> {
    let mut channels: Vec<(String, String)> = Vec::new();
    let mut take = |channel: &str, text: &str| match channels.iter_mut().find(|(known, _)| known == channel) {
        Some((_, whole)) => whole.push_str(text),
        None => channels.push((channel.to_owned(), text.to_owned())),
    };
    if is_stream {
        for line in body.split(|byte| *byte == b'\n' || *byte == b'\r') {
            if let Some(data) = data_of(line) {
                written(data, &mut take);
            }
        }
    } else {
        written(body, &mut take);
    }
    channels.into_iter().map(|(_, text)| text).collect()
}

/// What a line of a stream holds, where it holds anything that a model may have written.
pub(crate) fn data_of(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:")?.trim_ascii();
    (!data.is_empty() && data != b"[DONE]").then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(body: &str) -> Vec<String> {
        texts_of_request(body.as_bytes()).unwrap()
    }

    #[test]
    fn every_text_is_found_wherever_it_stands_and_however_it_is_spelt() {
        let body = r#"{"model":"m","system":[{"type":"text","text":"s1"}],"messages":[
            {"role":"user","content":"\u0075\u0031"},
            {"role":"user","content":[{"type":"text","text":"for"},{"type":"text","text":"bidden"}]},
            {"role":"odd role","content":"u2","content":"u3"},
            {"role":"tool","tool_call_id":"c","content":[{"type":"tool_result","content":"t1"}]}],
            "tools":[{"function":{"name":"f","parameters":{"properties":{"hidden_key":{"description":"d1"}}}}}]}"#;
        let views = all(body);
        for text in ["s1", "u1", "u2", "u3", "t1", "d1", "hidden_key", "odd role"] {
            assert!(views[0].lines().any(|line| line == text), "{text}: {views:?}");
        }
        assert!(!views[0].contains("user") && !views[0].contains("tool_result"), "{views:?}");
        assert!(views[1].contains("forbidden"), "{views:?}");
    }

    #[test]
    fn tokens_by_number_are_not_read() {
        assert_eq!(texts_of_request(br#"{"model":"m","prompt":[1,2,3]}"#), None);
        assert_eq!(texts_of_request(br#"{"model":"m","input":[[1],[2]]}"#), None);
        assert!(texts_of_request(br#"{"model":"m","max_tokens":3,"prompt":"x"}"#).is_some());
        let tool = br#"{"messages":[{"content":[{"type":"tool_use","input":{"prompt":3}}]}]}"#;
        assert!(texts_of_request(tool).is_some());
    }

    #[test]
    fn pieces_of_one_channel_follow_each_other() {
        let stream = concat!(
            "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"for\"},\"index\":0}]}\n\n",
            "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"else\"},\"index\":1}]}\r\n\r\n",
            "data: {\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"bidden\"},\"index\":0}]}\n\ndata: [DONE]\n\n",
        );
        assert_eq!(of_answer(stream.as_bytes(), true), ["forbidden", "else"]);
        let message = r#"{"id":"x","type":"message","content":[{"type":"text","text":"a"},{"type":"tool_use","name":"f","input":{"q":"b"}}]}"#;
        assert_eq!(of_answer(message.as_bytes(), false), ["a", "b", "f"]);
        assert_eq!(of_answer(b"no json", false), ["no json"]);
    }
}
