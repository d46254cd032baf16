//! NEON, which every 64-bit ARM processor has.
#![expect(unsafe_code, reason = "vector instructions")]

use std::arch::aarch64::*;

use super::simd::{Lanes, Simd};

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// Four registers of four lanes.
type Four<T> = [T; 4];

impl Simd for Neon {
    type Floats = Four<float32x4_t>;
    type Integers = Four<int32x4_t>;
    type Codes = Four<int8x16_t>;

    // Codes are multiplied as signed bytes: two products of at most 128 · 127 fit in 16 bits.
    const BIAS: i32 = 128;
    const PANEL_ROWS: usize = 2;
    const PANEL_TILES: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Floats {
        // SAFETY: `self` proves NEON.
        unsafe { [vdupq_n_f32(value); 4] }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Self::Floats {
        // SAFETY: `self` proves NEON; sixteen floats are behind the reference.
        unsafe {
            let from = from.as_ptr();
            [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))]
        }
    }

    #[inline(always)]
    fn store(self, value: Self::Floats, to: &mut Lanes) {
        for (i, part) in value.into_iter().enumerate() {
            // SAFETY: `self` proves NEON; sixteen floats are behind the reference and `i` is below four.
            unsafe { vst1q_f32(to.as_mut_ptr().add(4 * i), part) }
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` proves NEON.
        unsafe {
            [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1]), vmulq_f32(a[2], b[2]), vmulq_f32(a[3], b[3])]
        }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: `self` proves NEON.
        unsafe {
            [
                vfmaq_f32(c[0], a[0], b[0]),
                vfmaq_f32(c[1], a[1], b[1]),
                vfmaq_f32(c[2], a[2], b[2]),
                vfmaq_f32(c[3], a[3], b[3]),
            ]
        }
    }

    #[inline(always)]
    fn splat_integer(self, value: i32) -> Self::Integers {
        // SAFETY: `self` proves NEON.
        unsafe { [vdupq_n_s32(value); 4] }
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; 64]) -> Self::Codes {
        // SAFETY: `self` proves NEON; 64 bytes are behind the reference.
        unsafe {
            let flip = vdupq_n_u8(0x80);
            let from = from.as_ptr();
            let line = |at| vreinterpretq_s8_u8(veorq_u8(vld1q_u8(from.add(at)), flip));
            [line(0), line(16), line(32), line(48)]
        }
    }

    #[inline(always)]
    fn dot(self, sum: Self::Integers, codes: Self::Codes, four: i32) -> Self::Integers {
        // SAFETY: `self` proves NEON.
        unsafe {
            let values = vreinterpretq_s8_s32(vdupq_n_s32(four));
            let add = |sum, codes| {
                let low = vmull_s8(vget_low_s8(codes), vget_low_s8(values));
                vpadalq_s16(sum, vpaddq_s16(low, vmull_high_s8(codes, values)))
            };
            [add(sum[0], codes[0]), add(sum[1], codes[1]), add(sum[2], codes[2]), add(sum[3], codes[3])]
        }
    }

    #[inline(always)]
    fn to_floats(self, value: Self::Integers) -> Self::Floats {
        // SAFETY: `self` proves NEON.
        unsafe {
            [
                vcvtq_f32_s32(value[0]),
                vcvtq_f32_s32(value[1]),
                vcvtq_f32_s32(value[2]),
                vcvtq_f32_s32(value[3]),
            ]
        }
    }
}
