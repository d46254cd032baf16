//! The drift alarm and the two-sample test keep their level, exactly where that can be counted.

use loadline_stats::StatsError;
use loadline_stats::drift::DriftAlarm;
use loadline_stats::two_sample::{self, Similarities};

use crate::simulate::Stream;

/// Every sequence of right and wrong answers of this length: its probability and the alarm after it.
fn outcomes(least: f64, alpha: f64, p: f64, length: u32) -> Vec<(f64, DriftAlarm)> {
    (0..1_u32 << length)
        .map(|bits| {
            let mut alarm = DriftAlarm::new(least, alpha).unwrap();
            let mut mass = 1.0;
            for at in 0..length {
                let right = bits >> at & 1 == 1;
                mass *= if right { p } else { 1.0 - p };
                alarm.push(f64::from(u8::from(right))).unwrap();
            }
            (mass, alarm)
        })
        .collect()
}

#[test]
fn the_e_value_is_one_on_average_at_the_bound_and_less_above_it() {
    for least in [0.1, 0.5, 0.9] {
        let mean =
            |p| outcomes(least, 0.01, p, 12).iter().map(|(mass, alarm)| mass * alarm.e_value()).sum::<f64>();
        assert!((mean(least) - 1.0).abs() < 1e-12, "{least}: {}", mean(least));
        assert!(mean(least + 0.05) < 1.0 && mean(least - 0.05) > 1.0);
    }
}

#[test]
fn false_alarms_are_rarer_than_alpha_by_enumeration() {
    for (least, alpha) in [(0.5, 0.2), (0.8, 0.3), (0.9, 0.5)] {
        let raised: f64 = outcomes(least, alpha, least, 14)
            .iter()
            .filter(|(_, alarm)| alarm.raised_at().is_some())
            .map(|(mass, _)| mass)
            .sum();
        assert!(raised > 0.0 && raised <= alpha, "{least} {alpha}: {raised}");
    }
}

/// Looked at after each of 5,000 scores at the bound itself: at most alpha of 600 alarms go off. A plain 95 % bound
/// looked at as often would go off in nearly half of them.
#[test]
fn false_alarms_are_rarer_than_alpha_over_a_long_time() {
    let mut stream = Stream::new(11);
    let (alpha, runs) = (0.05, 600);
    let mut raised = 0;
    for _ in 0..runs {
        let mut alarm = DriftAlarm::new(0.9, alpha).unwrap();
        raised += u32::from((0..5_000).any(|_| alarm.push(f64::from(u8::from(stream.coin(0.9)))).unwrap()));
    }
    // Three standard errors above alpha.
    assert!(f64::from(raised) <= 600.0 * alpha + 3.0 * (600.0 * alpha * (1.0 - alpha)).sqrt(), "{raised}");
}

#[test]
fn a_change_after_a_long_good_time_is_found_soon() {
    let mut stream = Stream::new(12);
    let mut delays: Vec<u64> = (0..50)
        .map(|_| {
            let mut alarm = DriftAlarm::new(0.9, 0.01).unwrap();
            for _ in 0..3_000 {
                assert!(!alarm.push(f64::from(u8::from(stream.coin(0.96)))).unwrap());
            }
            while !alarm.push(f64::from(u8::from(stream.coin(0.7)))).unwrap() {}
            alarm.raised_at().unwrap() - 3_000
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[25] < 150 && delays[49] < 400, "{delays:?}");
}

#[test]
fn what_is_no_score_or_bound_is_refused() {
    assert!(matches!(
        DriftAlarm::new(1.0, 0.05),
        Err(StatsError::Probability { name: "the least mean", .. })
    ));
    assert!(DriftAlarm::new(0.9, 0.0).is_err());
    let mut alarm = DriftAlarm::new(0.9, 0.05).unwrap();
    assert!(alarm.push(f64::NAN).is_err() && alarm.push(1.1).is_err());
    assert_eq!(alarm.n(), 0);
    // It stays raised, and does not overflow.
    for _ in 0..10_000 {
        alarm.push(0.0).unwrap();
    }
    assert!(alarm.raised_at().unwrap() < 20 && alarm.e_value().is_finite());
}

/// Answers as small numbers; alike when they are the same.
fn prompts(stream: &mut Stream, count: usize, first: f64, second: f64) -> Vec<Similarities> {
    (0..count)
        .map(|_| {
            let answers: Vec<_> = (0..8).map(|at| stream.coin(if at < 4 { first } else { second })).collect();
            Similarities::new(4, 4, |i, j| f64::from(u8::from(answers[i] == answers[j]))).unwrap()
        })
        .collect()
}

#[test]
fn one_source_is_called_two_at_most_alpha_of_the_time() {
    let mut stream = Stream::new(13);
    let found = (0..400)
        .filter(|seed| {
            two_sample::test(&prompts(&mut stream, 6, 0.7, 0.7), 99, *seed).unwrap().p_value <= 0.1
        })
        .count();
    // 40 expected; three standard errors are 18.
    assert!((15..=58).contains(&found), "{found}");
}

#[test]
fn two_sources_are_told_apart() {
    let mut stream = Stream::new(14);
    let found = (0..50)
        .filter(|seed| {
            two_sample::test(&prompts(&mut stream, 20, 0.9, 0.4), 199, *seed).unwrap().p_value <= 0.05
        })
        .count();
    assert!(found >= 48, "{found}");
}

/// One prompt with answers a a | b b: of its 6 arrangements 2 are as far apart as this one.
#[test]
fn the_p_value_is_that_of_all_arrangements() {
    let answers = [0, 0, 1, 1];
    let one = Similarities::new(2, 2, |i, j| f64::from(u8::from(answers[i] == answers[j]))).unwrap();
    let one_prompt = two_sample::test(std::slice::from_ref(&one), 20_000, 7).unwrap();
    assert!((one_prompt.p_value - 1.0 / 3.0).abs() < 0.015, "{one_prompt:?}");
    assert!((one_prompt.statistic - 2.0).abs() < 1e-12);
    let five = two_sample::test(&vec![one; 5], 20_000, 7).unwrap();
    assert!((five.p_value - 1.0 / 243.0).abs() < 0.0015, "{five:?}");
    assert_eq!(two_sample::test(&[], 9, 1), Err(StatsError::NoScores { unscored: 0 }));
    assert!(Similarities::new(1, 4, |_, _| 0.0).unwrap_err().to_string().contains("at least two"));
}

#[test]
fn the_power_grows_with_the_difference_and_the_prompts() {
    // One answer for ever: nothing but the replaced ones differ.
    let same = |count| vec![(8, vec![1.0; 64]); count];
    let power = |count, share| two_sample::power(&same(count), share, 0.05, 60, 5).unwrap().point;
    let (small, large, few) = (power(20, 0.05), power(20, 0.5), power(2, 0.05));
    assert!(large > 0.95 && small < large && few < 0.3, "{small} {large} {few}");
}
