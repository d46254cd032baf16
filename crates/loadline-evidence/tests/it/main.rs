//! The record, on a disk in memory that fails at every step and on the real one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test helper may panic as a test may")]

mod damage;
mod endless;
mod faults;
mod golden;
mod hostile;
mod kill;
mod proofs;
mod rows;
mod sim;
mod store;
