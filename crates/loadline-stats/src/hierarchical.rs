//! A proportion over clusters by a hierarchical Beta model: each cluster has a share of its own.
//!
//! θ_c ~ Beta(μκ, (1-μ)κ) and k_c of n_c right in cluster c (Bowyer, Aitchison & Ivanova 2025), with flat priors on
//! the mean μ and on the intracluster correlation ρ = 1/(1+κ). The posterior of μ comes from numerical integration,
//! not from sampling: the same counts give the same bits.

use std::collections::BTreeMap;

use crate::error::StatsError;
use crate::estimate::{Estimate, Interval, Level, Method};
use crate::special::{exponential, gauss_legendre, ln_gamma};

/// Right-or-wrong counts by cluster. Clusters with the same counts cost no more than one.
#[derive(Clone, Debug, Default)]
pub struct ClusterCounts {
    clusters: u64,
    n: u64,
    /// How many clusters have these (right, n).
    by_counts: BTreeMap<(u64, u64), u64>,
}

impl ClusterCounts {
    /// No clusters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cluster with `right` of `n` right. One without scores is left out.
    ///
    /// # Errors
    /// [`StatsError::TooManySuccesses`] when `right` exceeds `n`.
    pub fn push(&mut self, right: u64, n: u64) -> Result<(), StatsError> {
        if right > n {
            return Err(StatsError::TooManySuccesses { successes: right, n });
        }
        if n > 0 {
            self.clusters += 1;
            self.n += n;
            *self.by_counts.entry((right, n)).or_default() += 1;
        }
        Ok(())
    }

    /// Posterior mean and equal-tailed credible interval of μ, the mean share over clusters like these.
    ///
    /// The clusters count alike whatever their size, unlike in the mean of all scores. The time grows with the number
    /// of different counts.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when there are no clusters.
    pub fn estimate(&self, level: Level) -> Result<Estimate, StatsError> {
        if self.clusters == 0 {
            return Err(StatsError::NoScores { unscored: 0 });
        }
        let grid = self.posterior_of_mean();
        let total: f64 = grid.iter().map(|(_, weight)| weight).sum();
        let point = grid.iter().map(|(mean, weight)| mean * weight).sum::<f64>() / total;
        let tail = 0.5 * level.alpha();
        let interval =
            Interval { lo: quantile(&grid, tail * total), hi: quantile(&grid, (1.0 - tail) * total) };
        Ok(Estimate::new(point, interval, level, Method::HierarchicalBeta, self.n)
            .with_clusters(self.clusters))
    }

    /// Points of μ with their posterior mass, ρ integrated out.
    fn posterior_of_mean(&self) -> Vec<(f64, f64)> {
        // Find where the mass is by looking closer and closer, then integrate there.
        let mut window = Window { mean: (0.0, 1.0), correlation: (0.0, 1.0) };
        for _ in 0..4 {
            window = self.surface(window, 2, 2).narrowed();
        }
        self.surface(window, 12, 4).masses_of_mean()
    }

    /// The log-likelihood at the nodes of a composite Gauss-Legendre rule over the window.
    fn surface(&self, window: Window, mean_panels: u32, correlation_panels: u32) -> Surface {
        let means = nodes(window.mean, mean_panels);
        let correlations = nodes(window.correlation, correlation_panels);
        let row = |(mean, _): &(f64, f64)| {
            correlations.iter().map(|(rho, _)| self.ln_likelihood(*mean, *rho)).collect()
        };
        Surface { window, ln_likelihood: means.iter().map(row).collect(), means, correlations }
    }

    /// ln of the beta-binomial likelihood of all clusters, without the binomial coefficients.
    fn ln_likelihood(&self, mean: f64, correlation: f64) -> f64 {
        let kappa = 1.0 / correlation - 1.0;
        let (a, b) = (mean * kappa, (1.0 - mean) * kappa);
        let one = |((right, n), count): (&(u64, u64), &u64)| {
            let wrong = n - right;
            *count as f64 * (ln_rising(a, *right) + ln_rising(b, wrong) - ln_rising(kappa, *n))
        };
        self.by_counts.iter().map(one).sum()
    }
}

/// Ranges of μ and ρ.
#[derive(Clone, Copy, Debug)]
struct Window {
    mean: (f64, f64),
    correlation: (f64, f64),
}

/// Nodes with their weights on both axes, in rising order, and the log-likelihood over them.
struct Surface {
    window: Window,
    means: Vec<(f64, f64)>,
    correlations: Vec<(f64, f64)>,
    ln_likelihood: Vec<Vec<f64>>,
}

impl Surface {
    fn best(&self) -> f64 {
        self.ln_likelihood.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The part of the window outside of which the likelihood is less than e^-25 of its largest value.
    fn narrowed(&self) -> Window {
        let floor = self.best() - 25.0;
        let mean_matters = |i: usize| self.ln_likelihood[i].iter().any(|ln| *ln >= floor);
        let correlation_matters = |j: usize| self.ln_likelihood.iter().any(|row| row[j] >= floor);
        Window {
            mean: span(&self.means, self.window.mean, mean_matters),
            correlation: span(&self.correlations, self.window.correlation, correlation_matters),
        }
    }

    fn masses_of_mean(&self) -> Vec<(f64, f64)> {
        let best = self.best();
        let mass = |row: &Vec<f64>| -> f64 {
            row.iter().zip(&self.correlations).map(|(ln, (_, weight))| weight * exponential(ln - best)).sum()
        };
        self.means
            .iter()
            .zip(&self.ln_likelihood)
            .map(|((mean, weight), row)| (*mean, weight * mass(row)))
            .collect()
    }
}

/// The composite Gauss-Legendre rule with 16 points a panel, in rising order.
fn nodes((from, to): (f64, f64), panels: u32) -> Vec<(f64, f64)> {
    let mut rule = gauss_legendre(16);
    rule.reverse();
    let half = 0.5 * (to - from) / f64::from(panels);
    let panel = |i: u32| {
        let middle = from + half * (2.0 * f64::from(i) + 1.0);
        rule.iter().map(move |(x, weight)| (middle + half * x, half * weight))
    };
    (0..panels).flat_map(panel).collect()
}

/// From the node before the first that matters to the node after the last, or to the ends of the range.
fn span(nodes: &[(f64, f64)], (from, to): (f64, f64), matters: impl Fn(usize) -> bool) -> (f64, f64) {
    let first = (0..nodes.len()).find(|i| matters(*i)).unwrap_or(0);
    let last = (0..nodes.len()).rev().find(|i| matters(*i)).unwrap_or(nodes.len());
    let at = |i: Option<usize>, end: f64| i.and_then(|i| nodes.get(i)).map_or(end, |(x, _)| *x);
    (at(first.checked_sub(1), from), at(last.checked_add(1), to))
}

/// ln( x (x+1) … (x+k-1) ).
fn ln_rising(x: f64, k: u64) -> f64 {
    if k <= 8 {
        // A short product is faster than Γ, and exact for large x where the two Γ nearly cancel.
        return crate::special::ln((0..k).map(|i| x + i as f64).product());
    }
    ln_gamma(x + k as f64) - ln_gamma(x)
}

/// The μ below which the mass `goal` lies, straight between nodes.
fn quantile(grid: &[(f64, f64)], goal: f64) -> f64 {
    let mut below = 0.0;
    let (mut last_mean, mut last_mass) = (0.0, 0.0);
    for (mean, mass) in grid {
        // Half of a node's mass lies on either side of it.
        let here = below + 0.5 * mass;
        if here >= goal {
            let share = if here > last_mass { (goal - last_mass) / (here - last_mass) } else { 1.0 };
            return last_mean + share * (mean - last_mean);
        }
        (last_mean, last_mass) = (*mean, here);
        below += mass;
    }
    last_mean + (1.0 - last_mean) * ((goal - last_mass) / (below - last_mass).max(f64::MIN_POSITIVE)).min(1.0)
}
