//! A stream on its way through the guards: its texts are looked at across the borders of its pieces, and what may still
//! become a match of a guard that refuses is held back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use regex::Regex;

use super::escape::Unescape;
use super::{Action, Decider, Guard, text};
use crate::admission::BYTES_PER_TOKEN;

/// The longest line of a stream that is looked at.
const MAX_LINE_BYTES: usize = 8 << 20;
/// Most channels of one stream; texts of further ones are looked at together.
const MAX_CHANNELS: usize = 1_024;

/// Why a stream ends here.
#[derive(Debug)]
pub(crate) enum Ends {
    /// A guard matched.
    Matched(Arc<Guard>),
    /// A line is longer than any that is looked at.
    TooLong,
}

/// A guard and whether it has flagged this stream already.
struct Watching {
    guard: Arc<Guard>,
    done: bool,
}

/// The texts of one channel that are still looked at.
#[derive(Default)]
struct Channel {
    text: String,
    /// How many bytes of the channel came before `text`.
    base: u64,
    /// Where in `text` a match may begin; before it stands what `\b` and `^` need to see.
    from: usize,
    /// Up to here nothing can become a match any more.
    safe: u64,
    /// Takes the escapes out where this is JSON in a string.
    unescape: Unescape,
}

impl Channel {
    fn end(&self) -> u64 {
        self.base + self.text.len() as u64
    }
}

/// A line that is held: its length, and up to where it brings each channel.
struct Line {
    bytes: usize,
    ends: Vec<(usize, u64)>,
}

/// A stream on its way.
pub(crate) struct Screen {
    watching: Vec<Watching>,
    /// The longest match that is found.
    window: usize,
    /// Bytes that have come and not left: whole lines, then one that is not whole.
    held: BytesMut,
    lines: VecDeque<Line>,
    /// Bytes of `held` in whole lines.
    whole: usize,
    /// Bytes after those that were searched for the end of a line.
    searched: usize,
    names: HashMap<String, usize>,
    channels: Vec<Channel>,
    /// Bytes that the model wrote.
    written: u64,
    /// Guards that flagged the stream and are not written down yet.
    flagged: Vec<Arc<Guard>>,
}

/// What a pattern says of a channel.
enum Found {
    Nothing,
    /// It matches up to the end of what has come; what comes next decides. From here on.
    Pending(usize),
    Match,
}

fn search(regex: &Regex, channel: &Channel, window: usize, is_end: bool) -> Found {
    match regex.find_at(&channel.text, channel.from) {
        None => Found::Nothing,
        Some(found) if found.end() < channel.text.len() || is_end => Found::Match,
        // It is longer than what is held: it counts now.
        Some(found) if channel.text.len() - found.start() > window => Found::Match,
        Some(found) => Found::Pending(found.start()),
    }
}

impl Screen {
    /// A screen of those guards that ask nobody; none when there are none.
    pub(crate) fn of(guards: &[Arc<Guard>]) -> Option<Box<Self>> {
        let own = guards.iter().filter(|guard| !guard.asks());
        let watching: Vec<_> = own.map(|guard| Watching { guard: Arc::clone(guard), done: false }).collect();
        let window = watching.iter().map(|watching| watching.guard.window).max()?;
        Some(Box::new(Self {
            watching,
            window,
            held: BytesMut::new(),
            lines: VecDeque::new(),
            whole: 0,
            searched: 0,
            names: HashMap::new(),
            channels: Vec::new(),
            written: 0,
            flagged: Vec::new(),
        }))
    }

    /// Takes bytes in. What may leave now comes back, and why the stream ends there, if it does.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> (Bytes, Option<Ends>) {
        self.held.extend_from_slice(bytes);
        while let Some(length) = self.next_line() {
            if let Err(guard) = self.line(length, false) {
                return (self.release(), Some(Ends::Matched(guard)));
            }
        }
        let ends = (self.held.len() - self.whole > MAX_LINE_BYTES).then_some(Ends::TooLong);
        (self.release(), ends)
    }

    /// The stream has come to its end: what is still held, or the match in it.
    pub(crate) fn finish(&mut self) -> (Bytes, Option<Ends>) {
        let rest = self.held.len() - self.whole;
        if rest > 0
            && let Err(guard) = self.line(rest, true)
        {
            return (self.release(), Some(Ends::Matched(guard)));
        }
        for at in 0..self.channels.len() {
            if let Some(guard) = self.look(at, true) {
                return (self.release(), Some(Ends::Matched(guard)));
            }
        }
        self.lines.clear();
        self.whole = 0;
        (self.held.split().freeze(), None)
    }

    /// What has not left, for the count of what was written.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Guards that flagged the stream since the last time this was asked.
    pub(crate) fn flagged(&mut self) -> Vec<Arc<Guard>> {
        std::mem::take(&mut self.flagged)
    }

    /// The length of the next whole line.
    fn next_line(&mut self) -> Option<usize> {
        let rest = &self.held[self.whole..];
        match rest[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(at) => Some(std::mem::take(&mut self.searched) + at + 1),
            None => {
                self.searched = rest.len();
                None
            }
        }
    }

    /// Looks at the next `length` bytes.
    ///
    /// # Errors
    /// The guard that ends the stream.
    fn line(&mut self, length: usize, is_end: bool) -> Result<(), Arc<Guard>> {
        let line = &self.held[self.whole..self.whole + length];
        let mut texts = Vec::new();
        // A carriage return ends a line too.
        for part in line.split(|byte| *byte == b'\r' || *byte == b'\n') {
            if let Some(data) = text::data_of(part) {
                text::written(data, &mut |channel, text| texts.push((channel.to_owned(), text.to_owned())));
            }
        }
        let mut ends = Vec::new();
        for (name, text) in texts {
            self.written += text.len() as u64;
            let decoded = text::is_json(&name).then(|| format!("{name}/decoded"));
            let at = self.channel(name);
            ends.push((at, self.take(at, &text, is_end)?));
            if let Some(name) = decoded {
                let unescape = &mut self.channels[at].unescape;
                let (plain, half) = (unescape.feed(&text), u64::from(unescape.is_inside()));
                let at = self.channel(name);
                // The beginning of an escape does not leave before the character that it is.
                ends.push((at, self.take(at, &plain, is_end)? + half));
            }
        }
        self.whole += length;
        self.lines.push_back(Line { bytes: length, ends });
        Ok(())
    }

    /// Takes a channel's next piece in, and looks. Up to where it brings the channel.
    fn take(&mut self, at: usize, text: &str, is_end: bool) -> Result<u64, Arc<Guard>> {
        self.channels[at].text.push_str(text);
        self.look(at, is_end).map_or(Ok(()), Err)?;
        Ok(self.channels[at].end())
    }

    fn channel(&mut self, name: String) -> usize {
        if let Some(at) = self.names.get(&name) {
            return *at;
        }
        if self.channels.len() == MAX_CHANNELS {
            return MAX_CHANNELS - 1;
        }
        self.channels.push(Channel::default());
        self.names.insert(name, self.channels.len() - 1);
        self.channels.len() - 1
    }

    /// Asks every guard about a channel that has grown, or that is at its end.
    fn look(&mut self, at: usize, is_end: bool) -> Option<Arc<Guard>> {
        let channel = &mut self.channels[at];
        let end = channel.end();
        let mut safe = end;
        for watching in self.watching.iter_mut().filter(|watching| !watching.done) {
            let guard = &watching.guard;
            let found = match &guard.decider {
                Decider::Pattern(regex) => search(regex, channel, self.window, is_end),
                Decider::MaxTokens(most) if self.written.div_ceil(BYTES_PER_TOKEN) > *most => Found::Match,
                _ => Found::Nothing,
            };
            let held = if guard.action == Action::Refuse && matches!(guard.decider, Decider::Pattern(_)) {
                end.saturating_sub(self.window as u64)
            } else {
                end
            };
            match found {
                Found::Match if guard.action == Action::Flag => {
                    watching.done = true;
                    self.flagged.push(Arc::clone(guard));
                }
                Found::Match => return Some(Arc::clone(guard)),
                Found::Pending(start) if guard.action != Action::Flag => {
                    safe = safe.min(held).min(channel.base + start as u64);
                }
                _ if guard.action == Action::Refuse => safe = safe.min(held),
                _ => {}
            }
        }
        channel.safe = safe;
        // A match that is found later begins within the window.
        let from = channel.text.floor_char_boundary(channel.text.len().saturating_sub(self.window));
        channel.from = channel.from.max(from);
        if channel.from > 2 * self.window {
            let before = channel.text.floor_char_boundary(channel.from - 1);
            channel.text.drain(..before);
            channel.base += before as u64;
            channel.from -= before;
        }
        None
    }

    /// Lines in whose texts nothing can become a match any more.
    fn release(&mut self) -> Bytes {
        let mut bytes = 0;
        while let Some(line) = self.lines.front() {
            if line.ends.iter().any(|(at, end)| *end > self.channels[*at].safe) {
                break;
            }
            bytes += line.bytes;
            self.lines.pop_front();
        }
        self.whole -= bytes;
        self.held.split_to(bytes).freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::{OnFailure, Rule, Settings, Side};

    fn guard(pattern: &str, action: Action, window: usize) -> Arc<Guard> {
        made(Rule::Patterns(vec![pattern.to_owned()]), action, window)
    }

    fn made(rule: Rule, action: Action, window: usize) -> Arc<Guard> {
        let settings = Settings {
            name: "g".to_owned(),
            side: Side::Output,
            action,
            on_failure: OnFailure::Closed,
            window,
            timeout: Duration::ZERO,
            models: Vec::new(),
            stages: Vec::new(),
            measured: None,
        };
        Arc::new(Guard::new(settings, rule, None).unwrap())
    }

    fn event(text: &str) -> String {
        format!(
            "data: {}\n\n",
            serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": text } }] })
        )
    }

    /// What leaves, and whether a guard ended it.
    fn through(guards: &[Arc<Guard>], pieces: &[&[u8]]) -> (String, bool, usize) {
        let mut screen = Screen::of(guards).unwrap();
        let (mut left, mut flagged) = (Vec::new(), 0);
        for piece in pieces {
            let (bytes, ends) = screen.feed(piece);
            left.extend_from_slice(&bytes);
            flagged += screen.flagged().len();
            if ends.is_some() {
                return (String::from_utf8(left).unwrap(), true, flagged);
            }
        }
        let (bytes, ends) = screen.finish();
        left.extend_from_slice(&bytes);
        flagged += screen.flagged().len();
        assert!(ends.is_some() || screen.held().is_empty());
        (String::from_utf8(left).unwrap(), ends.is_some(), flagged)
    }

    fn texts(left: &str) -> String {
        text::texts_of_answer(left.as_bytes(), true).once().concat()
    }

    /// Whatever the words and the borders of the pieces are: a text without a match leaves whole, and of a match that is
    /// not longer than the window nothing leaves.
    #[test]
    fn borders_hide_nothing_and_nothing_else_is_lost() {
        let refuse = [guard(r"\bfor ?bidden\b", Action::Refuse, 16)];
        for (words, is_match) in [
            (&["All ", "is ", "well ", "for", "ever"][..], false),
            (&["it is fo", "r", "b", "idde", "n, they say, and go on for a long while"], true),
            (&["it is for", " bidden"], true),
            (&["un", "forbidden", "s are fine"], false),
            (&["forbidden", "s ", "and forbidden"], true),
            (&["a\u{e9}\u{1F600}", "forbi", "dden\u{e9}t\u{e9}"], false),
        ] {
            let stream: String =
                words.iter().map(|word| event(word)).collect::<String>() + "data: [DONE]\n\n";
            let bytes = stream.as_bytes();
            for size in [1, 2, 3, 7, 50, bytes.len()] {
                let pieces: Vec<_> = bytes.chunks(size).collect();
                let (left, ended, _) = through(&refuse, &pieces);
                assert_eq!(ended, is_match, "{words:?} {size}");
                if is_match {
                    assert!(!texts(&left).contains("fo"), "{words:?} {size}: {left}");
                    assert!(stream.starts_with(&left));
                } else {
                    assert_eq!(left, stream, "{words:?} {size}");
                }
            }
        }
    }

    #[test]
    fn no_more_than_the_window_is_held() {
        let refuse = [guard("forbidden", Action::Refuse, 16)];
        let mut screen = Screen::of(&refuse).unwrap();
        let mut left = 0;
        for count in 1..200 {
            let (bytes, ends) = screen.feed(event("word ").as_bytes());
            assert!(ends.is_none());
            left += texts(std::str::from_utf8(&bytes).unwrap()).len();
            assert!(5 * count - left <= 20, "{count}: {left}");
        }
        assert!(screen.channels[0].text.len() < 64);
    }

    #[test]
    fn a_cut_holds_nothing_and_ends_before_the_event_that_completes_a_match() {
        let cut = [guard("forbidden", Action::Cut, 16)];
        let stream = [event("this is for"), event("bid"), event("den, yes"), event("more")];
        let pieces: Vec<_> = stream.iter().map(String::as_bytes).collect();
        let (left, ended, _) = through(&cut, &pieces);
        assert_eq!((texts(&left).as_str(), ended), ("this is forbid", true));
        let one = stream.concat();
        assert_eq!(through(&cut, &[one.as_bytes()]).0, left);
    }

    #[test]
    fn a_flag_changes_nothing_and_is_raised_once() {
        let flag = [guard("forbidden", Action::Flag, 16)];
        let stream = [event("forbidden "), event("and forbidden again")].concat();
        assert_eq!(through(&flag, &[stream.as_bytes()]), (stream, false, 1));
    }

    #[test]
    fn a_long_match_counts_when_it_passes_the_window() {
        let refuse = [guard("(?s)BEGIN.*", Action::Refuse, 8)];
        let pieces = [event("BEGIN a"), event(" very long"), event(" secret")];
        let pieces: Vec<_> = pieces.iter().map(String::as_bytes).collect();
        let (left, ended, _) = through(&refuse, &pieces);
        assert_eq!((texts(&left).as_str(), ended), ("", true));
    }

    #[test]
    fn arguments_of_tools_are_seen_without_their_escapes() {
        let refuse = [guard(r"\bforbidden\b", Action::Refuse, 16)];
        let event = |json: &str| {
            let delta =
                serde_json::json!({ "tool_calls": [{ "index": 0, "function": { "arguments": json } }] });
            format!("data: {}\n\n", serde_json::json!({ "choices": [{ "index": 0, "delta": delta }] }))
        };
        let pieces = [event(r#"{"q":"\u00"#), event(r"66orbi\u0064"), event(r#"den"}"#), event(" ")];
        let bytes: Vec<_> = pieces.iter().map(String::as_bytes).collect();
        assert_eq!(through(&refuse, &bytes), (String::new(), true, 0));
        let whole = pieces.concat();
        assert!(through(&refuse, &[whole.as_bytes()]).1);
        let good = whole.replace("66orbi", "67orbi");
        assert_eq!(through(&refuse, &[good.as_bytes()]), (good.clone(), false, 0));
        // They are counted once.
        let most = [made(Rule::MaxTokens(9), Action::Cut, 16)];
        assert!(!through(&most, &[good.as_bytes()]).1);
    }

    #[test]
    fn tokens_are_counted_over_all_channels() {
        let most = [made(Rule::MaxTokens(2), Action::Cut, 16)];
        let of = |index: u32, text: &str| event(text).replace("\"index\":0", &format!("\"index\":{index}"));
        let (left, ended, _) =
            through(&most, &[of(0, "1234").as_bytes(), of(1, "5678").as_bytes(), of(2, "9").as_bytes()]);
        assert_eq!((texts(&left).as_str(), ended), ("12345678", true));
    }

    #[test]
    fn an_endless_line_ends() {
        let mut screen = Screen::of(&[guard("x", Action::Refuse, 8)]).unwrap();
        let mut ends = None;
        for _ in 0..10 {
            ends = screen.feed(&vec![b'y'; 1 << 20]).1;
        }
        assert!(matches!(ends, Some(Ends::TooLong)));
    }
}
