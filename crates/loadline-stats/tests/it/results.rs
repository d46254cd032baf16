//! What a result looks like, and what happens at the ends.

use loadline_stats::compare::{self, Options, Pair, Verdict};
use loadline_stats::mean::Range;
use loadline_stats::paired_ratio::{self, ClassPair, RatioPair};
use loadline_stats::ratio::{F1Accumulator, RatioAccumulator};
use loadline_stats::{Accumulator, Estimand, Interval, Level, Method, StatsError, Transform};

fn scores(values: &[f64]) -> Accumulator {
    let mut scores = Accumulator::new();
    values.iter().for_each(|value| scores.push(*value, None).unwrap());
    scores
}

fn pairs<'a>(pairs: &[(f64, f64, Option<&'a str>)]) -> Vec<Pair<'a>> {
    pairs.iter().map(|(a, b, cluster)| Pair { a: *a, b: *b, cluster: *cluster }).collect()
}

#[test]
fn json_has_the_documented_shape() {
    let mut right = scores(&[1.0; 3]);
    right.push(0.0, None).unwrap();
    right.push_unscored();
    let json = serde_json::to_value(right.estimate(Level::P95).unwrap()).unwrap();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["clusters", "estimand", "interval", "level", "method", "n", "point", "unscored"]);
    assert_eq!(json["point"], 0.75);
    assert_eq!(json["level"], 0.95);
    assert_eq!(json["method"], "Wilson");
    assert_eq!((&json["n"], &json["clusters"], &json["unscored"]), (&4.into(), &().into(), &1.into()));
    assert_eq!(json["estimand"], "skill");
    assert_eq!(json["interval"].as_array().unwrap().len(), 2);
    // An infinite bound is null: JSON has no infinity.
    let one = serde_json::to_value(scores(&[12.5]).estimate(Level::P95).unwrap()).unwrap();
    assert_eq!(one["interval"], serde_json::json!([null, null]));
    assert_eq!(one["method"], "whole range");
}

#[test]
fn people_see_percentages_points_and_numbers() {
    let mut gsm = Accumulator::new();
    (0..1319).for_each(|i| gsm.push(f64::from(u8::from(i < 464)), None).unwrap());
    assert_eq!(gsm.estimate(Level::P95).unwrap().to_string(), "35.2% [32.6, 37.8]");
    let mut million = Accumulator::new();
    (0..1_000).for_each(|i| million.push(f64::from(u8::from(i < 352)), None).unwrap());
    for _ in 0..10 {
        let copy = million.clone();
        million.merge(&copy);
    }
    assert_eq!(million.estimate(Level::P95).unwrap().to_string(), "35.20% [35.11, 35.29]");
    let difference = compare::paired(
        (0..200).map(|i| Pair { a: 1.0, b: f64::from(u8::from(i % 10 != 0)), cluster: None }),
        Options::default(),
    )
    .unwrap();
    assert_eq!(difference.difference.to_string(), "+10.0 pp [+6.6, +14.9]");
    assert_eq!(difference.verdict, Verdict::Better);
    assert_eq!(difference.p_value.unwrap().to_string(), "p < 0.0001 (exact McNemar)");
    assert_eq!(scores(&[12.0, 13.5, 11.2]).estimate(Level::P95).unwrap().to_string(), "12.2 [9.3, 15.1]");
    assert_eq!(scores(&[12.0]).estimate(Level::P95).unwrap().to_string(), "12.00 [-∞, ∞]");
    assert_eq!(Level::P95.to_string(), "95%");
    assert_eq!(Level::new(0.999).unwrap().to_string(), "99.9%");
}

#[test]
fn a_transform_turns_the_interval_not_its_width() {
    let log = scores(&[0.5, 1.0, 4.0]).estimate(Level::P95).unwrap().transformed(Transform::Ln);
    // The t interval reaches below 0, where there is no logarithm: nothing bounds it from below.
    assert!(log.interval.lo == f64::NEG_INFINITY && log.interval.hi.is_finite(), "{log:?}");
    let negative = scores(&[0.5, 1.0, 4.0]).estimate(Level::P95).unwrap().transformed(Transform::Negative);
    assert!(negative.interval.lo < negative.point && negative.point < negative.interval.hi);
    let back =
        negative.transformed(Transform::Negative).transformed(Transform::Exp).transformed(Transform::Ln);
    assert!((back.point - 11.0 / 6.0).abs() < 1e-12);
}

#[test]
fn padding_works_in_tables() {
    let estimate = scores(&[1.0, 0.0]).estimate(Level::P95).unwrap();
    assert_eq!(format!("{:>22}|", estimate), "    50.0% [9.5, 90.5]|".replacen("    ", "     ", 1));
    assert_eq!(format!("{:<10}|", estimate.method), "Wilson    |");
}

#[test]
fn nothing_is_an_error_not_a_nan() {
    let mut empty = Accumulator::new();
    assert_eq!(empty.estimate(Level::P95).unwrap_err(), StatsError::NoScores { unscored: 0 });
    empty.push_unscored();
    let error = empty.estimate(Level::P95).unwrap_err();
    assert_eq!(error.to_string(), "there are no scores (1 samples were not scored)");
    assert!(error.hint().is_some());
    assert!(compare::paired([], Options::default()).is_err());
    assert!(RatioAccumulator::new().estimate(Level::P95).is_err());
    assert!(F1Accumulator::new().estimate(Level::P95).is_err());
}

#[test]
fn bad_scores_are_refused_and_not_counted() {
    let mut scores = Accumulator::with_range(Range::Unit);
    assert!(matches!(scores.push(f64::NAN, None), Err(StatsError::NotFinite { .. })));
    assert!(matches!(scores.push(f64::INFINITY, None), Err(StatsError::NotFinite { .. })));
    assert_eq!(scores.push(1.5, None).unwrap_err().to_string(), "the score 1.5 is outside 0..1");
    assert_eq!(scores.n(), 0);
    assert!(Level::new(95.0).is_err());
    assert!(Level::new(f64::NAN).is_err());
}

#[test]
fn perfect_scores_do_not_give_certainty() {
    let all = scores(&[1.0; 20]).estimate(Level::P95).unwrap();
    assert_eq!(all.method, Method::Wilson);
    assert!((all.interval.lo - 0.8389).abs() < 1e-4 && all.interval.hi == 1.0);
    let same = scores(&[0.5; 8]).estimate(Level::P95).unwrap();
    assert_eq!(same.method, Method::ClopperPearsonScores);
    assert!(same.interval.lo < 0.2 && same.interval.hi > 0.8);
    let unbounded = scores(&[3.5; 8]).estimate(Level::P95).unwrap();
    assert_eq!((unbounded.method, unbounded.interval), (Method::WholeRange, Interval::UNBOUNDED));
}

#[test]
fn one_cluster_says_that_it_does_not_know() {
    let mut one = Accumulator::new();
    (0..50).for_each(|i| one.push(f64::from(i % 2), Some("only")).unwrap());
    let estimate = one.estimate(Level::P95).unwrap();
    assert_eq!(
        (estimate.method, estimate.interval, estimate.clusters),
        (Method::WholeRange, Interval::UNIT, Some(1))
    );
    // Twelve clusters, all perfect: as twelve trials, not as a hundred and twenty.
    let mut perfect = Accumulator::new();
    (0..120).for_each(|i| perfect.push(1.0, Some(&(i % 12).to_string())).unwrap());
    let estimate = perfect.estimate(Level::P95).unwrap();
    assert_eq!((estimate.method, estimate.clusters), (Method::ClopperPearsonClusters, Some(12)));
    assert!((estimate.interval.lo - 0.7354).abs() < 1e-4);
}

#[test]
fn one_score_in_each_cluster_is_no_clustering() {
    let mut keyed = Accumulator::new();
    (0..10).for_each(|i| keyed.push(f64::from(i % 2), Some(&i.to_string())).unwrap());
    let estimate = keyed.estimate(Level::P95).unwrap();
    assert_eq!((estimate.method, estimate.clusters), (Method::Wilson, None));
}

#[test]
fn bank_scores_say_so_and_end_in_the_point() {
    let scores = scores(&[1.0, 0.0, 1.0, 1.0]);
    let bank = scores.estimate_bank_score(4, Level::P95).unwrap();
    assert_eq!((bank.estimand, bank.method), (Estimand::BankScore, Method::WholeBank));
    assert_eq!(bank.interval, Interval { lo: 0.75, hi: 0.75 });
    let part = scores.estimate_bank_score(10, Level::P95).unwrap();
    // Three right and one wrong of ten were seen.
    assert!(part.interval.lo >= 0.3 && part.interval.hi <= 0.9);
    assert_eq!(
        scores.estimate_bank_score(3, Level::P95).unwrap_err().to_string(),
        "4 items were scored of a bank of 3"
    );
    let mut twice = Accumulator::new();
    (0..4).for_each(|i| twice.push(1.0, Some(&(i / 2).to_string())).unwrap());
    assert_eq!(twice.estimate_bank_score(10, Level::P95).unwrap_err(), StatsError::BankNeedsSingleScores);
}

#[test]
fn f1_at_its_ends() {
    let mut none = F1Accumulator::new();
    (0..9).for_each(|_| none.push(0, 0, None));
    let estimate = none.estimate(Level::P95).unwrap();
    assert_eq!(
        (estimate.point, estimate.method, estimate.interval),
        (0.0, Method::ZeroDivision, Interval::UNIT)
    );
    let mut perfect = F1Accumulator::new();
    (0..9).for_each(|i| perfect.push(i % 2, i % 2, None));
    let estimate = perfect.estimate(Level::P95).unwrap();
    assert!(
        estimate.point == 1.0 && estimate.interval.lo < 0.8 && estimate.interval.hi == 1.0,
        "{estimate:?}"
    );
    let mut clustered = F1Accumulator::new();
    (0..9).for_each(|i| clustered.push(i % 2, i64::from(i % 3 == 0), Some(["a", "b", "c"][i as usize / 3])));
    let estimate = clustered.estimate(Level::P95).unwrap();
    assert_eq!((estimate.method, estimate.clusters), (Method::RatioClustered, Some(3)));
    assert!(estimate.interval.lo >= 0.0 && estimate.interval.hi <= 1.0);
}

#[test]
fn a_ratio_needs_something_to_divide_by() {
    let mut ratio = RatioAccumulator::new();
    ratio.push(-3.0, 0.0, None).unwrap();
    assert_eq!(ratio.estimate(Level::P95).unwrap_err().to_string(), "the sum to divide by is 0");
    ratio.push(-3.0, 2.0, None).unwrap();
    ratio.push(-3.0, 4.0, None).unwrap();
    assert!(ratio.estimate(Level::P95).unwrap().interval.width().is_finite());
    // A constant ratio has no spread: nothing is claimed.
    let mut constant = RatioAccumulator::new();
    [3.0, 5.0, 7.0].iter().for_each(|per| constant.push(-0.1 * per, *per, None).unwrap());
    let estimate = constant.estimate(Level::P95).unwrap();
    assert_eq!(estimate.method, Method::WholeRange);
    let perplexity = estimate.transformed(Transform::ExpNegative);
    assert_eq!(perplexity.interval, Interval { lo: 0.0, hi: f64::INFINITY });
}

#[test]
fn identical_models_are_undetermined_not_equal() {
    let same = compare::paired(pairs(&[(1.0, 1.0, None), (0.0, 0.0, None)]), Options::default()).unwrap();
    assert_eq!((same.verdict, same.p_value.unwrap().value), (Verdict::Undetermined, 1.0));
    assert!(same.difference.interval.lo < -0.5 && same.difference.interval.hi > 0.5);
    let graded = compare::paired(pairs(&[(0.5, 0.5, None); 50]), Options::default()).unwrap();
    assert_eq!(graded.difference.method, Method::TangoNoDifference);
    assert!((graded.difference.interval.hi - 0.0714).abs() < 1e-4, "{:?}", graded.difference);
    let one_cluster = compare::paired(pairs(&[(1.0, 0.0, Some("c")); 9]), Options::default()).unwrap();
    assert_eq!(one_cluster.difference.interval, Interval::SIGNED_UNIT);
    assert_eq!((one_cluster.verdict, one_cluster.p_value), (Verdict::Undetermined, None));
}

#[test]
fn lower_can_be_better() {
    let a_higher = pairs(&[(2.0, 1.0, None), (3.1, 2.0, None), (4.0, 2.9, None)]);
    let verdict = |higher_is_better| {
        compare::paired(a_higher.clone(), Options { higher_is_better, ..Options::default() }).unwrap().verdict
    };
    assert_eq!((verdict(true), verdict(false)), (Verdict::Better, Verdict::Worse));
}

#[test]
fn independent_sides_without_spread_still_get_an_interval() {
    let graded = scores(&[0.2, 0.4, 0.9]);
    let flat = scores(&[0.5; 3]);
    let result = compare::independent(&graded, &flat, Options::default()).unwrap();
    assert_eq!((result.difference.method, result.pairs), (Method::SquareAndAdd, None));
    assert!(result.difference.interval.lo < -0.3 && result.difference.interval.hi > 0.3);
    let right = compare::independent(&scores(&[1.0; 9]), &scores(&[0.0; 9]), Options::default()).unwrap();
    assert_eq!((right.verdict, right.difference.method), (Verdict::Better, Method::NewcombeUnpaired));
    let probability = right.probability_a_higher.unwrap();
    assert!(probability.value > 0.999);
    assert_eq!((probability.method, probability.n), (Method::BetaDifference, 18));
    let json = serde_json::to_value(&right).unwrap();
    assert_eq!(json["verdict"], "better");
    assert_eq!(json["p_value"]["test"], "two-proportion score test");
}

#[test]
fn a_ratio_compared_with_itself_and_with_a_better_one() {
    let lengths = [40.0, 61.0, 33.0, 50.0, 71.0, 58.0];
    let noise = [0.9, 1.2, 1.0, 0.8, 1.1, 1.05];
    let item = |i: usize, gain: f64| {
        let a = (-0.8 * noise[i] * lengths[i] * gain, lengths[i]);
        RatioPair { a, b: (-0.8 * noise[i] * lengths[i], lengths[i]), cluster: None }
    };
    let options = Options { higher_is_better: false, ..Options::default() };
    let compared = |gain| {
        let items: Vec<_> = (0..6).map(|i| item(i, gain)).collect();
        paired_ratio::ratios(&items, Transform::ExpNegative, options).unwrap()
    };
    let same = compared(1.0);
    assert_eq!((same.verdict, same.difference.method), (Verdict::Undetermined, Method::WholeRange));
    // Constant rates differ by rounding only: no spread to judge by.
    let constant = lengths.map(|per| RatioPair { a: (-0.9 * per, per), b: (-0.8 * per, per), cluster: None });
    let constant = paired_ratio::ratios(&constant, Transform::ExpNegative, options).unwrap();
    assert_eq!(constant.difference.method, Method::WholeRange);
    // Ten per cent fewer nats on every item: invisible between two groups, plain when paired.
    let better = compared(0.9);
    assert_eq!(better.verdict, Verdict::Better);
    assert!(better.a.interval.hi > better.b.interval.lo, "unpaired, the intervals overlap");
    assert!(better.difference.point < 0.0 && better.p_value.unwrap().value < 0.001);
    let clustered: Vec<_> =
        (0..6).map(|i| RatioPair { cluster: Some(["x", "y", "z"][i / 2]), ..item(i, 0.9) }).collect();
    let clustered = paired_ratio::ratios(&clustered, Transform::NegativeBits, options).unwrap();
    assert_eq!(
        (clustered.difference.method, clustered.difference.clusters),
        (Method::PairedRatioClustered, Some(3))
    );
}

#[test]
fn f1_compared_equals_the_delta_method_by_hand() {
    // A answers all right; B misses two of five positives and raises one false alarm.
    let gold = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0];
    let b = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0];
    let items: Vec<_> =
        gold.iter().zip(b).map(|(g, b)| ClassPair { gold: *g, a: *g, b, cluster: None }).collect();
    let result = paired_ratio::f1(&items, Options::default()).unwrap();
    // F1 of B is 6/9; its residuals t - (2/3) p are 2/3 (three hits), -2/3 (two misses, one alarm); A has none.
    assert!((result.difference.point - 1.0 / 3.0).abs() < 1e-12);
    let error = (10.0 / 9.0 * 6.0 * (2.0f64 / 3.0).powi(2)).sqrt() / 9.0;
    let t = 2.262157162798205; // scipy 1.17: t.ppf(.975, 9)
    assert!(
        (result.difference.interval.hi - (1.0 / 3.0 + t * error)).abs() < 1e-12,
        "{:?}",
        result.difference
    );
    assert_eq!(result.a.method, Method::WilsonF1);
}
