//! Tests of the `loadline` command as people and programs meet it: the real binary, its words, its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

mod authority_folder;
mod bad_input;
mod gate_files;
mod gate_upstreams;
mod help;
mod interrupted;
mod keys;
mod killed;
mod licensed;
mod local;
mod logs;
mod measured;
mod monitors;
#[expect(dead_code, reason = "shared with the tests of `local`, which use all of it")]
#[path = "../../../loadline-local/tests/it/network.rs"]
mod network;
mod policies;
mod pulled;
mod records;
mod stages;
mod started;
mod statistics;
mod stopping;
mod support;
#[expect(dead_code, reason = "shared with the tests of `local`, which use all of it")]
#[path = "../../../loadline-local/tests/it/tiny.rs"]
mod tiny;
mod witnesses;
