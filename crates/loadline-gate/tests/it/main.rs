//! The gate from outside.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test helper may panic as a test may")]

mod durable;
