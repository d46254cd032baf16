//! A solver that knows the rules gets everything right, in both forms.

use loadline_suites::{Form, Seed, find};

use crate::solve::{self, chess};
use crate::support::{chose, options, prompt, value, wrote};

/// Items of each level and form.
const ITEMS: u64 = 150;

fn all_right(name: &str) {
    let suite = find(name).unwrap();
    for form in suite.forms() {
        for level in 1..=suite.last_level() {
            for index in 0..ITEMS {
                // A seed for every few items.
                let sample = suite.sample(&Seed::from_u64(900 + index / 10), *form, level, index);
                let question = prompt(&sample);
                let solved = solve::solve(name, &question);
                let output = match form {
                    Form::Generate => wrote(&solved),
                    Form::Choice => {
                        let place = options(&sample).iter().position(|option| *option == solved);
                        chose(&sample, place.unwrap_or_else(|| panic!("{solved} is not offered: {question}")))
                    }
                };
                let right = value(suite, &sample, &output);
                assert_eq!(right, 1.0, "{}: {solved}, not {:?}\n{question}", sample.id, sample.target);
            }
        }
    }
}

#[test]
fn arithmetic() {
    all_right("arithmetic");
}

#[test]
fn word_problems() {
    all_right("word-problems");
}

#[test]
fn knights_and_knaves() {
    all_right("knights-and-knaves");
}

#[test]
fn program_tracing() {
    all_right("program-tracing");
}

#[test]
fn instructions() {
    all_right("instructions");
}

#[test]
fn retrieval() {
    all_right("retrieval");
}

#[test]
fn languages() {
    all_right("languages");
}

#[test]
fn the_suites_of_the_risk_classes() {
    for name in crate::risk::NAMES {
        all_right(name);
    }
}

#[test]
fn chess_every_right_move_in_both_notations_and_no_other() {
    let suite = find("chess").unwrap();
    let seed = Seed::from_u64(900);
    for level in 1..=5 {
        for index in 0..25 {
            let sample = suite.sample(&seed, Form::Generate, level, index);
            let question = prompt(&sample);
            let (board, right) = (chess::board(&question), chess::right(&question));
            for mv in chess::legal(&board) {
                let expected = if right.contains(&mv) { 1.0 } else { 0.0 };
                for written in chess::written(&board, mv) {
                    let got = value(suite, &sample, &wrote(&format!("I think.\nAnswer: {written}")));
                    assert_eq!(got, expected, "{written}\n{question}");
                }
            }
            let sample = suite.sample(&seed, Form::Choice, level, index);
            let uci: Vec<String> = right.iter().map(|mv| chess::written(&board, *mv)[0].clone()).collect();
            let places: Vec<usize> = (0..4).filter(|place| uci.contains(&options(&sample)[*place])).collect();
            assert_eq!(places, [sample.gold.unwrap()], "{question}");
            assert_eq!(value(suite, &sample, &chose(&sample, places[0])), 1.0);
        }
    }
}
