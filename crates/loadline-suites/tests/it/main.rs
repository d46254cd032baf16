//! Every suite as a user of the crate sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod ability;
mod chance;
mod golden;
mod items;
mod reading;
mod risk;
mod scoring;
mod solve;
mod support;
