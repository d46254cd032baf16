//! Retries, Retry-After, hangs, errors that end the run, endpoints that are not there.

use std::time::Duration;

use loadline_core::{ModelError, ModelErrorKind};
use loadline_measure::run::{RetryPolicy, RunError, RunEvent, RunOptions, RunStatus};

use crate::support::*;

/// A number in [0, 1) for this attempt, alike in every run.
fn draw(id: &str, attempt: u32) -> f64 {
    let digest = loadline_core::Digest::of_parts("test", &[id.as_bytes(), &attempt.to_be_bytes()]);
    f64::from(u32::from_be_bytes(digest.0[..4].try_into().unwrap())) / 4_294_967_296.0
}

#[tokio::test(start_paused = true)]
async fn a_bad_day_and_one_twice_as_bad_lose_nothing() {
    for times in [1.0, 2.0] {
        let model =
            Scripted::new(move |context, _| match draw(&context.sample.id, context.attempt) / times {
                x if x < 0.05 => limited(1),
                x if x < 0.10 => fail(ModelErrorKind::Server),
                x if x < 0.12 => fail(ModelErrorKind::Malformed),
                x if x < 0.13 => Step::Hang,
                _ => Step::Answer(20 * MS),
            });
        for concurrency in [Some(100), None] {
            let place = place();
            let options = RunOptions {
                concurrency,
                attempt_timeout: Some(Duration::from_secs(5)),
                ..RunOptions::default()
            };
            let (outcome, events) = run(&sums(1000), &model, &place, &options).await;
            let outcome = outcome.unwrap();
            assert_eq!(outcome.status, RunStatus::Complete);
            assert_eq!((outcome.answered, outcome.results.errors), (1000, 0));
            assert_eq!(point(&outcome), 1.0);
            let retries = events.iter().filter(|event| matches!(event, RunEvent::Retrying { .. })).count();
            assert_eq!(outcome.requests, 1000 + retries as u64);
            assert!(retries > 100);
        }
        assert_eq!(model.paid_twice(), 1000, "once for each concurrency");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_in_full_and_other_samples_go_on() {
    let model = Scripted::new(|context, _| match (context.sample.id.as_str(), context.attempt) {
        ("sum-0", 1) => limited(7),
        _ => Step::Answer(10 * MS),
    });
    let place = place();
    let (outcome, _) = run(&sums(50), &model, &place, &options(4)).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
    let calls = model.calls();
    let of_first: Vec<_> = calls.iter().filter(|call| call.id == "sum-0").collect();
    let waited = of_first[1].at - of_first[0].at;
    assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(8), "{waited:?}");
    let others = calls.iter().filter(|call| call.id != "sum-0");
    assert!(others.map(|call| call.at - of_first[0].at).max().unwrap() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_pauses_new_starts() {
    // 10 requests a minute, as many providers count them.
    let model = Scripted::new(|_, seen| {
        let now = tokio::time::Instant::now();
        let minute = now.duration_since(seen.calls.first().map_or(now, |call| call.at)).as_secs() / 60;
        let of_minute =
            |at: tokio::time::Instant| at.duration_since(seen.calls[0].at).as_secs() / 60 == minute;
        let sent = seen.calls.iter().filter(|call| of_minute(call.at)).count();
        if sent < 10 { Step::Answer(10 * MS) } else { limited(60) }
    });
    let place = place();
    let (outcome, _) = run(&sums(50), &model, &place, &options(4)).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.answered), (RunStatus::Complete, 50));
    assert!(outcome.requests < 100, "{} requests for 50 answers", outcome.requests);
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_cut_off_and_tried_again() {
    let model = Scripted::new(|context, _| match context.attempt {
        1 => Step::Hang,
        _ => Step::Answer(10 * MS),
    });
    let place = place();
    let began = tokio::time::Instant::now();
    let (outcome, events) = run(&sums(3), &model, &place, &options(3)).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
    assert!(began.elapsed() >= Duration::from_secs(120) && began.elapsed() < Duration::from_secs(122));
    let whys: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            RunEvent::Retrying { why, .. } => Some(why.raw().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(whys, vec!["no answer within 120 s"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_ends_the_run_at_once() {
    for kind in [ModelErrorKind::Unauthorized, ModelErrorKind::NotFound, ModelErrorKind::Unsupported] {
        let model = Scripted::new(move |_, _| {
            Step::Fail(ModelError::new(kind, "no such key").with_hint("set the key"))
        });
        let place = place();
        let (outcome, _) = run(&sums(1000), &model, &place, &options(1)).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.to_string(), "fake/scripted cannot be measured: no such key");
        assert_eq!(error.hint().as_deref(), Some("set the key"));
        assert_eq!(model.calls().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_model_cannot_do_is_known_before_anything_is_asked() {
    let mut model = Scripted::plain(|_, _| Step::Answer(MS));
    model.can_generate = false;
    let model = std::sync::Arc::new(model);
    let place = place();
    let (outcome, _) = run(&sums(10), &model, &place, &options(1)).await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "fake/scripted cannot be measured: task `sums` needs a model that can write text"
    );
    assert!(model.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_there_is_given_up_after_a_few_seconds() {
    for concurrency in [1, 100] {
        let model = Scripted::new(|_, _| fail(ModelErrorKind::Connection));
        let place = place();
        let began = tokio::time::Instant::now();
        let (outcome, _) = run(&sums(1000), &model, &place, &options(concurrency)).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, RunError::Unreachable { .. }), "{error}");
        assert!(error.to_string().starts_with("fake/scripted does not answer: "));
        assert!(error.hint().unwrap().contains("--base-url"));
        assert!(began.elapsed() >= Duration::from_secs(5) && began.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_starts_up_late_is_waited_for() {
    let base = tokio::time::Instant::now();
    let model = Scripted::new(move |_, _| match base.elapsed() {
        early if early < Duration::from_secs(3) => fail(ModelErrorKind::Connection),
        _ => Step::Answer(MS),
    });
    let place = place();
    let (outcome, _) = run(&sums(100), &model, &place, &options(10)).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_goes_down_ends_the_run_without_failing_all_that_is_left() {
    let model = Scripted::new(|_, seen| match seen.calls.len() {
        0..100 => Step::Answer(MS),
        _ => fail(ModelErrorKind::Connection),
    });
    let place = place();
    let (outcome, events) = run(&sums(10_000), &model, &place, &options(50)).await;
    assert!(matches!(outcome.unwrap_err(), RunError::Unreachable { .. }));
    let lost = events.iter().filter(|event| matches!(event, RunEvent::SampleError { .. })).count();
    assert!(lost <= 20, "{lost} samples given up");
    let well = Scripted::right(1);
    let (outcome, _) = run(&sums(10_000), &well, &place, &options(50)).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.resumed, outcome.results.errors), (RunStatus::Complete, 100, 0));
}

#[tokio::test(start_paused = true)]
async fn one_bad_sample_never_ends_the_run() {
    let bad = |id: &str| id == "sum-17";
    for kind in [ModelErrorKind::Refused, ModelErrorKind::TooLong, ModelErrorKind::Server] {
        let model = Scripted::new(move |context, _| match bad(&context.sample.id) {
            true => fail(kind),
            false => Step::Answer(MS),
        });
        let place = place();
        let (outcome, events) = run(&sums(100), &model, &place, &options(5)).await;
        let outcome = outcome.unwrap();
        assert_eq!(outcome.status, RunStatus::SomeErrored);
        assert_eq!((outcome.answered, outcome.results.errors), (99, 1));
        assert_eq!(outcome.results.metrics[0].unscored, 1);
        assert!(outcome.hint().is_some());
        assert!(events.iter().any(|event| matches!(event,
            RunEvent::SampleError { sample, attempts, .. }
                if sample.raw() == "sum-17" && *attempts == if kind == ModelErrorKind::Server { 11 } else { 1 })));
        // The same command asks that sample again, and only that one.
        let well = Scripted::right(1);
        let (outcome, _) = run(&sums(100), &well, &place, &options(5)).await;
        let outcome = outcome.unwrap();
        assert_eq!((outcome.status, outcome.resumed, outcome.answered), (RunStatus::Complete, 99, 1));
        assert_eq!(well.calls().iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["sum-17"]);
        assert_eq!((outcome.results.errors, outcome.results.metrics[0].unscored), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn everything_refused_from_the_start_is_not_the_samples_fault() {
    let model = Scripted::new(|_, _| fail(ModelErrorKind::Refused));
    let place = place();
    let (outcome, _) = run(&sums(10_000), &model, &place, &options(10)).await;
    assert!(matches!(outcome.unwrap_err(), RunError::Unreachable { .. }));
    assert!(model.calls().len() <= 40, "{}", model.calls().len());
}

#[tokio::test(start_paused = true)]
async fn retries_can_be_turned_off() {
    let model = Scripted::new(|context, _| match context.sample.id.as_str() {
        "sum-3" => fail(ModelErrorKind::Server),
        _ => Step::Answer(MS),
    });
    let place = place();
    let retry = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
    let (outcome, _) = run(&sums(10), &model, &place, &RunOptions { retry, ..options(2) }).await;
    assert_eq!(outcome.unwrap().status, RunStatus::SomeErrored);
    assert_eq!(model.calls().len(), 10);
}

/// Gives the numbers of how many samples were taken from it.
struct Counted(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl loadline_measure::SampleSource for Counted {
    fn len(&self) -> u64 {
        100_000
    }

    fn iter(
        &self,
    ) -> Box<dyn Iterator<Item = Result<loadline_core::Sample, loadline_measure::TaskError>> + Send + '_>
    {
        Box::new((0..100_000).map(|index| {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(sum(index))
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn however_much_fails_few_samples_are_held() {
    for (concurrency, bound) in [(1, 16), (50, 100)] {
        let taken = std::sync::Arc::default();
        let mut task = sums(1);
        task.samples = Box::new(Counted(std::sync::Arc::clone(&taken)));
        let base = tokio::time::Instant::now();
        let model = Scripted::new(move |_, _| match base.elapsed() {
            early if early < Duration::from_secs(60) => limited(5),
            _ => fail(ModelErrorKind::Unauthorized),
        });
        let place = place();
        run(&task, &model, &place, &options(concurrency)).await.0.unwrap_err();
        let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
        assert!(taken <= bound, "{taken} held at concurrency {concurrency}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_no_row_can_hold_is_given_up_and_the_rest_goes_on() {
    let huge: &'static str = "x".repeat(33 << 20).leak();
    let model = Scripted::new(move |context, _| match context.sample.id.as_str() {
        "sum-1" => Step::Say(MS, huge),
        _ => Step::Answer(MS),
    });
    let place = place();
    let outcome = run(&sums(3), &model, &place, &options(1)).await.0.unwrap();
    assert_eq!((outcome.status, outcome.answered, outcome.results.errors), (RunStatus::SomeErrored, 3, 1));
    let why = outcome.results.first_error.unwrap();
    assert!(
        why.starts_with("its row would have 69") && why.ends_with("where a record holds 67108864 at most"),
        "{why}"
    );
    assert_eq!(place.store.verify(&outcome.run).unwrap().samples, 3);
    assert_eq!(outcome.results.metrics[0].unscored, 1);
}
