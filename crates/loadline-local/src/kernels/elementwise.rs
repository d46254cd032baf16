//! Loops over single values: norms, gates, softmax. Written so that the compiler vectorises them.

use super::backend::Operation;
use super::simd::{LANES, Simd};

/// `eˣ` within 2 units in the last place; below −87 it stays at about 10⁻³⁸, above 88 at about 10³⁸.
///
/// `x = n · ln 2 + r`, `|r| ≤ ln 2 / 2`; `eʳ` by its Taylor series to the seventh power (rest below 6·10⁻⁹), `2ⁿ` by
/// the exponent bits. `n` is rounded by adding 1.5 · 2²³, which leaves it in the low bits of the sum.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first with few enough bits that n · LN2_HIGH is exact.
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let series = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * series))));
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(power)
}

/// The activation function of a gated unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `x · σ(x)`.
    Silu,
    /// `x · Φ(x)` with the tanh approximation.
    Gelu,
}

/// `gate ← f(gate) · up`.
pub(crate) struct GatedUnit<'a> {
    pub activation: Activation,
    pub gate: &'a mut [f32],
    pub up: &'a [f32],
}

impl Operation for GatedUnit<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match self.activation {
            Activation::Silu => {
                for (gate, up) in self.gate.iter_mut().zip(self.up) {
                    *gate = *gate / (1.0 + exp(-*gate)) * up;
                }
            }
            Activation::Gelu => {
                // 0.5 · (1 + tanh u) = 1 / (1 + e^(−2u)), u = √(2/π) · (x + 0.044715 x³).
                const DOUBLE_ROOT: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
                for (gate, up) in self.gate.iter_mut().zip(self.up) {
                    let x = *gate;
                    *gate = x / (1.0 + exp(-DOUBLE_ROOT * (x + 0.044_715 * x * x * x))) * up;
                }
            }
        }
    }
}

/// Divides rows by their root mean square and multiplies with weights: `x / √(mean x² + ε) · w`.
pub(crate) struct RmsNorm<'a> {
    pub input: &'a [f32],
    pub weights: &'a [f32],
    pub epsilon: f32,
    pub output: &'a mut [f32],
}

impl Operation for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let width = self.weights.len();
        for (input, output) in self.input.chunks_exact(width).zip(self.output.chunks_exact_mut(width)) {
            let factor = inverse_rms(input, self.epsilon);
            for ((out, x), w) in output.iter_mut().zip(input).zip(self.weights) {
                *out = x * factor * w;
            }
        }
    }
}

#[inline(always)]
fn inverse_rms(input: &[f32], epsilon: f32) -> f32 {
    let (blocks, rest) = input.as_chunks::<LANES>();
    let mut squares = [0.0f32; LANES];
    for block in blocks {
        for i in 0..LANES {
            squares[i] += block[i] * block[i];
        }
    }
    let sum = squares.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>();
    1.0 / (sum / input.len() as f32 + epsilon).sqrt()
}

/// Turns a row of scores into probabilities; −∞ becomes exactly 0. A row of nothing but −∞ becomes 0.
pub(crate) struct Softmax<'a>(pub &'a mut [f32]);

impl Operation for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let most = largest(self.0);
        let mut sums = [0.0f32; LANES];
        for block in self.0.chunks_mut(LANES) {
            for (x, sum) in block.iter_mut().zip(&mut sums) {
                *x = if *x == f32::NEG_INFINITY { 0.0 } else { exp(*x - most) };
                *sum += *x;
            }
        }
        let sum: f32 = sums.iter().sum();
        let factor = if sum > 0.0 { 1.0 / sum } else { sum };
        for x in self.0.iter_mut() {
            *x *= factor;
        }
    }
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for i in 0..LANES {
            most[i] = if block[i] > most[i] { block[i] } else { most[i] };
        }
    }
    most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The largest value, the sum of `e^(x − largest)`, and where the (first) largest is.
pub(crate) struct LogSumExp<'a>(pub &'a [f32]);

impl Operation for LogSumExp<'_> {
    type Output = (f32, f64, usize);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (f32, f64, usize) {
        let most = largest(self.0);
        let mut sum = 0.0f64;
        // Short runs in single precision, their sums in double.
        for run in self.0.chunks(32 * LANES) {
            let (blocks, rest) = run.as_chunks::<LANES>();
            let mut sums = [0.0f32; LANES];
            for block in blocks {
                for i in 0..LANES {
                    sums[i] += exp(block[i] - most);
                }
            }
            sum += f64::from(sums.iter().sum::<f32>())
                + rest.iter().map(|x| f64::from(exp(x - most))).sum::<f64>();
        }
        let place = self.0.iter().position(|x| *x == most).unwrap_or(0);
        (most, sum, place)
    }
}

/// `to += from`.
pub(crate) struct AddInto<'a> {
    pub to: &'a mut [f32],
    pub from: &'a [f32],
}

impl Operation for AddInto<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to += from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Backend;

    fn near(found: f32, expect: f64, tolerance: f64) {
        assert!(
            (f64::from(found) - expect).abs() <= tolerance * expect.abs().max(1e-6),
            "{found}, expected {expect}"
        );
    }

    #[test]
    fn exp_is_exact_to_some_bits() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            near(exp(x), f64::from(x).exp(), 3e-7);
        }
        assert!(exp(-1000.0) < 1e-37 && exp(1000.0) > 1e38);
    }

    #[test]
    fn gates_are_those_of_their_definition() {
        let values: Vec<f32> = (-200..=200).map(|i| i as f32 / 10.0).collect();
        let up: Vec<f32> = values.iter().map(|x| 0.5 + x / 40.0).collect();
        for backend in Backend::available() {
            for activation in [Activation::Silu, Activation::Gelu] {
                let mut gate = values.clone();
                backend.run(GatedUnit { activation, gate: &mut gate, up: &up });
                for ((found, x), up) in gate.iter().zip(&values).zip(&up) {
                    let x = f64::from(*x);
                    let root = (2.0 / std::f64::consts::PI).sqrt();
                    let expect = match activation {
                        Activation::Silu => x / (1.0 + (-x).exp()),
                        Activation::Gelu => 0.5 * x * (1.0 + (root * (x + 0.044715 * x.powi(3))).tanh()),
                    };
                    assert!(
                        (f64::from(*found) - expect * f64::from(*up)).abs() < 3e-6 * (1.0 + expect.abs())
                    );
                }
            }
        }
    }

    #[test]
    fn softmax_hides_what_is_hidden_and_sums_to_one() {
        for backend in Backend::available() {
            for length in [1usize, 5, 16, 37, 500] {
                let mut row: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin() * 20.0).collect();
                if length > 2 {
                    row[1] = f32::NEG_INFINITY;
                }
                let expect: Vec<f64> = row.iter().map(|x| f64::from(*x).exp()).collect();
                let total: f64 = expect.iter().sum();
                backend.run(Softmax(&mut row));
                for (found, expect) in row.iter().zip(&expect) {
                    near(*found, expect / total, 1e-5);
                }
                assert!(length <= 2 || row[1] == 0.0);
            }
            let mut nothing = [f32::NEG_INFINITY; 20];
            backend.run(Softmax(&mut nothing));
            assert_eq!(nothing, [0.0; 20]);
        }
    }

    #[test]
    fn norms_and_sums_agree_with_plain_loops() {
        let input: Vec<f32> = (0..3 * 45).map(|i| (i as f32 * 1.3).cos() * 3.0).collect();
        let weights: Vec<f32> = (0..45).map(|i| 1.0 + i as f32 / 50.0).collect();
        for backend in Backend::available() {
            let mut output = vec![0.0; input.len()];
            let norm = RmsNorm { input: &input, weights: &weights, epsilon: 1e-5, output: &mut output };
            backend.run(norm);
            for (row, out) in input.chunks(45).zip(output.chunks(45)) {
                let mean = row.iter().map(|x| f64::from(x * x)).sum::<f64>() / 45.0;
                for ((x, w), out) in row.iter().zip(&weights).zip(out) {
                    near(*out, f64::from(*x) / (mean + 1e-5).sqrt() * f64::from(*w), 1e-5);
                }
            }
            let (most, sum, place) = backend.run(LogSumExp(&input));
            let expect: f64 = input.iter().map(|x| f64::from(x - most).exp()).sum();
            assert!((sum - expect).abs() < 1e-5 * expect);
            assert_eq!(input[place], most);
        }
    }
}
