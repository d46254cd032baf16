//! The runner against models whose faults are scripted, on a paused clock: nothing here waits for real time. And
//! task files against what lm_eval makes of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

mod support;

mod adaptive;
mod budget;
mod disk;
mod export;
mod faults;
mod golden;
mod kill;
mod resume;
mod scoring;
mod task_errors;
mod task_golden;
mod task_library;
