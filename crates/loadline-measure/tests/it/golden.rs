//! The bytes of the export and of the results line, for one fixed record.
//!
//! After a change that is meant, `LOADLINE_BLESS=1 cargo test -p loadline-measure golden` writes them anew.

use std::fs;
use std::path::Path;

use loadline_core::model::{
    Basis, ContinuationLoglikelihood, Generate, Loglikelihood, Message, ModelIdentity, Prompt, Role,
    Sampling, StopReason,
};
use loadline_core::record::{EvalSpec, Row, SampleRecord, TaskIdentity};
use loadline_core::{Digest, Request, Score, Usage, Value};
use loadline_evidence::RecordReader;
use loadline_measure::export::{ExportFormat, export};
use loadline_measure::results::from_record;
use loadline_stats::Level;

use crate::support::*;

fn spec() -> EvalSpec {
    EvalSpec {
        format: 1,
        task: TaskIdentity { name: "golden".into(), version: "1".into(), digest: Digest::of(b"golden") },
        model: "openai/some-model".parse().unwrap(),
        identity: ModelIdentity { basis: Basis::SelfReported, weights: None, settings: [].into() },
        metrics: vec![mean("exact_match"), mean("acc")],
        groups_epochs: false,
        samples: 4,
        limit: None,
        epochs: 2,
        seed: 7,
        overrides: [].into(),
        repeat: 0,
    }
}

fn row(index: u64, epoch: u32) -> SampleRecord {
    let sampling =
        Sampling { max_tokens: 8, temperature: Some(0.0), top_p: None, stop: vec!["\n".into()], seed: None };
    SampleRecord {
        id: format!("q/{index}"),
        index,
        epoch,
        cluster: None,
        input: Request::Generate(Generate { prompt: Prompt::user("What is \"2\" + 2,\nplease?"), sampling }),
        target: vec!["4".into()],
        gold: None,
        metadata: [("level".to_owned(), (index % 2 + 1).into())].into_iter().collect(),
        output: Some("It is 4, says שלום 你好.".into()),
        stop_reason: StopReason::Stop,
        loglikelihoods: Vec::new(),
        scores: vec![score("exact_match", Value::correct(index != 1), Some("4"))],
        usage: Usage { input_tokens: 12, output_tokens: 6 },
        started_ms: 1_763_921_410_123 + index * 86_400_000,
        duration_ms: 250,
        attempts: 1,
        error: None,
    }
}

fn score(metric: &str, value: Value, answer: Option<&str>) -> Score {
    Score { metric: metric.into(), value, answer: answer.map(str::to_owned), explanation: None }
}

/// Text, a conversation, log-likelihoods, an unscored answer, one given up and answered later, one given up twice.
fn rows() -> Vec<SampleRecord> {
    let turn = |role, content: &str| Message { role, content: content.into() };
    let mut chat = row(1, 0);
    let Request::Generate(generate) = &mut chat.input else { unreachable!() };
    generate.prompt = Prompt::Chat(vec![turn(Role::System, "Be brief."), turn(Role::User, "=2+2")]);
    chat.target = vec!["4".into(), "four".into()];

    let mut choice = row(2, 0);
    let continuations = vec![" 3".to_owned(), " 4".to_owned()];
    choice.input =
        Request::Loglikelihood(Loglikelihood { context: Prompt::Text("2 + 2 =".into()), continuations });
    choice.gold = Some(1);
    choice.output = None;
    let likelihood = |sum, greedy| ContinuationLoglikelihood { sum, tokens: 1, greedy };
    choice.loglikelihoods = vec![likelihood(-3.25, false), likelihood(-0.5, true)];
    choice.scores = vec![score("acc", Value::correct(true), None)];

    let mut unscored = row(3, 0);
    unscored.output = Some(String::new());
    unscored.scores = vec![score("exact_match", Value::unscored("the answer is empty"), None)];

    let failed = |index, epoch, why: &str| SampleRecord {
        output: None,
        scores: Vec::new(),
        usage: Usage::default(),
        attempts: 11,
        error: Some(why.into()),
        ..row(index, epoch)
    };
    let (lost, later) = (failed(0, 1, "no answer within 120 s"), row(0, 1));
    let (first, second) = (failed(1, 1, "refused, at first"), failed(1, 1, "refused again"));
    vec![row(0, 0), chat, lost, choice, first, unscored, later, second]
}

#[test]
fn exports_and_results_are_the_bytes_they_always_were() {
    let place = place();
    let writer = place.store.create(&spec()).unwrap();
    for row in rows() {
        writer.append(&Row::Sample(Box::new(row))).unwrap();
    }
    let dir = writer.dir().to_path_buf();
    writer.close().unwrap();
    let record = RecordReader::open(dir).unwrap();
    let exported = |format| {
        let mut bytes = Vec::new();
        assert_eq!(export(&record, format, &mut bytes).unwrap(), 6);
        String::from_utf8(bytes).unwrap()
    };
    let results = from_record(&record, None, Level::P95).unwrap();
    assert_eq!((results.answered, results.total, results.errors), (5, 8, 1));
    for (name, text) in [
        ("export.jsonl", exported(ExportFormat::Jsonl)),
        ("export.csv", exported(ExportFormat::Csv)),
        ("results.jsonl", results.line_json() + "\n"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
        if std::env::var_os("LOADLINE_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&path).unwrap(), "{name}");
    }
}
