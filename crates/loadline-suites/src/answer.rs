//! Reads the answer out of what a model wrote.
//!
//! The rules, in order. They are the same for every suite whose answer is short, and they are part of the suite's
//! version.
//!
//! 1. Everything up to the last `</think>` is dropped. Fullwidth forms, digits of other scripts, typographic
//!    minus signs and thin spaces become their plain forms; marks that only steer text direction are dropped.
//! 2. The *stated answer* is what follows the last marker: `Answer:`, `The answer is`, `תשובה:`, `התשובה היא`,
//!    `答案：`, `答案是` and their like, to the end of the line (the next line with text on it when nothing follows
//!    on the same one). Where no marker stands, it is the inside of the last `\boxed{…}`.
//! 3. An integer is read from the stated answer: the first number; where there is a `=`, the first number after the
//!    last one, unless a number alone stands before the first one (`42 = 6 × 7`). With a marker and no number
//!    behind it nothing is read. With neither marker nor box, the last number of the whole text is read.
//! 4. A number may have a sign, thousands separators (`1,234`, `1 234` with a narrow space, `1_234`, `1'234`,
//!    `1.234.567`, `1{,}234`, in a stated answer also `1 234` with a plain space), a fraction of zeros (`42.0`), a unit or a currency sign, emphasis around it,
//!    a full stop after it. A fraction that is not zero, an exponent or a quotient (`84/2`) is a number, but
//!    not an integer, so it is never right. In a stated answer without digits a number in Chinese characters counts.

mod number;

use self::number::THIN;

/// The integer that a text answers with, in plain decimal digits with `-` when it is negative; or the number as
/// written when it is not an integer. `None` when no number can be read.
pub fn integer(text: &str) -> Option<String> {
    let folded = fold(text);
    match stated_in(&folded) {
        Some(stated) => number::stated(stated),
        None => number::last(&folded),
    }
}

/// What a text states as its answer, plain and without emphasis: after the last marker, or in the last box, or the
/// whole text when it has neither.
pub fn stated(text: &str) -> String {
    let folded = fold(text);
    stated_in(&folded).unwrap_or(&folded).trim().to_owned()
}

/// What a folded text states as its answer, when it has a marker or a box.
pub(crate) fn marked(folded: &str) -> Option<String> {
    stated_in(folded).map(|stated| stated.trim().to_owned())
}

/// Everything behind the last marker of a folded text, over all its lines; the whole text when it has none.
pub(crate) fn behind_marker(folded: &str) -> &str {
    marker_end(folded).map_or(folded, |from| &folded[from..])
}

/// The text with its typography made plain: rule 1.
pub fn fold(text: &str) -> String {
    let text = text.rfind("</think>").map_or(text, |at| &text[at + "</think>".len()..]);
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {}
            '\u{ff01}'..='\u{ff5e}' => plain.push(shifted(c, 0xff01, '!')),
            '\u{660}'..='\u{669}' => plain.push(shifted(c, 0x660, '0')),
            '\u{6f0}'..='\u{6f9}' => plain.push(shifted(c, 0x6f0, '0')),
            '\u{966}'..='\u{96f}' => plain.push(shifted(c, 0x966, '0')),
            '\u{3000}' => plain.push(' '),
            '\u{a0}' | '\u{2007}' | '\u{2009}' => plain.push(THIN),
            '\u{2010}'..='\u{2013}' | '\u{2212}' | '\u{fe63}' => plain.push('-'),
            '\u{2018}' | '\u{2019}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' => plain.push('"'),
            _ => plain.push(c),
        }
    }
    for (from, to) in [("{,}", ","), ("\\,", "\u{202f}"), ("\\!", ""), ("\\$", "$"), ("-$", "-"), ("**", " ")]
    {
        if plain.contains(from) {
            plain = plain.replace(from, to);
        }
    }
    plain.chars().map(|c| if matches!(c, '`' | '$') { ' ' } else { c }).collect()
}

/// The character as far from `to` as `c` is from `from`.
fn shifted(c: char, from: u32, to: char) -> char {
    char::from_u32(u32::from(c).wrapping_sub(from).wrapping_add(u32::from(to))).unwrap_or(c)
}

/// Words that announce an answer, in small letters.
const MARKERS: [&str; 4] = ["answer", "תשובה", "答案", "答"];

/// What may stand between such a word and the answer; without one of them the word announces nothing.
const CONNECTORS: [&str; 9] = [":", "is", "=", "היא", "הוא", "היה", "是", "为", "為"];

/// What may stand before a connector.
const ASIDES: [&str; 5] = ["to the question", "to this question", "הסופית", "סופית", "הנכונה"];

/// Rule 2, on folded text.
fn stated_in(folded: &str) -> Option<&str> {
    match marker_end(folded) {
        Some(from) => Some(box_inside(first_line(&folded[from..]))),
        None => folded.contains(BOX).then(|| box_inside(folded)),
    }
}

/// Where the last marker of a folded text ends.
fn marker_end(folded: &str) -> Option<usize> {
    let small = folded.to_ascii_lowercase();
    let mut found: Vec<(usize, &str)> = MARKERS.iter().flat_map(|word| small.match_indices(*word)).collect();
    found.sort_unstable_by_key(|(at, word)| (*at, word.len()));
    found
        .into_iter()
        .rev()
        // 解答 announces the working, not its result.
        .filter(|(at, word)| !(*word == "答" && small[..*at].ends_with('解')))
        .find_map(|(at, word)| after_connectors(&small, at + word.len()))
}

/// Where the answer begins when a marker ends at `from`: behind at least one connector.
fn after_connectors(small: &str, from: usize) -> Option<usize> {
    let skip = |text: &str| text.trim_start_matches([' ', '\t', '*', '"', '_', THIN]).len();
    let mut rest = &small[from..];
    rest = &rest[rest.len() - skip(rest)..];
    rest = ASIDES.iter().find_map(|aside| rest.strip_prefix(*aside)).unwrap_or(rest);
    let mut found = false;
    loop {
        rest = &rest[rest.len() - skip(rest)..];
        let Some(connector) = CONNECTORS.iter().find(|connector| rest.starts_with(**connector)) else {
            return found.then(|| small.len() - rest.len());
        };
        rest = &rest[connector.len()..];
        // `answer isn't` announces nothing.
        if *connector == "is" && rest.starts_with(|c: char| c.is_alphanumeric() || c == '\'') {
            return None;
        }
        found = true;
    }
}

/// The first line with text on it.
fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

const BOX: &str = "\\boxed{";

/// The inside of the last box, or the text itself when it has none.
fn box_inside(text: &str) -> &str {
    let Some(at) = text.rfind(BOX) else { return text };
    let inside = &text[at + BOX.len()..];
    let mut depth = 1_u32;
    for (i, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &inside[..i];
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        integer(text)
    }

    #[test]
    fn reads_what_models_write() {
        for text in [
            "42",
            "42.",
            "Answer: 42",
            "Answer: 42.",
            "Answer: **42**",
            "**Answer:** 42",
            "**Answer: 42**",
            "### Answer\n\nThe answer is: 42",
            "The answer is 42 apples.",
            "The final answer is:\n\n$$\\boxed{42}$$",
            "so $6 \\times 7 = 42$, hence \\boxed{42}.",
            "Answer: \\(\\boxed{\\text{42 km}}\\)",
            "Answer: 6 × 7 = 42",
            "Answer: x = 42 (I counted 3 boxes)",
            "Answer: $42.00",
            "Answer: 42 km/h",
            "Answer: `42`",
            "Answer: 41\nWait, that is wrong.\nAnswer: 42",
            "<think>Answer: 7</think>\nAnswer: 42",
            "3 boxes and 14 in each make 42",
            "First 40, then 2 more: 42!",
            "Answer: ４２",
            "答案：42。",
            "答案是42支铅笔。",
            "答案：四十二",
            "答：一共有42个。",
            "תשובה: 42",
            "התשובה היא \u{200f}42\u{200e}.",
            "תשובה: יש 42 ספרים",
            "Answer: ٤٢",
            "Answer: 042",
            "Answer: +42",
            "answer is = 42",
            "ANSWER: 42",
            "Answer: 42 = 6 × 7",
            "Answer: 6 × 7 = 42 = 42.0",
            "Answer: [42]",
            "The answer to the question is 42",
            "Final Answer: The final answer is $\\boxed{42}$. I hope it is correct.",
            "#### 42",
            "התשובה הסופית היא: **42**",
            "解答：先算40，再加2，共42",
            "回答：42个",
            "Answer: 42 (3 boxes of 14)",
        ] {
            assert_eq!(read(text).as_deref(), Some("42"), "{text}");
        }
    }

    #[test]
    fn reads_thousands_separators() {
        for text in [
            "Answer: 1234567",
            "Answer: 1,234,567",
            "Answer: 1\u{202f}234\u{202f}567",
            "Answer: 1\u{a0}234\u{a0}567 m",
            "Answer: 1_234_567",
            "Answer: 1'234'567",
            "Answer: 1.234.567",
            "Answer: $1{,}234{,}567$",
            "Answer: 1\\,234\\,567",
            "Answer: 1，234，567",
            "Answer: 1 234 567 tiles",
            "答案：一百二十三万四千五百六十七",
        ] {
            assert_eq!(read(text).as_deref(), Some("1234567"), "{text}");
        }
    }

    #[test]
    fn reads_signs_and_leaves_hyphens_alone() {
        for text in ["Answer: -5", "Answer: \u{2212}5", "Answer: -$5", "= -5", "\\boxed{-5}", "Answer: $-5$"]
        {
            assert_eq!(read(text).as_deref(), Some("-5"), "{text}");
        }
        for text in ["Answer: ב-5", "8-5", "- 5", "range 3-5", "Answer: 5-", "Answer: +5"] {
            assert_eq!(read(text).as_deref(), Some("5"), "{text}");
        }
        assert_eq!(read("Answer: -0").as_deref(), Some("0"));
    }

    #[test]
    fn what_is_not_an_integer_is_never_one() {
        for (text, shown) in [
            ("Answer: 42.5", "42.5"),
            ("Answer: 84/2", "84/2"),
            ("Answer: 1e3", "1e3"),
            ("Answer: 2^10", "2^10"),
            ("Answer: 1.234", "1.234"),
        ] {
            assert_eq!(read(text).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn nothing_is_read_where_nothing_is_stated() {
        for text in ["", "no idea", "I counted 41.\nAnswer: I do not know.", "x2", "Answer:", "\\boxed{}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            integer(&text);
            stated(&text);
        }

        #[test]
        fn never_panics_on_what_nearly_is_an_answer(
            text in "(Answer|answer is|答案|答|תשובה|:|=| |\n|-|\\\\boxed\\{|\\}|[0-9]{1,4}|,|\\.|e|/|十|百|万|零|\u{202f}|\\$|`){0,24}"
        ) {
            integer(&text);
        }

        #[test]
        fn reads_back_every_integer(value in any::<i64>()) {
            prop_assert_eq!(integer(&format!("Answer: {value}")), Some(value.to_string()));
            prop_assert_eq!(integer(&value.to_string()), Some(value.to_string()));
        }
    }
}
