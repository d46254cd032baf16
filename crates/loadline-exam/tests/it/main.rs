//! Integration tests of the exam.

mod good;
