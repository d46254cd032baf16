//! Text that a model, a dataset or a server wrote.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text from outside. It has no `Display`: it reaches a terminal only through [`Untrusted::sanitized`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// Wraps text from outside.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The raw text, for scoring and storing; never for showing.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The text made safe for a terminal: line breaks and tabs stay; every other control character, and every
    /// character that reorders or hides text, is shown as an escape.
    pub fn sanitized(&self) -> String {
        sanitize(&self.0)
    }

    /// On one line and at most `max_chars` characters, safe for a terminal.
    pub fn one_line(&self, max_chars: usize) -> String {
        one_line(&self.0, max_chars)
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.sanitized(), f)
    }
}

/// True for characters that can move the cursor, recolour, reorder or hide text.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// See [`Untrusted::sanitized`].
pub fn sanitize(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// See [`Untrusted::one_line`].
pub fn one_line(text: &str, max_chars: usize) -> String {
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let safe = sanitize(&folded);
    if safe.chars().count() <= max_chars {
        return safe;
    }
    let mut short: String = safe.chars().take(max_chars.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_reordering_are_defused() {
        let text = Untrusted::new("a\u{1b}[31mred\u{202e}x\nline\ttab\r");
        assert_eq!(text.sanitized(), "a\\u{1b}[31mred\\u{202e}x\nline\ttab\\u{d}");
        assert_eq!(text.one_line(8), "a\\u{1b}…");
    }

    #[test]
    fn hebrew_and_chinese_stay_as_they_are() {
        assert_eq!(sanitize("שלום 你好"), "שלום 你好");
    }
}
