//! Reads every task file of a folder and says what can be run: `cargo run --release --example read_all FOLDER`.

use std::collections::BTreeMap;

#[expect(clippy::print_stdout, reason = "an example for the terminal")]
fn main() {
    let folders: Vec<_> = std::env::args_os().skip(1).map(Into::into).collect();
    let library = loadline_measure::Library::scan(&folders).expect("the folders are there");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in library.entries() {
        let kind = format!("{:?}", entry.kind);
        let first = entry.reasons.first().map_or("runs", |r| r.split('`').next().unwrap_or(r));
        let first = first
            .rsplit(".yaml:")
            .next()
            .unwrap_or(first)
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
        let short: String = first.chars().take(60).collect();
        *counts.entry(format!("{kind}: {short}")).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (what, n) in counts.iter().take(60) {
        println!("{n:6} {what}");
    }
    for problem in library.problems() {
        println!("problem: {problem}");
    }
}
