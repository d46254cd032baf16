//! Killed at random points, then resumed: nothing is lost, and no more than what was in flight is paid for again.

use std::sync::Arc;
use std::time::Duration;

use loadline_core::{Model, ModelErrorKind};
use loadline_measure::run::{CancelToken, RunStatus, measure};
use proptest::prelude::*;

use crate::support::*;

/// A model whose latencies and faults differ from sample to sample.
fn uneven() -> Arc<Scripted> {
    Scripted::new(|context, _| {
        let number: u32 = context.sample.id["sum-".len()..].parse().unwrap();
        match (number % 11, context.attempt) {
            (0, 1) => fail(ModelErrorKind::Server),
            (1, 1) => limited(1),
            (2, 1) => Step::Hang,
            (3, _) => Step::Say(MS * 30, "wrong"),
            (4, _) => Step::Say(MS * 30, ""),
            _ => Step::Answer(MS * (10 + number % 40)),
        }
    })
}

/// Runs 120 samples in 2 epochs, killing the process at each of these times; gives the results and what was asked.
async fn killed_at(kills: &[u64], concurrency: usize) -> (String, Arc<Scripted>) {
    let (model, place, mut task) = (uneven(), place(), sums(120));
    task.epochs = 2;
    let mut options = options(concurrency);
    options.attempt_timeout = Some(Duration::from_millis(500));
    for &after in kills {
        let dyn_model: Arc<dyn Model> = model.clone();
        let cancel = CancelToken::new();
        let run = measure(&task, dyn_model, &place.store, &options, |_| {}, &cancel);
        // Dropping the future is the kill: nothing is flushed by the runner on the way.
        let _ = tokio::time::timeout(Duration::from_millis(after), run).await;
    }
    let outcome = run(&task, &model, &place, &options).await.0.unwrap();
    assert_eq!(outcome.status, RunStatus::Complete);
    assert_eq!(outcome.results.answered, 240);
    loadline_evidence::verify(place.store.run_dir(&outcome.run)).unwrap();
    (outcome.results.line_json(), model)
}

#[test]
fn kills_at_random_points_lose_nothing_and_pay_twice_for_at_most_what_was_in_flight() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (undisturbed, _) = runtime().block_on(killed_at(&[], 10));
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(kills in prop::collection::vec(0u64..3000, 1..4), concurrency in 1usize..40)| {
        let (results, model) = runtime().block_on(killed_at(&kills, concurrency));
        prop_assert_eq!(&results, &undisturbed);
        let seen = model.seen.lock().unwrap();
        prop_assert_eq!(seen.answered.len(), 240);
        // What had been answered in full was never asked again: what was in flight had not been.
        prop_assert!(seen.answered.values().all(|&times| times == 1));
        let again = seen.calls.iter().filter(|call| call.attempt == 1).count() - 240;
        // In flight or waiting for its next attempt: at most twice the concurrency (or 16) for each kill.
        prop_assert!(again <= kills.len() * (2 * concurrency).max(16), "{} asked again", again);
    });
}
