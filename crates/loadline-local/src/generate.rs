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
    cancelled: &dyn Fn() -> bool,
) -> Result<Generated, EngineError> {
    let mut sampler = Sampler::new(sampling)?;
    let mut answer = Answer::new(&sampling.stop);
    let room = context.saturating_sub(prompt.len());
    let most = room.min(sampling.max_tokens as usize);
    let mut sequence = prompt.to_vec();
    for written in 0..most {
        if cancelled() {
            return Err(EngineError::Cancelled);
        }
        let logits = session.read(decoder, &sequence, cancelled)?;
        let token = sampler.choose(&logits).ok_or(EngineError::NotFinite)?;
        let ended = tokenizer.is_end(token) || answer.push(&tokenizer.token_bytes(token));
        if ended {
            return Ok(Generated {
                text: answer.finish(),
                stop_reason: StopReason::Stop,
                tokens: written + 1,
            });
        }
        sequence.push(token);
    }
    Ok(Generated { text: answer.finish(), stop_reason: StopReason::Length, tokens: most })
}

/// The text so far, and what ends it.
struct Answer<'a> {
    text: String,
    stream: TextStream,
    stops: Vec<&'a str>,
}

impl<'a> Answer<'a> {
    fn new(stops: &'a [String]) -> Self {
        let stops = stops.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
        Self { text: String::new(), stream: TextStream::default(), stops }
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
                true
            }
            None => false,
        }
    }

    fn finish(mut self) -> String {
        let rest = self.stream.finish();
        self.text.push_str(&rest);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stops: &[&str], tokens: &[&[u8]]) -> (String, Option<usize>) {
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut answer = Answer::new(&stops);
        let stopped = tokens.iter().position(|bytes| answer.push(bytes));
        (answer.finish(), stopped)
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
    fn half_a_character_at_the_end_is_replaced() {
        assert_eq!(answer(&[], &[b"a", &[0xf0, 0x9f]]), ("a\u{fffd}".to_owned(), None));
    }
}
