//! A guesser gets what [`Suite::chance`] says.

use cozy_chess::Square;
use loadline_core::Sample;
use loadline_suites::{Form, Seed, Suite, all, find};

use crate::solve::chess;
use crate::support::{Guesser, chose, options, prompt, value, wrote};

/// Whether so many right ones of `n` are within four standard errors (and one whole answer) of the chance.
fn within(hits: f64, n: u64, chance: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let n = n as f64;
    (hits - n * chance).abs() <= 4.0 * (n * chance * (1.0 - chance)).sqrt() + 1.0
}

/// Accuracy of a guesser over items of one level.
fn guess(suite: &dyn Suite, form: Form, n: u64, mut answer: impl FnMut(&Sample, &mut Guesser) -> String) {
    let mut guesser = Guesser(42);
    for level in 1..=suite.last_level() {
        let mut hits = 0.0;
        for index in 0..n {
            let sample = suite.sample(&Seed::from_u64(7), form, level, index);
            let output = match form {
                Form::Choice => chose(&sample, guesser.index(4)),
                Form::Generate => wrote(&answer(&sample, &mut guesser)),
            };
            hits += value(suite, &sample, &output);
        }
        let chance = suite.chance(form, level);
        assert!(within(hits, n, chance), "{} {form} {level}: {hits} of {n}, chance {chance}", suite.name());
    }
}

#[test]
fn choosing_at_random() {
    for suite in all().iter().filter(|suite| suite.forms().contains(&Form::Choice)) {
        guess(*suite, Form::Choice, if suite.name() == "chess" { 150 } else { 400 }, |_, _| String::new());
    }
}

/// Summed log-likelihoods lean towards short and small answers. The right option must not be the shortest, the
/// smallest or the largest more often than the others are.
#[test]
fn choosing_by_length_or_size() {
    type Cost = fn(&str) -> i64;
    let habits: [(&str, Cost); 4] = [
        ("shortest", |option| i64::try_from(option.len()).unwrap()),
        ("longest", |option| -i64::try_from(option.len()).unwrap()),
        ("smallest", |option| option.parse().unwrap_or_default()),
        ("largest", |option| -option.parse::<i64>().unwrap_or_default()),
    ];
    for suite in all().iter().filter(|suite| suite.forms().contains(&Form::Choice)) {
        let n = if suite.name() == "chess" { 150 } else { 400 };
        for level in 1..=suite.last_level() {
            let samples: Vec<Sample> = (0..n)
                // One language is enough: the options are the same in all.
                .map(|i| if suite.name() == "languages" { 3 * i } else { i })
                .map(|index| suite.sample(&Seed::from_u64(21), Form::Choice, level, index))
                .collect();
            for (habit, cost) in habits {
                let mut guesser = Guesser(5);
                let hits = samples.iter().filter(|sample| {
                    let costs: Vec<i64> = options(sample).iter().map(|option| cost(option)).collect();
                    let best = costs.iter().min().unwrap();
                    let tied: Vec<usize> = (0..costs.len()).filter(|place| costs[*place] == *best).collect();
                    Some(tied[guesser.index(tied.len())]) == sample.gold
                });
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let hits = hits.count() as f64;
                assert!(
                    within(hits, n, 0.25),
                    "{} {level}: the {habit} is right {hits} times of {n}",
                    suite.name()
                );
            }
        }
    }
}

#[test]
fn knight_or_knave_by_the_toss_of_a_coin() {
    guess(find("knights-and-knaves").unwrap(), Form::Generate, 1500, |sample, guesser| {
        let people = sample.metadata["people"].as_array().unwrap();
        let said: Vec<String> = people
            .iter()
            .map(|name| {
                let kind = if guesser.below(2) == 0 { "knight" } else { "knave" };
                format!("{} = {kind}", name.as_str().unwrap())
            })
            .collect();
        format!("Answer: {}", said.join(", "))
    });
}

#[test]
fn any_place_that_the_text_names() {
    guess(find("retrieval").unwrap(), Form::Generate, 250, |sample, guesser| {
        let places = sample.metadata["places"].as_array().unwrap();
        format!("Answer: the {}", places[guesser.index(places.len())].as_str().unwrap())
    });
}

#[test]
fn two_squares_or_any_legal_move() {
    guess(find("chess").unwrap(), Form::Generate, 250, |sample, guesser| {
        let question = prompt(sample);
        if question.contains("checkmate") {
            let board = chess::board(&question);
            let legal = chess::legal(&board);
            return chess::written(&board, legal[guesser.index(legal.len())])[0].clone();
        }
        let from = guesser.index(64);
        let to = (from + 1 + guesser.index(63)) % 64;
        format!("{}{}", Square::index(from), Square::index(to))
    });
}

#[test]
fn the_answer_to_another_item() {
    let suite = find("instructions").unwrap();
    guess(suite, Form::Generate, 300, |_, guesser| {
        let level = u32::try_from(1 + guesser.below(5)).unwrap();
        suite.sample(&Seed::from_u64(8), Form::Generate, level, guesser.below(100)).target[0].clone()
    });
}

#[test]
fn a_number_drawn_evenly_from_the_range_that_holds_all_answers() {
    // Drawing evenly from a range is right once in its width whatever the answers are, as long as they are in it.
    let ranges: [(&str, [(i64, i64); 5]); 4] = [
        (
            "arithmetic",
            [
                (1_000_000_000_000, 9_999_999_999_999),
                (0, 99_999_999),
                (-97_999, 207_799),
                (-8_891_001, 19_980_002),
                (0, 999_998),
            ],
        ),
        ("word-problems", [(1, 9_999); 5]),
        ("program-tracing", [(-999, 999), (-999, 999), (0, 996), (0, 996), (0, 996)]),
        ("languages", [(1, 9_999); 5]),
    ];
    for (name, ranges) in ranges {
        let suite = find(name).unwrap();
        for (level, (low, high)) in (1..).zip(ranges) {
            #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
            let width = (high - low + 1) as f64;
            assert_eq!(suite.chance(Form::Generate, level), 1.0 / width, "{name} {level}");
            for index in 0..1500 {
                let sample = suite.sample(&Seed::from_u64(11), Form::Generate, level, index);
                let answer: i64 = sample.target[0].parse().unwrap();
                assert!((low..=high).contains(&answer), "{}: {answer}", sample.id);
            }
        }
        guess(suite, Form::Generate, 300, |sample, guesser| {
            let level = usize::try_from(sample.metadata["level"].as_u64().unwrap()).unwrap();
            let (low, high) = ranges[level - 1];
            let drawn = guesser.below(u64::try_from(high - low + 1).unwrap());
            format!("Answer: {}", low + i64::try_from(drawn).unwrap())
        });
    }
}
