//! Which tokens of an echoed prompt belong to the continuation.
//!
//! Servers show tokens as text, each in its own way: with a start token in front or not, with U+2581 for a space,
//! with U+FFFD for a part of a character, with `bytes:\xe4`. Their offsets count whatever they show, so they drift.
//! The tokens are therefore laid along the prompt itself; the offsets are only used where that fails.

use super::reply::Logprobs;

/// What the server shows for a byte sequence that is no character.
const REPLACEMENT: &str = "\u{fffd}";

/// Ways of laying the tokens that are followed at once. More than one arises only inside characters that were split.
const WAYS: usize = 64;

/// Tokens in front of the prompt that may be there without being part of it.
const START_TOKENS: usize = 2;

/// The tokens (a range of indices) that cover the prompt from byte `from` to its end; a token across that place
/// belongs to them. `written` is the most tokens that the model wrote behind the prompt. `None` when the tokens
/// are not those of the prompt.
pub(super) fn covering(
    prompt: &str,
    from: usize,
    logprobs: &Logprobs,
    written: usize,
) -> Option<std::ops::Range<usize>> {
    let spans = lay(prompt.as_bytes(), &logprobs.tokens, written)
        .or_else(|| by_offsets(prompt, logprobs, written))?;
    // An empty span at `from` is the first part of a split character, shown as nothing; in front of it all it is a
    // start token.
    let belongs = |&(start, end): &(usize, usize)| end > from || (start >= from && from > 0);
    let first = spans.iter().position(belongs).unwrap_or(spans.len());
    Some(first..spans.len())
}

/// One place where a token may start.
#[derive(Clone, Copy)]
struct Way {
    at: usize,
    /// The index, among the ways one token earlier, of the one that led here.
    before: usize,
    /// Characters' borders inside broken tokens so far: a split character's parts seldom hold parts of the next.
    crossed: usize,
}

/// Where each token lies, in bytes, when they cover the prompt with at most `written` tokens to spare.
fn lay(prompt: &[u8], tokens: &[String], written: usize) -> Option<Vec<(usize, usize)>> {
    // `ways[i]`: the places where token `i` may start.
    let mut ways: Vec<Vec<Way>> = vec![vec![Way { at: 0, before: 0, crossed: 0 }]];
    for (index, token) in tokens.iter().enumerate() {
        let mut next: Vec<Way> = Vec::new();
        for (before, way) in ways[index].iter().enumerate() {
            for at in ends(prompt, way.at, token, index < START_TOKENS) {
                let new = Way { at, before, crossed: way.crossed + borders(&prompt[way.at..at], token) };
                match next.iter().position(|known| known.at == at) {
                    Some(known) if new.crossed < next[known].crossed => next[known] = new,
                    None if next.len() < WAYS => next.push(new),
                    _ => {}
                }
            }
        }
        if next.is_empty() {
            break;
        }
        ways.push(next);
    }
    // With tokens to spare the shortest cover is right: what the model wrote may be shown as nothing.
    let fewest = tokens.len().saturating_sub(written).max(1);
    let reached = |count: &usize| ways[*count].iter().position(|way| way.at == prompt.len());
    let count = (fewest..ways.len()).find(|count| reached(count).is_some())?;
    let mut way = reached(&count)?;
    let mut spans = vec![(0, 0); count];
    for index in (0..count).rev() {
        let Way { at, before, .. } = ways[index + 1][way];
        spans[index] = (ways[index][before].at, at);
        way = before;
    }
    Some(spans)
}

/// Borders between characters inside a span that is shown as broken.
fn borders(span: &[u8], token: &str) -> usize {
    let starts = span.iter().skip(1).filter(|byte| **byte & 0xc0 != 0x80).count();
    if token.contains(REPLACEMENT) { starts } else { 0 }
}

/// Where a token that starts at `start` may end.
fn ends(prompt: &[u8], start: usize, token: &str, may_be_start: bool) -> Vec<usize> {
    let rest = &prompt[start..];
    let mut ends = Vec::new();
    if let Some(bytes) = raw_bytes(token) {
        ends.extend(rest.starts_with(&bytes).then_some(start + bytes.len()));
    }
    if token.contains(REPLACEMENT) {
        ends.extend(with_parts(rest, token).into_iter().map(|length| start + length));
    }
    let plain = token.replace('\u{2581}', " ");
    if rest.starts_with(plain.as_bytes()) {
        ends.push(start + plain.len());
    } else if start == 0 && plain.starts_with(' ') && rest.starts_with(&plain.as_bytes()[1..]) {
        // Tokenizers of the SentencePiece kind put a space in front of a text.
        ends.push(plain.len() - 1);
    }
    if may_be_start && start == 0 && !ends.contains(&0) {
        ends.push(0);
    }
    ends
}

/// The bytes of a token shown as `bytes:\xe4\xbd`.
fn raw_bytes(token: &str) -> Option<Vec<u8>> {
    let mut rest = token.strip_prefix("bytes:")?;
    let mut bytes = Vec::new();
    while let Some(hex) = rest.strip_prefix("\\x").and_then(|rest| rest.get(..2)) {
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &rest[4..];
    }
    // What follows the escapes is plain text.
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// The lengths of prefixes of `rest` that a token with U+FFFD may stand for: each such mark is one to three bytes of
/// a character that is not ASCII, or the mark itself.
fn with_parts(rest: &[u8], token: &str) -> Vec<usize> {
    let mut lengths = vec![0];
    for (index, literal) in token.split(REPLACEMENT).enumerate() {
        let mut next = Vec::new();
        for &length in &lengths {
            let parts = if index == 0 { 0..=0 } else { 1..=3 };
            for part in parts {
                let end: usize = length + part;
                let skipped = rest.get(length..end);
                let fits = skipped.is_some_and(|bytes| bytes.iter().all(|byte| *byte >= 0x80))
                    && rest[end..].starts_with(literal.as_bytes());
                if fits && !next.contains(&(end + literal.len())) && next.len() < WAYS {
                    next.push(end + literal.len());
                }
            }
        }
        lengths = next;
    }
    // A span of whole characters would have been shown as these.
    lengths.retain(|&length| std::str::from_utf8(&rest[..length]).is_err());
    lengths
}

/// Where each token lies by the server's own offsets, which count characters, when they add up to the prompt.
fn by_offsets(prompt: &str, logprobs: &Logprobs, written: usize) -> Option<Vec<(usize, usize)>> {
    let (tokens, offsets) = (&logprobs.tokens, logprobs.text_offset.as_ref()?);
    if offsets.len() != tokens.len() || !offsets.is_sorted() {
        return None;
    }
    let bytes: Vec<usize> = prompt.char_indices().map(|(at, _)| at).chain([prompt.len()]).collect();
    let fewest = tokens.len().saturating_sub(written).max(1);
    for (start, count) in
        (0..START_TOKENS.min(tokens.len())).flat_map(|s| (fewest..=tokens.len()).map(move |c| (s, c)))
    {
        if count <= start {
            continue;
        }
        let end =
            offsets.get(count).copied().unwrap_or(offsets[count - 1] + tokens[count - 1].chars().count());
        let at = |offset: usize| bytes.get(offset.saturating_sub(offsets[start])).copied();
        if end - offsets[start] != bytes.len() - 1 {
            continue;
        }
        let ends = offsets[1..count].iter().copied().chain([end]);
        return offsets[..count].iter().zip(ends).map(|(&start, end)| Some((at(start)?, at(end)?))).collect();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(tokens: &[&str]) -> Logprobs {
        Logprobs { tokens: tokens.iter().map(|&token| token.to_owned()).collect(), ..Logprobs::default() }
    }

    #[test]
    fn every_way_of_showing_tokens_is_laid_along_the_prompt() {
        /// Context, continuation, tokens as shown, tokens written, the expected range.
        type Case<'a> = (&'a str, &'a str, &'a [&'a str], usize, std::ops::Range<usize>);
        let cases: &[Case<'_>] = &[
            ("The answer is", " 42", &["The", " answer", " is", " 42"], 0, 3..4),
            ("The answer is", " 42", &["The", " answer", " is", " 42", "."], 1, 3..4),
            ("The answer is", " 42", &["The", " answer", " is", " 42", ""], 1, 3..4),
            ("The", " end", &["<s>", "The", " end"], 0, 2..3),
            ("The", " end", &["<|begin_of_text|>", "\u{2581}The", "\u{2581}end"], 0, 2..3),
            ("The", " end", &[" The", " end"], 0, 1..2),
            ("Answer: ", "A", &["Answer", ":", " A"], 0, 2..3),
            ("ab", "cd", &["abc", "d"], 0, 0..2),
            ("你", "好", &["bytes:\\xe4\\xbd", "bytes:\\xa0", "好"], 0, 2..3),
            ("a你", "好b", &["a", "\u{fffd}", "\u{fffd}", "\u{fffd}", "\u{fffd}b"], 0, 3..5),
            ("a你", "好", &["a", "", "你", "", "好"], 0, 3..5),
            ("x\u{fffd}", "y", &["x", "\u{fffd}", "y"], 0, 2..3),
            ("", " all", &["<s>", " all"], 0, 1..2),
            ("", "all", &["all"], 0, 0..1),
            ("a", "", &["a"], 0, 1..1),
        ];
        for (context, continuation, tokens, written, expected) in cases {
            let prompt = format!("{context}{continuation}");
            let range = covering(&prompt, context.len(), &shown(tokens), *written);
            assert_eq!(range.as_ref(), Some(expected), "{context:?} {continuation:?} {tokens:?}");
        }
    }

    #[test]
    fn tokens_of_another_text_are_not_taken() {
        for tokens in [&["The", " answer"][..], &["The", " answer", " is", " 43"], &[" and"], &[]] {
            assert_eq!(covering("The answer is 42", 13, &shown(tokens), 1), None, "{tokens:?}");
        }
    }

    #[test]
    fn offsets_are_used_where_tokens_cannot_be_read() {
        let by = |tokens: &[&str], offsets: &[usize], written| {
            let logprobs = Logprobs { text_offset: Some(offsets.to_vec()), ..shown(tokens) };
            covering("El niño está", 7, &logprobs, written)
        };
        assert_eq!(by(&["El", "Ġnino", "Ġesta"], &[0, 2, 7], 0), Some(1..3));
        assert_eq!(by(&["<s>", "El", "Ġnino", "Ġesta"], &[0, 3, 5, 10], 0), Some(2..4));
        assert_eq!(by(&["El", "Ġnino", "Ġesta", "?"], &[0, 2, 7, 12], 1), Some(1..3));
        assert_eq!(by(&["El", "Ġnino", "Ġ"], &[0, 2, 7], 0), None);
    }

    proptest! {
        /// Tokens cut at any bytes, shown as servers show broken characters, still cover the prompt.
        #[test]
        fn any_tokenisation_is_laid(
            prompt in "[ a-c你好ש\u{1f600}]{1,12}",
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
            from in any::<proptest::sample::Index>(),
        ) {
            let bytes = prompt.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let tokens: Vec<String> = cuts
                .windows(2)
                .map(|ends| String::from_utf8_lossy(&bytes[ends[0]..ends[1]]).into_owned())
                .collect();
            let logprobs = Logprobs { tokens, ..Logprobs::default() };
            let mut from = from.index(bytes.len());
            while !prompt.is_char_boundary(from) {
                from -= 1;
            }
            let range = covering(&prompt, from, &logprobs, 0).unwrap();
            prop_assert_eq!(range.end, cuts.len() - 1);
            // Where no character is split the place is exact.
            if cuts.iter().all(|&cut| prompt.is_char_boundary(cut)) {
                let expected = cuts.windows(2).position(|ends| ends[1] > from).unwrap();
                prop_assert_eq!(range.start, expected);
            }
        }
    }
}
