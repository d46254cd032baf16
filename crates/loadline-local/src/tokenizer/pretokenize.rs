//! Cutting text into words before byte-level merging, as each vocabulary was trained.

use regex::Regex;

/// Cuts text into words.
#[derive(Debug)]
pub(super) struct Pretokenizer {
    words: Regex,
    /// Whether a digit is a word of its own, before everything else.
    single_digits: bool,
    /// Whether white space that ends in a line break is a word as it is.
    line_breaks: bool,
    /// Whether a word that is in the vocabulary is taken whole, whatever the merges say.
    whole_words: bool,
}

/// The words of GPT-2; the white space that its pattern leaves to a look-ahead is handled in [`Pretokenizer::split`].
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

impl Pretokenizer {
    /// The way of cutting with this name in a file.
    pub fn named(name: &str) -> Result<Self, String> {
        let (pattern, single_digits, line_breaks, whole_words) = match name {
            "default" | "gpt-2" => (GPT2, false, false, false),
            "smollm" => (GPT2, true, false, false),
            "llama3" | "llama-v3" | "llama-bpe" => (LLAMA3, false, true, true),
            "qwen2" => (QWEN2, false, true, false),
            other => {
                let other = loadline_core::untrusted::one_line(other, 40);
                return Err(format!(
                    "its way of cutting words `{other}` is not known; known are gpt-2, llama-bpe, qwen2 and smollm"
                ));
            }
        };
        let words = Regex::new(pattern).map_err(|error| error.to_string())?;
        Ok(Self { words, single_digits, line_breaks, whole_words })
    }

    /// Whether a word that is in the vocabulary is taken whole.
    pub fn whole_words(&self) -> bool {
        self.whole_words
    }

    /// Gives every word in order.
    pub fn split<'t>(&self, text: &'t str, mut word: impl FnMut(&'t str)) {
        if !self.single_digits {
            return self.split_words(text, &mut word);
        }
        let mut rest = text;
        while let Some(at) = rest.find(char::is_numeric) {
            self.split_words(&rest[..at], &mut word);
            let digit = rest[at..].chars().next().map_or(0, char::len_utf8);
            word(&rest[at..at + digit]);
            rest = &rest[at + digit..];
        }
        self.split_words(rest, &mut word);
    }

    fn split_words<'t>(&self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        let mut at = 0;
        while let Some(found) = self.words.find_at(text, at) {
            if found.start() > at {
                word(&text[at..found.start()]);
            }
            let end = self.end_of_space(text, found.as_str(), found.end());
            word(&text[found.start()..end]);
            at = end;
        }
        if at < text.len() {
            word(&text[at..]);
        }
    }

    /// The published patterns have `\s+(?!\S)`: white space gives its last character to the word that follows.
    /// Without look-ahead the search stays linear in the text.
    fn end_of_space(&self, text: &str, found: &str, end: usize) -> usize {
        let Some(last) = found.chars().next_back() else { return end };
        let kept_whole = self.line_breaks && matches!(last, '\r' | '\n');
        let is_space = found.chars().all(char::is_whitespace);
        if end == text.len() || kept_whole || !is_space || found.len() == last.len_utf8() {
            return end;
        }
        end - last.len_utf8()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'t>(name: &str, text: &'t str) -> Vec<&'t str> {
        let mut words = Vec::new();
        Pretokenizer::named(name).unwrap().split(text, |word| words.push(word));
        assert_eq!(words.concat(), text);
        words
    }

    #[test]
    fn words_are_cut_as_published() {
        assert_eq!(
            split("gpt-2", "I'll go   home\n\n12 x"),
            ["I", "'ll", " go", "  ", " home", "\n", "\n", "12", " x"]
        );
        assert_eq!(
            split("qwen2", "a   b\n\n  c 123"),
            ["a", "  ", " b", "\n\n", " ", " c", " ", "1", "2", "3"]
        );
        assert_eq!(split("llama-bpe", "I'LL 12345!\n"), ["I", "'LL", " ", "123", "45", "!\n"]);
        assert_eq!(split("smollm", "a12 b"), ["a", "1", "2", " b"]);
        assert_eq!(split("qwen2", "end   "), ["end", "   "]);
        assert_eq!(split("qwen2", ""), [""; 0]);
    }

    #[test]
    fn an_unknown_way_is_named() {
        assert!(Pretokenizer::named("tekken").unwrap_err().contains("`tekken`"));
    }

    #[test]
    fn long_white_space_is_not_slow() {
        let text = format!("{}x", " ".repeat(1 << 20));
        assert_eq!(split("qwen2", &text).len(), 2);
    }
}
