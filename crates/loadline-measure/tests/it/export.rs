//! The export of a record.

use loadline_core::ModelErrorKind;
use loadline_measure::export::{ExportFormat, export};
use loadline_measure::run::RunStatus;

use crate::support::*;

fn exported(place: &Place, outcome: &loadline_measure::run::RunOutcome, format: ExportFormat) -> String {
    let record = place.store.reader(&outcome.run).unwrap();
    let mut bytes = Vec::new();
    let count = export(&record, format, &mut bytes).unwrap();
    assert_eq!(count, 4);
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_sample_is_exported_once_with_its_last_word() {
    let model = Scripted::new(|context, seen| match (context.sample.id.as_str(), seen.calls.len()) {
        ("sum-1", _) => Step::Say(3 * MS, "a \"quoted\",\nlong answer"),
        ("sum-2", 0..4) => fail(ModelErrorKind::TooLong),
        ("sum-3", _) => fail(ModelErrorKind::Refused),
        _ => Step::Answer(MS),
    });
    let place = place();
    let first = run(&sums(4), &model, &place, &options(1)).await.0.unwrap();
    assert_eq!((first.status, first.results.errors), (RunStatus::SomeErrored, 2));
    let second = run(&sums(4), &model, &place, &options(1)).await.0.unwrap();
    assert_eq!((second.status, second.results.errors), (RunStatus::SomeErrored, 1));

    let jsonl = exported(&place, &second, ExportFormat::Jsonl);
    let rows: Vec<serde_json::Value> =
        jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["sum-0", "sum-1", "sum-3", "sum-2"]
    );
    let started = rows[1]["started"].clone();
    assert_eq!(
        rows[1],
        serde_json::json!({
            "id": "sum-1", "epoch": 0, "task": "sums", "model": "fake/scripted", "input": "1 + 1 =",
            "target": ["2"], "output": "a \"quoted\",\nlong answer", "score": 0.0,
            "scores": {"exact_match": 0.0}, "answer": "a \"quoted\",\nlong answer", "loglikelihoods": [],
            "usage": {"input_tokens": 10, "output_tokens": 2}, "started": started, "seconds": 0.003,
            "attempts": 1, "error": null
        })
    );
    assert!(started.as_str().unwrap().ends_with('Z'));
    assert_eq!(
        (&rows[2]["error"], &rows[2]["output"]),
        (&"scripted Refused".into(), &serde_json::Value::Null)
    );
    assert_eq!((&rows[3]["error"], &rows[3]["output"]), (&serde_json::Value::Null, &"3".into()));

    let csv = exported(&place, &second, ExportFormat::Csv);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let keys: std::collections::BTreeSet<&str> =
        rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(header.iter().map(String::as_str).collect::<std::collections::BTreeSet<_>>(), keys);
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let of = |line: &csv::StringRecord, name: &str| {
        line[header.iter().position(|h| h == name).unwrap()].to_owned()
    };
    assert_eq!(of(&lines[1], "output"), "a \"quoted\",\nlong answer");
    assert_eq!(
        (of(&lines[1], "score"), of(&lines[1], "target"), of(&lines[1], "error")),
        ("0".into(), "2".into(), String::new())
    );
    assert_eq!(of(&lines[2], "error"), "scripted Refused");
}

#[test]
fn a_format_that_is_not_there_is_named() {
    assert_eq!("csv".parse(), Ok(ExportFormat::Csv));
    assert_eq!(
        "xml".parse::<ExportFormat>().unwrap_err(),
        "`xml` is not an export format: expected `jsonl` or `csv`"
    );
}
