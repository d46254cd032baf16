//! Prints the measured coverage of `docs/statistics.md`: the simulations of the tests, on finer grids. About a minute.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a table is printed; a simulation that fails may stop"
)]

#[path = "../tests/it/coverage.rs"]
mod coverage;
#[path = "../tests/it/simulate.rs"]
mod simulate;

use coverage::{
    Coverage, clustered, clusters_ignored, f1, finite_bank, gate, graded, graded_pairs, hierarchical,
    independent, paired, single,
};
use loadline_stats::{Level, unpaired};

fn main() {
    let show = |c: Coverage| format!("{:.1} ({:.1})", 100.0 * c.mean, 100.0 * c.least);
    println!("| n | Wilson | Clopper-Pearson | Jeffreys | uniform Beta |\n|---|---|---|---|---|");
    for n in [5, 10, 20, 50, 100, 500] {
        let row = [
            single(n, |p| p.wilson(Level::P95)),
            single(n, |p| p.clopper_pearson(Level::P95)),
            single(n, |p| p.jeffreys(Level::P95)),
            single(n, |p| p.uniform_beta(Level::P95)),
        ];
        println!("| {n} | {} |", row.map(show).join(" | "));
    }
    println!("\n| n of J | Wilson, finite bank |\n|---|---|");
    for (n, bank) in [(10, 100), (50, 100), (90, 100), (20, 541), (200, 541)] {
        println!("| {n} of {bank} | {} |", show(finite_bank(n, bank)));
    }
    println!("\n| n | Tango | Newcombe, paired | Newcombe, unpaired |\n|---|---|---|---|");
    for n in [10, 20, 50, 100] {
        let row = [
            paired(n, |t| t.tango(Level::P95)),
            paired(n, |t| t.newcombe(Level::P95)),
            independent(n, |a, b| unpaired::newcombe(a, b, Level::P95)),
        ];
        println!("| {n} | {} |", row.map(show).join(" | "));
    }
    simulated_tables();
}

fn show_simulated((share, error): (f64, f64)) -> String {
    format!("{:.1} ± {:.1}", 100.0 * share, 100.0 * error)
}

fn simulated_tables() {
    let show = show_simulated;
    println!("\n| share right, ICC | clusters | t, clustered | clusters ignored |\n|---|---|---|---|");
    for (share, icc) in [(0.5, 0.1), (0.6, 0.3), (0.8, 0.3), (0.95, 0.1), (0.95, 0.3)] {
        for clusters in [5, 10, 30, 100] {
            let row = [clustered(2000, clusters, share, icc), clusters_ignored(2000, clusters, share, icc)];
            println!("| {share}, {icc} | {clusters} | {} |", row.map(show).join(" | "));
        }
    }
    println!("\n| graded scores | n = 10 | n = 30 | n = 100 |\n|---|---|---|---|");
    for (a, b) in [(2.0, 2.0), (5.0, 1.0), (0.5, 0.5), (20.0, 1.0)] {
        println!("| Beta({a}, {b}) | {} |", [10, 30, 100].map(|n| show(graded(4000, n, a, b))).join(" | "));
    }
    println!("\n| F1 | n = 30 | n = 100 | n = 300 |\n|---|---|---|---|");
    for shares in [[0.3, 0.1, 0.1], [0.5, 0.01, 0.01], [0.05, 0.05, 0.05]] {
        let truth = 2.0 * shares[0] / (2.0 * shares[0] + shares[1] + shares[2]);
        println!("| {truth:.2} | {} |", [30, 100, 300].map(|n| show(f1(4000, n, shares))).join(" | "));
    }
    println!("\n| share right, ICC | clusters | hierarchical Beta |\n|---|---|---|");
    for (share, icc, clusters) in
        [(0.6, 0.3, 10), (0.6, 0.3, 30), (0.95, 0.3, 10), (0.95, 0.3, 30), (0.95, 0.1, 30)]
    {
        println!("| {share}, {icc} | {clusters} | {} |", show(hierarchical(300, clusters, share, icc)));
    }
    println!("\npaired t, clustered, 20 clusters: {}", show(graded_pairs(2000, 20)));
    println!("\n| true share | passed | failed | mean scores looked at |\n|---|---|---|---|");
    for p in [0.70, 0.75, 0.80, 0.85, 0.90, 0.95] {
        let (passed, failed, looked) = gate(0.8, p, 0.05, 1000);
        println!("| {p:.2} | {:.1} % | {:.1} % | {looked:.0} |", 100.0 * passed, 100.0 * failed);
    }
}
