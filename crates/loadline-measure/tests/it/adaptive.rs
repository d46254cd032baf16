//! How many requests are in flight, when nobody said.

use std::time::Duration;

use loadline_core::ModelErrorKind;
use loadline_measure::run::{RunOptions, RunStatus};

use crate::support::*;

fn adaptive() -> RunOptions {
    RunOptions { concurrency: None, ..RunOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn it_finds_the_capacity_of_an_endpoint_that_queues() {
    // 20 slots of 200 ms each: 100 answers a second and no more.
    let model = Scripted::new(|_, seen| {
        let busy = u32::try_from(seen.in_flight + 1).unwrap();
        Step::Answer(200 * MS * busy.max(20) / 20)
    });
    let place = place();
    let began = tokio::time::Instant::now();
    let (outcome, _) = run(&sums(2000), &model, &place, &adaptive()).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
    assert!((20..=80).contains(&model.most_in_flight()), "{} in flight", model.most_in_flight());
    let ideal = Duration::from_secs(20);
    assert!(began.elapsed() < ideal * 13 / 10, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_rises_fast_where_nothing_bounds_it() {
    let model = Scripted::right(200);
    let place = place();
    let began = tokio::time::Instant::now();
    let (outcome, _) = run(&sums(5000), &model, &place, &adaptive()).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
    assert_eq!(model.most_in_flight(), 512);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn it_stays_below_an_endpoint_that_says_429() {
    // More than 30 at once are turned away.
    let model = Scripted::new(|_, seen| match seen.in_flight {
        0..30 => Step::Answer(200 * MS),
        _ => fail(ModelErrorKind::RateLimited),
    });
    let place = place();
    let began = tokio::time::Instant::now();
    let (outcome, _) = run(&sums(3000), &model, &place, &adaptive()).await;
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.answered), (RunStatus::Complete, 3000));
    let turned_away = outcome.requests - 3000;
    assert!(turned_away < 300, "{turned_away} of {} turned away", outcome.requests);
    let ideal = Duration::from_secs(20);
    assert!(began.elapsed() < ideal * 2, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_model_that_works_on_few_requests_gets_few() {
    for (max, asked) in [(1, None), (1, Some(50)), (3, Some(50)), (3, None)] {
        let mut model = Scripted::plain(|_, _| Step::Answer(5 * MS));
        model.max_concurrency = Some(max);
        let model = std::sync::Arc::new(model);
        let place = place();
        let options = RunOptions { concurrency: asked, ..RunOptions::default() };
        let (outcome, _) = run(&sums(100), &model, &place, &options).await;
        assert_eq!(outcome.unwrap().status, RunStatus::Complete);
        assert_eq!(model.most_in_flight(), max);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixed_number_is_used_and_kept() {
    let model = Scripted::right(200);
    let place = place();
    let began = tokio::time::Instant::now();
    let (outcome, _) = run(&sums(2000), &model, &place, &options(500)).await;
    assert_eq!(outcome.unwrap().status, RunStatus::Complete);
    assert_eq!(model.most_in_flight(), 500);
    assert_eq!(began.elapsed(), Duration::from_millis(800), "the ideal: four rounds");
}
