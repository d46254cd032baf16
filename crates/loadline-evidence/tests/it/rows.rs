//! Rows to write, always the same for the same number.

use loadline_core::model::{
    ContinuationLoglikelihood, Generate, Prompt, Request, Sampling, StopReason, Usage,
};
use loadline_core::record::{EvalSpec, RECORD_FORMAT, Row, TaskIdentity};
use loadline_core::{Digest, SampleRecord, Score, Value};

/// A specification.
pub fn spec(seed: u64) -> EvalSpec {
    serde_json::from_value(serde_json::json!({
        "format": RECORD_FORMAT,
        "task": TaskIdentity { name: "arithmetic".into(), version: "1".into(), digest: Digest::of(b"task") },
        "model": "fake/ability=0.7",
        "identity": { "basis": "self_reported" },
        "samples": 20,
        "limit": 20,
        "epochs": 1,
        "seed": seed,
    }))
    .unwrap()
}

/// The same for so many samples.
pub fn spec_of(seed: u64, samples: u64) -> EvalSpec {
    EvalSpec { samples, limit: Some(samples), ..spec(seed) }
}

/// A sample's row; the text has what needs escaping.
pub fn sample(number: u64) -> Row {
    let sampling =
        Sampling { max_tokens: 16, temperature: Some(0.7), top_p: None, stop: vec![], seed: Some(number) };
    let prompt = Prompt::user(format!("What is {number} + 1?\nC 00000054 \"שלום\" 你好"));
    Row::Sample(Box::new(SampleRecord {
        id: format!("sum-{number}"),
        index: number,
        epoch: 0,
        cluster: None,
        input: Request::Generate(Generate { prompt, sampling }),
        target: vec![(number + 1).to_string()],
        gold: None,
        metadata: serde_json::Map::new(),
        output: Some((number + 1).to_string()),
        stop_reason: StopReason::Stop,
        loglikelihoods: vec![ContinuationLoglikelihood {
            sum: -0.1 * number as f64,
            tokens: 2,
            greedy: false,
        }],
        scores: vec![Score {
            metric: "exact_match".into(),
            value: Value::correct(true),
            answer: Some((number + 1).to_string()),
            explanation: None,
        }],
        usage: Usage { input_tokens: 12, output_tokens: 2 },
        started_ms: 1_700_000_000_000 + number,
        duration_ms: 20,
        attempts: 1,
        error: None,
    }))
}

/// The sample's record in a row.
pub fn sample_of(row: &Row) -> Option<&SampleRecord> {
    match row {
        Row::Sample(sample) => Some(sample),
        _ => None,
    }
}
