//! Integration tests of the runner.

mod task_errors;
mod task_golden;
mod task_library;
