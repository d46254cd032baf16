//! What several tests need.

use loadline_core::model::{ContinuationLoglikelihood, Request};
use loadline_core::{ModelOutput, Sample};
use loadline_suites::Suite;

/// The question as a model sees it.
pub fn prompt(sample: &Sample) -> String {
    match &sample.input {
        Request::Generate(request) => request.prompt.text().into_owned(),
        Request::Loglikelihood(request) => request.context.text().into_owned(),
        Request::Rolling(request) => request.text.clone(),
    }
}

/// The answers that a choice sample offers.
pub fn options(sample: &Sample) -> Vec<String> {
    match &sample.input {
        Request::Loglikelihood(request) => {
            request.continuations.iter().map(|option| option.trim().to_owned()).collect()
        }
        _ => Vec::new(),
    }
}

/// A model that wrote this.
pub fn wrote(text: &str) -> ModelOutput {
    ModelOutput { completion: text.to_owned(), ..ModelOutput::default() }
}

/// A model that finds the option at this place likeliest.
pub fn chose(sample: &Sample, place: usize) -> ModelOutput {
    let loglikelihoods = (0..options(sample).len())
        .map(|i| ContinuationLoglikelihood {
            sum: if i == place { -1.5 } else { -4.0 },
            tokens: 2,
            greedy: false,
        })
        .collect();
    ModelOutput { loglikelihoods, ..ModelOutput::default() }
}

/// The first score's number.
pub fn value(suite: &dyn Suite, sample: &Sample, output: &ModelOutput) -> f64 {
    let scores = suite.score(sample, output);
    scores[0].value.number().unwrap_or_else(|| panic!("no number: {scores:?}"))
}

/// A small generator of random numbers, unrelated to the one under test (SplitMix64).
pub struct Guesser(pub u64);

impl Guesser {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly even on `0..n`; the unevenness is far below what a test can see.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap()
    }
}
