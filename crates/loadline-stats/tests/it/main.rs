//! Tests of the whole crate.

mod coverage;
mod golden;
mod properties;
mod published;
mod results;
mod simulate;
