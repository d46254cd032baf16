//! Prompts and scores of lm_eval 0.4.13, to the character and to the last bit, for the task files in
//! `tests/fixtures/tasks`. `tests/fixtures/make_golden.py` wrote `golden.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use loadline_core::model::{ContinuationLoglikelihood, ModelOutput, Request};
use loadline_core::{Sample, Value};
use loadline_measure::{Library, LoadOptions, Task};
use serde_json::Value as Json;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn library() -> Library {
    Library::scan(&[fixtures().join("tasks")]).unwrap()
}

#[derive(serde::Deserialize)]
struct Golden {
    requests: Vec<Json>,
    answers: Vec<Json>,
    scores: BTreeMap<String, Json>,
}

/// Requests as lm_eval has them: one for each choice.
fn requests(sample: &Sample) -> Vec<Vec<String>> {
    match &sample.input {
        Request::Generate(generate) => vec![vec![generate.prompt.text().into_owned()]],
        Request::Loglikelihood(ask) => {
            let context = ask.context.text().into_owned();
            ask.continuations.iter().map(|c| vec![context.clone(), c.clone()]).collect()
        }
        Request::Rolling(rolling) => vec![vec![rolling.text.clone()]],
    }
}

fn texts(request: &Json) -> Vec<String> {
    request.as_array().unwrap().iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The settings of a written request; what is not there is lm_eval's default.
fn check_sampling(sample: &Sample, request: &Json) {
    let Request::Generate(generate) = &sample.input else { return };
    let kwargs = &request[1];
    assert_eq!(serde_json::json!(generate.sampling.stop), kwargs["until"]);
    assert_eq!(serde_json::json!(generate.sampling.temperature), kwargs["temperature"]);
    assert_eq!(u64::from(generate.sampling.max_tokens), kwargs["max_gen_toks"].as_u64().unwrap_or(256));
    assert_eq!(generate.sampling.top_p, kwargs["top_p"].as_f64());
}

fn outputs(sample: &Sample, answers: &[Json]) -> Vec<ModelOutput> {
    let loglikelihood = |json: &Json| match json {
        Json::Array(pair) => ContinuationLoglikelihood {
            sum: pair[0].as_f64().unwrap(),
            tokens: 1,
            greedy: pair[1].as_bool().unwrap(),
        },
        number => ContinuationLoglikelihood { sum: number.as_f64().unwrap(), tokens: 1, greedy: false },
    };
    match &sample.input {
        Request::Generate(_) => answers[0]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| ModelOutput {
                completion: text.as_str().unwrap().to_owned(),
                ..ModelOutput::default()
            })
            .collect(),
        _ => vec![ModelOutput {
            loglikelihoods: answers.iter().map(|a| loglikelihood(&a[0])).collect(),
            ..ModelOutput::default()
        }],
    }
}

fn check_score(value: &Value, metric: &str, expected: &Json) {
    let close = |a: f64, b: &Json| (a - b.as_f64().unwrap()).abs() < 1e-12;
    let right = match value {
        Value::Number(n) if metric == "brier_score" => {
            let gold = expected[0].as_u64().unwrap() as usize;
            let squares = expected[1].as_array().unwrap().iter().enumerate();
            let target = |i| if i == gold { 1.0 } else { 0.0 };
            let sum: f64 = squares.map(|(i, p)| (p.as_f64().unwrap() - target(i)).powi(2)).sum();
            (n - sum).abs() < 1e-12
        }
        Value::Number(n) => close(*n, expected),
        Value::Ratio { total, per } => close(*total, &expected[0]) && close(*per, &expected[1]),
        // The key is a letter in one fixture; its place among A to D is its class.
        Value::Class { gold, predicted } => {
            let letter = expected[0].as_str().map(|l| i64::from(l.as_bytes()[0]) - 65);
            letter.or(expected[0].as_i64()) == Some(*gold) && expected[1].as_i64() == Some(*predicted)
        }
        Value::Unscored(why) => panic!("{metric}: {why:?}"),
    };
    assert!(right, "{metric}: {value:?} is not {expected}");
}

fn check(task: &Task, golden: &[Golden]) {
    assert_eq!(task.samples.len(), golden.len() as u64);
    let reported: Vec<&str> = task.metrics.iter().map(|m| m.name.as_str()).collect();
    for (index, (sample, golden)) in task.samples.iter().zip(golden).enumerate() {
        let sample = sample.unwrap();
        assert_eq!(sample.id, index.to_string());
        let expected: Vec<Vec<String>> = golden.requests.iter().map(texts).collect();
        assert_eq!(requests(&sample), expected);
        check_sampling(&sample, &golden.requests[0]);
        let outputs = outputs(&sample, &golden.answers);
        let scores = task.scorer.score(&sample, &outputs);
        assert_eq!(scores.len(), golden.scores.len());
        for score in scores {
            assert!(reported.contains(&score.metric.as_str()));
            let key = golden
                .scores
                .keys()
                .find(|key| *key == &score.metric || key.split(',').next() == Some(score.metric.as_str()));
            let key = key.unwrap_or_else(|| panic!("lm_eval has no {}", score.metric));
            check_score(&score.value, &score.metric, &golden.scores[key]);
        }
    }
}

#[test]
fn prompts_and_scores_are_lm_evals() {
    let golden = std::fs::read_to_string(fixtures().join("golden.json")).unwrap();
    let golden: BTreeMap<String, Vec<Golden>> = serde_json::from_str(&golden).unwrap();
    let library = library();
    assert_eq!(library.problems(), []);
    assert_eq!(golden.len(), 13);
    for (name, samples) in &golden {
        let tasks = library.load(name, &LoadOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        check(&tasks[0], samples);
    }
}

#[test]
fn iterating_twice_gives_the_same_samples() {
    let task = &library().load("fx_sums", &LoadOptions::default()).unwrap()[0];
    let all = || task.samples.iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(all(), all());
    let other = &library().load("fx_sums", &LoadOptions { seed: 5, ..LoadOptions::default() }).unwrap()[0];
    assert_ne!(all(), other.samples.iter().map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(task.identity, other.identity, "the seed is the run's, not the task's");
}

#[test]
fn votes_are_taken_over_all_epochs() {
    let task = &library().load("fx_votes", &LoadOptions::default()).unwrap()[0];
    assert!(task.epochs == 5 && task.scorer.groups_epochs());
    let plain = &library().load("fx_sums", &LoadOptions::default()).unwrap()[0];
    assert!(plain.epochs == 1 && !plain.scorer.groups_epochs());
    let names: Vec<&str> = plain.metrics.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["exact_match,strict-match", "exact_match,flexible-extract"]);
}

/// lm_eval shows some of these questions with their own answers: it compares `fewshot_split` with `test_split`.
#[test]
fn a_question_is_never_shown_with_its_answer() {
    let library = library();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("leak.yaml");
    for sampler in ["default", "first_n"] {
        let yaml = format!(
            "task: leak\ndataset_path: json\ndataset_kwargs: {{data_files: {{validation: {}}}}}\n\
             validation_split: validation\nfewshot_split: validation\nnum_fewshot: 3\n\
             fewshot_config: {{sampler: {sampler}}}\ndoc_to_text: '{{{{q}}}}'\ndoc_to_target: where\n",
            fixtures().join("tasks/data/choices.jsonl").display()
        );
        std::fs::write(&path, yaml).unwrap();
        let task = &library.load(path.to_str().unwrap(), &LoadOptions::default()).unwrap()[0];
        for sample in task.samples.iter() {
            let prompt = requests(&sample.unwrap())[0][0].clone();
            let parts: Vec<&str> = prompt.split("\n\n").collect();
            let asked = parts[3];
            assert!(
                parts.len() == 4 && !parts[..3].iter().any(|p| p.starts_with(asked)),
                "{sampler}: {prompt}"
            );
        }
    }
}
