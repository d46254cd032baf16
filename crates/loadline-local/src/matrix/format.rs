//! How quantised weights are kept: codes of 4, 5, 6 or 8 bits and their scales, in tiles of sixteen rows.

use crate::gguf::TensorKind;
use crate::kernels::LANES;

/// Units in one block of the formats with two levels of scales.
pub(super) const UNITS_PER_BLOCK: usize = 8;

/// How the weights of one matrix are written.
///
/// A unit is 32 columns. In memory a unit of sixteen rows is eight lines, each with four columns of the sixteen
/// rows; where codes have fewer than eight bits, the low four bits of line `i` and `i + 4` share bytes, and the bits
/// above lie in planes behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// Bits of a code: 4, 5, 6 or 8.
    pub bits: u8,
    /// What a code is taken relative to, without mins.
    pub offset: i32,
    /// Scales in one unit: 1 or 2.
    pub subs: usize,
    /// Whether a weight is `scale · code − min` instead of `scale · (code − offset)`.
    pub mins: bool,
    /// Whether the scale of a unit is itself a small integer times a scale for eight units.
    pub two_levels: bool,
}

impl Format {
    /// The format for a tensor of this kind. Floats are rounded to eight bits.
    pub fn of(kind: TensorKind) -> Self {
        let one = |bits, offset, mins| Self { bits, offset, subs: 1, mins, two_levels: false };
        let two = |bits, offset, subs, mins| Self { bits, offset, subs, mins, two_levels: true };
        match kind {
            TensorKind::F32 | TensorKind::F16 | TensorKind::BF16 | TensorKind::Q8_0 => one(8, 128, false),
            TensorKind::Q4_0 => one(4, 8, false),
            TensorKind::Q4_1 => one(4, 0, true),
            TensorKind::Q5_0 => one(5, 16, false),
            TensorKind::Q5_1 => one(5, 0, true),
            TensorKind::Q2_K => two(4, 0, 2, true),
            TensorKind::Q3_K => two(4, 4, 2, false),
            TensorKind::Q4_K => two(4, 0, 1, true),
            TensorKind::Q5_K => two(5, 0, 1, true),
            TensorKind::Q6_K => two(6, 32, 2, false),
        }
    }

    /// Bytes of the codes of one unit of sixteen rows.
    pub fn code_bytes(self) -> usize {
        match self.bits {
            4 => 256,
            5 => 256 + 64,
            6 => 256 + 128,
            _ => 512,
        }
    }

    /// Bytes of the scales of one unit of sixteen rows, mins behind them.
    pub fn scale_bytes(self) -> usize {
        let each = if self.two_levels { self.subs } else { 2 };
        LANES * each * if self.mins { 2 } else { 1 }
    }

    /// Bytes of the upper scales of one block of sixteen rows, mins behind them.
    pub fn block_bytes(self) -> usize {
        match (self.two_levels, self.mins) {
            (false, _) => 0,
            (true, false) => LANES * 2,
            (true, true) => LANES * 4,
        }
    }
}

/// A float of 16 bits (IEEE 754 binary16) as one of 32; infinities and NaN become large numbers.
///
/// Moving the bits leaves the exponent 112 too small; the product makes up for it, and subnormals come out right.
#[inline(always)]
pub(super) fn half_to_f32(half: u16) -> f32 {
    let size = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(size.to_bits() | u32::from(half & 0x8000) << 16)
}

/// The nearest float of 16 bits, ties to even; what is too large becomes the largest.
pub(super) fn f32_to_half(value: f32) -> u16 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    if size >= 65504.0 {
        return sign | 0x7bff;
    }
    if size < 6.103_515_6e-5 {
        // Subnormal: a whole multiple of 2⁻²⁴.
        return sign | (size * 16_777_216.0).round_ties_even() as u16;
    }
    let bits = size.to_bits() - (112 << 23);
    let rounded = bits + 0xfff + ((bits >> 13) & 1);
    sign | (rounded >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_round_trips() {
        for half in (0..=u16::MAX).filter(|half| half & 0x7c00 != 0x7c00) {
            assert_eq!(f32_to_half(half_to_f32(half)), half);
        }
        assert_eq!(half_to_f32(0x3c00), 1.0);
        assert_eq!(half_to_f32(0x0001), 2.0f32.powi(-24));
        assert_eq!(half_to_f32(0xfbff), -65504.0);
    }

    #[test]
    fn rounding_is_to_the_nearest_even() {
        assert_eq!(half_to_f32(f32_to_half(1.0 + 2.0f32.powi(-11))), 1.0);
        assert_eq!(half_to_f32(f32_to_half(1.0 + 3.0 * 2.0f32.powi(-11))), 1.0 + 2.0f32.powi(-9));
        assert_eq!(half_to_f32(f32_to_half(1e9)), 65504.0);
        assert_eq!(f32_to_half(1e-9), 0);
    }
}
