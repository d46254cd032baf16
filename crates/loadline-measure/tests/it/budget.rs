//! Budgets and cancelling.

use std::sync::Arc;
use std::time::Duration;

use loadline_core::{Model, ModelErrorKind};
use loadline_measure::run::{Budget, CancelToken, InFlightState, RunEvent, RunOptions, RunStatus, measure};

use crate::support::*;

fn with_budget(budget: &str) -> RunOptions {
    RunOptions { budget: budget.parse().unwrap(), ..options(10) }
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_requests_is_never_exceeded_and_what_was_paid_is_kept() {
    let model = Scripted::new(|context, _| match context.attempt {
        1 if context.sample.id.ends_with('3') => fail(ModelErrorKind::Server),
        _ => Step::Answer(10 * MS),
    });
    let place = place();
    let mut resumed = 0;
    for round in 1.. {
        let (outcome, _) = run(&sums(100), &model, &place, &with_budget("30-requests")).await;
        let outcome = outcome.unwrap();
        assert!(outcome.requests <= 30);
        assert_eq!(outcome.resumed, resumed);
        resumed += outcome.answered;
        if outcome.status == RunStatus::Complete {
            assert_eq!(outcome.results.answered, 100);
            assert!((4..=6).contains(&round), "{round} rounds");
            break;
        }
        assert_eq!((outcome.status, outcome.requests), (RunStatus::BudgetReached, 30));
    }
    assert_eq!(model.paid_twice(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_tokens_is_exceeded_by_what_is_in_flight_at_most() {
    let model = Scripted::right(10);
    let place = place();
    let (outcome, _) = run(&sums(1000), &model, &place, &with_budget("1k-tokens")).await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.status, RunStatus::BudgetReached);
    let tokens = outcome.usage.input_tokens + outcome.usage.output_tokens;
    assert!((1000..1000 + 10 * 12).contains(&tokens), "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_time_ends_also_while_everything_waits() {
    let model =
        Scripted::new(|_, seen| if seen.calls.len() < 50 { Step::Answer(10 * MS) } else { limited(600) });
    let place = place();
    let began = tokio::time::Instant::now();
    let (outcome, _) = run(&sums(1000), &model, &place, &with_budget("60s")).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.answered), (RunStatus::BudgetReached, 50));
    assert!(began.elapsed() <= Duration::from_millis(60_100), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_just_enough_completes_the_run() {
    let model = Scripted::right(10);
    let place = place();
    let (outcome, _) = run(&sums(30), &model, &place, &with_budget("30-requests")).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
    assert_eq!(Budget::default().to_string(), "");
}

#[tokio::test(start_paused = true)]
async fn cancelling_keeps_what_was_answered_and_the_rest_is_asked_later() {
    let model = Scripted::right(100);
    let place = place();
    let (task, cancel) = (sums(100), CancelToken::new());
    let mut tables = Vec::new();
    let outcome = {
        let dyn_model: Arc<dyn Model> = model.clone();
        let events = |event: RunEvent| match event {
            RunEvent::Started { in_flight, .. } => tables.push(in_flight),
            RunEvent::Progress(progress) if progress.done == 35 => {
                let rows = tables[0].snapshot();
                assert_eq!(rows.len(), 9, "half a round, and those started in place of the other half");
                assert!(rows.iter().all(|row| row.state == InFlightState::Answer && row.attempt == 1));
                assert_eq!(rows[0].elapsed, Duration::from_millis(100));
                cancel.cancel();
            }
            _ => {}
        };
        measure(&task, dyn_model, &place.store, &options(10), events, &cancel).await.unwrap()
    };
    assert_eq!((outcome.status, outcome.answered), (RunStatus::Cancelled, 35));
    assert!(tables[0].snapshot().is_empty());
    assert_eq!(outcome.results.metrics[0].estimate.as_ref().unwrap().n, 35);
    let (outcome, _) = run(&task, &model, &place, &options(10)).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.resumed, outcome.answered), (RunStatus::Complete, 35, 65));
}

#[tokio::test(start_paused = true)]
async fn cancelled_before_it_starts_asks_nothing() {
    let model = Scripted::right(100);
    let place = place();
    let cancel = CancelToken::new();
    cancel.cancel();
    let dyn_model: Arc<dyn Model> = model.clone();
    let outcome = measure(&sums(10), dyn_model, &place.store, &options(2), |_| {}, &cancel).await.unwrap();
    assert_eq!((outcome.status, outcome.answered), (RunStatus::Cancelled, 0));
    assert!(outcome.results.metrics[0].estimate.is_err());
    assert!(model.seen.lock().unwrap().answered.is_empty());
}
