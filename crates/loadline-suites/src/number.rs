//! What suites whose answer is an integer have in common.

use loadline_core::{ModelOutput, Sample, Score};

use crate::answer;
use crate::item::{exact_match, is_choice, score_choice};
use crate::stream::Stream;

/// What a prompt says about the answer's form. A small model that is told that it *may* think answers at once.
pub(crate) const ASK: &str =
    "Think step by step. Then end with one line of the form \"Answer: N\", where N is the result in digits.";

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

/// Three wrong answers to offer beside `right`: with two distances `a` and `b`, the numbers `right ± a`,
/// `right ± b` and the sum of both steps, each sign drawn.
///
/// The four numbers are the corners of a parallelogram and the right one is any corner: it is no likelier than the
/// others to be the smallest, the largest or the one in the middle. All have the same number of digits, since
/// summed log-likelihoods favour short answers. Where possible one distance is that to one of the `slips`, the
/// results of plausible mistakes.
pub(crate) fn distractors(stream: &mut Stream, right: i64, slips: &[i64]) -> Vec<String> {
    let size = right.abs();
    let length = digits(right);
    let (low, high) = if length == 1 { (0, 9) } else { (10_i64.pow(length - 1), 10_i64.pow(length) - 1) };
    let room = (size - low).min(high - size);
    let slips: Vec<i64> =
        slips.iter().map(|slip| (slip - right).abs()).filter(|far| (1..room).contains(far)).collect();
    let slip = (!slips.is_empty()).then(|| *stream.choose(&slips));
    let mut step = || 10_i64.pow(stream.index_u32(length)) * stream.between(1, 9);
    let drawn = (0..64).map(|_| (slip.unwrap_or_else(&mut step), step()));
    let fits = |(a, b): &(i64, i64)| a != b && a + b <= room;
    let Some((a, b)) = drawn.into_iter().find(fits).or((room >= 3).then_some((1, 2))) else {
        // Too near to the numbers with more or fewer digits: the nearest there are.
        let sign = if right < 0 { -1 } else { 1 };
        let near = ((size - 3).max(low)..=(size + 3).min(high)).filter(|other| *other != size);
        let mut near: Vec<i64> = near.collect();
        near.sort_by_key(|other| other.abs_diff(size));
        return near.iter().take(3).map(|other| (other * sign).to_string()).collect();
    };
    let mut signed = |far: i64| if stream.one_in(1, 2) { far } else { -far };
    let (a, b) = (signed(a), signed(b));
    [right + a, right + b, right + a + b].iter().map(i64::to_string).collect()
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
