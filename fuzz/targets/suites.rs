//! The readers of answers: every suite scores any text, twice the same, in time that grows with the text only. (A reader
//! that is not linear shows as a time-out: the texts are repeated up to 64 KiB.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline_core::ModelOutput;
use loadline_suites::{Form, Seed, all};

/// Largest input, in bytes.
const MOST: usize = 8 << 10;
/// Longest answer that is made of it.
const LONG: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let Some((&[suite, item, shape], text)) = data.split_first_chunk::<3>() else { return };
    if text.len() > MOST {
        return;
    }
    let text = String::from_utf8_lossy(text);
    let suite = all()[usize::from(suite) % all().len()];
    let level = u32::from(item % 16) % suite.last_level().max(1) + 1;
    let sample = suite.sample(&Seed::from_u64(7), Form::Generate, level, u64::from(item / 16));
    let target = sample.target.first().cloned().unwrap_or_default();
    let completion = match shape % 4 {
        0 => text.into_owned(),
        // The right answer somewhere in other text.
        1 => format!("{text}{target}"),
        2 => format!("{target}{text}"),
        _ if text.is_empty() => target,
        _ => text.repeat(LONG / text.len()),
    };
    let output = ModelOutput { completion, ..ModelOutput::default() };
    let scores = suite.score(&sample, &output);
    assert_eq!(scores, suite.score(&sample, &output), "the same answer has two scores");
    assert!(!scores.is_empty(), "an answer has no score");
});
