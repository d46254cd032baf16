//! What suites whose answer is an integer have in common.

use loadline_core::{ModelOutput, Sample, Score};

use crate::answer;
use crate::item::{exact_match, is_choice, score_choice};
use crate::stream::Stream;

/// What a prompt says about the answer's form.
pub(crate) const ASK: &str = "You may think step by step first. End with one line of the form \"Answer: N\", where N is the result in digits.";

/// Scores either form of an item whose answer is an integer.
pub(crate) fn score(sample: &Sample, output: &ModelOutput) -> Vec<Score> {
    if is_choice(sample) {
        return score_choice(sample, output);
    }
    let read = answer::integer(&output.completion);
    let right = read.is_some() && sample.target.iter().any(|target| answer::integer(target) == read);
    let explanation = match &read {
        None => Some("no number could be read from the answer".to_owned()),
        Some(read) if read.contains(['.', '/', 'e', 'E', '^']) => Some(format!("{read} is not an integer")),
        Some(_) => None,
    };
    vec![exact_match(right, read, explanation)]
}

/// An answer that is a different integer from the right one.
pub(crate) fn wrong_answer(sample: &Sample) -> String {
    let right = sample.target.first().and_then(|target| answer::integer(target)?.parse::<i64>().ok());
    format!("Answer: {}", right.unwrap_or_default().wrapping_add(1))
}

/// Three wrong answers to offer beside `right`: the ones proposed, as far as they are different and not right,
/// then numbers of the same sign and length that differ from it by a digit.
pub(crate) fn distractors(stream: &mut Stream, right: i64, proposed: &[i64]) -> Vec<String> {
    let mut wrong: Vec<i64> = Vec::new();
    let usable =
        |value: i64, wrong: &[i64]| value != right && !wrong.contains(&value) && (value < 0) == (right < 0);
    for &value in proposed {
        if wrong.len() < 3 && usable(value, &wrong) {
            wrong.push(value);
        }
    }
    let length = digits(right);
    for _ in 0..64 {
        if wrong.len() == 3 {
            break;
        }
        let place = 10_i64.pow(u32::try_from(stream.below(u64::from(length))).unwrap_or_default());
        let step = place * stream.between(1, 3);
        let value = if stream.one_in(1, 2) { right + step } else { right - step };
        if usable(value, &wrong) && digits(value) == length {
            wrong.push(value);
        }
    }
    // Reached only where few numbers are as long as the right one.
    let mut next = right;
    while wrong.len() < 3 {
        next += if right < 0 { -1 } else { 1 };
        if usable(next, &wrong) {
            wrong.push(next);
        }
    }
    wrong.iter().map(i64::to_string).collect()
}

/// The chance of a number drawn evenly from a level's range of results, both ends included.
pub(crate) fn even_chance(results: &[(i64, i64)], level: u32) -> f64 {
    let place = usize::try_from(level.saturating_sub(1)).unwrap_or_default().min(results.len() - 1);
    let (low, high) = results[place];
    #[expect(clippy::cast_precision_loss, reason = "ranges of results are far below 2^52")]
    let width = (high.abs_diff(low) + 1) as f64;
    1.0 / width
}

/// How many decimal digits a number has.
fn digits(value: i64) -> u32 {
    value.unsigned_abs().checked_ilog10().unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distractors_are_three_different_wrong_numbers() {
        for right in [0, 1, 9, 10, 42, -1, -10, 999, 123_456_789, -55] {
            for key in 0..50 {
                let mut stream = Stream::new([key; 32]);
                let mut wrong = distractors(&mut stream, right, &[right, 7, 7]);
                assert!(!wrong.contains(&right.to_string()));
                wrong.sort();
                wrong.dedup();
                assert_eq!(wrong.len(), 3, "{right}: {wrong:?}");
            }
        }
    }
}
