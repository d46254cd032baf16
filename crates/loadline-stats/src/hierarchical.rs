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
        // First find where the mass is, on a coarse grid over all of (0, 1); then look closely there.
        let coarse = self.masses(0.0, 1.0, 8);
        let most = coarse.iter().map(|(_, mass)| *mass).fold(0.0, f64::max);
        let kept = || coarse.iter().filter(|(_, mass)| *mass > 1e-9 * most).map(|(mean, _)| *mean);
        let step = 0.03;
        let from = (kept().fold(1.0, f64::min) - step).max(0.0);
        let to = (kept().fold(0.0, f64::max) + step).min(1.0);
        self.masses(from, to, 16)
    }

    /// Posterior mass at the nodes of a composite Gauss-Legendre rule for μ on [from, to].
    fn masses(&self, from: f64, to: f64, panels: u32) -> Vec<(f64, f64)> {
        let rule = gauss_legendre(16);
        let half = 0.5 * (to - from) / f64::from(panels);
        let mut nodes: Vec<(f64, f64)> = (0..panels)
            .flat_map(|i| {
                let middle = from + half * (2.0 * f64::from(i) + 1.0);
                rule.iter().map(move |(x, weight)| (middle + half * x, half * weight))
            })
            .collect();
        nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let correlations: Vec<(f64, f64)> =
            gauss_legendre(24).into_iter().map(|(x, weight)| (0.5 * (1.0 + x), 0.5 * weight)).collect();
        let ln_terms: Vec<Vec<f64>> = nodes
            .iter()
            .map(|(mean, _)| correlations.iter().map(|(rho, _)| self.ln_likelihood(*mean, *rho)).collect())
            .collect();
        let most = ln_terms.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let mass = |terms: &Vec<f64>| -> f64 {
            terms.iter().zip(&correlations).map(|(ln, (_, weight))| weight * exponential(ln - most)).sum()
        };
        nodes.iter().zip(&ln_terms).map(|((mean, weight), terms)| (*mean, weight * mass(terms))).collect()
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
