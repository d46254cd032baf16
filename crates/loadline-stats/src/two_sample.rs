//! Do two sets of answers to the same prompts come from one source? A permutation test.
//!
//! The statistic is the squared maximum mean discrepancy (Gretton and others 2012, JMLR), unbiased and summed over prompts,
//! as Gao, Liang & Guestrin 2024 ("Model Equality Testing", arXiv 2410.20247) use it on completions. If the source is
//! one, it does not matter which answers to a prompt are called the first and which the second. So the p-value comes from
//! exchanging them within each prompt, and holds whatever the similarity is (Phipson & Smyth 2010: 1 is added to both
//! counts).

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::error::StatsError;
use crate::estimate::{Estimate, Level};
use crate::proportion::Proportion;

/// The answers to one prompt: how similar each two of them are. The first `first` are of the first source.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarities {
    size: usize,
    first: usize,
    values: Vec<f64>,
}

impl Similarities {
    /// Of `first` answers of one source, then `second` of the other; `similar` gives a finite number for two places and
    /// does not depend on their order.
    ///
    /// # Errors
    /// [`StatsError::TooFewAnswers`] when a source has fewer than two, [`StatsError::NotFinite`] for a similarity that is
    /// not a number.
    pub fn new(
        first: usize,
        second: usize,
        similar: impl Fn(usize, usize) -> f64,
    ) -> Result<Self, StatsError> {
        if first < 2 || second < 2 {
            return Err(StatsError::TooFewAnswers { first, second });
        }
        let size = first + second;
        let mut values = vec![0.0; size * size];
        for i in 0..size {
            for j in 0..i {
                let value = similar(i, j);
                if !value.is_finite() {
                    return Err(StatsError::NotFinite { value });
                }
                values[i * size + j] = value;
                values[j * size + i] = value;
            }
        }
        Ok(Self { size, first, values })
    }

    /// The squared discrepancy when the answers at the places `order[..first]` are called the first.
    fn discrepancy(&self, order: &[usize]) -> f64 {
        let (mut within, mut across, mut within_second) = (0.0, 0.0, 0.0);
        for (i, a) in order.iter().enumerate() {
            let row = &self.values[a * self.size..][..self.size];
            for (j, b) in order[..i].iter().enumerate() {
                match (i < self.first, j < self.first) {
                    (true, _) => within += row[*b],
                    (false, true) => across += row[*b],
                    (false, false) => within_second += row[*b],
                }
            }
        }
        let (m, n) = (self.first as f64, (self.size - self.first) as f64);
        2.0 * within / (m * (m - 1.0)) + 2.0 * within_second / (n * (n - 1.0)) - 2.0 * across / (m * n)
    }
}

/// What a permutation test came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TwoSample {
    /// The statistic: 0 on average when the source is one, larger otherwise.
    pub statistic: f64,
    /// The chance, if the source is one, of a statistic at least as large.
    pub p_value: f64,
    /// How many random exchanges it rests on.
    pub permutations: u32,
    /// Prompts.
    pub prompts: u64,
    /// Answers, of both sources.
    pub answers: u64,
}

/// Random numbers from a seed, the same everywhere.
struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Below `most`; the bias is below `most`/2^64.
    fn below(&mut self, most: usize) -> usize {
        let wide = u128::from(self.0.next_u64()) * most as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Fisher and Yates.
    fn shuffle(&mut self, order: &mut [usize]) {
        for at in (1..order.len()).rev() {
            order.swap(at, self.below(at + 1));
        }
    }
}

/// Tests whether the answers have one source. The same seed gives the same p-value.
///
/// # Errors
/// [`StatsError::NoScores`] without a prompt.
pub fn test(prompts: &[Similarities], permutations: u32, seed: u64) -> Result<TwoSample, StatsError> {
    if prompts.is_empty() {
        return Err(StatsError::NoScores { unscored: 0 });
    }
    let orders = || prompts.iter().map(|prompt| (0..prompt.size).collect::<Vec<_>>());
    let total = |orders: &[Vec<usize>]| -> f64 {
        prompts.iter().zip(orders).map(|(prompt, order)| prompt.discrepancy(order)).sum()
    };
    let mut exchanged: Vec<_> = orders().collect();
    let statistic = total(&exchanged);
    // Equal sums in another order of their terms differ by rounding.
    let at_least = statistic - 1e-9 * statistic.abs().max(1.0);
    let mut random = Random::new(seed);
    let mut larger = 0_u32;
    for _ in 0..permutations {
        exchanged.iter_mut().for_each(|order| random.shuffle(order));
        larger += u32::from(total(&exchanged) >= at_least);
    }
    Ok(TwoSample {
        statistic: statistic / prompts.len() as f64,
        p_value: (f64::from(larger) + 1.0) / (f64::from(permutations) + 1.0),
        permutations,
        prompts: prompts.len() as u64,
        answers: prompts.iter().map(|prompt| prompt.size as u64).sum(),
    })
}

/// How often the test would find a source that answers a share of the prompts otherwise. In each of `trials` the answers
/// of one source are split into two halves at random. With probability `share` a prompt's second half then becomes
/// unlike its first; the answers within it stay as alike as they are. The share of trials whose p-value is at most
/// `alpha`, with Wilson's interval. Each prompt is given as the number of its answers and how similar each two of them are, row by row.
///
/// # Errors
/// [`StatsError::TooFewAnswers`] when a prompt has fewer than four answers, [`StatsError::Probability`] for a share or
/// alpha outside of (0, 1), and what [`test()`] says.
pub fn power(
    prompts: &[(usize, Vec<f64>)],
    share: f64,
    alpha: f64,
    trials: u32,
    seed: u64,
) -> Result<Estimate, StatsError> {
    for (name, value) in [("the share that differs", share), ("alpha", alpha)] {
        if !(value > 0.0 && value < 1.0) {
            return Err(StatsError::Probability { name, value });
        }
    }
    let mut random = Random::new(seed);
    let mut found = 0_u32;
    for _ in 0..trials {
        let mut split = Vec::with_capacity(prompts.len());
        for (size, values) in prompts {
            let mut order: Vec<_> = (0..*size).collect();
            random.shuffle(&mut order);
            let first = size / 2;
            let is_other = random.unit() < share;
            let similar = |i: usize, j: usize| {
                let apart = is_other && (i < first) != (j < first);
                if apart { 0.0 } else { values[order[i] * size + order[j]] }
            };
            split.push(Similarities::new(first, size - first, similar)?);
        }
        // So many that a p-value of alpha can be reached and told from the next.
        let permutations = (4.0 / alpha).ceil().clamp(99.0, 999.0) as u32;
        found += u32::from(test(&split, permutations, random.0.next_u64())?.p_value <= alpha);
    }
    Ok(Proportion::new(found.into(), trials.into())?.wilson(Level::P95))
}
