//! Every suite as a user of the crate sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod ability;
mod chance;
mod figures;
mod golden;
mod items;
mod scoring;
mod solve;
mod support;
