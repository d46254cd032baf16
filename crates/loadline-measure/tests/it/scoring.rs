//! From rows to results.

use std::sync::Arc;

use loadline_core::record::{EvalSpec, Row};
use loadline_core::score::{Aggregation, MetricSpec};
use loadline_core::{Model, ModelOutput, Sample, Score, Value};
use loadline_evidence::RecordReader;
use loadline_measure::export::{ExportFormat, export};
use loadline_measure::results::{ResultsError, from_record};
use loadline_measure::run::{CancelToken, RunOptions, RunStatus, measure};
use loadline_measure::{Scorer, Simulated, SuiteTask, Task};
use loadline_stats::Level;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_result_line_has_the_documented_shape() {
    let model = Scripted::new(|context, _| match context.sample.id.as_str() {
        "sum-0" | "sum-1" => Step::Say(MS, "wrong"),
        "sum-2" => Step::Say(MS, ""),
        "sum-3" => Step::Say(MS, "nan"),
        _ => Step::Answer(MS),
    });
    let place = place();
    let outcome = run(&sums(12), &model, &place, &options(3)).await.0.unwrap();
    let line: serde_json::Value = serde_json::from_str(&outcome.results.line_json()).unwrap();
    let interval = line["metrics"][0]["interval"].clone();
    assert_eq!(
        line,
        serde_json::json!({
            "task": "sums", "model": "fake/scripted", "run": outcome.run.to_string(),
            "metrics": [{
                "metric": "exact_match", "point": 0.8, "interval": interval, "level": 0.95,
                "method": "Wilson", "n": 10, "clusters": null, "unscored": 2
            }]
        })
    );
    // Wilson's interval of 8 out of 10.
    assert!((interval[0].as_f64().unwrap() - 0.4902).abs() < 1e-4);
    assert!((interval[1].as_f64().unwrap() - 0.9433).abs() < 1e-4);
    let keys = ["task", "model", "run", "metrics"].map(|key| outcome.results.line_json().find(key).unwrap());
    assert!(keys.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn results_come_by_level_and_levels_add_up() {
    let model = Scripted::new(|context, _| match context.sample.metadata["level"].as_u64() {
        Some(2) => Step::Say(MS, "wrong"),
        _ => Step::Answer(MS),
    });
    let place = place();
    let outcome = run(&sums(30), &model, &place, &options(3)).await.0.unwrap();
    let levels: Vec<_> =
        outcome.results.metrics[0].by_level.iter().map(|(name, e)| (name.as_str(), e.point, e.n)).collect();
    assert_eq!(levels, [("0", 1.0, 10), ("1", 1.0, 10), ("2", 0.0, 10)]);
}

#[tokio::test(start_paused = true)]
async fn epochs_and_clusters_are_not_counted_as_independent() {
    let model = Scripted::new(|context, _| match context.sample.id.as_str() {
        "sum-0" | "sum-1" | "sum-2" => Step::Say(MS, "wrong"),
        _ => Step::Answer(MS),
    });
    let place = place();
    let epochs = RunOptions { epochs: Some(4), ..options(8) };
    let outcome = run(&sums(20), &model, &place, &epochs).await.0.unwrap();
    let estimate = outcome.results.metrics[0].estimate.clone().unwrap();
    assert_eq!((estimate.n, estimate.clusters), (80, Some(20)));
    let mut task = sums(20);
    task.samples = Box::new(Sums { n: 20, clusters: Some(5) });
    let place = crate::support::place();
    let outcome = run(&task, &model, &place, &epochs).await.0.unwrap();
    assert_eq!(outcome.results.metrics[0].estimate.clone().unwrap().clusters, Some(5));
}

/// Right when most epochs are right.
struct Majority;

impl Scorer for Majority {
    fn score(&self, sample: &Sample, outputs: &[ModelOutput]) -> Vec<Score> {
        let right = outputs.iter().filter(|output| output.completion == sample.target[0]).count();
        let value = Value::correct(2 * right > outputs.len());
        vec![Score { metric: "maj".into(), value, answer: None, explanation: None }]
    }

    fn groups_epochs(&self) -> bool {
        true
    }
}

fn majority(n: u64) -> Task {
    Task { scorer: Box::new(Majority), metrics: vec![mean("maj")], epochs: 3, ..sums(n) }
}

#[tokio::test(start_paused = true)]
async fn a_vote_over_epochs_is_scored_from_the_record_also_after_a_resume() {
    let model = Scripted::new(|context, _| match (context.sample.id.as_str(), context.epoch) {
        ("sum-0", 0 | 1) | ("sum-1", 2) => Step::Say(MS, "wrong"),
        _ => Step::Answer(MS),
    });
    let place = place();
    let budget = "7-requests".parse().unwrap();
    let part = run(&majority(10), &model, &place, &RunOptions { budget, ..options(2) }).await.0.unwrap();
    assert_eq!((part.status, part.answered), (RunStatus::BudgetReached, 7));
    let metric = &part.results.metrics[0];
    assert_eq!(
        (metric.estimate.as_ref().unwrap().n, metric.unscored),
        (2, 1),
        "the third sample has one epoch of three"
    );
    let whole = run(&majority(10), &model, &place, &options(2)).await.0.unwrap();
    let estimate = whole.results.metrics[0].estimate.clone().unwrap();
    assert_eq!(
        (whole.status, estimate.n, estimate.clusters, estimate.point),
        (RunStatus::Complete, 10, None, 0.9)
    );
    let record = RecordReader::open(place.store.run_dir(&whole.run)).unwrap();
    assert!(matches!(from_record(&record, None, Level::P95), Err(ResultsError::NeedsTask { .. })));
}

/// A log-likelihood of -2 over 4 words for every sample.
struct Perplexity;

impl Scorer for Perplexity {
    fn score(&self, _: &Sample, _: &[ModelOutput]) -> Vec<Score> {
        let value = |per| Value::Ratio { total: -2.0, per };
        let score =
            |metric: &str, value| Score { metric: metric.into(), value, answer: None, explanation: None };
        vec![score("word_perplexity", value(4.0)), score("bits_per_byte", value(20.0))]
    }
}

#[tokio::test(start_paused = true)]
async fn every_aggregation_is_recomputed_from_the_record_alone() {
    let metric =
        |name: &str, aggregation| MetricSpec { name: name.into(), aggregation, higher_is_better: false };
    let task = Task {
        scorer: Box::new(Perplexity),
        metrics: vec![
            metric("word_perplexity", Aggregation::WeightedPerplexity),
            metric("bits_per_byte", Aggregation::BitsPerByte),
            metric("never_scored", Aggregation::Mean),
        ],
        ..sums(10)
    };
    let (model, place) = (Scripted::right(1), place());
    let outcome = run(&task, &model, &place, &options(2)).await.0.unwrap();
    let record = RecordReader::open(place.store.run_dir(&outcome.run)).unwrap();
    let results = from_record(&record, None, Level::P95).unwrap();
    assert_eq!(results.line_json(), outcome.results.line_json());
    let point = |i: usize| results.metrics[i].estimate.as_ref().unwrap().point;
    assert!((point(0) - 0.5f64.exp()).abs() < 1e-12);
    assert!((point(1) - 0.1 / std::f64::consts::LN_2).abs() < 1e-12);
    assert!(results.metrics[2].estimate.is_err());
    assert_eq!(results.metrics[2].unscored, 10);
    assert!(
        results.line_json().contains(r#""metric":"never_scored","point":null,"interval":null,"level":0.95"#)
    );
}

#[tokio::test(start_paused = true)]
async fn a_simulated_subject_gets_its_ability_on_a_suite_in_both_forms() {
    for name in ["arithmetic", "arithmetic-choice@1-2"] {
        let task = SuiteTask::parse(name).unwrap().unwrap().task(5, Some(600));
        let place = place();
        let model: Arc<dyn Model> =
            Arc::new(Simulated::parse("ability=0.7,latency=20ms,error=0.05").unwrap());
        let options = RunOptions { seed: 5, limit: Some(600), ..RunOptions::default() };
        let outcome =
            measure(&task, model, &place.store, &options, |_| {}, &CancelToken::new()).await.unwrap();
        assert_eq!(outcome.status, RunStatus::Complete);
        let estimate = outcome.results.metrics[0].estimate.clone().unwrap();
        assert!((0.65..0.75).contains(&estimate.point), "{name}: {}", estimate.point);
        assert!(outcome.results.metrics[0].by_level.len() > 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_would_have_to_be_left_out_is_an_error() {
    let place = place();
    let outcome = run(&sums(2), &Scripted::right(1), &place, &options(1)).await.0.unwrap();
    let record = place.store.reader(&outcome.run).unwrap();
    let row_of = |index: u64, error: Option<&str>| {
        let rows = record.rows().map(|row| row.unwrap().1);
        let mut sample = rows.into_iter().find_map(|row| match row {
            Row::Sample(sample) => Some(sample),
            _ => None,
        });
        let sample_row = sample.as_mut().unwrap();
        (sample_row.index, sample_row.error) = (index, error.map(str::to_owned));
        Row::Sample(sample.unwrap())
    };
    let cases = [
        (
            vec![row_of(2, None)],
            "sample `sum-0` (index 2, epoch 0) is not one of those that the run asks for",
        ),
        (vec![row_of(9, Some("lost"))], "sample `sum-0` (index 9, epoch 0) is not one of those"),
        (
            vec![row_of(0, None), row_of(0, None)],
            "sample `sum-0` (index 0, epoch 0) is answered a second time",
        ),
    ];
    for (repeat, (rows, words)) in (1..).zip(cases) {
        let spec = EvalSpec { repeat, ..record.spec().clone() };
        let writer = place.store.create(&spec).unwrap();
        let run = writer.run();
        rows.iter().for_each(|row| writer.append(row).unwrap());
        writer.close().unwrap();
        let bad = place.store.reader(&run).unwrap();
        let error = from_record(&bad, None, Level::P95).unwrap_err();
        assert!(error.to_string().contains(words) && error.hint().is_some(), "{error}");
        let error = export(&bad, ExportFormat::Jsonl, std::io::sink()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
