//! Which run a command names, and what a resume asks.

use loadline_core::Digest;
use loadline_evidence::{RecordReader, verify};
use loadline_measure::run::{Overrides, RunError, RunOptions, RunStatus};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_complete_run_is_sealed_verifies_and_is_not_asked_again() {
    let model = Scripted::right(1);
    let place = place();
    let (first, _) = run(&sums(20), &model, &place, &options(5)).await;
    let first = first.unwrap();
    let dir = place.store.run_dir(&first.run);
    let verified = verify(&dir).unwrap();
    assert!(verified.seal.is_some());
    assert_eq!((verified.samples, verified.spec.samples), (20, 20));
    let (again, events) = run(&sums(20), &model, &place, &options(5)).await;
    let again = again.unwrap();
    assert_eq!(
        (again.run, again.status, again.resumed, again.requests),
        (first.run, RunStatus::Complete, 20, 0)
    );
    assert_eq!(again.results.line_json(), first.results.line_json());
    assert!(events.is_empty());
    assert_eq!(model.calls().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn fresh_starts_another_run_and_the_same_command_goes_on_with_the_latest() {
    let model = Scripted::right(1);
    let place = place();
    let fresh = RunOptions { fresh: true, ..options(5) };
    let first = run(&sums(20), &model, &place, &fresh).await.0.unwrap();
    let second = run(&sums(20), &model, &place, &fresh).await.0.unwrap();
    assert_ne!(first.run, second.run);
    assert_eq!((second.answered, second.results.spec.repeat), (20, 1));
    let budget = "5-requests".parse().unwrap();
    let third = run(&sums(20), &model, &place, &RunOptions { budget, ..fresh.clone() }).await.0.unwrap();
    assert_eq!((third.status, third.results.spec.repeat), (RunStatus::BudgetReached, 2));
    let on = run(&sums(20), &model, &place, &options(5)).await.0.unwrap();
    assert_eq!((on.run, on.status, on.resumed), (third.run, RunStatus::Complete, 5));
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_could_name_the_run_of_another_is_refused_before_anything_is_asked() {
    let model = Scripted::right(1);
    let place = place();
    for seed in [1 << 53, (1 << 53) + 1, u64::MAX] {
        let error = run(&sums(20), &model, &place, &RunOptions { seed, ..options(5) }).await.0.err().unwrap();
        assert!(error.to_string().contains(&seed.to_string()), "{error}");
        assert!(error.hint().unwrap().contains("9007199254740991"));
    }
    assert!(model.calls().is_empty());
    let seeds = [(1 << 53) - 1, (1 << 53) - 2].map(|seed| RunOptions { seed, ..options(5) });
    let first = run(&sums(20), &model, &place, &seeds[0]).await.0.unwrap();
    assert_ne!(run(&sums(20), &model, &place, &seeds[1]).await.0.unwrap().run, first.run);
}

#[tokio::test(start_paused = true)]
async fn whatever_changes_a_result_names_another_run_and_nothing_else_does() {
    let model = Scripted::right(1);
    let place = place();
    let base = run(&sums(20), &model, &place, &options(5)).await.0.unwrap().run;
    let overrides = Overrides { temperature: Some(0.7), max_tokens: None };
    for other in [
        RunOptions { limit: Some(10), ..options(5) },
        RunOptions { epochs: Some(2), ..options(5) },
        RunOptions { seed: 1, ..options(5) },
        RunOptions { overrides, ..options(5) },
    ] {
        let outcome = run(&sums(20), &model, &place, &other).await.0.unwrap();
        assert_ne!(outcome.run, base);
        assert_eq!(outcome.resumed, 0);
    }
    for same in [options(1), RunOptions { attempt_timeout: None, program: "x".into(), ..options(9) }] {
        assert_eq!(run(&sums(20), &model, &place, &same).await.0.unwrap().run, base);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_changed_is_not_mixed_with_an_unfinished_run() {
    let model = Scripted::right(1);
    let place = place();
    let budget = "5-requests".parse().unwrap();
    let first = run(&sums(20), &model, &place, &RunOptions { budget, ..options(5) }).await.0.unwrap();
    let mut changed = sums(20);
    changed.identity.digest = Digest::of(b"other");
    let error = run(&changed, &model, &place, &options(5)).await.0.unwrap_err();
    assert!(matches!(error, RunError::TaskChanged { .. }));
    let short = &first.run.to_string()[..8];
    assert_eq!(
        error.to_string(),
        format!(
            "the task changed since run {short}: `sums` had digest {} then and has {} now",
            Digest::of(b"sums"),
            Digest::of(b"other")
        )
    );
    assert!(error.hint().unwrap().contains("--fresh"));
    // With --fresh, or when the old run is finished, the changed task is simply another run.
    let fresh = RunOptions { fresh: true, ..options(5) };
    assert_eq!(run(&changed, &model, &place, &fresh).await.0.unwrap().resumed, 0);
    run(&sums(20), &model, &place, &options(5)).await.0.unwrap();
    let mut third = sums(20);
    third.identity.digest = Digest::of(b"third");
    assert_eq!(run(&third, &model, &place, &options(5)).await.0.unwrap().status, RunStatus::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_run_is_refused_and_fresh_starts_beside_it() {
    let model = Scripted::right(1);
    let place = place();
    let budget = "5-requests".parse().unwrap();
    let first = run(&sums(20), &model, &place, &RunOptions { budget, ..options(5) }).await.0.unwrap();
    let log = place.store.run_dir(&first.run).join("log");
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let error = run(&sums(20), &model, &place, &options(5)).await.0.unwrap_err();
    assert!(matches!(error, RunError::Record(_)), "{error}");
    assert!(error.hint().unwrap().contains("--fresh"));
    let fresh = RunOptions { fresh: true, ..options(5) };
    let outcome = run(&sums(20), &model, &place, &fresh).await.0.unwrap();
    assert_eq!((outcome.status, outcome.results.spec.repeat), (RunStatus::Complete, 1));
}

#[tokio::test(start_paused = true)]
async fn two_processes_never_share_a_record() {
    let model = Scripted::right(1);
    let place = place();
    let budget = "5-requests".parse().unwrap();
    let first = run(&sums(20), &model, &place, &RunOptions { budget, ..options(5) }).await.0.unwrap();
    let (_, writer) = place.store.resume(&first.run).unwrap();
    let error = run(&sums(20), &model, &place, &options(5)).await.0.unwrap_err();
    assert!(error.to_string().contains("is being written by"), "{error}");
    writer.close().unwrap();
    assert_eq!(run(&sums(20), &model, &place, &options(5)).await.0.unwrap().status, RunStatus::Complete);
}

#[tokio::test(start_paused = true)]
async fn options_that_ask_nothing_are_refused() {
    let model = Scripted::right(1);
    let place = place();
    let overrides = Overrides { temperature: Some(f64::NAN), max_tokens: None };
    for (options, start) in [
        (RunOptions { epochs: Some(0), ..options(1) }, "task `sums` would be asked in 0 epochs"),
        (RunOptions { limit: Some(0), ..options(1) }, "task `sums` has no samples to ask"),
        (RunOptions { overrides, ..options(1) }, "the temperature is not a number from 0 up"),
    ] {
        let error = run(&sums(20), &model, &place, &options).await.0.unwrap_err();
        assert_eq!(error.to_string(), start);
        assert!(error.hint().is_some());
    }
    assert!(place.store.list().unwrap().is_empty(), "nothing was begun");
}

#[tokio::test(start_paused = true)]
async fn the_record_says_what_was_asked_and_how() {
    let model = Scripted::right(7);
    let place = place();
    let overrides = Overrides { temperature: Some(0.5), max_tokens: Some(3) };
    let options = RunOptions { overrides, epochs: Some(2), ..options(1) };
    let outcome = run(&sums(2), &model, &place, &options).await.0.unwrap();
    let record = RecordReader::open(place.store.run_dir(&outcome.run)).unwrap();
    let rows: Vec<_> = record
        .rows()
        .filter_map(|row| match row.unwrap().1 {
            loadline_core::record::Row::Sample(sample) => Some(*sample),
            _ => None,
        })
        .collect();
    assert_eq!(
        rows.iter().map(|row| (row.index, row.epoch)).collect::<Vec<_>>(),
        [(0, 0), (0, 1), (1, 0), (1, 1)]
    );
    let mut seeds = std::collections::BTreeSet::new();
    for row in &rows {
        let loadline_core::Request::Generate(generate) = &row.input else { panic!() };
        assert_eq!((generate.sampling.temperature, generate.sampling.max_tokens), (Some(0.5), 3));
        assert!(seeds.insert(generate.sampling.seed.unwrap()), "each epoch samples anew");
        assert_eq!((row.attempts, row.duration_ms, row.error.as_deref()), (1, 7, None));
        assert_eq!(row.output.as_deref(), Some(row.target[0].as_str()));
        assert!(row.started_ms > 1_600_000_000_000);
    }
    assert_eq!(rows[1].started_ms - rows[0].started_ms, 7);
}
