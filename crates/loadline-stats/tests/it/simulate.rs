//! Seeded random numbers and exact probabilities for the coverage tests.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A portable stream of random numbers.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in [0, 1), 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * 2f64.powi(-53)
    }

    pub(crate) fn coin(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal, by the polar method.
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// Gamma with this shape and scale 1 (Marsaglia & Tsang 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * (1.0 - self.uniform()).powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    pub(crate) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        x / (x + y)
    }
}

/// P(X = k) for k = 0..=n, X binomial.
pub(crate) fn binomial(n: u64, p: f64) -> Vec<f64> {
    let mut mass = vec![1.0];
    for _ in 0..n {
        let mut next = vec![0.0; mass.len() + 1];
        for (k, m) in mass.iter().enumerate() {
            next[k] += m * (1.0 - p);
            next[k + 1] += m * p;
        }
        mass = next;
    }
    mass
}

/// P(X = k) for k = 0..=n, where X of the n items drawn from a bank of `bank` are among its `right` right ones.
pub(crate) fn hypergeometric(n: u64, right: u64, bank: u64) -> Vec<f64> {
    // Items are drawn one at a time.
    let mut mass = vec![1.0];
    for drawn in 0..n {
        let mut next = vec![0.0; mass.len() + 1];
        for (k, m) in mass.iter().enumerate().filter(|(_, m)| **m > 0.0) {
            let share = (right - k as u64) as f64 / (bank - drawn) as f64;
            next[k] += m * (1.0 - share);
            next[k + 1] += m * share;
        }
        mass = next;
    }
    mass
}
