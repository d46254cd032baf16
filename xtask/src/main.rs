//! Chores of the workspace: `cargo xtask bench runner|local|gate`, `cargo xtask size`, `cargo xtask fuzz`. The tidy checks are tests (`xtask/tests/it`).
#![expect(clippy::print_stdout, reason = "a chore prints its table")]

mod fuzz;
mod gate;
mod local;
mod process;
mod runner;
mod size;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask bench runner [--runs N] [--peers]   the runner against the mock endpoint of ../shared/bench
       cargo xtask bench local [--runs N] [--python P] the local runtime, beside llama-cpp-python when P has it
       cargo xtask bench gate [--folder DIR]           the gate with its audit log on the disk of DIR (target)
       cargo xtask size                                the small verifier: its bytes and its crates, each with a limit
       cargo xtask fuzz [TARGET] [--seconds N]         fuzzing, each target for N seconds; needs a nightly compiler and cargo-fuzz";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let flags: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match flags.as_slice() {
        ["bench", "runner", rest @ ..] => runner::bench(rest),
        ["bench", "local", rest @ ..] => local::bench(rest),
        ["bench", "gate", rest @ ..] => gate::bench(rest),
        ["size"] => size::size(),
        ["fuzz", rest @ ..] => fuzz::fuzz(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("{message}");
            ExitCode::from(2)
        }
    }
}

/// The value behind a flag.
fn flag<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1).copied())
}

/// How many runs each figure is the median of.
fn runs(words: &[&str]) -> Result<usize, String> {
    match flag(words, "--runs") {
        None => Ok(5),
        Some(text) => text.parse().map_err(|_| format!("`--runs {text}`: not a number")),
    }
}
