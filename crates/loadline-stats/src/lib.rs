//! Numbers in, estimates out: intervals, paired tests, sequential gates. Pure: no IO, no clock, and the same numbers
//! give the same bits on every platform and in every order of arrival.
//!
//! Read in this order: [`estimate`] (the form of every result) → [`summary`] (scores of one run) → [`compare`] (two
//! runs) → [`eprocess`] (stopping early) → [`drift`] (watching for ever) → [`two_sample`] (same source?) → [`power`] (how many samples). `docs/statistics.md` says which method is
//! used when, and how well each keeps its level.
//!
//! | what is reported | accumulate with | then |
//! |---|---|---|
//! | mean of scores | [`Accumulator::new`] | [`estimate`](Accumulator::estimate) |
//! | a median | the values, all at once | [`median::median`] |
//! | exp(-mean) | [`Accumulator::with_range`] ([`mean::Range::Unbounded`]) | [`Transform::ExpNegative`] |
//! | exp(-totals/pers) | [`ratio::RatioAccumulator`] | [`ratio::perplexity`] |
//! | bits per byte | [`ratio::RatioAccumulator`] | [`ratio::bits_per_byte`] |
//! | F1 | [`ratio::F1Accumulator`] | [`estimate`](ratio::F1Accumulator::estimate) |
//! | two runs, mean of scores | [`scores::ScoreTable`] and [`scores::pair`] | [`compare::paired`] |
//! | two runs, ratio or F1 | pairs by sample | [`paired_ratio::ratios`], [`paired_ratio::f1`] |

pub mod compare;
pub mod drift;
pub mod eprocess;
pub mod error;
pub mod estimate;
mod exact_sum;
pub mod hierarchical;
pub mod mean;
pub mod median;
pub mod paired;
pub mod paired_ratio;
pub mod power;
pub mod proportion;
pub mod ratio;
pub mod scores;
mod special;
pub mod summary;
pub mod two_sample;
pub mod unpaired;

pub use compare::{Comparison, Verdict};
pub use error::StatsError;
pub use estimate::{Estimand, Estimate, Interval, Level, Method, Scale, Transform};
pub use summary::Accumulator;
