//! Writing text token by token.

use loadline_core::model::{Sampling, StopReason};

use crate::decoder::{Batch, Decoder, KvCache, NoHook};
use crate::engine::EngineError;
use crate::sampler::Sampler;
use crate::tokenizer::{TextStream, Tokenizer};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The text, without stop texts and tokens that end the answer.
    pub text: String,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// How many tokens were chosen.
    pub tokens: usize,
}

/// What was read last, so that the next prompt is read only from where it differs.
#[derive(Debug)]
pub struct Session {
    cache: KvCache,
    tokens: Vec<u32>,
}

impl Session {
    /// A session that has read nothing.
    pub fn new(decoder: &Decoder) -> Self {
        Self { cache: KvCache::new(decoder.config()), tokens: Vec::new() }
    }

    /// Reads tokens so that exactly `prompt` is in the cache; gives the logits after its last token.
    fn read(
        &mut self,
        decoder: &Decoder,
        prompt: &[u32],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<f32>, EngineError> {
        let common = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The last token is always read again: its logits are wanted.
        let common = common.min(prompt.len().saturating_sub(1));
        self.tokens.truncate(common);
        self.cache.truncate(common);
        let mut batch = Batch::default();
        let sees = if common > 0 { std::iter::once(0..common).collect() } else { Vec::new() };
        batch.push(&prompt[common..], 0, common, sees);
        let mut logits = Vec::new();
        let mut stopped = false;
        let tokens = &mut self.tokens;
        let last = batch.tokens.len();
        decoder.forward_in_pieces(&batch, &mut [&mut self.cache], &mut NoHook, |piece| {
            tokens.extend_from_slice(&batch.tokens[piece.rows.clone()]);
            if piece.rows.end == last {
                logits = decoder.logits(piece.stream, piece.rows.len() - 1);
            }
            stopped = cancelled();
            !stopped
        })?;
        if stopped { Err(EngineError::Cancelled) } else { Ok(logits) }
    }
}

/// What a run of [`generate`] asks and tells while it goes on.
pub struct Watch<'a> {
    /// Whether nobody waits for the answer any more. Asked before each token.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// Takes the text as soon as no stop text can take it back. All of it together is the answer.
    pub written: &'a mut (dyn FnMut(&str) + Send),
}

/// Writes until a stop text, a token that ends the answer, `max_tokens`, or the end of the context.
///
/// # Errors
/// Settings out of bounds, a cancelled run, or numbers that are not finite.
pub fn generate(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    session: &mut Session,
    prompt: &[u32],
    sampling: &Sampling,
    context: usize,
    watch: &mut Watch<'_>,
) -> Result<Generated, EngineError> {
    let mut sampler = Sampler::new(sampling)?;
    let mut answer = Answer::new(&sampling.stop);
    let room = context.saturating_sub(prompt.len());
    let most = room.min(sampling.max_tokens as usize);
    let mut sequence = prompt.to_vec();
    for written in 0..most {
        if (watch.cancelled)() {
            return Err(EngineError::Cancelled);
        }
        let logits = session.read(decoder, &sequence, watch.cancelled)?;
        let token = sampler.choose(&logits).ok_or(EngineError::NotFinite)?;
        let ended = tokenizer.is_end(token) || answer.push(&tokenizer.token_bytes(token));
        if ended {
            let text = answer.finish(watch.written);
            return Ok(Generated { text, stop_reason: StopReason::Stop, tokens: written + 1 });
        }
        answer.tell(watch.written);
        sequence.push(token);
    }
    let text = answer.finish(watch.written);
    Ok(Generated { text, stop_reason: StopReason::Length, tokens: most })
}

/// The text so far, and what ends it.
struct Answer<'a> {
    text: String,
    /// Bytes of it that were told.
    told: usize,
    stream: TextStream,
    stops: Vec<&'a str>,
}

impl<'a> Answer<'a> {
    fn new(stops: &'a [String]) -> Self {
        let stops = stops.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
        Self { text: String::new(), told: 0, stream: TextStream::default(), stops }
    }

    /// Adds the bytes of a token; true when a stop text is now there, which is cut off with all behind it.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let before = self.text.len();
        self.text.push_str(&self.stream.push(bytes));
        self.cut(before)
    }

    /// Cuts the text at the first stop text that ends after `before`.
    fn cut(&mut self, before: usize) -> bool {
        let found = self.stops.iter().filter_map(|stop| {
            let from = self.text.floor_char_boundary(before.saturating_sub(stop.len()));
            self.text[from..].find(stop).map(|at| from + at)
        });
        match found.min() {
            Some(at) => {
                self.text.truncate(at);
                // What has begun behind a stop text is cut off with it.
                self.stream = TextStream::default();
                true
            }
            None => false,
        }
    }

    /// Tells what is new, but for an end that may be the beginning of a stop text.
    fn tell(&mut self, written: &mut (dyn FnMut(&str) + Send)) {
        let end = self.text.len() - self.stops.iter().map(|stop| begun(&self.text, stop)).max().unwrap_or(0);
        if end > self.told {
            written(&self.text[self.told..end]);
            self.told = end;
        }
    }

    fn finish(mut self, written: &mut (dyn FnMut(&str) + Send)) -> String {
        let rest = self.stream.finish();
        self.text.push_str(&rest);
        if self.text.len() > self.told {
            written(&self.text[self.told..]);
        }
        self.text
    }
}

/// How many bytes at the end of a text are the beginning of a stop text.
fn begun(text: &str, stop: &str) -> usize {
    let most = (stop.len() - 1).min(text.len());
    // Both are whole characters, so a match is one, too.
    (1..=most).rev().find(|n| text.as_bytes().ends_with(&stop.as_bytes()[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stops: &[&str], tokens: &[&[u8]]) -> (String, Option<usize>) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut answer = Answer::new(&stops);
        let mut told = String::new();
        let stopped = tokens.iter().position(|bytes| {
            let stops = answer.push(bytes);
            if !stops {
                answer.tell(&mut |text| told.push_str(text));
            }
            stops
        });
        let text = answer.finish(&mut |text| told.push_str(text));
        assert_eq!(told, text, "what was told is the answer");
        (text, stopped)
    }

    #[test]
    fn a_stop_text_is_cut_off_also_when_tokens_split_it() {
        assert_eq!(answer(&["\n\n"], &[b"a", b"\n", b"\nb", b"c"]), ("a".to_owned(), Some(2)));
        assert_eq!(answer(&["END"], &[b"xE", b"N", b"Dy"]), ("x".to_owned(), Some(2)));
        assert_eq!(answer(&["b", "ab"], &[b"xab"]), ("x".to_owned(), Some(0)));
        assert_eq!(answer(&[""], &[b"x"]), ("x".to_owned(), None));
    }

    #[test]
    fn a_stop_text_may_be_split_inside_a_character() {
        let bytes = "a§b".as_bytes();
        assert_eq!(answer(&["§"], &[&bytes[..2], &bytes[2..]]), ("a".to_owned(), Some(1)));
    }

    #[test]
    fn what_may_become_a_stop_text_is_not_told_before_it_is_none() {
        let stops = ["</end>".to_owned(), "<§".to_owned()];
        let mut answer = Answer::new(&stops);
        let mut tell = |bytes: &[u8]| {
            let mut told = String::new();
            assert!(!answer.push(bytes));
            answer.tell(&mut |text| told.push_str(text));
            told
        };
        assert_eq!([tell(b"a<"), tell(b"/en"), tell(b"s<"), tell(b"x")], ["a", "", "</ens", "<x"]);
        // Half a character tells nothing.
        assert_eq!([tell(b"<"), tell(&[0xc2]), tell(&[0xa8])], ["", "", "<\u{a8}"]);
    }

    #[test]
    fn what_begins_behind_a_stop_text_goes_with_it() {
        assert_eq!(answer(&["END"], &[b"xEND\xf0\x9f"]), ("x".to_owned(), Some(0)));
    }

    #[test]
    fn half_a_character_at_the_end_is_replaced() {
        assert_eq!(answer(&[], &[b"a", &[0xf0, 0x9f]]), ("a\u{fffd}".to_owned(), None));
    }
}
