//! What holds for all inputs.

use loadline_stats::compare::{self, Options, Pair, Verdict};
use loadline_stats::paired::PairedTable;
use loadline_stats::proportion::Proportion;
use loadline_stats::{Accumulator, Estimate, Interval, Level, unpaired};
use proptest::prelude::*;

fn counts(most: u64) -> impl Strategy<Value = (u64, u64)> {
    (1..=most).prop_flat_map(|n| (0..=n, Just(n)))
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::P90), Just(Level::P95), Just(Level::P99)]
}

fn assert_sound(estimate: &Estimate, within: Interval) -> Result<(), TestCaseError> {
    let Interval { lo, hi } = estimate.interval;
    prop_assert!(lo <= estimate.point && estimate.point <= hi, "{estimate:?}");
    prop_assert!(within.lo <= lo && hi <= within.hi, "{estimate:?}");
    Ok(())
}

fn assert_mirrored(a: &Estimate, b: &Estimate, centre: f64) -> Result<(), TestCaseError> {
    let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
    prop_assert!(near(a.point, 2.0 * centre - b.point), "{a:?} {b:?}");
    prop_assert!(near(a.interval.lo, 2.0 * centre - b.interval.hi), "{a:?} {b:?}");
    prop_assert!(near(a.interval.hi, 2.0 * centre - b.interval.lo), "{a:?} {b:?}");
    Ok(())
}

type SingleMethod = fn(Proportion, Level) -> Estimate;
const SINGLE: [SingleMethod; 4] =
    [Proportion::wilson, Proportion::clopper_pearson, Proportion::jeffreys, Proportion::uniform_beta];

type PairedMethod = fn(PairedTable, Level) -> Estimate;
const PAIRED: [PairedMethod; 2] = [PairedTable::tango, PairedTable::newcombe];

fn any_level() -> impl Strategy<Value = Level> {
    prop_oneof![0.001..0.999999f64, Just(0.001), Just(0.999999)].prop_map(|level| Level::new(level).unwrap())
}

proptest! {
    #[test]
    fn extreme_levels_stay_sound((k, n) in counts(10_000), level in any_level()) {
        for method in [Proportion::wilson, Proportion::clopper_pearson] {
            assert_sound(&method(Proportion::new(k, n).unwrap(), level), Interval::UNIT)?;
        }
        let mut numbers = Accumulator::new();
        (0..n.min(50)).for_each(|i| numbers.push(i as f64, None).unwrap());
        assert_sound(&numbers.estimate(level).unwrap(), Interval::UNBOUNDED)?;
    }
}

proptest! {
    // Each case integrates some thousand times.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn posteriors_hold_their_point_and_flip(cells in prop::array::uniform4(prop_oneof![0u64..4, 0u64..500])) {
        prop_assume!(cells.iter().sum::<u64>() > 0);
        let [both, a, b, neither] = cells;
        let posterior = |a, b| PairedTable::new(both, a, b, neither).unwrap().dirichlet(Level::P95).difference;
        assert_sound(&posterior(a, b), Interval::SIGNED_UNIT)?;
        assert_mirrored(&posterior(a, b), &posterior(b, a), 0.0)?;
        let (p, q) = (Proportion::new(both, both + a + 1).unwrap(), Proportion::new(neither, neither + b + 1).unwrap());
        let straight = unpaired::beta_posteriors(p, q, Level::P95);
        assert_sound(&straight.difference, Interval::SIGNED_UNIT)?;
        let swapped = unpaired::beta_posteriors(q, p, Level::P95);
        assert_mirrored(&straight.difference, &swapped.difference, 0.0)?;
        prop_assert!((straight.probability_a_higher + swapped.probability_a_higher - 1.0).abs() < 1e-9);
    }
}

proptest! {
    #[test]
    fn proportions_hold_their_point_and_mirror((k, n) in counts(1_000_000), level in level()) {
        for method in SINGLE {
            let estimate = method(Proportion::new(k, n).unwrap(), level);
            assert_sound(&estimate, Interval::UNIT)?;
            prop_assert!(estimate.interval.width() > 0.0);
            assert_mirrored(&estimate, &method(Proportion::new(n - k, n).unwrap(), level), 0.5)?;
        }
    }

    #[test]
    fn more_of_the_same_narrows((k, n) in counts(10_000), level in level()) {
        for method in SINGLE {
            let width = |times| method(Proportion::new(times * k, times * n).unwrap(), level).interval.width();
            prop_assert!(width(2) < width(1));
        }
        // The whole bank ends in certainty, and every step there narrows.
        let bank = |size| Proportion::new(k, n).unwrap().wilson_finite_bank(size, level).unwrap();
        prop_assert!(bank(n).interval.width() == 0.0);
        prop_assert!(bank(n + 1).interval.width() <= bank(2 * n + 1).interval.width());
        prop_assert!(bank(2 * n + 1).interval.width() <= Proportion::new(k, n).unwrap().wilson(level).interval.width());
        assert_sound(&bank(n + 1), Interval::UNIT)?;
    }

    #[test]
    fn a_higher_level_is_wider((k, n) in counts(10_000)) {
        for method in SINGLE {
            let at = |level| method(Proportion::new(k, n).unwrap(), level).interval;
            prop_assert!(at(Level::P90).width() < at(Level::P99).width());
        }
    }

    #[test]
    fn paired_differences_flip_with_the_sides(
        cells in prop::array::uniform4(prop_oneof![0u64..4, 0u64..2000, Just(1_000_000)]), level in level()
    ) {
        prop_assume!(cells.iter().sum::<u64>() > 0);
        let [both, a, b, neither] = cells;
        let (table, swapped) =
            (PairedTable::new(both, a, b, neither).unwrap(), PairedTable::new(both, b, a, neither).unwrap());
        for method in PAIRED {
            assert_sound(&method(table, level), Interval::SIGNED_UNIT)?;
            assert_mirrored(&method(table, level), &method(swapped, level), 0.0)?;
            prop_assert!(method(table, level).interval.width() > 0.0);
        }
        prop_assert_eq!(table.mcnemar_exact(), swapped.mcnemar_exact());
        prop_assert!((table.probability_a_higher() + swapped.probability_a_higher() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn unpaired_differences_flip_with_the_sides((k, m) in counts(2000), (l, n) in counts(2000), level in level()) {
        let (a, b) = (Proportion::new(k, m).unwrap(), Proportion::new(l, n).unwrap());
        let estimate = unpaired::newcombe(a, b, level);
        assert_sound(&estimate, Interval { lo: -1.0 - 1e-12, hi: 1.0 + 1e-12 })?;
        assert_mirrored(&estimate, &unpaired::newcombe(b, a, level), 0.0)?;
        prop_assert!((0.0..=1.0).contains(&unpaired::score_test(a, b)));
    }

    #[test]
    fn accumulators_hold_their_point_whatever_comes(
        scores in prop::collection::vec((prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0], prop::option::of(0u8..6)), 1..40)
    ) {
        let mut all = Accumulator::new();
        let (mut left, mut right) = (Accumulator::new(), Accumulator::new());
        for (i, (score, cluster)) in scores.iter().enumerate() {
            let key = cluster.map(|c| c.to_string());
            all.push(*score, key.as_deref()).unwrap();
            let half = if i % 2 == 0 { &mut left } else { &mut right };
            half.push(*score, key.as_deref()).unwrap();
        }
        let estimate = all.estimate(Level::P95).unwrap();
        assert_sound(&estimate, Interval::UNIT)?;
        prop_assert!(estimate.interval.width() > 0.0, "{:?}", estimate);
        // Order and grouping of arrival change nothing, to the bit.
        right.merge(&left);
        prop_assert_eq!(right.estimate(Level::P95).unwrap(), estimate);
    }

    #[test]
    fn comparisons_flip_with_the_sides(
        pairs in prop::collection::vec((0.0..=1.0f64, 0.0..=1.0f64, prop::option::of(0u8..6)), 1..40),
        binary: bool,
    ) {
        let rounded = |x: f64| if binary { x.round() } else { x };
        let keys: Vec<_> = pairs.iter().map(|(_, _, key)| key.map(|k| k.to_string())).collect();
        let side = |swap: bool| {
            let pairs = pairs.iter().zip(&keys).map(move |((a, b, _), key)| {
                let (a, b) = (rounded(*a), rounded(*b));
                Pair { a: if swap { b } else { a }, b: if swap { a } else { b }, cluster: key.as_deref() }
            });
            compare::paired(pairs, Options::default()).unwrap()
        };
        let (straight, swapped) = (side(false), side(true));
        assert_sound(&straight.difference, Interval::SIGNED_UNIT)?;
        assert_mirrored(&straight.difference, &swapped.difference, 0.0)?;
        let opposite = match straight.verdict {
            Verdict::Better => Verdict::Worse,
            Verdict::Worse => Verdict::Better,
            Verdict::Undetermined => Verdict::Undetermined,
        };
        prop_assert_eq!(swapped.verdict, opposite);
    }
}
