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
    const LN2_HIGH: f32 = 0.693_359_375;
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
                const DOUBLE_ROOT: f32 = 1.595_769_1;
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
