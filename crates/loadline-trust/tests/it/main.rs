//! Keys, envelopes, roots and standings from outside: published vectors, other implementations, attacks, golden files.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops where it stands")]

mod attacks;
mod envelope;
mod golden;
mod root;
mod standing;
mod support;
mod vectors;
