//! The public behaviour of the policy crate.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod compute;
mod decide;
mod golden;
mod license;
mod policy;
mod reference;
mod rules;
mod support;
