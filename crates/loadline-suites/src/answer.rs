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
//! 3. An integer is read from the stated answer: after its last `=` if it has one, the first number. With a
//!    marker and no number behind it nothing is read. With neither marker nor box, the last number of the
//!    whole text is read.
//! 4. A number may have a sign, thousands separators (`1,234`, `1 234` with a narrow space, `1_234`, `1'234`,
//!    `1.234.567`, `1{,}234`), a fraction of zeros (`42.0`), a unit or a currency sign, emphasis around it,
//!    a full stop after it. A fraction that is not zero, an exponent or a quotient (`84/2`) is a number, but
//!    not an integer, so it is never right. In a stated answer without digits a number in Chinese characters counts.

/// The integer that a text answers with, in plain decimal digits with `-` when it is negative; or the number as
/// written when it is not an integer. `None` when no number can be read.
pub fn integer(text: &str) -> Option<String> {
    let folded = fold(text);
    match stated_in(&folded) {
        Some(stated) => {
            let tail = stated.rsplit_once('=').map_or(stated, |(_, tail)| tail);
            numbers(tail).next().or_else(|| chinese_number(tail))
        }
        None => numbers(&folded).last(),
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

/// The space that stands between groups of digits, after [`fold`].
const THIN: char = '\u{202f}';

/// The character as far from `to` as `c` is from `from`.
fn shifted(c: char, from: u32, to: char) -> char {
    char::from_u32(u32::from(c).wrapping_sub(from).wrapping_add(u32::from(to))).unwrap_or(c)
}

/// Words that announce an answer, in small letters.
const MARKERS: [&str; 4] = ["answer", "תשובה", "答案", "答"];

/// What may stand between such a word and the answer; without one of them the word announces nothing.
const CONNECTORS: [&str; 9] = [":", "is", "=", "היא", "הוא", "היה", "是", "为", "為"];

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
    found.into_iter().rev().find_map(|(at, word)| after_connectors(&small, at + word.len()))
}

/// Where the answer begins when a marker ends at `from`: behind at least one connector.
fn after_connectors(small: &str, from: usize) -> Option<usize> {
    let skip = |text: &str| text.trim_start_matches([' ', '\t', '*', '"', '_', THIN]).len();
    let mut rest = &small[from..];
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

/// The numbers in a folded text, from left to right, as [`integer`] gives them.
fn numbers(text: &str) -> impl Iterator<Item = String> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit() {
                at += 1;
                continue;
            }
            let start = at;
            let glued = start > 0 && (bytes[start - 1].is_ascii_alphabetic() || bytes[start - 1] == b'_');
            let (number, end) = number_at(text, start);
            at = end;
            if !glued {
                return Some(number);
            }
        }
        None
    })
}

/// The number that begins at a digit, and where it ends. Rule 4.
fn number_at(text: &str, start: usize) -> (String, usize) {
    let first = digits(&text[start..]);
    let mut whole = first.to_owned();
    let mut end = start + first.len();
    if first.len() <= 3 {
        let mut separator = None;
        while let Some((by, group)) = group_at(&text[end..], separator) {
            whole.push_str(group);
            end += by.len_utf8() + group.len();
            separator = Some(by);
        }
    }
    let mut shown = whole.trim_start_matches('0').to_owned();
    if shown.is_empty() {
        shown.push('0');
    }
    if negative(&text[..start]) && shown != "0" {
        shown.insert(0, '-');
    }
    // What follows may make it something else than an integer.
    let rest = &text[end..];
    let mut after = rest.chars();
    let fraction = match after.next() {
        Some('.' | '/' | '^') => digits(after.as_str()),
        Some('e' | 'E') => digits(after.as_str().trim_start_matches(['+', '-'])),
        _ => "",
    };
    if fraction.is_empty() {
        return (shown, end);
    }
    let fraction_end = text.len() - rest.len() + rest.find(fraction).unwrap_or_default() + fraction.len();
    if !(rest.starts_with('.') && fraction.bytes().all(|b| b == b'0')) {
        shown.push_str(&text[end..fraction_end]);
    }
    (shown, fraction_end)
}

/// The ASCII digits that a text begins with.
fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

/// A separator and exactly three digits at the start of the text; the separator is the `previous` one where there
/// is one. The first full stop separates only when two such groups follow one another, else it begins a fraction.
fn group_at(text: &str, previous: Option<char>) -> Option<(char, &str)> {
    let separator = text.chars().next()?;
    let group = |text: &'_ str| digits(text).len() == 3;
    let rest = &text[separator.len_utf8()..];
    let separates = match (separator, previous) {
        (_, Some(previous)) => separator == previous,
        (',' | '\'' | '_' | THIN, None) => true,
        ('.', None) => rest.get(3..).and_then(|rest| rest.strip_prefix('.')).is_some_and(group),
        _ => false,
    };
    (separates && group(rest)).then(|| (separator, &rest[..3]))
}

/// Whether what stands before a number makes it negative: a minus sign that is not between two things.
fn negative(before: &str) -> bool {
    before
        .strip_suffix('-')
        .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | ']' | '-')))
}

/// The first number in Chinese characters, at most 20 of them.
fn chinese_number(text: &str) -> Option<String> {
    let run: Vec<char> = text
        .chars()
        .skip_while(|c| chinese(*c).is_none())
        .take_while(|c| chinese(*c).is_some())
        .take(20)
        .collect();
    let values: Vec<Chinese> = run.iter().filter_map(|c| chinese(*c)).collect();
    if values.is_empty() {
        return None;
    }
    let (mut total, mut section, mut digit) = (0_u64, 0_u64, 0_u64);
    let mut has_unit = false;
    for value in values {
        match value {
            // Digits side by side are read by place (二〇二六).
            Chinese::Digit(value) if has_unit => digit = value,
            Chinese::Digit(value) => digit = digit.checked_mul(10)?.checked_add(value)?,
            Chinese::Unit(unit) => {
                has_unit = true;
                section = section
                    .checked_add(digit.max(u64::from(digit == 0 && section == 0)).checked_mul(unit)?)?;
                digit = 0;
            }
            Chinese::Section(unit) => {
                has_unit = true;
                total = total.checked_add(section.checked_add(digit)?.checked_mul(unit)?)?;
                (section, digit) = (0, 0);
            }
        }
    }
    Some(total.checked_add(section)?.checked_add(digit)?.to_string())
}

/// A character of a Chinese number.
#[derive(Clone, Copy)]
enum Chinese {
    Digit(u64),
    /// Multiplies the digit before it.
    Unit(u64),
    /// Multiplies everything since the last of its kind.
    Section(u64),
}

fn chinese(c: char) -> Option<Chinese> {
    Some(match c {
        '零' | '〇' => Chinese::Digit(0),
        '一' => Chinese::Digit(1),
        '二' | '两' | '兩' => Chinese::Digit(2),
        '三' => Chinese::Digit(3),
        '四' => Chinese::Digit(4),
        '五' => Chinese::Digit(5),
        '六' => Chinese::Digit(6),
        '七' => Chinese::Digit(7),
        '八' => Chinese::Digit(8),
        '九' => Chinese::Digit(9),
        '十' => Chinese::Unit(10),
        '百' => Chinese::Unit(100),
        '千' => Chinese::Unit(1000),
        '万' | '萬' => Chinese::Section(10_000),
        '亿' | '億' => Chinese::Section(100_000_000),
        _ => return None,
    })
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

    #[test]
    fn chinese_numbers() {
        for (text, value) in [
            ("十", "10"),
            ("十七", "17"),
            ("两百零五", "205"),
            ("三千", "3000"),
            ("一万零二十", "10020"),
            ("二〇二六", "2026"),
            ("一亿", "100000000"),
        ] {
            assert_eq!(chinese_number(text).as_deref(), Some(value), "{text}");
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
