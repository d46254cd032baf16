//! Items: made the same everywhere, never shared, well-formed.

use std::collections::{HashMap, HashSet};

use loadline_core::Digest;
use loadline_suites::{Form, Seed, Suite, SuiteError, all, check, digest, find, require, samples};

use crate::support::{options, prompt};

/// No prompt occurs twice within a seed or in two seeds: 20 seeds, `n` items of each level.
fn no_prompt_twice(name: &str, n: u64) {
    let suite = find(name).unwrap();
    let form = suite.forms()[0];
    for level in 1..=suite.last_level() {
        let mut seen: HashMap<Digest, String> = HashMap::new();
        for seed in 0..20 {
            let seed = Seed::from_u64(seed);
            for index in 0..n {
                let sample = suite.sample(&seed, form, level, index);
                let before = seen.insert(Digest::of(prompt(&sample).as_bytes()), sample.id.clone());
                assert_eq!(before, None, "{} asks the same", sample.id);
            }
        }
    }
}

#[test]
fn no_prompt_twice_arithmetic() {
    no_prompt_twice("arithmetic", 200);
}

#[test]
fn no_prompt_twice_word_problems() {
    no_prompt_twice("word-problems", 200);
}

#[test]
fn no_prompt_twice_knights() {
    no_prompt_twice("knights-and-knaves", 200);
}

#[test]
fn no_prompt_twice_tracing() {
    no_prompt_twice("program-tracing", 200);
}

#[test]
fn no_prompt_twice_instructions() {
    no_prompt_twice("instructions", 200);
}

#[test]
fn no_prompt_twice_retrieval() {
    no_prompt_twice("retrieval", 200);
}

#[test]
fn no_prompt_twice_chess() {
    no_prompt_twice("chess", 200);
}

#[test]
fn no_prompt_twice_languages() {
    no_prompt_twice("languages", 200);
}

#[test]
fn no_prompt_twice_in_the_suites_of_the_risk_classes() {
    for name in crate::risk::NAMES {
        no_prompt_twice(name, 120);
    }
}

#[test]
fn ids_name_suite_level_and_index_and_are_unique() {
    let seed = Seed::from_u64(5);
    for suite in all() {
        let mut ids = HashSet::new();
        for level in 1..=suite.last_level() {
            for index in 0..12 {
                let sample = suite.sample(&seed, suite.forms()[0], level, index);
                assert!(sample.id.starts_with(&format!("{}-{level}-0000", suite.name())), "{}", sample.id);
                assert_eq!(sample.metadata["suite"], suite.name());
                assert_eq!(sample.metadata["level"], level);
                assert!(ids.insert(sample.id));
            }
        }
    }
    let id = find("arithmetic").unwrap().sample(&seed, Form::Generate, 3, 17).id;
    assert!(id.starts_with("arithmetic-3-000017-") && id.len() == "arithmetic-3-000017-".len() + 8, "{id}");
}

#[test]
fn templates_leave_no_place_unfilled() {
    let seed = Seed::from_u64(6);
    for suite in all() {
        for form in suite.forms() {
            for level in 1..=suite.last_level() {
                for index in 0..60 {
                    let text = prompt(&suite.sample(&seed, *form, level, index));
                    assert!(!text.contains(['{', '}', '\t']), "{text}");
                }
            }
        }
    }
}

#[test]
fn right_choices_are_spread_evenly_and_options_differ() {
    for seed in [Seed::from_u64(1), Seed::from_bytes([9; 32])] {
        for suite in all().iter().filter(|suite| suite.forms().contains(&Form::Choice)) {
            for level in 1..=suite.last_level() {
                let mut places = [0_u32; 4];
                let n = if suite.name() == "languages" { 3 * 40 } else { 40 };
                for index in 0..n {
                    let sample = suite.sample(&seed, Form::Choice, level, index);
                    let options = options(&sample);
                    let gold = sample.gold.unwrap();
                    places[gold] += 1;
                    assert_eq!(options.len(), 4, "{}", sample.id);
                    assert_eq!(options.iter().collect::<HashSet<_>>().len(), 4, "{}: {options:?}", sample.id);
                    assert_eq!(options[gold], sample.target[0]);
                    let last = prompt(&sample);
                    assert!(
                        last.ends_with(':') && last.lines().last().unwrap().chars().count() < 12,
                        "{last}"
                    );
                }
                assert_eq!(places, [u32::try_from(n).unwrap() / 4; 4], "{} {level}", suite.name());
            }
        }
    }
}

#[test]
fn both_forms_are_the_same_problem() {
    let seed = Seed::from_u64(8);
    for suite in all().iter().filter(|suite| suite.forms().len() == 2) {
        for index in 0..10 {
            let generate = suite.sample(&seed, Form::Generate, 2, index);
            let choice = suite.sample(&seed, Form::Choice, 2, index);
            assert_eq!(generate.id, choice.id);
            assert!(generate.target.contains(&choice.target[0]), "{}", generate.id);
        }
    }
}

#[test]
fn samples_go_round_the_levels_and_are_exactly_as_many() {
    let suite = find("arithmetic").unwrap();
    let seed = Seed::from_u64(3);
    let drawn: Vec<_> = samples(suite, &seed, Form::Generate, &[2, 4, 5], 8).collect();
    let places: Vec<String> =
        drawn.iter().map(|sample| sample.id["arithmetic-".len()..][..8].to_owned()).collect();
    assert_eq!(
        places,
        ["2-000000", "4-000000", "5-000000", "2-000001", "4-000001", "5-000001", "2-000002", "4-000002"]
    );
    assert_eq!(drawn[4], suite.sample(&seed, Form::Generate, 4, 1));
    assert_eq!(samples(suite, &seed, Form::Generate, &[], 8).count(), 0);
    assert_eq!(samples(suite, &seed, Form::Generate, &[1], 0).count(), 0);
}

#[test]
fn everything_that_makes_the_questions_is_in_the_digest() {
    let suite = find("arithmetic").unwrap();
    let seed = Seed::from_u64(1);
    let base = digest(suite, &seed, Form::Generate, &[1, 2], 10);
    assert_eq!(base, digest(suite, &Seed::from_u64(1), Form::Generate, &[1, 2], 10));
    for other in [
        digest(find("chess").unwrap(), &seed, Form::Generate, &[1, 2], 10),
        digest(suite, &Seed::from_u64(2), Form::Generate, &[1, 2], 10),
        digest(suite, &seed, Form::Choice, &[1, 2], 10),
        digest(suite, &seed, Form::Generate, &[2, 1], 10),
        digest(suite, &seed, Form::Generate, &[1, 2], 11),
    ] {
        assert_ne!(base, other);
    }
}

#[test]
fn what_a_suite_does_not_have_is_an_error_that_says_so() {
    let instructions = find("instructions").unwrap();
    assert_eq!(check(instructions, Form::Generate, &[1, 5]), Ok(()));
    let message = |error: SuiteError| error.to_string();
    assert_eq!(
        message(check(instructions, Form::Choice, &[1]).unwrap_err()),
        "suite `instructions` has no choice form"
    );
    assert_eq!(
        message(check(instructions, Form::Generate, &[1, 6]).unwrap_err()),
        "suite `instructions` has no level 6: it has 1 to 5"
    );
    assert!(check(instructions, Form::Generate, &[0]).is_err());
    assert_eq!(
        message(check(instructions, Form::Generate, &[]).unwrap_err()),
        "no level was asked of suite `instructions`"
    );
    assert_eq!(
        message(require("aritmetic").err().unwrap()),
        "there is no suite `aritmetic`; did you mean `arithmetic`?"
    );
    assert_eq!(message(require("poetry\u{1b}").err().unwrap()), "there is no suite `poetry\\u{1b}`");
    assert_eq!(
        message("both".parse::<Form>().unwrap_err()),
        "`both` is not a form: expected `generate` or `choice`"
    );
}

#[test]
fn a_level_or_form_that_is_not_there_is_taken_as_the_nearest() {
    let seed = Seed::from_u64(1);
    for suite in all() {
        let form = suite.forms()[0];
        let last = suite.last_level();
        assert_eq!(suite.sample(&seed, form, 99, 3), suite.sample(&seed, form, last, 3));
        assert_eq!(suite.sample(&seed, form, 0, 3), suite.sample(&seed, form, 1, 3));
        assert!(suite.sample(&seed, form, 1, u64::MAX).id.len() > 8);
    }
}

#[test]
fn the_same_problem_in_three_languages() {
    let suite: &dyn Suite = find("languages").unwrap();
    let seed = Seed::from_u64(4);
    for form in Form::ALL {
        for level in 1..=5 {
            for problem in 0..50 {
                let three: Vec<_> =
                    (0..3).map(|i| suite.sample(&seed, form, level, 3 * problem + i)).collect();
                let tags: Vec<&str> =
                    three.iter().map(|s| s.metadata["language"].as_str().unwrap()).collect();
                assert_eq!(tags, ["en", "he", "zh"]);
                for sample in &three {
                    assert_eq!(sample.cluster, three[0].cluster);
                    assert!(sample.id.starts_with(sample.cluster.as_deref().unwrap()), "{}", sample.id);
                    assert_eq!(sample.target, three[0].target);
                    assert_eq!(options(sample), options(&three[0]));
                    assert_eq!(sample.gold, three[0].gold);
                    assert_eq!(numbers(&prompt(sample)), numbers(&prompt(&three[0])));
                }
            }
        }
    }
}

/// The numbers in a text, in order of size: languages order words differently.
fn numbers(text: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_documentation_has_every_suite_and_level_and_the_measured_chances() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/suites.md");
    let text = std::fs::read_to_string(path).unwrap();
    for suite in all() {
        let (_, section) = text.split_once(&format!("\n## `{}`\n", suite.name())).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for level in 1..=suite.last_level() {
            let row = section.lines().find(|line| line.starts_with(&format!("| {level} | ")));
            let row = row.unwrap_or_else(|| panic!("{} has no row for level {level}", suite.name()));
            let chance = suite.chance(Form::Generate, level);
            let fraction = |row: &str, before: &str| {
                let cell = row.trim_end_matches(" |").rsplit(before).next().unwrap().replace(',', "");
                1.0 / cell.parse::<f64>().unwrap()
            };
            match suite.name() {
                "chess" => assert!(row.ends_with(&format!("| {chance} |")), "{row}"),
                "arithmetic" | "program-tracing" => assert_eq!(fraction(row, "1 in "), chance, "{row}"),
                "knights-and-knaves" | "retrieval" => assert_eq!(fraction(row, "1/"), chance, "{row}"),
                _ => {}
            }
        }
    }
}
