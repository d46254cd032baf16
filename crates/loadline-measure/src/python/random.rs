//! `random.Random(seed).sample`, number for number as CPython gives it, so that few-shot examples are the ones
//! that lm_eval draws.

use rand_mt::Mt;

/// A generator in the state that `random.Random(seed)` begins in.
#[derive(Clone, Debug)]
pub struct Random(Mt);

impl Random {
    /// `random.Random(seed)`.
    pub fn new(seed: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the seed's two 32-bit halves, low first")]
        let (low, high) = (seed as u32, (seed >> 32) as u32);
        let key = if high == 0 { vec![low] } else { vec![low, high] };
        Self(Mt::new_with_key(key))
    }

    /// A number from 0 up to, not including, `below`: `Random._randbelow_with_getrandbits`.
    fn below(&mut self, below: u32) -> u32 {
        let bits = u32::BITS - below.leading_zeros();
        loop {
            let number = self.0.next_u32() >> (u32::BITS - bits);
            if number < below {
                return number;
            }
        }
    }

    /// The indices that `sample(range(population), count)` picks, or `None` when there are fewer than `count`.
    pub fn sample(&mut self, population: u32, count: u32) -> Option<Vec<u32>> {
        if count > population {
            return None;
        }
        let mut picked = Vec::with_capacity(count as usize);
        if population <= pool_limit(count) {
            let mut pool: Vec<u32> = (0..population).collect();
            for i in 0..count {
                let at = self.below(population - i) as usize;
                picked.push(pool[at]);
                pool[at] = pool[(population - i - 1) as usize];
            }
        } else {
            let mut seen = std::collections::HashSet::new();
            while picked.len() < count as usize {
                let at = self.below(population);
                if seen.insert(at) {
                    picked.push(at);
                }
            }
        }
        Some(picked)
    }
}

/// Up to this population CPython shuffles a list; beyond it remembers what it picked.
fn pool_limit(count: u32) -> u32 {
    if count <= 5 {
        return 21;
    }
    let exponent = (f64::from(count) * 3.0).log(4.0).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 4^17 for a u32")]
    let power = 4f64.powf(exponent).min(f64::from(u32::MAX)) as u32;
    power.saturating_add(21)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by CPython 3.11: `r = random.Random(seed); [r.sample(range(n), k) for _ in range(3)]`.
    #[test]
    fn picks_what_cpython_picks() {
        for (seed, population, count, expected) in GOLDEN {
            let mut random = Random::new(*seed);
            for row in *expected {
                assert_eq!(random.sample(*population, *count).unwrap(), *row, "{seed} {population} {count}");
            }
        }
        assert!(Random::new(1).sample(3, 4).is_none());
    }

    type Golden = (u64, u32, u32, &'static [&'static [u32]]);
    const GOLDEN: &[Golden] = &[
        (1234, 10, 3, &[&[7, 1, 0], &[1, 0, 9], &[1, 5, 3]]),
        (1234, 21, 5, &[&[14, 3, 0, 2, 1], &[2, 3, 11, 7, 0], &[0, 20, 11, 15, 14]]),
        (1234, 22, 5, &[&[14, 3, 0, 2, 18], &[1, 21, 2, 3, 11], &[7, 0, 11, 20, 19]]),
        (
            1234,
            100,
            8,
            &[
                &[99, 56, 14, 0, 11, 74, 4, 85],
                &[88, 10, 12, 98, 45, 30, 2, 3],
                &[2, 44, 82, 79, 61, 78, 59, 19],
            ],
        ),
        (0, 5, 5, &[&[3, 4, 0, 1, 2], &[3, 2, 1, 4, 0], &[4, 1, 3, 0, 2]]),
        (
            42,
            1000,
            25,
            &[
                &[
                    654, 114, 25, 759, 281, 250, 228, 142, 754, 104, 692, 758, 913, 558, 89, 604, 432, 32,
                    30, 95, 223, 238, 517, 616, 27,
                ],
                &[
                    574, 203, 733, 665, 718, 558, 429, 225, 459, 603, 284, 828, 890, 6, 777, 825, 163, 714,
                    432, 348, 159, 220, 980, 781, 344,
                ],
                &[
                    104, 94, 389, 99, 367, 867, 352, 618, 270, 826, 44, 747, 470, 549, 127, 996, 944, 387,
                    80, 565, 300, 849, 643, 633, 906,
                ],
            ],
        ),
        (1099511627783, 50, 4, &[&[39, 47, 40, 36], &[45, 30, 16, 39], &[8, 33, 24, 46]]),
        (
            7,
            280,
            10,
            &[
                &[165, 77, 202, 24, 37, 274, 48, 187, 29, 259],
                &[109, 19, 44, 222, 214, 35, 123, 46, 217, 30],
                &[63, 114, 31, 203, 25, 113, 23, 68, 148, 214],
            ],
        ),
        (1, 1, 1, &[&[0], &[0], &[0]]),
    ];
}
