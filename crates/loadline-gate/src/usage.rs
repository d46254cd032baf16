//! How many tokens a request used: what the upstream says, where that can be; otherwise counted from what was delivered.

use std::borrow::Cow;

use loadline_core::model::Usage;
use serde::Deserialize;

use crate::admission::BYTES_PER_TOKEN;
use crate::ledger::{UsageBasis, Used};

/// The longest line of a stream that is read; what is longer is counted by its bytes.
const MAX_LINE_BYTES: usize = 1 << 20;
/// The largest answer that is kept to read its usage at the end.
const MAX_WHOLE_BYTES: usize = 8 << 20;
/// A token is rarely longer than this, so an upstream that counts fewer tokens counts wrong.
const MOST_BYTES_PER_TOKEN: u64 = 64;
/// The most tokens of a request that an upstream is believed, where no limit is known.
const MOST_INPUT_TOKENS: u64 = 4_000_000;

/// What an upstream says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct ServerUsage {
    #[serde(default, alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(default, alias = "output_tokens")]
    completion_tokens: Option<u64>,
}

/// One event of a stream, or a whole answer, of either protocol.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<ServerUsage>,
    #[serde(borrow, default)]
    delta: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    content: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    usage: Option<ServerUsage>,
    #[serde(borrow, default)]
    content: Vec<Text<'a>>,
}

/// Everything that a model can write, in the names of both protocols.
#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    partial_json: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

impl Text<'_> {
    fn bytes(&self) -> u64 {
        let own = [
            &self.content,
            &self.reasoning_content,
            &self.refusal,
            &self.text,
            &self.thinking,
            &self.partial_json,
        ];
        let tools = self.tool_calls.iter().filter_map(|call| call.function.as_ref());
        let tools = tools.flat_map(|function| [&function.name, &function.arguments]);
        own.into_iter().chain(tools).flatten().map(|text| text.len() as u64).sum()
    }
}

/// Reads a response as it is delivered.
#[derive(Debug)]
pub struct Meter {
    is_stream: bool,
    /// The line, or the whole, so far.
    kept: Vec<u8>,
    /// Too long to be kept.
    overflown: bool,
    server: ServerUsage,
    /// Bytes that the model wrote.
    text_bytes: u64,
    /// Events with something that the model wrote.
    events: u64,
}

impl Meter {
    /// For a stream of events, or for one JSON answer.
    pub fn new(is_stream: bool) -> Self {
        let (kept, server) = (Vec::new(), ServerUsage::default());
        Self { is_stream, kept, overflown: false, server, text_bytes: 0, events: 0 }
    }

    /// The next bytes that were delivered.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.is_stream {
            self.keep(bytes, MAX_WHOLE_BYTES);
            return;
        }
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            if self.kept.is_empty() && !self.overflown {
                self.line(line);
                continue;
            }
            self.keep(line, MAX_LINE_BYTES);
            let whole = std::mem::take(&mut self.kept);
            if !std::mem::take(&mut self.overflown) {
                self.line(&whole);
            }
            self.kept = whole;
            self.kept.clear();
        }
        self.keep(rest, MAX_LINE_BYTES);
    }

    fn keep(&mut self, bytes: &[u8], most: usize) {
        if self.overflown || self.kept.len() + bytes.len() > most {
            // Not read, so every byte counts as written.
            self.text_bytes += (self.kept.len() + bytes.len()) as u64;
            self.kept.clear();
            self.overflown = true;
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn line(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        self.part(data);
    }

    fn part(&mut self, json: &[u8]) {
        let Ok(part) = serde_json::from_slice::<Part<'_>>(json) else {
            // Not of a known form: every byte counts as written.
            self.text_bytes += json.len() as u64;
            self.events += 1;
            return;
        };
        let choices = part.choices.iter().flat_map(|choice| {
            let text = choice.text.as_ref().map_or(0, |text| text.len() as u64);
            let parts = [&choice.delta, &choice.message].into_iter().flatten().map(Text::bytes);
            parts.chain([text])
        });
        let message = part.message.as_ref();
        let texts =
            part.delta.iter().chain(&part.content).chain(message.into_iter().flat_map(|m| &m.content));
        let written: u64 = choices.chain(texts.map(Text::bytes)).sum();
        self.text_bytes += written;
        self.events += u64::from(written > 0);
        for usage in part.usage.into_iter().chain(message.and_then(|message| message.usage)) {
            // Later ones are running totals.
            self.server.prompt_tokens = usage.prompt_tokens.or(self.server.prompt_tokens);
            self.server.completion_tokens = usage.completion_tokens.or(self.server.completion_tokens);
        }
    }

    /// What was used, where the answer itself need not say it.
    pub fn tell(&mut self, used: Usage) {
        let Usage { input_tokens, output_tokens } = used;
        self.server =
            ServerUsage { prompt_tokens: Some(input_tokens), completion_tokens: Some(output_tokens) };
    }

    /// What was used. `input` is the request's estimate, `most_output` what the request allowed. An upstream is believed
    /// only at the end of a whole answer, and only where what was delivered can hold what it says.
    pub fn used(&mut self, is_whole: bool, input: u64, most_output: Option<u64>) -> Used {
        if !self.is_stream && !self.overflown {
            let whole = std::mem::take(&mut self.kept);
            if !whole.is_empty() {
                self.part(&whole);
            }
        }
        // Embeddings have no written tokens, and their usage says nothing of them.
        let output = self.server.completion_tokens.or((self.text_bytes == 0).then_some(0));
        if let (true, Some(input), Some(output)) = (is_whole, self.server.prompt_tokens, output)
            && self.can_be(input, output, most_output)
        {
            return Used { input, output, basis: UsageBasis::ServerUsage };
        }
        let by_size = self.text_bytes.div_ceil(BYTES_PER_TOKEN);
        let events = if self.is_stream { self.events } else { 0 };
        // No token is without a byte.
        let output = by_size.max(events).min(self.text_bytes);
        Used { input, output, basis: UsageBasis::Estimated }
    }

    fn can_be(&self, input: u64, output: u64, most_output: Option<u64>) -> bool {
        output >= self.text_bytes / MOST_BYTES_PER_TOKEN
            && output <= most_output.unwrap_or(u64::MAX)
            && input <= MOST_INPUT_TOKENS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str, is_whole: bool, most: Option<u64>) -> Used {
        let mut whole = Meter::new(true);
        whole.feed(text.as_bytes());
        let mut bytewise = Meter::new(true);
        text.as_bytes().chunks(1).for_each(|byte| bytewise.feed(byte));
        let used = whole.used(is_whole, 7, most);
        assert_eq!(used, bytewise.used(is_whole, 7, most));
        used
    }

    fn chunk(text: &str) -> String {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    }

    #[test]
    fn the_upstream_is_believed_at_the_end_only() {
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
        let text = [chunk("Hel"), chunk("lo"), chunk("!"), usage.to_owned()].concat();
        let server = Used { input: 11, output: 3, basis: UsageBasis::ServerUsage };
        assert_eq!(stream(&text, true, Some(16)), server);
        assert_eq!(
            stream(&text, false, Some(16)),
            Used { input: 7, output: 3, basis: UsageBasis::Estimated }
        );
    }

    #[test]
    fn a_lying_upstream_is_not_believed() {
        let says = |output: u64, size: usize| {
            let usage =
                format!("data: {{\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":{output}}}}}\n\n");
            stream(&(chunk(&"x".repeat(size)) + &usage), true, Some(100))
        };
        assert_eq!(says(50, 200).basis, UsageBasis::ServerUsage);
        // More than was asked for at most.
        assert_eq!(says(101, 200), Used { input: 7, output: 50, basis: UsageBasis::Estimated });
        // Next to nothing for ten thousand bytes.
        assert_eq!(says(1, 10_000), Used { input: 7, output: 2_500, basis: UsageBasis::Estimated });
    }

    #[test]
    fn anthropic_streams_are_counted() {
        let text = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\nevent: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\n";
        assert_eq!(stream(text, true, None), Used { input: 9, output: 4, basis: UsageBasis::ServerUsage });
    }

    #[test]
    fn whole_answers_are_counted() {
        let mut meter = Meter::new(false);
        meter.feed(br#"{"choices":[{"message":{"role":"assistant","content":"12345678","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}],"#);
        meter.feed(br#""usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}"#);
        assert_eq!(meter.used(true, 7, None), Used { input: 5, output: 3, basis: UsageBasis::ServerUsage });
        let mut silent = Meter::new(false);
        silent.feed(br#"{"choices":[{"text":"12345678"}]}"#);
        assert_eq!(silent.used(true, 7, None), Used { input: 7, output: 2, basis: UsageBasis::Estimated });
    }

    #[test]
    fn what_cannot_be_read_counts_by_its_bytes() {
        let mut meter = Meter::new(true);
        meter.feed(b"data: ");
        meter.feed(&vec![b'x'; MAX_LINE_BYTES + 1]);
        meter.feed(b"\n");
        let used = meter.used(true, 0, None);
        assert!(used.output >= (MAX_LINE_BYTES as u64) / 4, "{used:?}");
        assert_eq!(stream("data: {\"odd\n\n", true, None).output, 2);
    }
}
