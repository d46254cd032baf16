//! When a failed attempt is made again, and after how long.

use std::time::Duration;

use loadline_core::{ModelError, ModelErrorKind};

/// How failed attempts are made again.
///
/// Failures of the server, the connection, time limits and broken answers count towards `max_retries`. Being rate
/// limited does not: the server is well and says "later", so it has a patience of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most further attempts after the first, for one sample in one epoch.
    pub max_retries: u32,
    /// The first back-off is drawn from 0 to this; each further one from twice as much.
    pub base: Duration,
    /// Back-off is drawn from at most this. A server's Retry-After may be longer.
    pub cap: Duration,
    /// Longest time one sample spends waiting because of rate limits. A server that asks for a longer wait loses
    /// the sample at once.
    pub rate_limit_patience: Duration,
}

impl Default for RetryPolicy {
    /// With 10 retries a sample is lost at a fault rate of 16 % (twice the rates of a bad day) once in 5 * 10^8.
    fn default() -> Self {
        Self {
            max_retries: 10,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(60),
            rate_limit_patience: Duration::from_secs(30 * 60),
        }
    }
}

/// The failures of one sample in one epoch so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    /// Those that count towards `max_retries`.
    counted: u32,
    /// Times rate limited.
    rate_limited: u32,
    /// Waited because of rate limits.
    rate_limit_wait: Duration,
}

/// What to do after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait this long, then try again.
    Retry(Duration),
    /// No attempt can help, or there were enough. With what to add to the error.
    GiveUp(Option<String>),
}

impl Failures {
    /// Takes note of a failure and says what to do. `draw` is a uniform number in [0, 1).
    ///
    /// Back-off is exponential with full jitter: uniform between 0 and min(cap, base * 2^failures). A server's
    /// Retry-After is the least that is waited.
    pub(crate) fn add(&mut self, policy: &RetryPolicy, error: &ModelError, draw: f64) -> Verdict {
        if !error.is_retryable() {
            return Verdict::GiveUp(None);
        }
        let asked = error.retry_after.unwrap_or_default();
        if error.kind == ModelErrorKind::RateLimited {
            self.rate_limited += 1;
            let wait = asked.max(backoff(policy, self.rate_limited, draw));
            self.rate_limit_wait = self.rate_limit_wait.saturating_add(wait);
            if self.rate_limit_wait > policy.rate_limit_patience {
                return Verdict::GiveUp(Some(format!(
                    "gave up: being rate limited would take longer than {} s",
                    policy.rate_limit_patience.as_secs()
                )));
            }
            return Verdict::Retry(wait);
        }
        self.counted += 1;
        if self.counted > policy.max_retries {
            return Verdict::GiveUp(
                (policy.max_retries > 0).then(|| format!("after {} retries", policy.max_retries)),
            );
        }
        if asked > policy.rate_limit_patience {
            return Verdict::GiveUp(Some(format!("gave up: the server asked to wait {} s", asked.as_secs())));
        }
        Verdict::Retry(asked.max(backoff(policy, self.counted, draw)))
    }
}

/// Uniform between 0 and min(cap, base * 2^(failures - 1)).
fn backoff(policy: &RetryPolicy, failures: u32, draw: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let most = policy.base.saturating_mul(1 << doublings).min(policy.cap);
    most.mul_f64(draw.clamp(0.0, 1.0))
}

/// A uniform number in [0, 1) made from these numbers (splitmix64, Steele, Lea and Flood 2014): jitter that is the
/// same in every run with the same seed, and different for every sample and attempt.
pub(crate) fn uniform(parts: [u64; 4]) -> f64 {
    let mut state = 0u64;
    for part in parts {
        state = mix(state ^ part);
    }
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
    unit
}

/// One step of splitmix64.
pub(crate) fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ModelErrorKind, retry_after: Option<u64>) -> ModelError {
        let mut error = ModelError::new(kind, "test");
        error.retry_after = retry_after.map(Duration::from_secs);
        error
    }

    #[test]
    fn back_off_doubles_up_to_its_cap() {
        let policy = RetryPolicy { max_retries: 12, ..RetryPolicy::default() };
        let mut failures = Failures::default();
        let failure = error(ModelErrorKind::Server, None);
        let waits: Vec<u64> = (0..12)
            .map(|_| match failures.add(&policy, &failure, 1.0) {
                Verdict::Retry(wait) => u64::try_from(wait.as_millis()).unwrap(),
                Verdict::GiveUp(why) => panic!("gave up: {why:?}"),
            })
            .collect();
        assert_eq!(waits[..7], [500, 1000, 2000, 4000, 8000, 16_000, 32_000]);
        assert!(waits[7..].iter().all(|&wait| wait == 60_000));
        assert_eq!(failures.add(&policy, &failure, 1.0), Verdict::GiveUp(Some("after 12 retries".into())));
    }

    #[test]
    fn retry_after_is_the_least_waited() {
        let policy = RetryPolicy::default();
        for kind in [ModelErrorKind::RateLimited, ModelErrorKind::Server] {
            let wait = Failures::default().add(&policy, &error(kind, Some(7)), 0.99);
            assert_eq!(wait, Verdict::Retry(Duration::from_secs(7)));
        }
    }

    #[test]
    fn rate_limits_do_not_use_up_retries_but_patience() {
        let policy = RetryPolicy { max_retries: 0, ..RetryPolicy::default() };
        let mut failures = Failures::default();
        for _ in 0..30 {
            let verdict = failures.add(&policy, &error(ModelErrorKind::RateLimited, Some(60)), 0.5);
            assert_eq!(verdict, Verdict::Retry(Duration::from_secs(60)));
        }
        assert!(matches!(
            failures.add(&policy, &error(ModelErrorKind::RateLimited, Some(60)), 0.5),
            Verdict::GiveUp(Some(_))
        ));
    }

    #[test]
    fn an_absurd_wait_gives_up_and_is_not_taken_for_none() {
        for kind in [ModelErrorKind::RateLimited, ModelErrorKind::Server] {
            let verdict = Failures::default().add(&RetryPolicy::default(), &error(kind, Some(u64::MAX)), 0.5);
            assert!(matches!(verdict, Verdict::GiveUp(Some(_))), "{verdict:?}");
        }
    }

    #[test]
    fn a_refused_request_is_not_made_again() {
        let verdict =
            Failures::default().add(&RetryPolicy::default(), &error(ModelErrorKind::Refused, None), 0.5);
        assert_eq!(verdict, Verdict::GiveUp(None));
    }

    #[test]
    fn jitter_is_uniform_and_reproducible() {
        let draws: Vec<f64> = (0..10_000).map(|i| uniform([7, i, 0, 1])).collect();
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert_eq!(uniform([7, 3, 0, 1]).to_bits(), draws[3].to_bits());
    }
}
