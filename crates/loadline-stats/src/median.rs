//! The median of independent numbers.

use crate::error::StatsError;
use crate::estimate::{Estimate, Interval, Level, Method, Scale};
use crate::mean;

/// The median, with the distribution-free interval between two order statistics (David & Nagaraja, *Order Statistics*,
/// 7.1): its ends are the values of rank r and n+1-r, with the largest r for which P(X < r) is at most half of alpha, X
/// binomial with n trials of one half. It covers at least its level, whatever the numbers are distributed like. With
/// fewer than 6 numbers no such rank exists at 95 %, and the interval is unbounded.
///
/// # Errors
/// [`StatsError::NoScores`] when there is no number, [`StatsError::NotFinite`] when one is not usable.
pub fn median(values: &[f64], level: Level) -> Result<Estimate, StatsError> {
    values.iter().try_for_each(|value| mean::usable(*value).map(|_| ()))?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let (Some(lower), Some(upper)) = (sorted.get(n.saturating_sub(1) / 2), sorted.get(n / 2)) else {
        return Err(StatsError::NoScores { unscored: 0 });
    };
    let point = if n % 2 == 1 { *upper } else { lower + (upper - lower) * 0.5 };
    let interval = match rank(n, 0.5 * level.alpha()) {
        0 => Interval { lo: f64::NEG_INFINITY, hi: f64::INFINITY },
        rank => Interval { lo: sorted[rank - 1], hi: sorted[n - rank] },
    };
    let n = n as u64;
    Ok(Estimate::new(point, interval, level, Method::OrderStatistics, n).with_scale(Scale::Number))
}

/// The largest r for which P(X < r) is at most `tail`, X binomial with `n` trials of one half.
fn rank(n: usize, tail: f64) -> usize {
    // Weights relative to the middle one, so that nothing underflows where it matters; only products and quotients, the
    // same on every platform.
    let middle = n / 2;
    let mut below = vec![1.0; middle + 1];
    for k in (0..middle).rev() {
        below[k] = below[k + 1] * (k + 1) as f64 / (n - k) as f64;
    }
    let half: f64 = below.iter().take(middle).sum();
    // An even number of trials has one weight in the middle, an odd one two.
    let total = if n.is_multiple_of(2) { 2.0 * half + 1.0 } else { 2.0 * (half + 1.0) };
    let mut sum = 0.0;
    below
        .iter()
        .take_while(|weight| {
            sum += **weight / total;
            sum <= tail
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_published_table() {
        // Conover, Practical Nonparametric Statistics; also R's `qbinom(0.025, n, 0.5)`.
        for (n, expected) in
            [(5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (25, 8), (50, 18), (100, 40)]
        {
            assert_eq!(rank(n, 0.025), expected, "n = {n}");
        }
        assert_eq!(rank(20_000, 0.025), 9_861);
    }

    #[test]
    fn a_median_has_its_interval_or_says_that_it_knows_none() {
        let ten: Vec<f64> = (1..=10).rev().map(f64::from).collect();
        let estimate = median(&ten, Level::P95).unwrap();
        assert_eq!(
            (estimate.point, estimate.interval.lo, estimate.interval.hi, estimate.n),
            (5.5, 2.0, 9.0, 10)
        );
        let few = median(&[3.0, 1.0, 2.0], Level::P95).unwrap();
        assert_eq!((few.point, few.interval.hi), (2.0, f64::INFINITY));
        assert!(median(&[], Level::P95).is_err() && median(&[f64::NAN], Level::P95).is_err());
    }
}
