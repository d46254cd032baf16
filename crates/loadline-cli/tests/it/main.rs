//! Tests of the `loadline` command as people and programs meet it: the real binary, its words, its exit codes.

mod bad_input;
mod help;
mod interrupted;
mod local;
mod measured;
mod pulled;
mod records;
mod statistics;
mod support;
