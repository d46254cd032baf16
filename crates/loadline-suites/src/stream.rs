//! Draws from a ChaCha20 stream. All arithmetic is on 64-bit integers, so that a draw is the same everywhere.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A deterministic source of draws.
pub(crate) struct Stream(ChaCha20Rng);

impl Stream {
    /// The stream of this key.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(key))
    }

    /// Uniform on `0..n`; 0 when `n` is 0. Draws that would make it uneven are thrown away.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let n = n.max(1);
        let uneven = (u64::MAX % n + 1) % n;
        loop {
            let draw = self.0.next_u64();
            if draw <= u64::MAX - uneven {
                return draw % n;
            }
        }
    }

    /// Uniform on `low..=high`, which must not be empty; the span must fit in 63 bits.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low) + 1;
        low.saturating_add_unsigned(self.below(span))
    }

    /// True in `part` of `whole` cases.
    pub(crate) fn one_in(&mut self, part: u64, whole: u64) -> bool {
        self.below(whole) < part
    }

    /// An index into something of this length; 0 when it is empty.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        // Lengths here are of tables and short lists: far below either type's limit.
        usize::try_from(self.below(u64::try_from(len).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    /// Uniform on `0..n`; 0 when `n` is 0.
    pub(crate) fn index_u32(&mut self, n: u32) -> u32 {
        u32::try_from(self.below(u64::from(n))).unwrap_or_default()
    }

    /// One of these, which must not be empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.index(from.len())]
    }

    /// One of these, which must not be empty.
    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// `count` different ones of these, in random order; all of them when there are fewer.
    pub(crate) fn sample<T: Clone>(&mut self, from: &[T], count: usize) -> Vec<T> {
        let mut pool = from.to_vec();
        let count = count.min(pool.len());
        for i in 0..count {
            let j = i + self.index(pool.len() - i);
            pool.swap(i, j);
        }
        pool.truncate(count);
        pool
    }

    /// Puts these in random order (Fisher–Yates).
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.index(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_stay_in_range_and_reach_both_ends() {
        let mut stream = Stream::new([7; 32]);
        let draws: Vec<i64> = (0..500).map(|_| stream.between(-2, 3)).collect();
        assert_eq!(draws.iter().min(), Some(&-2));
        assert_eq!(draws.iter().max(), Some(&3));
        assert_eq!(stream.below(0), 0);
    }

    #[test]
    fn a_sample_has_no_repeats() {
        let mut stream = Stream::new([1; 32]);
        let mut drawn = stream.sample(&[1, 2, 3, 4, 5], 4);
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 4);
        assert_eq!(stream.sample(&[1, 2], 9).len(), 2);
    }

    #[test]
    fn the_stream_is_chacha20_of_the_key() {
        // First words of ChaCha20 under the all-zero key and nonce (RFC 8439, appendix A.1, test vector 1),
        // read as little-endian 64-bit numbers.
        let mut stream = Stream::new([0; 32]);
        assert_eq!(stream.0.next_u64(), 0x903d_f1a0_ade0_b876);
        assert_eq!(stream.0.next_u64(), 0x28bd_8653_e56a_5d40);
    }
}
