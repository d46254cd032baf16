//! Choosing the next token.

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use loadline_core::model::Sampling;

use crate::engine::EngineError;

/// Chooses tokens: the likeliest at temperature 0, otherwise at random from the seed. The same seed, logits and
/// settings give the same tokens on every platform whose logits are the same.
#[derive(Debug)]
pub struct Sampler {
    temperature: f64,
    top_p: f64,
    random: ChaCha12Rng,
}

impl Sampler {
    /// A sampler for a request. No temperature is 0, no seed is 0.
    ///
    /// # Errors
    /// A temperature below 0, or a `top_p` that is not above 0 and at most 1.
    pub fn new(sampling: &Sampling) -> Result<Self, EngineError> {
        let temperature = sampling.temperature.unwrap_or(0.0);
        let top_p = sampling.top_p.unwrap_or(1.0);
        if !(0.0..=1e6).contains(&temperature) {
            return Err(EngineError::Sampling(format!("temperature {temperature} is not 0 or above")));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(EngineError::Sampling(format!("top_p {top_p} is not above 0 and at most 1")));
        }
        Ok(Self { temperature, top_p, random: ChaCha12Rng::seed_from_u64(sampling.seed.unwrap_or(0)) })
    }

    /// The next token, by its logits; `None` when they are not numbers.
    pub fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let (best, largest) = likeliest(logits)?;
        if self.temperature == 0.0 {
            return u32::try_from(best).ok();
        }
        let weight = |logit: f32| (f64::from(logit - largest) / self.temperature).exp();
        let total: f64 = logits.iter().map(|logit| weight(*logit)).sum();
        // What is less than this share cannot be in the nucleus: all of it together is less than 1 − top_p.
        let least = (1.0 - self.top_p) * total / logits.len() as f64;
        let mut kept: Vec<(f64, usize)> =
            logits.iter().map(|l| weight(*l)).zip(0..).filter(|(weight, _)| *weight >= least).collect();
        if self.top_p < 1.0 {
            kept.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let mut sum = 0.0;
            let inside = kept.iter().take_while(|(weight, _)| {
                let before = sum;
                sum += weight;
                before < self.top_p * total
            });
            let count = inside.count().max(1);
            kept.truncate(count);
        }
        let total: f64 = kept.iter().map(|(weight, _)| weight).sum();
        let mut left = self.uniform() * total;
        let chosen = kept.iter().find(|(weight, _)| {
            left -= weight;
            left < 0.0
        });
        chosen.or(kept.last()).and_then(|(_, token)| u32::try_from(*token).ok())
    }

    /// A number from 0 to below 1, of 53 random bits.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The first of the largest logits; `None` when no logit is a number.
fn likeliest(logits: &[f32]) -> Option<(usize, f32)> {
    let mut best = None;
    for (token, logit) in logits.iter().enumerate() {
        if logit.is_finite() && best.is_none_or(|(_, most)| *logit > most) {
            best = Some((token, *logit));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f64, top_p: f64, seed: u64) -> Sampler {
        let sampling = Sampling {
            max_tokens: 1,
            temperature: Some(temperature),
            top_p: Some(top_p),
            stop: Vec::new(),
            seed: Some(seed),
        };
        Sampler::new(&sampling).unwrap()
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(sampler(0.0, 1.0, 0).choose(&[0.1, 2.0, -3.0, 2.0]), Some(1));
        assert_eq!(sampler(0.0, 1.0, 0).choose(&[f32::NAN, 1.0]), Some(1));
        assert_eq!(sampler(0.0, 1.0, 0).choose(&[f32::NAN]), None);
    }

    #[test]
    fn frequencies_follow_the_temperature() {
        let logits = [0.0, (2.0f32).ln(), (5.0f32).ln()];
        for (temperature, expect) in
            [(1.0, [0.125, 0.25, 0.625]), (0.5, [1.0 / 30.0, 4.0 / 30.0, 25.0 / 30.0])]
        {
            let mut sampler = sampler(temperature, 1.0, 7);
            let mut counts = [0.0f64; 3];
            for _ in 0..20_000 {
                counts[sampler.choose(&logits).unwrap() as usize] += 1.0 / 20_000.0;
            }
            for (found, expect) in counts.iter().zip(expect) {
                assert!((found - expect).abs() < 0.015, "{counts:?}");
            }
        }
    }

    #[test]
    fn the_nucleus_is_the_smallest_that_reaches_top_p() {
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        let mut seen = [false; 4];
        let mut sampler = sampler(1.0, 0.75, 3);
        for _ in 0..500 {
            seen[sampler.choose(&logits).unwrap() as usize] = true;
        }
        assert_eq!(seen, [true, true, false, false]);
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let logits: Vec<f32> = (0..50).map(|i| (i as f32).sin()).collect();
        let draw = |seed| {
            let mut sampler = sampler(1.0, 0.9, seed);
            (0..20).map(|_| sampler.choose(&logits).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn settings_out_of_bounds_are_refused() {
        for (temperature, top_p) in [(-1.0, 1.0), (f64::NAN, 1.0), (1.0, 0.0), (1.0, 1.5)] {
            let sampling = Sampling {
                max_tokens: 1,
                temperature: Some(temperature),
                top_p: Some(top_p),
                stop: Vec::new(),
                seed: None,
            };
            assert!(Sampler::new(&sampling).is_err());
        }
    }
}
