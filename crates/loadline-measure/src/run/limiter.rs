//! How many requests are in flight: fixed, or found while running.
//!
//! Found means: additive increase, multiplicative decrease over rounds, as congestion control does. A round is as
//! many answers as the limit. The limit doubles each round while that brings clearly more throughput (by Little's
//! law limit / mean latency), then grows by an eighth per round while the mean latency stays below twice the best
//! one seen. A 429 halves it, once per round trip, unless as many come however little is asked ([`Noise`]).
//! Below what a whole round has sustained since, it grows back by a half per round.

use std::time::Duration;

use tokio::time::Instant;

use super::noise::Noise;

/// Where a search starts.
const START: f64 = 8.0;
/// Where a search ends: below the 1,024 open files that systems allow by default.
const CEILING: f64 = 512.0;
/// A doubling has to bring this much more throughput to be followed by another.
const WORTHWHILE: f64 = 1.2;
/// The limit grows while the mean latency is below this multiple of the best.
const GROWS_BELOW: f64 = 2.0;
/// The limit shrinks by a tenth when the mean latency is above this multiple of the best.
const SHRINKS_ABOVE: f64 = 4.0;
/// Each time the limit shrinks, the best latency is taken to be this much worse: an endpoint (or a dataset) that has
/// become slower for good is learned anew, instead of being asked ever less.
const FADES: f64 = 1.1;
/// So many 429 in a row mean that the quota is used up (one alone may be chance): new starts wait too.
const PAUSE_AFTER: u32 = 3;

/// How an attempt ended, as far as the limit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer, or a refusal that says nothing about load.
    Answered,
    /// With 429, and how long to wait if the server said so.
    RateLimited(Option<Duration>),
    /// With an error of the server or the connection, or too late.
    Failed,
}

/// How many requests may be in flight.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: f64,
    /// `None` when the limit is fixed.
    search: Option<Search>,
    rate_limited_in_a_row: u32,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct Search {
    ceiling: f64,
    /// Whether the limit still doubles.
    doubling: bool,
    /// Best mean latency of a round, in seconds.
    best: Option<f64>,
    /// Throughput of the round before, while doubling.
    throughput: f64,
    /// A 429 to an attempt that began before this tells nothing new.
    halved_at: Option<Instant>,
    noise: Noise,
    /// 429s in this round.
    limited: u32,
    /// Attempts that started before this saw an older limit.
    round_from: Option<Instant>,
    answers: u32,
    failures: u32,
    latency_sum: f64,
    /// Whether the limit was reached: if not, it is not what holds the run back.
    was_full: bool,
}

impl Limiter {
    /// A fixed limit, or a search; never above what the model can work on.
    pub(crate) fn new(fixed: Option<usize>, model_max: Option<usize>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let as_limit = |n: usize| (n.max(1)) as f64;
        let ceiling = model_max.map_or(f64::INFINITY, as_limit);
        let (limit, search) = match fixed {
            Some(fixed) => (as_limit(fixed).min(ceiling), None),
            None if ceiling <= 1.0 => (1.0, None),
            None => (START.min(ceiling), Some(Search::new(CEILING.min(ceiling)))),
        };
        Self { limit, search, rate_limited_in_a_row: 0, paused_until: None }
    }

    /// Most requests in flight now.
    pub(crate) fn limit(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a usize")]
        let limit = self.limit as usize;
        limit.max(1)
    }

    /// Until when nothing new may start, if that is after now.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|&until| until > now)
    }

    /// An attempt starts; so many are in flight with it.
    pub(crate) fn started(&mut self, in_flight: usize) {
        let limit = self.limit();
        if let Some(search) = &mut self.search {
            search.was_full |= in_flight >= limit;
        }
    }

    /// An attempt that began then has ended.
    pub(crate) fn ended(&mut self, now: Instant, began: Instant, how: Ended) {
        match how {
            Ended::RateLimited(retry_after) => self.rate_limited(now, began, retry_after),
            Ended::Answered => {
                self.rate_limited_in_a_row = 0;
                self.listen(began, false);
                self.count(now, began, Some(now.duration_since(began).as_secs_f64()));
            }
            Ended::Failed => self.count(now, began, None),
        }
    }

    fn rate_limited(&mut self, now: Instant, began: Instant, retry_after: Option<Duration>) {
        self.rate_limited_in_a_row += 1;
        if self.rate_limited_in_a_row >= PAUSE_AFTER
            && let Some(until) = retry_after.and_then(|wait| now.checked_add(wait))
        {
            self.paused_until = self.paused_until.max(Some(until));
        }
        if self.listen(began, true)
            && let Some(search) = &mut self.search
        {
            search.limited += 1;
            if search.noise.is_too_high(search.limited, self.limit) {
                self.limit = (self.limit / 2.0).max(1.0);
                search.doubling = false;
                search.halved_at = Some(now);
                search.next_round(now);
            }
        }
    }

    /// Lets the noise know of an attempt; false when it began before the last halving. Once the noise is known, the
    /// limit may double again.
    fn listen(&mut self, began: Instant, was_limited: bool) -> bool {
        let Some(search) = &mut self.search else { return false };
        if search.halved_at.is_some_and(|at| began <= at) {
            if !was_limited {
                search.noise.survived();
            }
            return false;
        }
        if search.noise.count(self.limit, was_limited) {
            search.doubling = true;
            search.throughput = 0.0;
        }
        true
    }

    /// Counts an answer (with its latency) or a failure towards the round, and ends the round when it is full.
    fn count(&mut self, now: Instant, began: Instant, latency: Option<f64>) {
        let Some(search) = &mut self.search else { return };
        if search.round_from.is_some_and(|from| began < from) {
            return;
        }
        match latency {
            Some(latency) => {
                search.answers += 1;
                search.latency_sum += latency;
            }
            None => search.failures += 1,
        }
        if f64::from(search.answers + search.failures) >= self.limit {
            if search.was_full {
                search.noise.round(search.limited, self.limit);
            }
            self.limit = search.judge(self.limit).clamp(1.0, search.ceiling);
            search.next_round(now);
        }
    }
}

impl Search {
    fn new(ceiling: f64) -> Self {
        Self {
            ceiling,
            doubling: true,
            best: None,
            throughput: 0.0,
            halved_at: None,
            noise: Noise::default(),
            limited: 0,
            round_from: None,
            answers: 0,
            failures: 0,
            latency_sum: 0.0,
            was_full: false,
        }
    }

    fn next_round(&mut self, now: Instant) {
        self.round_from = Some(now);
        self.limited = 0;
        self.answers = 0;
        self.failures = 0;
        self.latency_sum = 0.0;
        self.was_full = false;
    }

    /// The limit after a round at this limit.
    fn judge(&mut self, limit: f64) -> f64 {
        if self.failures >= self.answers {
            self.doubling = false;
            return limit * 0.75;
        }
        // A latency of 0 (a paused clock, a cache) must not divide.
        let mean = (self.latency_sum / f64::from(self.answers)).max(1e-9);
        let best = self.best.map_or(mean, |best| mean.min(best));
        self.best = Some(best);
        if !self.was_full {
            return limit;
        }
        if self.doubling {
            let throughput = limit / mean;
            if throughput >= self.throughput * WORTHWHILE {
                self.throughput = throughput;
                return limit * 2.0;
            }
            self.doubling = false;
            // The last doubling only made a queue, in which the latency grows with the limit: go back to where it
            // would be as long as growing allows.
            return limit * (best * GROWS_BELOW / mean).min(1.0);
        }
        if mean > best * SHRINKS_ABOVE {
            self.best = Some(best * FADES);
            return limit * 0.9;
        }
        let step = if self.noise.is_below_proven(limit) { limit / 2.0 } else { limit / 8.0 };
        if mean < best * GROWS_BELOW { limit + step.max(1.0) } else { limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays rounds of full load against an endpoint with so many slots and this service time.
    fn play(limiter: &mut Limiter, now: &mut Instant, slots: f64, service: f64, rounds: usize) {
        for _ in 0..rounds {
            let n = limiter.limit();
            let began = *now;
            (1..=n).for_each(|in_flight| limiter.started(in_flight));
            let latency = service * (f64::from(u32::try_from(n).unwrap()) / slots).max(1.0);
            *now += Duration::from_secs_f64(latency);
            (0..n).for_each(|_| limiter.ended(*now, began, Ended::Answered));
            *now += Duration::from_millis(1);
        }
    }

    #[test]
    fn it_rises_fast_to_the_capacity_and_stays_near_it() {
        for slots in [10.0, 20.0, 100.0] {
            let (mut limiter, mut now) = (Limiter::new(None, None), Instant::now());
            play(&mut limiter, &mut now, slots, 0.2, 8);
            let found = f64::from(u32::try_from(limiter.limit()).unwrap());
            assert!(found >= slots && found <= (slots * 3.0).max(16.0), "{slots} slots: {found}");
            play(&mut limiter, &mut now, slots, 0.2, 200);
            let found = f64::from(u32::try_from(limiter.limit()).unwrap());
            assert!(found >= slots && found <= (slots * 4.0).max(16.0), "{slots} slots, later: {found}");
        }
    }

    #[test]
    fn an_endpoint_without_bounds_is_used_up_to_the_ceiling() {
        let (mut limiter, mut now) = (Limiter::new(None, None), Instant::now());
        play(&mut limiter, &mut now, 1e9, 0.2, 8);
        assert_eq!(limiter.limit(), 512);
        let (mut limiter, mut now) = (Limiter::new(None, Some(24)), Instant::now());
        play(&mut limiter, &mut now, 1e9, 0.2, 8);
        assert_eq!(limiter.limit(), 24);
    }

    #[test]
    fn a_429_halves_once_per_round_trip() {
        let (mut limiter, mut now) = (Limiter::new(None, None), Instant::now());
        play(&mut limiter, &mut now, 1e9, 0.2, 3);
        assert_eq!(limiter.limit(), 64);
        let began = now;
        now += Duration::from_millis(200);
        (0..10).for_each(|_| limiter.ended(now, began, Ended::RateLimited(None)));
        assert_eq!(limiter.limit(), 32, "ten 429 of the same round trip are one signal");
        now += Duration::from_millis(1);
        let began = now;
        now += Duration::from_millis(200);
        limiter.ended(now, began, Ended::RateLimited(None));
        assert_eq!(limiter.limit(), 16, "a request sent after the halving is a new signal");
        play(&mut limiter, &mut now, 1e9, 0.2, 1);
        assert_eq!(limiter.limit(), 24, "it grows back by a half: 32 was sustained");
        play(&mut limiter, &mut now, 1e9, 0.2, 1);
        assert_eq!(limiter.limit(), 27, "and then by an eighth");
    }

    #[test]
    fn three_429_in_a_row_pause_new_starts_and_one_does_not() {
        for fixed in [None, Some(50)] {
            let (mut limiter, now) = (Limiter::new(fixed, None), Instant::now());
            let limited = Ended::RateLimited(Some(Duration::from_secs(9)));
            limiter.ended(now, now, limited);
            limiter.ended(now, now, Ended::Answered);
            limiter.ended(now, now, limited);
            limiter.ended(now, now, limited);
            assert_eq!(limiter.paused_until(now), None);
            limiter.ended(now, now, limited);
            let until = now + Duration::from_secs(9);
            assert_eq!(limiter.paused_until(now), Some(until));
            assert_eq!(limiter.paused_until(until), None);
        }
    }

    #[test]
    fn a_fixed_limit_stays_and_a_model_of_one_request_gets_one() {
        let (mut limiter, mut now) = (Limiter::new(Some(50), None), Instant::now());
        limiter.ended(now, now, Ended::RateLimited(None));
        play(&mut limiter, &mut now, 4.0, 0.2, 20);
        assert_eq!(limiter.limit(), 50);
        assert_eq!(Limiter::new(None, Some(1)).limit(), 1);
        assert_eq!(Limiter::new(Some(50), Some(1)).limit(), 1);
        assert_eq!(Limiter::new(Some(0), None).limit(), 1);
    }

    #[test]
    fn an_endpoint_that_mostly_fails_is_asked_less() {
        let (mut limiter, now) = (Limiter::new(None, None), Instant::now());
        (0..8).for_each(|_| limiter.ended(now, now, Ended::Failed));
        assert_eq!(limiter.limit(), 6);
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_the_limit_stays_between_one_and_the_ceiling(
            max in proptest::option::of(1usize..2000),
            steps in proptest::collection::vec((0u8..4, 0u64..5000, 0u64..100), 0..400),
        ) {
            let (mut limiter, mut now) = (Limiter::new(None, max), Instant::now());
            for (how, latency, pause) in steps {
                let began = now;
                limiter.started(limiter.limit());
                now += Duration::from_millis(latency);
                let how = match how {
                    0 => Ended::RateLimited(Some(Duration::from_millis(pause))),
                    1 => Ended::Failed,
                    _ => Ended::Answered,
                };
                limiter.ended(now, began, how);
                now += Duration::from_millis(pause);
                proptest::prop_assert!((1..=512.min(max.unwrap_or(512))).contains(&limiter.limit()));
            }
        }
    }
}
