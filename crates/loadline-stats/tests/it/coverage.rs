//! How often the intervals hold the truth: exactly by enumeration where the outcomes can be listed, else by seeded
//! simulation. `coverage_table` prints what `docs/statistics.md` shows.

use loadline_stats::compare::{self, Options, Pair};
use loadline_stats::eprocess::{Gate, GateState};
use loadline_stats::hierarchical::ClusterCounts;
use loadline_stats::paired::PairedTable;
use loadline_stats::proportion::Proportion;
use loadline_stats::ratio::F1Accumulator;
#[cfg(test)]
use loadline_stats::unpaired;
use loadline_stats::{Accumulator, Estimate, Level};

use crate::simulate::{Stream, binomial, hypergeometric};

/// Mean and least coverage over a set of truths.
#[derive(Clone, Copy, Debug)]
pub struct Coverage {
    pub mean: f64,
    pub least: f64,
}

impl Coverage {
    fn over(coverages: impl IntoIterator<Item = f64>) -> Self {
        let all: Vec<f64> = coverages.into_iter().collect();
        Self {
            mean: all.iter().sum::<f64>() / all.len() as f64,
            least: all.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }
}

pub fn percents(step: usize) -> impl Iterator<Item = f64> {
    (1..100).step_by(step).map(|percent| percent as f64 / 100.0)
}

/// Exact coverage of a single proportion at p = 1 %, 2 %, …, 99 %.
pub fn single(n: u64, method: impl Fn(Proportion) -> Estimate) -> Coverage {
    let intervals: Vec<_> = (0..=n).map(|k| method(Proportion::new(k, n).unwrap()).interval).collect();
    Coverage::over(percents(1).map(|p| {
        binomial(n, p).iter().zip(&intervals).map(|(m, i)| if i.contains(p) { *m } else { 0.0 }).sum()
    }))
}

#[test]
fn single_proportions_hold_their_level() {
    for n in [5, 10, 20, 50, 100] {
        let exact = single(n, |p| p.clopper_pearson(Level::P95));
        assert!(exact.least >= 0.95, "Clopper-Pearson n={n}: {exact:?}");
        let wilson = single(n, |p| p.wilson(Level::P95));
        assert!((0.945..0.97).contains(&wilson.mean) && wilson.least > 0.83, "Wilson n={n}: {wilson:?}");
        let jeffreys = single(n, |p| p.jeffreys(Level::P95));
        assert!(
            (0.94..0.97).contains(&jeffreys.mean) && jeffreys.least > 0.83,
            "Jeffreys n={n}: {jeffreys:?}"
        );
    }
}

/// Exact coverage of the bank score by a sample of `n` from `bank` items, over banks with each number of right items.
pub fn finite_bank(n: u64, bank: u64) -> Coverage {
    let intervals: Vec<_> = (0..=n)
        .map(|k| Proportion::new(k, n).unwrap().wilson_finite_bank(bank, Level::P95).unwrap().interval)
        .collect();
    Coverage::over((1..bank).map(|right| {
        let score = right as f64 / bank as f64;
        let mass = hypergeometric(n, right, bank);
        mass.iter().zip(&intervals).map(|(m, i)| if i.contains(score) { *m } else { 0.0 }).sum()
    }))
}

#[test]
fn bank_scores_hold_their_level() {
    for (n, bank) in [(10, 100), (50, 100), (90, 100), (20, 541)] {
        let coverage = finite_bank(n, bank);
        assert!(coverage.mean > 0.94 && coverage.least > 0.83, "{n} of {bank}: {coverage:?}");
    }
}

/// Exact coverage of a paired difference, over discordant shares (A only, B only) on a grid.
pub fn paired(n: u64, method: impl Fn(PairedTable) -> Estimate) -> Coverage {
    let mut outcomes = Vec::new();
    for a_only in 0..=n {
        for b_only in 0..=n - a_only {
            // Half of the rest right for both: Newcombe's interval depends on the split, Tango's does not.
            let rest = n - a_only - b_only;
            let table = PairedTable::new(rest / 2, a_only, b_only, rest - rest / 2).unwrap();
            outcomes.push((a_only, b_only, method(table).interval));
        }
    }
    let shares = [0.01, 0.03, 0.05, 0.1, 0.2, 0.3];
    let truths = shares.iter().flat_map(|p| shares.iter().map(move |q| (*p, *q)));
    Coverage::over(truths.map(|(p, q)| {
        // Trinomial: A's part first, then B's part of the rest.
        let (a_mass, b_mass) = (binomial(n, p), |left: u64| binomial(left, q / (1.0 - p)));
        let given: Vec<Vec<f64>> = (0..=n).map(|a| b_mass(n - a)).collect();
        let holds = |(a, b, interval): &(u64, u64, loadline_stats::Interval)| {
            let mass = a_mass[*a as usize] * given[*a as usize][*b as usize];
            if interval.contains(p - q) { mass } else { 0.0 }
        };
        outcomes.iter().map(holds).sum()
    }))
}

#[test]
fn paired_differences_hold_their_level() {
    for n in [10, 20, 40] {
        let tango = paired(n, |t| t.tango(Level::P95));
        assert!((0.945..0.99).contains(&tango.mean) && tango.least > 0.92, "Tango n={n}: {tango:?}");
        let newcombe = paired(n, |t| t.newcombe(Level::P95));
        assert!(
            (0.945..0.99).contains(&newcombe.mean) && newcombe.least > 0.87,
            "Newcombe n={n}: {newcombe:?}"
        );
    }
}

/// Exact coverage of an unpaired difference at equal group sizes, over pairs of shares.
pub fn independent(n: u64, method: impl Fn(Proportion, Proportion) -> Estimate) -> Coverage {
    let proportion = |k| Proportion::new(k, n).unwrap();
    let intervals: Vec<Vec<_>> =
        (0..=n).map(|k| (0..=n).map(|l| method(proportion(k), proportion(l)).interval).collect()).collect();
    let shares: Vec<f64> = percents(7).collect();
    let truths = shares.iter().flat_map(|p| shares.iter().map(move |q| (*p, *q)));
    Coverage::over(truths.map(|(p, q)| {
        let (a, b) = (binomial(n, p), binomial(n, q));
        let row = |(m, intervals): (&f64, &Vec<loadline_stats::Interval>)| {
            let held = b.iter().zip(intervals).map(|(l, i)| if i.contains(p - q) { *l } else { 0.0 });
            m * held.sum::<f64>()
        };
        a.iter().zip(&intervals).map(row).sum()
    }))
}

#[test]
fn unpaired_differences_hold_their_level() {
    for n in [10, 30] {
        let newcombe = independent(n, |a, b| unpaired::newcombe(a, b, Level::P95));
        assert!((0.945..0.975).contains(&newcombe.mean) && newcombe.least > 0.87, "n={n}: {newcombe:?}");
    }
}

/// Share of simulated runs whose interval holds the truth, with its binomial standard error.
pub fn simulated(runs: u32, truth: f64, seed: u64, run: impl Fn(&mut Stream) -> Estimate) -> (f64, f64) {
    let mut stream = Stream::new(seed);
    let held = (0..runs).filter(|_| run(&mut stream).interval.contains(truth)).count() as f64;
    let share = held / f64::from(runs);
    (
        share,
        (share.max(0.5 / f64::from(runs)) * (1.0 - share).max(0.5 / f64::from(runs)) / f64::from(runs))
            .sqrt(),
    )
}

/// Clusters of ten right-or-wrong scores with intracluster correlation `icc`.
pub fn clustered(runs: u32, clusters: u32, share: f64, icc: f64) -> (f64, f64) {
    let spread = 1.0 / icc - 1.0;
    simulated(runs, share, 17, |stream| {
        let mut scores = Accumulator::new();
        for cluster in 0..clusters {
            let p = stream.beta(share * spread, (1.0 - share) * spread);
            let key = cluster.to_string();
            (0..10).for_each(|_| scores.push(f64::from(u8::from(stream.coin(p))), Some(&key)).unwrap());
        }
        scores.estimate(Level::P95).unwrap()
    })
}

/// The same data by the hierarchical model.
pub fn hierarchical(runs: u32, clusters: u32, share: f64, icc: f64) -> (f64, f64) {
    let spread = 1.0 / icc - 1.0;
    simulated(runs, share, 17, |stream| {
        let mut counts = ClusterCounts::new();
        for _ in 0..clusters {
            let p = stream.beta(share * spread, (1.0 - share) * spread);
            let right = (0..10).filter(|_| stream.coin(p)).count();
            counts.push(right as u64, 10).unwrap();
        }
        counts.estimate(Level::P95).unwrap()
    })
}

/// The same data, with the clusters left out of account.
pub fn clusters_ignored(runs: u32, clusters: u32, share: f64, icc: f64) -> (f64, f64) {
    let spread = 1.0 / icc - 1.0;
    simulated(runs, share, 17, |stream| {
        let mut scores = Accumulator::new();
        for _ in 0..clusters {
            let p = stream.beta(share * spread, (1.0 - share) * spread);
            (0..10).for_each(|_| scores.push(f64::from(u8::from(stream.coin(p))), None).unwrap());
        }
        scores.estimate(Level::P95).unwrap()
    })
}

/// Means of graded scores from Beta(a, b).
pub fn graded(runs: u32, n: u32, a: f64, b: f64) -> (f64, f64) {
    simulated(runs, a / (a + b), 23, |stream| {
        let mut scores = Accumulator::new();
        (0..n).for_each(|_| scores.push(stream.beta(a, b), None).unwrap());
        scores.estimate(Level::P95).unwrap()
    })
}

/// Differences of graded scores with a common part, paired and clustered by tens.
pub fn graded_pairs(runs: u32, clusters: u32) -> (f64, f64) {
    // E(A) - E(B) = 0.7 × (0.6 - 0.5): each score is 0.3 of the item's ease plus 0.7 of its own.
    simulated(runs, 0.7 * 0.1, 29, |stream| {
        let mut pairs = Vec::new();
        for cluster in 0..clusters {
            // The cluster shifts A's advantage, which is what makes its items dependent.
            let tilt = 2.0 * stream.uniform() - 1.0;
            for _ in 0..10 {
                let ease = stream.uniform();
                let a = 0.3 * ease + 0.7 * stream.beta(6.0 + tilt, 4.0 - tilt);
                let b = 0.3 * ease + 0.7 * stream.beta(5.0, 5.0);
                pairs.push((a, b, cluster.to_string()));
            }
        }
        let pairs = pairs.iter().map(|(a, b, key)| Pair { a: *a, b: *b, cluster: Some(key) });
        compare::paired(pairs, Options::default()).unwrap().difference
    })
}

/// F1 with shares of true positives, false positives and false negatives.
pub fn f1(runs: u32, n: u32, [tp, fp, fn_]: [f64; 3]) -> (f64, f64) {
    simulated(runs, 2.0 * tp / (2.0 * tp + fp + fn_), 31, |stream| {
        let mut table = F1Accumulator::new();
        for _ in 0..n {
            let u = stream.uniform();
            let gold = u < tp || (u >= tp + fp && u < tp + fp + fn_);
            let predicted = u < tp + fp;
            table.push(i64::from(gold), i64::from(predicted), None);
        }
        table.estimate(Level::P95).unwrap()
    })
}

/// Asserts a simulated coverage, with four standard errors of the simulation for tolerance.
#[cfg(test)]
fn assert_held((share, error): (f64, f64), at_least: f64, what: &str) {
    assert!(share + 4.0 * error >= at_least, "{what}: {share} ± {error}, expected at least {at_least}");
}

#[test]
fn clustered_means_hold_their_level_and_ignoring_clusters_does_not() {
    assert_held(clustered(400, 30, 0.6, 0.3), 0.94, "30 clusters");
    assert_held(clustered(400, 10, 0.6, 0.3), 0.93, "10 clusters");
    // Near the end, where t alone covers 86 %.
    assert_held(clustered(400, 30, 0.95, 0.3), 0.92, "30 clusters, 95 % right");
    let (ignored, error) = clusters_ignored(400, 30, 0.6, 0.3);
    assert!(ignored + 4.0 * error < 0.85, "ignoring clusters covers {ignored}");
    assert_held(graded_pairs(200, 20), 0.94, "graded pairs in 20 clusters");
}

#[test]
fn hierarchical_posteriors_hold_their_level() {
    assert_held(hierarchical(60, 10, 0.6, 0.3), 0.93, "hierarchical Beta");
}

#[test]
fn graded_means_and_f1_hold_their_level() {
    assert_held(graded(500, 20, 2.0, 2.0), 0.945, "graded, symmetric");
    assert_held(graded(500, 50, 5.0, 1.0), 0.935, "graded, skewed");
    assert_held(f1(500, 100, [0.3, 0.1, 0.1]), 0.945, "F1 0.75");
    assert_held(f1(500, 30, [0.5, 0.01, 0.01]), 0.92, "F1 0.98");
}

/// The exact chance that a gate with threshold `threshold` passes (fails) within `cap` scores when the true mean is `p`,
/// and the mean number of scores it takes: forward over (scores seen, successes), decided paths taken out.
pub fn gate(threshold: f64, p: f64, alpha: f64, cap: usize) -> (f64, f64, f64) {
    let mut live: Vec<Option<(f64, Gate)>> = vec![None; cap + 2];
    live[0] = Some((1.0, Gate::new(threshold, alpha).unwrap()));
    let (mut passed, mut failed, mut looked) = (0.0, 0.0, 0.0);
    for _ in 0..cap {
        let mut next: Vec<Option<(f64, Gate)>> = vec![None; cap + 2];
        for (successes, node) in live.iter().enumerate() {
            let Some((mass, gate)) = node else { continue };
            looked += mass;
            for (score, share) in [(0, 1.0 - p), (1, p)] {
                let at = &mut next[successes + score];
                match at {
                    // Another path came here: the state is the same.
                    Some((there, _)) => *there += mass * share,
                    None => {
                        let mut gate = *gate;
                        gate.push(score as f64).unwrap();
                        *at = Some((mass * share, gate));
                    }
                }
            }
        }
        for node in &mut next {
            match node.as_ref().map(|(mass, gate)| (*mass, gate.state())) {
                Some((mass, GateState::Pass)) => passed += mass,
                Some((mass, GateState::Fail)) => failed += mass,
                _ => continue,
            }
            *node = None;
        }
        live = next;
    }
    (passed, failed, looked)
}

#[test]
fn a_gate_at_its_threshold_passes_and_fails_no_oftener_than_alpha() {
    for (threshold, alpha) in [(0.8, 0.05), (0.5, 0.1)] {
        let (passed, failed, _) = gate(threshold, threshold, alpha, 250);
        assert!(passed <= alpha && failed <= alpha, "{threshold}: {passed} passed, {failed} failed");
        // And it is not idle.
        assert!(passed + failed > 0.2 * alpha);
    }
}

#[test]
fn a_gate_decides_clear_cases_soon() {
    let (passed, failed, looked) = gate(0.8, 0.95, 0.05, 200);
    assert!(passed > 0.99 && failed < 1e-3 && looked < 45.0, "{passed} {failed} {looked}");
    let (passed, failed, _) = gate(0.8, 0.6, 0.05, 200);
    assert!(failed > 0.97 && passed < 1e-2, "{passed} {failed}");
}

#[test]
fn a_gate_of_graded_scores_holds_its_level() {
    // Scores from Beta(8, 2), mean 0.8: at the threshold. 300 runs of 150 scores.
    let mut stream = Stream::new(37);
    let runs = 300;
    let passes = (0..runs)
        .filter(|_| {
            let mut gate = Gate::new(0.8, 0.05).unwrap();
            (0..150).any(|_| gate.push(stream.beta(8.0, 2.0)).unwrap() == GateState::Pass)
        })
        .count();
    // α plus three standard errors of the simulation: 5 % + 3.8 %.
    assert!(
        passes as f64 / f64::from(runs) <= 0.05 + 3.0 * (0.05 * 0.95 / f64::from(runs)).sqrt(),
        "{passes}"
    );
}
