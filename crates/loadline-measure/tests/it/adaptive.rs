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
async fn it_does_not_give_way_to_429s_that_come_however_little_is_asked() {
    // Every so often a request is turned away, without a word about when to come again.
    for (percent, seed) in [(3u64, 0u64), (3, 3), (10, 1), (10, 3), (20, 0)] {
        let took = async |options: &RunOptions| {
            let asked = std::sync::atomic::AtomicU64::new(0);
            let model = Scripted::new(move |_, _| {
                let number = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let digest = loadline_core::Digest::of(&(number + (seed << 32)).to_be_bytes());
                if u64::from(digest.0[0]) * 100 < percent * 256 {
                    fail(ModelErrorKind::RateLimited)
                } else {
                    Step::Answer(200 * MS)
                }
            });
            let (place, began) = (place(), tokio::time::Instant::now());
            let outcome = run(&sums(3000), &model, &place, options).await.0.unwrap();
            assert_eq!(outcome.status, RunStatus::Complete);
            began.elapsed()
        };
        let (found, fixed) = (took(&adaptive()).await, took(&options(64)).await);
        assert!(found < fixed * 3 / 2, "{percent}%: {found:?}, with 64 at once {fixed:?}");
    }
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
