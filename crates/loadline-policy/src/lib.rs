//! Rules and evidence in, a decision with reasons out. Pure: no IO, no clock, and no float in anything that is
//! decided or signed.

pub mod compute;
pub mod decimal;
mod document;
pub mod instant;
mod names;
pub mod rules;
pub mod strict;

pub use compute::{Category, Ledger};
pub use decimal::{Decimal, Interval};
pub use document::{MOST_BYTES, Place, Problem, Problems};
pub use instant::Instant;
pub use names::Named;
pub use rules::{Pack, ScopeVerdict};
