//! Integration tests of the verifier as WebAssembly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod library;
mod module;
mod support;
