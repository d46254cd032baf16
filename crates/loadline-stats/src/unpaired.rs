//! Two independent groups: two models on different items.

use crate::estimate::{Estimate, Interval, Level, Method, Scale};
use crate::paired::{Posterior, bisect_coarse};
use crate::proportion::{Proportion, wilson};
use crate::special::{beta_cdf, beta_pdf, beta_quantile, integrate, normal_cdf};

/// Newcombe's square-and-add interval of A - B from the two Wilson intervals (Newcombe 1998, "Interval estimation for
/// the difference between independent proportions", method 10). The default for unpaired right-or-wrong scores.
pub fn newcombe(a: Proportion, b: Proportion, level: Level) -> Estimate {
    let z = level.z();
    let (p, q) = (a.rate(), b.rate());
    let (wa, wb) = (wilson(p, a.n() as f64, z), wilson(q, b.n() as f64, z));
    let interval = square_and_add((p, wa), (q, wb));
    Estimate::new(p - q, interval, level, Method::NewcombeUnpaired, a.n() + b.n())
        .with_scale(Scale::ProportionDifference)
}

/// The interval of the difference of two independent values from the interval of each.
pub(crate) fn square_and_add((p, a): (f64, Interval), (q, b): (f64, Interval)) -> Interval {
    let reach = |x: f64, y: f64| (x * x + y * y).sqrt();
    Interval { lo: p - q - reach(p - a.lo, b.hi - q), hi: p - q + reach(a.hi - p, q - b.lo) }
}

/// The posterior of A - B from uniform priors on both shares, by numerical integration. The point is the posterior
/// mean.
pub fn beta_posteriors(a: Proportion, b: Proportion, level: Level) -> Posterior {
    let shapes = |p: Proportion| (p.successes() as f64 + 1.0, (p.n() - p.successes()) as f64 + 1.0);
    let ((a1, a2), (b1, b2)) = (shapes(a), shapes(b));
    // Integrate over the narrower of the two: the other's distribution function is then smooth on that scale.
    let variance = |(p, q): (f64, f64)| p * q / ((p + q) * (p + q) * (p + q + 1.0));
    let cdf = |d: f64| {
        if variance((a1, a2)) <= variance((b1, b2)) {
            difference_cdf((a1, a2), (b1, b2), d)
        } else {
            1.0 - difference_cdf((b1, b2), (a1, a2), -d)
        }
    };
    let tail = 0.5 * level.alpha();
    let interval =
        Interval { lo: bisect_coarse(|d| cdf(d) - tail), hi: bisect_coarse(|d| cdf(d) - (1.0 - tail)) };
    let point = a1 / (a1 + a2) - b1 / (b1 + b2);
    let estimate = Estimate::new(point, interval, level, Method::BetaDifference, a.n() + b.n())
        .with_scale(Scale::ProportionDifference);
    Posterior { probability_a_higher: (1.0 - cdf(0.0)).clamp(0.0, 1.0), difference: estimate }
}

/// P(A - B ≤ d) for independent Beta variables: the mean over A of P(B ≥ A - d).
fn difference_cdf((a1, a2): (f64, f64), (b1, b2): (f64, f64), d: f64) -> f64 {
    let (from, to) = (beta_quantile(1e-14, a1, a2), beta_quantile(1.0 - 1e-14, a1, a2));
    let given_a = |x: f64| beta_pdf(a1, a2, x) * beta_cdf(b2, b1, 1.0 - (x - d).clamp(0.0, 1.0));
    // Kinks where A - d enters and leaves 0..1.
    let (k1, k2) = (d.clamp(from, to), (1.0 + d).clamp(from, to));
    integrate(from, k1, 4, given_a) + integrate(k1, k2, 8, given_a) + integrate(k2, to, 4, given_a)
}

/// Two-sided p-value of the score test that both shares are equal (pooled variance); 1 when all or none are right.
pub fn score_test(a: Proportion, b: Proportion) -> f64 {
    let (m, n) = (a.n() as f64, b.n() as f64);
    let pooled = (a.successes() + b.successes()) as f64 / (m + n);
    let variance = pooled * (1.0 - pooled) * (1.0 / m + 1.0 / n);
    if variance <= 0.0 {
        return 1.0;
    }
    2.0 * normal_cdf(-((a.rate() - b.rate()) / variance.sqrt()).abs())
}
