//! Figures that are quoted in the code and in `docs/suites.md`. Left out of ordinary runs:
//! `cargo test -p loadline-suites --release --test it figures -- --ignored --nocapture`.

use std::time::Instant;

use loadline_suites::{Form, Seed, all};

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
