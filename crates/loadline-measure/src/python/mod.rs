//! The pieces of Python that task files lean on: its regular expressions, its literals, its whitespace and its
//! random numbers. Each follows the behaviour of CPython 3.

pub mod literal;
pub mod random;
pub mod regex;

/// Whether `str.strip()` removes this character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// `str.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.isdigit()` as far as `int()` then takes it: ASCII digits, at least one, no leading zero.
pub fn is_index(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_is_what_python_says() {
        assert_eq!(strip("\u{1c} \u{a0}x\u{85}\n"), "x");
        assert!(!is_space('\u{200b}'));
        assert!(is_index("10") && is_index("0") && !is_index("01") && !is_index("") && !is_index("٣"));
    }
}
