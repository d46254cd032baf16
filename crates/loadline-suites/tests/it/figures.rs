//! Figures that are quoted in the code and in `docs/suites.md`. Left out of ordinary runs:
//! `cargo test -p loadline-suites --release --test it figures -- --ignored --nocapture`.

use std::time::Instant;

use loadline_core::Digest;
use loadline_suites::{Form, Seed, all, find};

use crate::solve::chess;
use crate::support::prompt;

#[test]
#[ignore = "prints figures; nothing can fail"]
fn milliseconds_per_item() {
    let seed = Seed::from_u64(1);
    for suite in all() {
        for level in 1..=suite.last_level() {
            for form in suite.forms() {
                let n = 500;
                let mut slowest = std::time::Duration::ZERO;
                let start = Instant::now();
                for index in 0..n {
                    let start = Instant::now();
                    std::hint::black_box(suite.sample(&seed, *form, level, index));
                    slowest = slowest.max(start.elapsed());
                }
                println!(
                    "{} {level} {form}: mean {:.3} ms, slowest {:.3} ms",
                    suite.name(),
                    start.elapsed().as_secs_f64() * 1e3 / 500.0,
                    slowest.as_secs_f64() * 1e3
                );
            }
        }
    }
}

#[test]
#[ignore = "prints figures; nothing can fail"]
fn chess_chance() {
    let suite = find("chess").unwrap();
    let seed = Seed::from_u64(1);
    for level in 1..=5 {
        let n = 50_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for index in 0..n {
            let sample = suite.sample(&seed, Form::Generate, level, index);
            let right = sample.target.len();
            let chance = if level > 3 {
                right as f64 / chess::legal(&chess::board(&prompt(&sample))).len() as f64
            } else {
                // A promotion needs a fifth letter, which the guesser never writes.
                sample.target.iter().filter(|mv| mv.len() == 4).count() as f64 / (64.0 * 63.0)
            };
            sum += chance;
            squares += chance * chance;
        }
        let mean = sum / n as f64;
        let error = ((squares / n as f64 - mean * mean) / n as f64).sqrt();
        println!("chess {level}: {mean:.6} ± {error:.6}");
    }
}

#[test]
#[ignore = "prints figures; nothing can fail"]
fn repeats_in_many_items() {
    // `SUITE=chess` counts for one suite only.
    let only = std::env::var("SUITE").ok();
    for suite in all().iter().filter(|suite| only.as_deref().is_none_or(|only| only == suite.name())) {
        for level in 1..=suite.last_level() {
            // Items that take long to make have much in them.
            let n: u64 = if matches!(suite.name(), "chess" | "retrieval") { 200_000 } else { 1_000_000 };
            let seed = Seed::from_u64(1);
            let form = suite.forms()[0];
            let mut seen = std::collections::HashSet::new();
            let repeats = (0..n)
                .filter(|index| {
                    let digest = Digest::of(prompt(&suite.sample(&seed, form, level, *index)).as_bytes());
                    !seen.insert(digest.0[..16].to_vec())
                })
                .count();
            println!("{} {level}: {repeats} repeats in {n}", suite.name());
        }
    }
}
