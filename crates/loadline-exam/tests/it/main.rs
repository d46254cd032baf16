//! Integration tests of the exam.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attacks;
mod bytes;
mod chain;
mod dishonest;
mod forms;
mod good;
mod python;
mod signoffs;
mod stages;
mod support;
mod witnessed;
