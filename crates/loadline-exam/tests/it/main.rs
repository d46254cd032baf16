//! Integration tests of the exam.

mod attacks;
mod bytes;
mod forms;
mod good;
mod support;
