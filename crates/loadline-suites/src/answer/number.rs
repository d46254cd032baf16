//! Numbers in folded text: rules 3 and 4.

/// The space that stands between groups of digits, after folding.
pub(super) const THIN: char = '\u{202f}';

/// The number in a stated answer.
pub(super) fn stated(text: &str) -> Option<String> {
    let text = with_thin_spaces(text);
    let result = result_side(&text);
    numbers(result).next().or_else(|| chinese_number(result))
}

/// The last number in a text.
pub(super) fn last(text: &str) -> Option<String> {
    numbers(text).last()
}

/// The side of an equation on which the result stands; the text itself where there is no equation.
fn result_side(text: &str) -> &str {
    let (Some((left, _)), Some((_, right))) = (text.split_once('='), text.rsplit_once('=')) else {
        return text;
    };
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | ',' | '.' | THIN);
    if left.contains(|c: char| c.is_ascii_digit()) && left.trim().chars().all(is_number) {
        left
    } else {
        right
    }
}

/// The text with a thin space for every plain one that stands between a digit and exactly three digits.
fn with_thin_spaces(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let groups =
            c == ' ' && plain.ends_with(|c: char| c.is_ascii_digit()) && digits(&text[at + 1..]).len() == 3;
        plain.push(if groups { THIN } else { c });
    }
    plain
}

/// The numbers in a folded text, from left to right, as [`integer`](super::integer) gives them.
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
}
