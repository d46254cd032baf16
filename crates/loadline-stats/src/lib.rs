//! Numbers in, estimates out: intervals, paired tests, sequential gates. Pure: no IO, no clock, and the same numbers
//! give the same bits on every platform and in every order of arrival.
//!
//! Read in this order: [`estimate`] (the form of every result) → [`summary`] (scores of one run) → [`compare`] (two
//! runs) → [`eprocess`] (stopping early) → [`power`] (how many samples). `docs/statistics.md` says which method is
//! used when, and how well each keeps its level.

pub mod compare;
pub mod eprocess;
pub mod error;
pub mod estimate;
mod exact_sum;
pub mod hierarchical;
pub mod mean;
pub mod paired;
pub mod paired_ratio;
pub mod power;
pub mod proportion;
pub mod ratio;
pub mod scores;
mod special;
pub mod summary;
pub mod unpaired;

pub use compare::{Comparison, Verdict};
pub use error::StatsError;
pub use estimate::{Estimand, Estimate, Interval, Level, Method, Scale, Transform};
pub use summary::Accumulator;
