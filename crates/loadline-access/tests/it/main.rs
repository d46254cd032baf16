//! Tests of the access programme: whole courses of applications, what is refused, what survives a crash.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops where it stands")]

mod courses;
mod draws;
mod durable;
mod errands;
mod golden;
mod identities;
mod programmes;
mod support;
mod tokens;
mod usages;
