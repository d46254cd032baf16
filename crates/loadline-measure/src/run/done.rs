//! Which (sample, epoch) pairs have their answer: one bit each.

use std::collections::BTreeMap;

/// A set of (index, epoch) pairs, in words of 64 bits by their place. Memory follows the pairs that were added, not
/// their numbers: a record from elsewhere may name any.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    epochs: u32,
    total: u64,
    count: u64,
    words: BTreeMap<u64, u64>,
}

impl Done {
    /// None of `samples` times `epochs` pairs; grows as pairs are added.
    pub(crate) fn new(samples: u64, epochs: u32) -> Self {
        Self { epochs, total: samples.saturating_mul(u64::from(epochs)), count: 0, words: BTreeMap::new() }
    }

    /// Adds a pair; false when it is out of range or was there.
    pub(crate) fn insert(&mut self, index: u64, epoch: u32) -> bool {
        let Some((word, bit)) = self.place(index, epoch) else { return false };
        let word = self.words.entry(word).or_default();
        let is_new = *word & bit == 0;
        *word |= bit;
        self.count += u64::from(is_new);
        is_new
    }

    /// Whether a pair is there.
    pub(crate) fn contains(&self, index: u64, epoch: u32) -> bool {
        self.place(index, epoch)
            .is_some_and(|(word, bit)| self.words.get(&word).is_some_and(|w| w & bit != 0))
    }

    /// Whether a pair is in range.
    pub(crate) fn can_hold(&self, index: u64, epoch: u32) -> bool {
        self.place(index, epoch).is_some()
    }

    /// How many pairs are there.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many pairs there can be.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether all are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.count == self.total
    }

    /// How many pairs are in this set and not in the other.
    pub(crate) fn count_without(&self, other: &Self) -> u64 {
        let word_without = |(i, word): (&u64, &u64)| word & !other.words.get(i).copied().unwrap_or(0);
        self.words.iter().map(|word| u64::from(word_without(word).count_ones())).sum()
    }

    fn place(&self, index: u64, epoch: u32) -> Option<(u64, u64)> {
        let position = index.checked_mul(u64::from(self.epochs))?.checked_add(u64::from(epoch))?;
        if epoch >= self.epochs || position >= self.total {
            return None;
        }
        Some((position / 64, 1 << (position % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_counts_pairs() {
        let (mut failed, mut done) = (Done::new(200, 1), Done::new(200, 1));
        for index in [0, 64, 199] {
            failed.insert(index, 0);
        }
        done.insert(64, 0);
        assert_eq!(failed.count_without(&done), 2);
        assert_eq!(done.count_without(&failed), 0);
    }

    #[test]
    fn a_far_away_pair_costs_no_memory() {
        let mut done = Done::new(u64::MAX, 1);
        assert!(done.insert(u64::MAX - 1, 0) && done.insert(0, 0) && !done.contains(1, 0));
        assert_eq!((done.count(), done.words.len()), (2, 2));
    }

    #[test]
    fn pairs_are_counted_once_and_out_of_range_is_refused() {
        let mut done = Done::new(100, 3);
        assert!(done.insert(99, 2) && !done.insert(99, 2) && !done.insert(100, 0) && !done.insert(0, 3));
        assert!(done.contains(99, 2) && !done.contains(99, 1) && !done.contains(u64::MAX, 0));
        assert_eq!((done.count(), done.total()), (1, 300));
        for index in 0..100 {
            for epoch in 0..3 {
                done.insert(index, epoch);
            }
        }
        assert!(done.is_complete());
    }
}
