//! A word and how sure it is, in percent.

use super::super::key::Verdict;
use crate::answer;

/// Right when the likelier word is named first and the stated percentage is the right one to within half a point. The
/// second metric is 1 minus the squared distance of the two probabilities, 0 where none can be read. Takes the text
/// as it was written.
pub(crate) fn judge(text: &str, likelier: &str, other: &str, percent: i64) -> Verdict {
    let stated = answer::stated(text).to_lowercase();
    let first = super::words(&stated).find(|word| word == likelier || word == other);
    let (Some(named), Some(sure)) = (first, percentage(&stated)) else {
        return Verdict {
            right: false,
            answer: None,
            why: Some("it does not state a word and a percentage"),
            second: 0.0,
        };
    };
    let of_likelier = if named == likelier { sure } else { 100.0 - sure };
    #[expect(clippy::cast_precision_loss, reason = "at most 100")]
    let far = of_likelier - percent as f64;
    let right = named == likelier && far.abs() <= 0.5;
    let second = 1.0 - (far / 100.0) * (far / 100.0);
    let why = if named == likelier { "the percentage is another" } else { "the less likely one is named" };
    Verdict { right, answer: Some(format!("{named}, {sure}%")), why: (!right).then_some(why), second }
}

/// The first number with a percent sign or word behind it, else the first number; between 0 and 100. A number up to 1
/// without such a sign is a share (`0.7`), and so is a quotient (`7/10`).
fn percentage(text: &str) -> Option<f64> {
    let numbers = numbers(text);
    let marked = numbers.iter().find(|(_, rest)| {
        let rest = rest.trim_start_matches(['\\', ' ', '\u{202f}']);
        rest.starts_with('%') || rest.starts_with("percent") || rest.starts_with("per cent")
    });
    if let Some((value, _)) = marked {
        return Some(*value).filter(|value| (0.0..=100.0).contains(value));
    }
    let (value, rest) = numbers.first()?;
    let over = rest.strip_prefix('/').and_then(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<f64>().ok().filter(|over| *over > 0.0)
    });
    let percent = match over {
        Some(over) => value / over * 100.0,
        None if *value <= 1.0 => value * 100.0,
        None => *value,
    };
    Some(percent).filter(|value| (0.0..=100.0).contains(value))
}

/// The numbers of a text, each with what follows it.
fn numbers(text: &str) -> Vec<(f64, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let from = &rest[start..];
        let mut end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let mut number = from[..end].to_owned();
        if let Some(fraction) = from[end..].strip_prefix(['.', ',']) {
            let digits = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            if digits > 0 {
                number.push('.');
                number.push_str(&fraction[..digits]);
                end += 1 + digits;
            }
        }
        rest = &from[end..];
        if let Ok(value) = number.parse() {
            found.push((value, rest));
        }
    }
    found
}
