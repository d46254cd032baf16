//! Tests of the `loadline` command as people and programs meet it: the real binary, its words, its exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

mod access_operator;
mod access_programme;
mod authority_folder;
mod bad_input;
mod contrib;
mod drills;
mod gate_ends;
mod gate_files;
mod gate_serves;
mod gate_upstreams;
mod guards;
mod help;
mod interrupted;
mod keys;
mod killed;
mod licensed;
mod local;
mod logs;
mod measured;
mod monitors;
mod older;
mod policies;
mod pulled;
mod records;
mod stages;
mod started;
mod statistics;
mod stopping;
mod support;
mod witnesses;
