//! Words as tokens, and how likely each is.

/// Splits a text into tokens that join to it again: each word with the white space before it, punctuation apart.
pub(super) fn tokenize(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut start = 0;
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        let ends = match (in_word, c.is_alphanumeric(), c.is_whitespace()) {
            (true, true, _) => false,
            (true, false, _) => true,
            (false, true, _) => text[start..at].chars().any(|c| !c.is_whitespace()),
            (false, false, space) => {
                at > start && (space || text[start..at].chars().any(|c| !c.is_whitespace()))
            }
        };
        if ends {
            tokens.push(&text[start..at]);
            start = at;
        }
        in_word = c.is_alphanumeric();
    }
    if start < text.len() {
        tokens.push(&text[start..]);
    }
    tokens
}

/// A log-probability between -8 and 0 from a hash of the text before and the token.
pub(super) fn hashed_logprob(before: &str, token: &str) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in before.bytes().chain([0xff]).chain(token.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    let unit = f64::from(u32::try_from(hash >> 40).unwrap_or(0)) / f64::from(1_u32 << 24);
    -8.0 * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_join_to_the_text() {
        for text in ["", "The answer is 42.", "  two  spaces\n\nand lines ", "שלום, 你好!"] {
            assert_eq!(tokenize(text).concat(), text);
        }
        assert_eq!(tokenize("The answer is 42."), ["The", " answer", " is", " 42", "."]);
    }
}
