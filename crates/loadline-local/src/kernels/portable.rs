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
    const PANEL_ROWS: usize = 1;
    const PANEL_TILES: usize = 1;

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
        let mut lanes = a;
        for (lane, b) in lanes.iter_mut().zip(b) {
            *lane *= b;
        }
        lanes
    }

    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        // A fused multiply-add without the instruction is a slow library call.
        let mut lanes = a;
        for ((lane, b), c) in lanes.iter_mut().zip(b).zip(c) {
            *lane = *lane * b + c;
        }
        lanes
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
        let four = four.to_le_bytes();
        let mut sums = sum;
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            for (code, value) in codes.iter().zip(four) {
                *sum += i32::from(*code) * i32::from(value.cast_signed());
            }
        }
        sums
    }

    #[inline(always)]
    fn to_floats(self, value: [i32; LANES]) -> Lanes {
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes.iter_mut().zip(value) {
            *lane = value as f32;
        }
        lanes
    }
}
