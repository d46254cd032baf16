//! What the suites of this folder draw: codes, numbers, made-up words.

use crate::stream::Stream;

/// Letters of codes: no vowels, so that no word comes of them, and none that looks like a digit.
const LETTERS: &[u8; 18] = b"CDFGHJKLMNPQRTVWXZ";

/// So many codes like `KP-4417`. No two share their letters or their digits.
pub(super) fn codes(stream: &mut Stream, count: usize) -> Vec<String> {
    let mut codes: Vec<(String, i64)> = Vec::with_capacity(count);
    while codes.len() < count {
        let letters: String = (0..2).map(|_| char::from(*stream.choose(LETTERS))).collect();
        let digits = stream.between(1000, 9999);
        if codes.iter().all(|(l, d)| *l != letters && *d != digits) {
            codes.push((letters, digits));
        }
    }
    codes.into_iter().map(|(letters, digits)| format!("{letters}-{digits}")).collect()
}

/// So many different numbers of four digits, no two with the same digits in another order.
pub(super) fn numbers(stream: &mut Stream, count: usize) -> Vec<i64> {
    let sorted = |number: i64| {
        let mut digits = number.to_string().into_bytes();
        digits.sort_unstable();
        digits
    };
    let mut numbers: Vec<i64> = Vec::with_capacity(count);
    while numbers.len() < count {
        let number = stream.between(1000, 9999);
        if numbers.iter().all(|other| sorted(*other) != sorted(number)) {
            numbers.push(number);
        }
    }
    numbers
}

/// A made-up word of three syllables: a consonant and a vowel each.
pub(super) fn made_up(stream: &mut Stream) -> String {
    let mut word = String::with_capacity(6);
    for _ in 0..3 {
        word.push(char::from(*stream.choose(b"bdfgklmnprstvz")));
        word.push(char::from(*stream.choose(b"aeiou")));
    }
    word
}

/// A list as one says it: `a, b and c`.
pub(super) fn listed(parts: &[String]) -> String {
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// With a capital at the start.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_share_nothing() {
        let mut stream = Stream::new([3; 32]);
        for _ in 0..50 {
            let codes = codes(&mut stream, 30);
            let mut halves: Vec<&str> = codes.iter().flat_map(|code| code.split('-')).collect();
            halves.sort_unstable();
            halves.dedup();
            assert_eq!(halves.len(), 60);
        }
        assert_eq!(numbers(&mut stream, 20).len(), 20);
    }
}
