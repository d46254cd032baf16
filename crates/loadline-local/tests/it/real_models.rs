//! The two published files against the references in the shared test data.

use std::path::PathBuf;

use loadline_core::model::{Loglikelihood, Prompt};
use loadline_local::tokenizer::ControlTokens;
use loadline_local::{Engine, LocalOptions, Precision};
use serde_json::Value;

const GEMMA: (&str, &str) = ("gemma-3-270m", "gemma-3-270m-q4_k_m.gguf");
const QWEN: (&str, &str) = ("qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");

fn read_json(path: PathBuf) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn open(file: &str, precision: Precision) -> Option<Engine> {
    let path = loadline_testkit::model_file(file)?;
    let options = LocalOptions { precision, ..LocalOptions::default() };
    // The digest only matters to those who ask for it.
    let digest = loadline_core::Digest::of(b"");
    Some(Engine::open(&path, &options, Some(digest)).unwrap().0)
}

fn token_ids_agree((name, file): (&str, &str)) {
    let Some(tokens) = loadline_testkit::shared("data/local-models/tokens.json") else { return };
    let Some(engine) = open(file, Precision::Int8) else { return };
    let tokens = read_json(tokens);
    let strings = tokens["strings"].as_array().unwrap();
    let mut different = Vec::new();
    for (key, control) in
        [("parse_special_false", ControlTokens::AsText), ("parse_special_true", ControlTokens::Parsed)]
    {
        let ids = tokens["token_ids"][name][key].as_array().unwrap();
        assert_eq!((strings.len(), ids.len()), (220, 220));
        for (string, ids) in strings.iter().zip(ids) {
            let expect: Vec<u32> =
                ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            let text = string.as_str().unwrap();
            let found = engine.tokenizer().encode(text, control);
            if found != expect {
                different.push(format!("{key} {text:?}: {found:?}, expected {expect:?}"));
            }
            if control == ControlTokens::AsText {
                // SentencePiece cannot tell its own sign for a space from a space.
                let expect = if name == GEMMA.0 { text.replace('\u{2581}', " ") } else { text.to_owned() };
                assert_eq!(engine.tokenizer().decode(&found), expect);
            }
        }
    }
    assert!(different.is_empty(), "{} differ: {}", different.len(), different.join("\n"));
}

#[test]
fn gemma_token_ids_agree_with_the_reference() {
    token_ids_agree(GEMMA);
}

#[test]
fn qwen_token_ids_agree_with_the_reference() {
    token_ids_agree(QWEN);
}

/// The log-likelihoods of the first twenty questions, ours and the reference's.
fn loglikelihoods((name, file): (&str, &str), precision: Precision) -> Option<Vec<(Vec<f64>, Vec<f64>)>> {
    let reference = read_json(loadline_testkit::shared("data/local-models/loglik-f32.json")?);
    let questions =
        std::fs::read_to_string(loadline_testkit::shared("data/local-models/four-choice-200.jsonl")?)
            .unwrap();
    let engine = open(file, precision)?;
    let reference = reference["loglik"][name].as_array().unwrap();
    assert_eq!(reference.len(), 20);
    let both = questions.lines().zip(reference).map(|(line, reference)| {
        let question: Value = serde_json::from_str(line).unwrap();
        let choices = question["choices"].as_array().unwrap();
        let request = Loglikelihood {
            context: Prompt::Text(question["prompt"].as_str().unwrap().to_owned()),
            continuations: choices.iter().map(|choice| format!(" {}", choice.as_str().unwrap())).collect(),
        };
        let tree = engine.tree(&request).unwrap();
        let output = engine.score(&[tree], &|| false).unwrap().remove(0);
        let ours = output.loglikelihoods.iter().map(|l| l.sum).collect();
        (ours, reference.as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect())
    });
    Some(both.collect())
}

fn best(scores: &[f64]) -> usize {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn f32_is_exact(model: (&str, &str)) {
    let Some(questions) = loglikelihoods(model, Precision::F32) else { return };
    let errors = questions.iter().flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()));
    let worst = errors.fold(0.0, f64::max);
    println!("{}: f32 differs by at most {worst:.6} nats", model.0);
    assert!(worst < 0.001, "{worst}");
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn int8_picks_the_same(model: (&str, &str)) {
    let Some(questions) = loglikelihoods(model, Precision::Int8) else { return };
    let same = questions.iter().filter(|(a, b)| best(a) == best(b)).count();
    let errors: Vec<f64> =
        questions.iter().flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs())).collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    println!(
        "{}: int8 {same} of 20, mean {mean:.4}, worst {:.4}",
        model.0,
        errors.iter().fold(0.0, |a, b| f64::max(a, *b))
    );
    assert!(same >= 19, "{same} of 20");
}

#[test]
fn gemma_f32_log_likelihoods_are_exact() {
    f32_is_exact(GEMMA);
}

#[test]
fn qwen_f32_log_likelihoods_are_exact() {
    f32_is_exact(QWEN);
}

#[test]
fn gemma_int8_picks_the_same_choice() {
    int8_picks_the_same(GEMMA);
}

#[test]
fn qwen_int8_picks_the_same_choice() {
    int8_picks_the_same(QWEN);
}
