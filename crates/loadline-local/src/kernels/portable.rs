//! Plain Rust, for every processor.

use super::simd::{LANES, Lanes, Simd};

/// The lanes of plain arrays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Floats = Lanes;
    type Integers = [i32; LANES];
    type Codes = [u8; 64];

    const BIAS: i32 = 0;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Lanes {
        *from
    }

    #[inline(always)]
    fn store(self, value: Lanes, to: &mut Lanes) {
        *to = value;
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // A fused multiply-add without the instruction is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn splat_integer(self, value: i32) -> [i32; LANES] {
        [value; LANES]
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; 64]) -> [u8; 64] {
        *from
    }

    #[inline(always)]
    fn dot(self, sum: [i32; LANES], codes: [u8; 64], four: i32) -> [i32; LANES] {
        let four = four.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        std::array::from_fn(|i| {
            let products = (0..4).map(|j| i32::from(codes[4 * i + j]) * four[j]);
            sum[i] + products.sum::<i32>()
        })
    }

    #[inline(always)]
    fn to_floats(self, value: [i32; LANES]) -> Lanes {
        value.map(|v| v as f32)
    }
}
