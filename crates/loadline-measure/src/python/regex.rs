//! Python's `re`, by translation to `fancy_regex`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Most steps a match may take: a pattern that runs away ends with an error instead of a hang.
const BACKTRACK_LIMIT: usize = 1_000_000;
/// Most matches that are looked at in one text.
const MAX_MATCHES: usize = 100_000;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Regex(fancy_regex::Regex);

/// One match, as `re.findall` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The whole match, or the only group; empty when the group took no part.
    Text(String),
    /// The groups, when there are several.
    Groups(Vec<String>),
}

impl Regex {
    /// `re.compile(pattern)`.
    ///
    /// # Errors
    /// When it is no pattern, or one that is not supported; the text says where.
    pub fn new(pattern: &str) -> Result<Self, String> {
        fancy_regex::RegexBuilder::new(&translate(pattern))
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()
            .map(Self)
            .map_err(|e| e.to_string())
    }

    /// `re.findall`.
    ///
    /// # Errors
    /// When the match takes too many steps.
    pub fn find_all(&self, text: &str) -> Result<Vec<Found>, String> {
        let mut found = Vec::new();
        self.each(text, |captures| {
            let group = |i| captures.get(i).map_or("", |m| m.as_str()).to_owned();
            found.push(match captures.len() {
                1 => Found::Text(group(0)),
                2 => Found::Text(group(1)),
                n => Found::Groups((1..n).map(group).collect()),
            });
        })?;
        Ok(found)
    }

    /// `re.sub` with a replacement that has no `\1` and the like.
    ///
    /// # Errors
    /// When the match takes too many steps.
    pub fn replace_all<'t>(&self, text: &'t str, with: &str) -> Result<Cow<'t, str>, String> {
        let mut out = String::new();
        let mut last = 0;
        self.each(text, |captures| {
            if let Some(all) = captures.get(0) {
                out.push_str(&text[last..all.start()]);
                out.push_str(with);
                last = all.end();
            }
        })?;
        if last == 0 && out.is_empty() {
            return Ok(text.into());
        }
        out.push_str(&text[last..]);
        Ok(out.into())
    }

    /// Every match in Python's order: an empty match may stand right after a match that is not empty.
    fn each<'t>(
        &self,
        text: &'t str,
        mut visit: impl FnMut(&fancy_regex::Captures<'t, str>),
    ) -> Result<(), String> {
        let mut from = 0;
        for _ in 0..MAX_MATCHES {
            if from > text.len() {
                break;
            }
            let Some(captures) = self.0.captures_from_pos(text, from).map_err(|e| e.to_string())? else {
                break;
            };
            let Some(all) = captures.get(0) else { break };
            from = if all.start() == all.end() {
                all.end() + text[all.end()..].chars().next().map_or(1, char::len_utf8)
            } else {
                all.end()
            };
            visit(&captures);
        }
        Ok(())
    }
}

/// `re.escape`, for use inside a larger pattern.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() || c.is_ascii_whitespace() {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Rewrites what Python reads differently: `$` also before a last newline, `\Z`, a `{` that is no repetition, and
/// inside `[…]` the characters that only Rust takes as operators.
fn translate(pattern: &str) -> String {
    let multi_line = pattern.strip_prefix("(?").is_some_and(|rest| {
        rest.split_once(')')
            .is_some_and(|(flags, _)| flags.bytes().all(|b| b.is_ascii_lowercase()) && flags.contains('m'))
    });
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut i = 0;
    while i < chars.len() {
        match chars[i] {
            '\\' => {
                translate_escape(&mut out, chars.get(i + 1).copied());
                i += 1;
            }
            '[' => i = translate_class(&mut out, &chars, i),
            '$' if !multi_line => out.push_str(r"(?=\n?\z)"),
            '{' => match repetition(&chars[i..]) {
                Some((text, length)) => {
                    out.push_str(&text);
                    i += length - 1;
                }
                None => out.push_str(r"\{"),
            },
            '}' => out.push_str(r"\}"),
            c => out.push(c),
        }
        i += 1;
    }
    out
}

fn translate_escape(out: &mut String, next: Option<char>) {
    match next {
        Some('Z') => out.push_str(r"\z"),
        Some(c) if c.is_ascii_alphanumeric() => out.extend(['\\', c]),
        Some(c) if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => out.extend(['\\', c]),
        Some(c) => out.push(c),
        None => out.push('\\'),
    }
}

/// `{2}`, `{2,}`, `{,3}` or `{2,3}` at the front, as Rust writes it, and how long it was.
fn repetition(chars: &[char]) -> Option<(String, usize)> {
    let close = chars.iter().take(16).position(|c| *c == '}')?;
    let inner: String = chars[1..close].iter().collect();
    let (low, high) = inner.split_once(',').unwrap_or((&inner, "0"));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if inner.is_empty() || inner == "," || !digits(low) || !digits(high) {
        return None;
    }
    let zero = if low.is_empty() { "0" } else { "" };
    Some((format!("{{{zero}{inner}}}"), close + 1))
}

/// Copies a character class from `[` on; gives the index of its `]`.
fn translate_class(out: &mut String, chars: &[char], open: usize) -> usize {
    out.push('[');
    let mut i = open + 1;
    if chars.get(i) == Some(&'^') {
        out.push('^');
        i += 1;
    }
    let first = i;
    while i < chars.len() {
        match chars[i] {
            ']' if i > first => {
                out.push(']');
                return i;
            }
            '\\' => {
                match chars.get(i + 1) {
                    Some(c) if c.is_ascii_alphanumeric() => out.extend(['\\', *c]),
                    Some(c) if c.is_ascii_punctuation() => out.extend(['\\', *c]),
                    Some(c) => out.push(*c),
                    None => out.push('\\'),
                }
                i += 1;
            }
            c @ ('[' | ']' | '&' | '~') => out.extend(['\\', c]),
            '-' if i == first || chars.get(i + 1) == Some(&']') => out.push_str(r"\-"),
            c => out.push(c),
        }
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, text: &str) -> Vec<String> {
        Regex::new(pattern)
            .unwrap()
            .find_all(text)
            .unwrap()
            .into_iter()
            .map(|found| match found {
                Found::Text(text) => text,
                Found::Groups(groups) => groups.join("|"),
            })
            .collect()
    }

    #[test]
    fn find_all_is_pythons() {
        for (pattern, text, expected) in [
            (r"#### (\-?[0-9\.\,]+)", "so #### 1,234.", vec!["1,234."]),
            (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "$5 and 7", vec!["$5|", "|7"]),
            (r"\d*", "12a", vec!["12", "", ""]),
            (r"a$", "ba\n", vec!["a"]),
            (r"a\Z", "ba\n", vec![]),
            (r"\boxed{(\d+)}", r"x", vec![]),
            (r"\\boxed{(\d+)}", r"\boxed{42}", vec!["42"]),
            (r"(?<=is )\w+(?= now)", "it is five now", vec!["five"]),
            (r"[[(]([A-D])[\])]", "[A] (B)", vec!["A", "B"]),
            (r"[^\]]+", "a]b", vec!["a", "b"]),
            (r"[]a]+", "]a", vec!["]a"]),
            (r"x{,2}y", "xxy", vec!["xxy"]),
            (r"\<b\>", "<b>", vec!["<b>"]),
            (r"(?i)ANSWER: ([a-d])", "answer: B", vec!["B"]),
            (r"[a&&b]+", "a&b", vec!["a&b"]),
            (r"[-+]?\d+", "-3 +4", vec!["-3", "+4"]),
            (r"[\w-]+", "a-b c", vec!["a-b", "c"]),
        ] {
            assert_eq!(all(pattern, text), expected, "{pattern} on {text:?}");
        }
    }

    #[test]
    fn a_pattern_that_runs_away_is_an_error() {
        let regex = Regex::new(r"(a*)*(a|aa)*(?=\1c)d").unwrap();
        assert!(regex.find_all(&"a".repeat(200)).is_err());
        assert!(Regex::new("(").is_err());
    }

    #[test]
    fn replacing_and_escaping() {
        let regex = Regex::new(",").unwrap();
        assert_eq!(regex.replace_all("1,234,5", "").unwrap(), "12345");
        assert_eq!(regex.replace_all("12", "").unwrap(), "12");
        let odd = r"a.b*(c)[d]{e}\ #-&~";
        assert_eq!(all(&escape(odd), odd), [odd]);
    }
    proptest::proptest! {
        #[test]
        fn no_pattern_makes_the_translation_panic(
            pattern in r#"[\[\](){}?*+^$.|\\a-cdswZ0-9,&~<>!=:é\-]{0,24}"#,
            text in "[a-c1-3é ]{0,20}",
        ) {
            if let Ok(regex) = Regex::new(&pattern) {
                let _ = (regex.find_all(&text), regex.replace_all(&text, "é"));
            }
        }
    }
}
