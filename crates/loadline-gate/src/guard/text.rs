//! What guards look at: every text in a request, and every text that a model wrote, after JSON is decoded, so that no
//! escape hides anything.

use std::fmt;

use serde::de::{Deserialize as _, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::escape::Unescape;

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

/// Keys whose value is JSON inside a string: what a model gives to a tool.
const ARGUMENTS: &[&str] = &["arguments", "partial_json"];

/// Whether everything below this key is a tool's, and nothing of it the protocol's.
fn is_of_a_tool(key: &str) -> bool {
    key == "input" || ARGUMENTS.contains(&key)
}

/// What guards look at.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    texts: Vec<String>,
    /// So many of them are the text itself; those that follow hold the same in other forms.
    once: usize,
}

impl From<String> for Texts {
    fn from(text: String) -> Self {
        Self { texts: vec![text], once: 1 }
    }
}

impl Texts {
    /// Every text in every form, one by one.
    pub(crate) fn all(&self) -> &[String] {
        &self.texts
    }

    /// Every text once.
    pub(crate) fn once(&self) -> &[String] {
        &self.texts[..self.once]
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }
}

/// What is found in a request.
#[derive(Debug, Default)]
struct Found {
    /// Every text, one after the other with line breaks between.
    all: String,
    /// The parts of messages without anything between: some servers put them together so.
    glued: String,
    parts: u32,
    /// The texts in JSON that stands in a string, once more decoded.
    decoded: String,
    /// The prompt is given as numbers of tokens, which nobody here can read.
    tokens: bool,
}

impl Found {
    fn add(&mut self, key: &str, text: &str) {
        if key == "text" {
            self.glued.push_str(text);
            self.parts += 1;
        }
        self.all.push_str(text);
        self.all.push('\n');
    }
}

/// The texts of a request's body; those of a key that is there twice too, since nobody knows which one counts elsewhere.
/// A body that is not JSON is one text. None when it holds tokens by their numbers.
pub fn texts_of_request(body: &[u8]) -> Option<Texts> {
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let walk = Walk { key: "", level: 0, is_tool: false, found: &mut found };
    if walk.deserialize(&mut reader).and_then(|()| reader.end()).is_err() {
        found.add("", &String::from_utf8_lossy(body));
    }
    if found.tokens {
        return None;
    }
    found.all.truncate(found.all.trim_end_matches('\n').len());
    let mut texts = vec![found.all];
    texts.extend((found.parts > 1).then_some(found.glued));
    texts.extend((!found.decoded.is_empty()).then_some(found.decoded));
    Some(Texts { texts, once: 1 })
}

/// The texts and keys in JSON that stood in a string. What is not JSON to its end has its escapes taken out.
fn of_arguments(json: &str) -> String {
    let mut found = Found::default();
    let mut reader = serde_json::Deserializer::from_str(json);
    let walk = Walk { key: "", level: 0, is_tool: true, found: &mut found };
    if walk.deserialize(&mut reader).and_then(|()| reader.end()).is_err() {
        found.all.push_str(&Unescape::default().feed(json));
    }
    found.all
}

/// Walks through a JSON value and collects texts on its way; nothing else is kept.
struct Walk<'k, 't> {
    key: &'k str,
    /// How many objects it is inside of.
    level: u32,
    /// Whether this is what a model gives to a tool: then every key counts, and every word.
    is_tool: bool,
    found: &'t mut Found,
}

impl Walk<'_, '_> {
    fn number(self) {
        self.found.tokens |= self.level == 1 && !self.is_tool && matches!(self.key, "prompt" | "input");
    }
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
        let is_plain = matches!(self.key, "role" | "type") && PLAIN_WORDS.contains(&text);
        if !is_plain || self.is_tool {
            self.found.add(self.key, text);
        }
        if ARGUMENTS.contains(&self.key) {
            self.found.decoded.push_str(&of_arguments(text));
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.number();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.number();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.number();
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Walk { key, level, is_tool, found } = self;
        while list.next_element_seed(Walk { key, level, is_tool, found: &mut *found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if self.is_tool || !PLAIN_KEYS.contains(&&*key) {
                self.found.add("", &key);
            }
            // At the top `input` is what an embedding is asked of.
            let is_tool = self.is_tool || self.level > 0 && is_of_a_tool(&key);
            map.next_value_seed(Walk { key: &key, level: self.level + 1, is_tool, found: self.found })?;
        }
        Ok(())
    }
}

/// Whether the texts of this channel are pieces of JSON in a string.
pub(crate) fn is_json(channel: &str) -> bool {
    channel.rsplit('/').next().is_some_and(|key| ARGUMENTS.contains(&key))
}

/// Calls `take` with each text in an answer, or in an event of one, and with the channel that it belongs to: pieces of one
/// channel follow each other. What is not JSON is one text.
pub(crate) fn written(json: &[u8], take: &mut dyn FnMut(&str, &str)) {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = Value::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(value) => walk(&value, &mut String::new(), false, take),
        Err(_) => take("", &String::from_utf8_lossy(json)),
    }
}

/// `is_tool`: all of it is what the model gives to a tool. The protocol's own keys and numbers are none there.
fn walk(value: &Value, path: &mut String, is_tool: bool, take: &mut dyn FnMut(&str, &str)) {
    let length = path.len();
    match value {
        Value::String(text) if !text.is_empty() => take(path, text),
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                // Events number the members of a list themselves: the second of them may come alone.
                if is_tool || value.get("index").is_none() {
                    path.push_str(&format!("/{at}"));
                }
                walk(value, path, is_tool, take);
                path.truncate(length);
            }
        }
        Value::Object(map) => {
            if let Some(index) = map.get("index").and_then(Value::as_u64).filter(|_| !is_tool) {
                path.push_str(&format!("/{index}"));
            }
            let numbered = path.len();
            for (key, value) in map {
                if is_tool {
                    path.push_str("//keys");
                    take(path, &format!("{key}\n"));
                    path.truncate(numbered);
                } else if value.is_string() && NOT_WRITTEN.contains(&key.as_str()) {
                    continue;
                }
                path.push('/');
                path.push_str(key);
                walk(value, path, is_tool || is_of_a_tool(key), take);
                path.truncate(numbered);
            }
            path.truncate(length);
        }
        _ => {}
    }
}

/// The texts of a whole answer, one for each channel, then those in JSON that stands in a string. `is_stream` says that
/// it is a stream of events.
pub(crate) fn texts_of_answer(body: &[u8], is_stream: bool) -> Texts {
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
    let decoded = channels.iter().filter(|(channel, _)| is_json(channel));
    let decoded: Vec<_> = decoded.map(|(_, json)| of_arguments(json)).collect();
    let once = channels.len();
    Texts { texts: channels.into_iter().map(|(_, text)| text).chain(decoded).collect(), once }
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
        texts_of_request(body.as_bytes()).unwrap().texts
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
        for prompt in ["[1,2,3]", "[104.0,105.0]", "[1e2]", "[-1]", "[[1],[2]]", "[\"a\",1.5]"] {
            for key in ["prompt", "input"] {
                let body = format!(r#"{{"model":"m","{key}":{prompt}}}"#);
                assert!(texts_of_request(body.as_bytes()).is_none(), "{body}");
            }
        }
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
        let of_answer = |body: &[u8], is_stream| texts_of_answer(body, is_stream).texts;
        assert_eq!(of_answer(stream.as_bytes(), true), ["forbidden", "else"]);
        let message = r#"{"id":"x","type":"message","content":[{"type":"text","text":"a"},{"type":"tool_use","name":"f","input":{"q":"b"}}]}"#;
        assert_eq!(of_answer(message.as_bytes(), false), ["a", "q\n", "b", "f"]);
        assert_eq!(of_answer(b"no json", false), ["no json"]);
    }

    #[test]
    fn of_what_a_tool_is_given_every_key_and_word_counts() {
        let input = r#"{"id":"i1","type":"text","k1":[{"index":0,"role":"user","text":"t1"}]}"#;
        let message = format!(r#"{{"content":[{{"type":"tool_use","id":"x","input":{input}}}]}}"#);
        let texts = texts_of_answer(message.as_bytes(), false);
        let lines: Vec<_> = texts.all().iter().flat_map(|text| text.lines()).collect();
        for text in ["id", "i1", "type", "text", "k1", "index", "role", "user", "t1"] {
            assert!(lines.contains(&text), "{text}: {lines:?}");
        }
        assert!(!lines.contains(&"x") && !lines.contains(&"tool_use"), "{lines:?}");
        let views =
            all(&format!(r#"{{"messages":[{{"role":"assistant",{}}}"#, &message[1..]).replace("]}", "]}]"));
        assert!(views[0].lines().any(|line| line == "index"), "{views:?}");
    }

    #[test]
    fn arguments_are_decoded_once_more_and_seen_as_they_are_too() {
        let call =
            r#"{"function":{"name":"f","arguments":"{\"\\u006bey\":1,\"q\":\"\\u0066or\",\"q\":\"x\"}"}}"#;
        let views = all(&format!(r#"{{"messages":[{{"tool_calls":[{call}]}}]}}"#));
        assert!(
            views[0].contains(r"\u0066or") && views[1].lines().eq(["key", "q", "for", "q", "x"]),
            "{views:?}"
        );
        let answer = texts_of_answer(call.as_bytes(), false);
        assert_eq!((answer.all().len(), answer.once().len()), (3, 2));
        assert_eq!(answer.all()[2], "key\nq\nfor\nq\nx\n");
        // What breaks off is read as far as it goes.
        assert_eq!(of_arguments(r#"{"q":"\u0066or"#).trim(), "q\n{\"q\":\"for".trim());
    }
}
