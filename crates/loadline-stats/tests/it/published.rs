//! Values from published tables and from other packages, each with its source. They need no file.

use loadline_stats::compare::{self, Options, Pair, PairedInterval};
use loadline_stats::eprocess::{Gate, GateState};
use loadline_stats::hierarchical::ClusterCounts;
use loadline_stats::paired::PairedTable;
use loadline_stats::proportion::Proportion;
use loadline_stats::ratio::{F1Accumulator, RatioAccumulator, bits_per_byte, perplexity};
use loadline_stats::{Accumulator, Estimate, Level, Method, unpaired};

pub(crate) fn assert_close(got: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got} instead of {expected}");
}

fn assert_interval(estimate: &Estimate, lo: f64, hi: f64, tolerance: f64) {
    let what = format!("{} interval {:?}", estimate.method, estimate.interval);
    assert_close(estimate.interval.lo, lo, tolerance, &what);
    assert_close(estimate.interval.hi, hi, tolerance, &what);
}

#[test]
fn single_proportions_of_newcombe() {
    // Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I: (k, n, Wilson, exact).
    let table = [
        (81, 263, [0.2553, 0.3662], [0.2527, 0.3676]),
        (15, 148, [0.0624, 0.1605], [0.0578, 0.1617]),
        (0, 20, [0.0000, 0.1611], [0.0000, 0.1684]),
        (1, 29, [0.0061, 0.1718], [0.0009, 0.1776]),
    ];
    for (k, n, wilson, exact) in table {
        let proportion = Proportion::new(k, n).unwrap();
        assert_interval(&proportion.wilson(Level::P95), wilson[0], wilson[1], 5.1e-5);
        assert_interval(&proportion.clopper_pearson(Level::P95), exact[0], exact[1], 5.1e-5);
    }
}

#[test]
fn a_million_trials_without_a_failure() {
    // The exact bound has a closed form: (α/2)^(1/n). The rule of three's two-sided kin.
    let all = Proportion::new(1_000_000, 1_000_000).unwrap();
    assert_interval(&all.clopper_pearson(Level::P95), 0.025f64.powf(1e-6), 1.0, 1e-15);
    let none = Proportion::new(0, 1_000_000).unwrap();
    let hi = none.clopper_pearson(Level::P95).interval.hi;
    assert_close(hi / 3.688_872_650_206_488e-6, 1.0, 1e-11, "scipy 1.17 betaincinv(1, 1e6, .975)");
}

#[test]
fn unpaired_differences_of_newcombe() {
    // Newcombe 1998, "Interval estimation for the difference between independent proportions", Table II, method 10.
    let table = [
        ((56, 70), (48, 80), [0.0524, 0.3339]),
        ((9, 10), (3, 10), [0.1705, 0.8090]),
        ((6, 7), (2, 7), [0.0582, 0.8062]),
        ((5, 56), (0, 29), [-0.0381, 0.1926]),
        ((10, 10), (0, 20), [0.6791, 1.0000]),
    ];
    for ((k, m), (l, n), expected) in table {
        let (a, b) = (Proportion::new(k, m).unwrap(), Proportion::new(l, n).unwrap());
        assert_interval(&unpaired::newcombe(a, b, Level::P95), expected[0], expected[1], 5.1e-5);
    }
    // statsmodels 0.15: test_proportions_2indep(56, 70, 48, 80, method="score", correction=False).
    let p = unpaired::score_test(Proportion::new(56, 70).unwrap(), Proportion::new(48, 80).unwrap());
    assert_close(p, 0.008_045_081_368_196_56, 1e-13, "score test");
}

#[test]
fn paired_tables_of_fagerland() {
    // Fagerland, Lydersen & Laake 2017, "Statistical Analysis of Contingency Tables", chapter 8 (and the tests of its
    // R package contingencytables): response before and after consolidation therapy, Cavo et al. 2012.
    let table = PairedTable::new(59, 6, 16, 80).unwrap();
    assert_interval(&table.tango(Level::P95), -0.1240, -0.0054, 5.1e-5);
    assert_interval(&table.newcombe(Level::P95), -0.1186, -0.0046, 5.1e-5);
    assert_close(table.mcnemar_exact(), 0.052479, 5e-7, "exact McNemar");
}

#[test]
fn paired_intervals_equal_a_brute_force_likelihood() {
    // Tango: scipy 1.17, the restricted likelihood maximised numerically and the score equation solved by brentq.
    // Newcombe: his formula in numpy.
    let table = [
        (
            [1, 1, 7, 12],
            [-0.5172322772709429, -0.02600303140720819],
            [-0.506920226686141, -0.02555912416485978],
        ),
        (
            [80, 40, 20, 20],
            [0.030864533070347124, 0.21806424366477176],
            [0.03045919782641332, 0.21651895380172706],
        ),
        (
            [36, 0, 1, 7],
            [-0.11807709698213718, 0.059393230802202],
            [-0.10538541401906748, 0.054576639382686226],
        ),
        ([3, 6, 2, 9], [-0.08582964418657722, 0.4570082593351886], [-0.08240056195081741, 0.442852988701648]),
        (
            [20, 12, 2, 16],
            [0.06111240772810896, 0.34470874794827455],
            [0.05615642484174824, 0.32920699540014053],
        ),
        (
            [30, 0, 0, 5],
            [-0.09890099232454781, 0.09890099232454781],
            [-0.08840959250786867, 0.08840959250786867],
        ),
        ([0, 32, 0, 0], [0.7856416034895624, 1.0], [0.8484257242234043, 1.0]),
        (
            [500, 60, 22, 737],
            [0.015743779376342942, 0.042939502091002],
            [0.01536015294292489, 0.04223745420695309],
        ),
    ];
    for ([both, a_only, b_only, neither], tango, newcombe) in table {
        let table = PairedTable::new(both, a_only, b_only, neither).unwrap();
        // 1e-6 is what the numerical maximum is good for.
        assert_interval(&table.tango(Level::P95), tango[0], tango[1], 1e-6);
        assert_interval(&table.newcombe(Level::P95), newcombe[0], newcombe[1], 1e-12);
    }
}

#[test]
fn posteriors_equal_adaptive_quadrature() {
    // scipy 1.17: integrate.quad over the same posteriors, brentq for the ends.
    let dirichlet = [
        ([1, 1, 7, 12], 0.01953125, [-0.464744975370495, -0.01302399176552872]),
        ([59, 6, 16, 80], 0.01734483242034912, [-0.11961412974401511, -0.004447244845100912]),
        ([0, 3, 0, 0], 0.9375, [-0.14162578106742355, 0.8504230937879158]),
        ([1079, 64, 128, 48], 1.6698410949617577e-06, [-0.0689864349349861, -0.028035547790569455]),
    ];
    for ([both, a_only, b_only, neither], probability, [lo, hi]) in dirichlet {
        let posterior = PairedTable::new(both, a_only, b_only, neither).unwrap().dirichlet(Level::P95);
        assert_close(posterior.probability_a_higher / probability, 1.0, 1e-10, "P(A > B)");
        assert_interval(&posterior.difference, lo, hi, 1e-8);
    }
    let beta = [
        ((56, 70), (48, 80), 0.9959295389768574, [0.05136850822070176, 0.33278610851722923]),
        ((9, 10), (3, 10), 0.9962406015037594, [0.14445161908740073, 0.7894483459010525]),
        ((3, 3), (0, 4), 0.9920634920634921, [0.13625506283452976, 0.9467808202124762]),
        // Groups of very different size: one posterior is a thousand times narrower.
        ((7, 10), (600_000, 1_000_000), 0.7037150281378535, [-0.20974392157520694, 0.29073910792143176]),
    ];
    for ((k, m), (l, n), probability, [lo, hi]) in beta {
        let (a, b) = (Proportion::new(k, m).unwrap(), Proportion::new(l, n).unwrap());
        let posterior = unpaired::beta_posteriors(a, b, Level::P95);
        assert_close(posterior.probability_a_higher, probability, 1e-9, "P(A > B)");
        assert_interval(&posterior.difference, lo, hi, 1e-8);
    }
}

#[test]
fn hierarchical_posteriors_equal_a_fine_grid() {
    // numpy 2.4 and scipy 1.17: betaln on a grid of 4000 by 2000 points of (μ, ρ).
    let eight = [(80, 100), (95, 120), (60, 90), (40, 50), (66, 80), (100, 130), (77, 90), (30, 50)];
    let six = [(3, 5), (5, 5), (1, 4), (4, 4), (0, 3), (2, 6)];
    type Counts<'a> = &'a [(u64, u64)];
    let table: [(Counts<'_>, f64, [f64; 2]); 5] = [
        (&six, 0.5515951021212172, [0.28678585, 0.80153999]),
        (&[(10, 10); 12], 0.9590072420519052, [0.8304268, 0.99917554]),
        (&[(0, 1), (1, 1), (1, 1)], 0.6, [0.1941204, 0.93241417]),
        (&[(7, 10)], 0.5821479571052434, [0.15661817, 0.91657107]),
        (&eight, 0.7558795820250623, [0.66704365, 0.82075249]),
    ];
    for (counts, point, [lo, hi]) in table {
        let mut clusters = ClusterCounts::new();
        counts.iter().for_each(|(right, n)| clusters.push(*right, *n).unwrap());
        let estimate = clusters.estimate(Level::P95).unwrap();
        assert_close(estimate.point, point, 5e-4, "posterior mean");
        assert_interval(&estimate, lo, hi, 1e-3);
    }
}

#[test]
fn hierarchical_posteriors_of_much_data_are_found() {
    // The same, with the grid laid where the mass is; 100 clusters, weakly and strongly correlated.
    for (each, spread, point, [lo, hi]) in [
        (400, 1, 0.7502397302589905, [0.74426255, 0.75614407]),
        (4000, 30, 0.7505762792402573, [0.73221188, 0.76806977]),
    ] {
        let mut clusters = ClusterCounts::new();
        for i in 0..100 {
            let right = each * 3 / 4 + spread * (i * 37 % 41) - spread * 20;
            clusters.push(right, each).unwrap();
        }
        let estimate = clusters.estimate(Level::P95).unwrap();
        assert_close(estimate.point, point, 1e-5, "posterior mean");
        assert_interval(&estimate, lo, hi, 5e-5);
    }
}

const SCORES: [f64; 10] = [0.2, 0.9, 0.4, 0.5, 0.7, 0.1, 0.3, 0.35, 0.8, 0.6];
const CLUSTERS: [&str; 10] = ["a", "a", "a", "b", "b", "c", "d", "d", "d", "d"];

fn accumulate(scores: &[f64], clusters: Option<&[&str]>) -> Accumulator {
    let mut accumulator = Accumulator::new();
    for (i, score) in scores.iter().enumerate() {
        accumulator.push(*score, clusters.map(|keys| keys[i])).unwrap();
    }
    accumulator
}

#[test]
fn means_equal_scipy_and_statsmodels() {
    // statsmodels 0.15: OLS on a constant, cov_type="cluster", use_t=True.
    let clustered = accumulate(&SCORES, Some(&CLUSTERS)).estimate(Level::P95).unwrap();
    assert_interval(&clustered, 0.31450877419978485, 0.6554912258002151, 1e-12);
    assert_eq!((clustered.method, clustered.clusters, clustered.n), (Method::TClustered, Some(4), 10));
    // scipy 1.17: mean ± t.ppf(.975, 9) s / sqrt(10); with the factor sqrt(1 - 10/40) for a bank of 40.
    let scores = accumulate(&SCORES, None);
    assert_interval(&scores.estimate(Level::P95).unwrap(), 0.29720461912967255, 0.6727953808703274, 1e-12);
    let bank = scores.estimate_bank_score(40, Level::P95).unwrap();
    assert_interval(&bank, 0.32236442945292226, 0.6476355705470778, 1e-12);
}

#[test]
fn parts_of_a_bank_by_hand() {
    let part = |k, n, bank| Proportion::new(k, n).unwrap().wilson_finite_bank(bank, Level::P95).unwrap();
    // numpy 2.4: Wilson with 50 × 99 / 50 = 99 trials.
    assert_interval(&part(30, 50, 100), 0.5015085522324696, 0.6910208053539648, 1e-12);
    // Wilson with 10 × 11 / 2 = 55 trials has 0.045 for its lower end, but one right of twelve was seen.
    assert_interval(&part(1, 10, 12), 1.0 / 12.0, 0.2070928467738063, 1e-12);
}

#[test]
fn clustered_proportions_near_an_end_by_hand() {
    // Clusters of ten, of which the first few have these many wrong.
    let clustered = |wrong: &[u64], clusters: u64| {
        let mut scores = Accumulator::new();
        for cluster in 0..clusters {
            let wrong = wrong.get(cluster as usize).copied().unwrap_or(0);
            for i in 0..10 {
                scores.push(f64::from(u8::from(i >= wrong)), Some(&cluster.to_string())).unwrap();
            }
        }
        scores.estimate(Level::P95).unwrap()
    };
    // numpy 2.4, scipy 1.17: Wilson with p(1-p)/SE² = 143.2 trials and t(19); the t interval would reach 1.004.
    let outside = clustered(&[1, 1, 2], 20);
    assert_eq!(outside.method, Method::WilsonClustered);
    assert_interval(&outside, 0.9377439391424933, 0.9937656033693656, 1e-12);
    // Four errors in four clusters: fewer than five; 232.7 effective trials are no more than the 200 there are.
    let rare = clustered(&[1, 1, 1, 1], 20);
    assert_eq!(rare.method, Method::WilsonClustered);
    assert_interval(&rare, 0.9467776614472647, 0.9926454509986513, 1e-12);
    // Enough errors: t.
    assert_eq!(clustered(&[2, 2, 2, 2, 1, 1], 60).method, Method::TClustered);
}

#[test]
fn a_sample_without_a_cluster_is_one_of_its_own() {
    let keys = ["a", "a", "a", "b", "b", "own 1", "own 2", "own 3", "own 4", "own 5"];
    let with_keys = accumulate(&SCORES, Some(&keys)).estimate(Level::P95).unwrap();
    let mut mixed = Accumulator::new();
    for (score, key) in SCORES.iter().zip(keys) {
        mixed.push(*score, (!key.starts_with("own")).then_some(key)).unwrap();
    }
    let mixed = mixed.estimate(Level::P95).unwrap();
    assert_eq!((mixed.method, mixed.clusters), (Method::TClustered, Some(7)));
    assert_interval(&mixed, with_keys.interval.lo, with_keys.interval.hi, 1e-14);
}

#[test]
fn numeric_comparisons_equal_scipy() {
    // scipy 1.17: ttest_1samp of the differences, ttest_ind(equal_var=False).
    let b = [0.1, 0.8, 0.5, 0.5, 0.4, 0.0, 0.3, 0.45, 0.6, 0.5];
    let pairs = SCORES.iter().zip(&b).map(|(a, b)| Pair { a: *a, b: *b, cluster: None });
    let paired = compare::paired(pairs, Options::default()).unwrap();
    assert_interval(&paired.difference, -0.019538760019030058, 0.15953876001903006, 1e-12);
    assert_close(paired.p_value.unwrap().value, 0.11076492156976735, 1e-12, "paired t");
    let other = accumulate(&b[..7], None);
    let independent = compare::independent(&accumulate(&SCORES, None), &other, Options::default()).unwrap();
    assert_interval(&independent.difference, -0.17034327856214287, 0.3974861357050001, 1e-12);
    assert_close(independent.p_value.unwrap().value, 0.402799157190778, 1e-12, "Welch");
}

#[test]
fn ratios_equal_the_textbook_formula() {
    // numpy 2.4 with the formulas of Cochran 1977, section 6.3, and over clusters.
    let data = [(-30.0, 40.0), (-52.0, 61.0), (-21.0, 33.0), (-44.0, 50.0), (-60.0, 71.0)];
    let mut plain = RatioAccumulator::new();
    let mut clustered = RatioAccumulator::new();
    for ((total, per), key) in data.into_iter().zip(["x", "x", "y", "y", "z"]) {
        plain.push(total, per, None).unwrap();
        clustered.push(total, per, Some(key)).unwrap();
    }
    assert_interval(&plain.estimate(Level::P95).unwrap(), -0.9083874660604395, -0.7151419457042664, 1e-12);
    assert_interval(
        &clustered.estimate(Level::P95).unwrap(),
        -0.8810461414507147,
        -0.7424832703139912,
        1e-12,
    );
    let perplexity = perplexity(&plain, Level::P95).unwrap();
    assert_interval(&perplexity, 2.0444768663715287, 2.4803197071968275, 1e-12);
    assert_close(perplexity.point, 2.2518783853861466, 1e-12, "perplexity");
    let bits = bits_per_byte(&plain, Level::P95).unwrap();
    assert_close(bits.point, 0.8117647058823529 / std::f64::consts::LN_2, 1e-12, "bits per byte");
}

#[test]
fn f1_equals_scikit_learn() {
    // scikit-learn 1.9: f1_score of [class is 1].
    let gold = [1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 2];
    let predicted = [1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1];
    let mut f1 = F1Accumulator::new();
    for (gold, predicted) in gold.into_iter().zip(predicted) {
        f1.push(gold, predicted, None);
    }
    let estimate = f1.estimate(Level::P95).unwrap();
    assert_close(estimate.point, 0.7272727272727273, 1e-15, "F1");
    assert!(estimate.interval.contains(estimate.point));
    assert_eq!(estimate.method, Method::WilsonF1);
}

#[test]
fn e_values_equal_fifty_digit_arithmetic() {
    // mpmath with 50 digits: (successes, failures, threshold, ln e against "at most", ln e against "at least").
    let table = [
        (17, 0, 0.8, 3.01179677260511, -3.05282709903498),
        (16, 0, 0.8, 2.81694434837195, -2.99827214304546),
        (0, 5, 0.8, -2.34091617018556, 6.99490462314139),
        (70, 30, 0.8, -3.2857781933103, 0.627022482447435),
        (900, 100, 0.8, 34.2300119326991, -6.32898632651942),
        (9000, 1000, 0.8, 363.28933736319, -8.62027684319872),
        (1, 1, 0.5, -std::f64::consts::LN_2, -std::f64::consts::LN_2),
    ];
    for (successes, failures, threshold, pass, fail) in table {
        let mut gate = Gate::new(threshold, 0.05).unwrap();
        for score in std::iter::repeat_n(0.0, failures).chain(std::iter::repeat_n(1.0, successes)) {
            gate.push(score).unwrap();
        }
        let (got_pass, got_fail) = gate.ln_e_values();
        assert_close(got_pass, pass, 1e-9 * pass.abs().max(1.0), "ln e for a pass");
        assert_close(got_fail, fail, 1e-9 * fail.abs().max(1.0), "ln e for a fail");
    }
    // Graded scores: ten of 0.75 count as 7.5 successes and 2.5 failures.
    let mut gate = Gate::new(0.8, 0.05).unwrap();
    for _ in 0..10 {
        gate.push(0.75).unwrap();
    }
    assert_close(gate.ln_e_values().0, -1.2460306557595348, 1e-10, "ln e for a pass");
    assert_close(gate.ln_e_values().1, -1.3727715023962644, 1e-10, "ln e for a fail");
    // ln 20 = 2.9957 lies between 16 and 17 successes.
    let mut gate = Gate::new(0.8, 0.05).unwrap();
    for n in 1..=17 {
        let expected = if n < 17 { GateState::Undetermined } else { GateState::Pass };
        assert_eq!(gate.push(1.0).unwrap(), expected, "after {n}");
    }
}

#[test]
fn newcombe_can_be_chosen_for_pairs() {
    let pairs = [(1.0, 1.0, 59), (1.0, 0.0, 6), (0.0, 1.0, 16), (0.0, 0.0, 80)];
    let pairs = || pairs.into_iter().flat_map(|(a, b, n)| (0..n).map(move |_| Pair { a, b, cluster: None }));
    let with = |paired_interval| {
        compare::paired(pairs(), Options { paired_interval, ..Options::default() }).unwrap().difference
    };
    assert_interval(&with(PairedInterval::Tango), -0.1240, -0.0054, 5.1e-5);
    assert_interval(&with(PairedInterval::Newcombe), -0.1186, -0.0046, 5.1e-5);
}
