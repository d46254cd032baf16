//! The log: against other implementations, against attackers, on a disk that fails.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test helper may panic as a test may")]

mod crash;
mod damage;
mod disk;
mod go;
mod golden;
mod interop;
mod merkle;
mod note;
mod race;
mod roles;
mod sim;
mod support;
mod tiles;
