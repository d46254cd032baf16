//! Scorers: the reference answer is right, the wrong answer is wrong, nonsense is 0, nothing panics.

use loadline_core::{Sample, Value};
use loadline_suites::{Form, Seed, Suite, all, wrong_answer};
use proptest::prelude::*;

use crate::support::{chose, options, value, wrote};

/// A few samples of every suite, form and level.
fn each(mut check: impl FnMut(&dyn Suite, Form, &Sample)) {
    for seed in 0..3 {
        let seed = Seed::from_u64(1000 + seed);
        for suite in all() {
            for form in suite.forms() {
                for level in 1..=suite.last_level() {
                    for index in 0..12 {
                        check(*suite, *form, &suite.sample(&seed, *form, level, index));
                    }
                }
            }
        }
    }
}

#[test]
fn the_reference_answer_scores_1_and_the_wrong_answer_0() {
    each(|suite, form, sample| match form {
        Form::Generate => {
            for right in &sample.target {
                assert_eq!(value(suite, sample, &wrote(right)), 1.0, "{}: {right}", sample.id);
            }
            let stated =
                format!("<think>Hm, {}.</think>\n\nAnswer: {}", wrong_answer(sample), sample.target[0]);
            if suite.name() != "instructions" {
                assert_eq!(value(suite, sample, &wrote(&stated)), 1.0, "{}: {stated}", sample.id);
            }
            let wrong = wrong_answer(sample);
            assert_eq!(value(suite, sample, &wrote(&wrong)), 0.0, "{}: {wrong}", sample.id);
        }
        Form::Choice => {
            let gold = sample.gold.unwrap();
            for place in 0..options(sample).len() {
                let expected = if place == gold { 1.0 } else { 0.0 };
                assert_eq!(value(suite, sample, &chose(sample, place)), expected, "{}", sample.id);
            }
        }
    });
}

#[test]
fn nonsense_and_silence_score_0() {
    let nonsense = [
        "",
        " \n\t ",
        "Answer:",
        "I do not know.",
        "As an AI model I cannot help with that.",
        "lorem ipsum dolor sit amet",
        "\u{0}\u{202e}\u{fffd}",
        "🤷",
        "\\boxed{}",
        "N",
        "Answer: N",
        "Answer: PLACE",
        "Answer: MOVE",
        "undefined",
        "NaN",
        "null",
        "{}",
        "----------------",
    ];
    each(|suite, form, sample| {
        if form == Form::Generate {
            for text in nonsense {
                // To say so is an answer where that is asked for.
                let asked_for = match suite.name() {
                    "refusal" => text.starts_with("As an AI"),
                    "abstention" => text.starts_with("I do not know"),
                    _ => false,
                };
                if asked_for {
                    continue;
                }
                assert_eq!(value(suite, sample, &wrote(text)), 0.0, "{}: {text:?}", sample.id);
            }
        }
    });
}

#[test]
fn scores_have_the_names_that_are_documented() {
    each(|suite, form, sample| {
        let output = if form == Form::Choice { chose(sample, 0) } else { wrote("?") };
        let names: Vec<String> = suite.score(sample, &output).into_iter().map(|score| score.metric).collect();
        match (suite.name(), form) {
            ("instructions", _) => assert_eq!(names, ["exact_match", "constraints"]),
            ("calibration", _) => assert_eq!(names, ["exact_match", "quadratic"]),
            ("bias", _) => assert_eq!(names, ["exact_match", "same_for_twins"]),
            _ => assert_eq!(names, [form.metric()]),
        }
    });
}

#[test]
fn a_sample_can_be_scored_again_from_what_a_record_keeps() {
    each(|suite, form, sample| {
        let kept: Sample = serde_json::from_str(&serde_json::to_string(sample).unwrap()).unwrap();
        assert_eq!(&kept, sample);
        if form == Form::Generate {
            assert_eq!(value(suite, &kept, &wrote(&sample.target[0])), 1.0);
        }
    });
}

#[test]
fn what_cannot_be_scored_says_why() {
    each(|suite, form, sample| {
        let mut bare = sample.clone();
        bare.metadata.clear();
        bare.target.clear();
        let output = if form == Form::Choice { wrote("") } else { wrote(&sample.target[0]) };
        for score in suite.score(&bare, &output) {
            match score.value {
                Value::Unscored(why) => assert!(why.reason.len() > 20),
                Value::Number(number) => assert_eq!(number, 0.0),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn of_equal_choices_the_first_counts_and_a_nan_is_no_score() {
    let suite = loadline_suites::find("arithmetic").unwrap();
    let sample = suite.sample(&Seed::from_u64(1), Form::Choice, 1, 0);
    let mut output = chose(&sample, 0);
    for likelihood in &mut output.loglikelihoods {
        likelihood.sum = f64::NEG_INFINITY;
    }
    let scores = suite.score(&sample, &output);
    assert_eq!(scores[0].answer.as_deref(), Some(options(&sample)[0].as_str()));
    output.loglikelihoods[2].sum = f64::NAN;
    assert!(
        matches!(&suite.score(&sample, &output)[0].value, Value::Unscored(why) if why.reason.contains("number"))
    );
    output.loglikelihoods.pop();
    assert!(
        matches!(&suite.score(&sample, &output)[0].value, Value::Unscored(why) if why.reason.contains("4") && why.reason.contains("3"))
    );
}

#[test]
fn long_answers_are_read_in_linear_time() {
    // Each of these would take minutes if reading were quadratic.
    let long = [
        "answer ",
        "1,",
        "\\boxed{",
        "Answer: ",
        "is ",
        "knight Ada ",
        "- a\n",
        "e2e4 ",
        "答",
        "1.",
        "</think>",
        "ACTION: stop(",
        "stop(",
        "action: stop ",
        "decision: ",
        "1 = yes ",
        "a | b\n",
        "7%, ",
        "A) ",
    ];
    let seed = Seed::from_u64(2);
    for suite in all() {
        let sample = suite.sample(&seed, Form::Generate, 2, 0);
        for piece in long {
            suite.score(&sample, &wrote(&piece.repeat(1_000_000 / piece.len())));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_answer_makes_a_scorer_panic(text in "\\PC{0,200}", tail in "(Answer: )?[-a-h1-8KQRBNOx+=#. \n]{0,40}") {
        let seed = Seed::from_u64(77);
        for suite in all() {
            let sample = suite.sample(&seed, Form::Generate, 3, 1);
            for answer in [text.clone(), tail.clone(), format!("{text}\nAnswer: {tail}")] {
                for score in suite.score(&sample, &wrote(&answer)) {
                    prop_assert!(score.value.number().is_some_and(|number| (0.0..=1.0).contains(&number)));
                }
            }
        }
    }

    #[test]
    fn no_sample_makes_a_scorer_panic(fen in "[pnbrqkPNBRQK1-8/]{0,70} [wb] [KQkq-]{1,4} [a-h3-6-]{1,2} [0-9]{1,3} [0-9]{1,3}") {
        let chess = loadline_suites::find("chess").unwrap();
        let mut sample = chess.sample(&Seed::from_u64(1), Form::Generate, 1, 0);
        sample.metadata.insert("fen".into(), fen.into());
        for answer in ["e2e4", "O-O", "Qxf7#", "exd6", "e8=Q", "e1g1"] {
            prop_assert_eq!(chess.score(&sample, &wrote(answer)).len(), 1);
        }
    }
}
