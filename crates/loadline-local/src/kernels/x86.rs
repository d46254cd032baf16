//! AVX-512 with VNNI, and AVX2.
#![expect(unsafe_code, reason = "vector instructions")]

use std::arch::x86_64::*;

use super::simd::{LANES, Lanes, Simd};

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx512 {
    pub fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        (there && Avx2::detect().is_some()).then_some(Self(()))
    }
}

impl Avx2 {
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Simd for Avx512 {
    type Floats = __m512;
    type Integers = __m512i;
    type Codes = __m512i;

    const BIAS: i32 = 0;
    const PANEL_ROWS: usize = 6;
    const PANEL_TILES: usize = 2;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> __m512 {
        // SAFETY: `self` proves AVX-512F; sixteen floats are behind the reference, alignment is not needed.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut Lanes) {
        // SAFETY: `self` proves AVX-512F; sixteen floats are behind the reference, alignment is not needed.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn splat_integer(self, value: i32) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8], at: usize) {
        // SAFETY: a prefetch never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(at).cast()) }
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; 64]) -> __m512i {
        // SAFETY: `self` proves AVX-512F; 64 bytes are behind the reference, alignment is not needed.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn unpack<const BITS: u8>(self, planes: &[[u8; 64]], g: usize) -> __m512i {
        if BITS == 8 {
            return self.load_codes(&planes[g]);
        }
        let low = self.load_codes(&planes[g % 4]);
        // SAFETY: `self` proves AVX-512F and BW.
        unsafe {
            let low = if g < 4 { low } else { _mm512_srli_epi16::<4>(low) };
            let low = _mm512_and_si512(low, _mm512_set1_epi8(15));
            match BITS {
                5 => {
                    let high = self.load_codes(&planes[4]);
                    let set = _mm512_test_epi8_mask(high, _mm512_set1_epi8((1u8 << g).cast_signed()));
                    _mm512_mask_add_epi8(low, set, low, _mm512_set1_epi8(16))
                }
                6 => {
                    let high = self.load_codes(&planes[4 + g / 4]);
                    let high = match g % 4 {
                        0 => _mm512_slli_epi16::<4>(high),
                        1 => _mm512_slli_epi16::<2>(high),
                        2 => high,
                        _ => _mm512_srli_epi16::<2>(high),
                    };
                    _mm512_or_si512(low, _mm512_and_si512(high, _mm512_set1_epi8(0x30)))
                }
                _ => low,
            }
        }
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, codes: __m512i, four: i32) -> __m512i {
        // SAFETY: `self` proves AVX-512F and VNNI.
        unsafe { _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(four)) }
    }

    #[inline(always)]
    fn to_floats(self, value: __m512i) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_cvtepi32_ps(value) }
    }
}

/// Two registers of eight lanes.
type Pair<T> = [T; 2];

impl Simd for Avx2 {
    type Floats = Pair<__m256>;
    type Integers = Pair<__m256i>;
    type Codes = Pair<__m256i>;

    // The product of unsigned and signed bytes adds pairs in 16 bits, which 255 · 127 · 2 would overflow; with
    // codes from −128 to 127 split into size and sign the most is 128 · 127 · 2.
    const BIAS: i32 = 128;
    const PANEL_ROWS: usize = 2;
    const PANEL_TILES: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Floats {
        // SAFETY: `self` proves AVX2, which includes AVX.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Self::Floats {
        // SAFETY: `self` proves AVX; sixteen floats are behind the reference, alignment is not needed.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(LANES / 2))] }
    }

    #[inline(always)]
    fn store(self, value: Self::Floats, to: &mut Lanes) {
        // SAFETY: `self` proves AVX; sixteen floats are behind the reference, alignment is not needed.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), value[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(LANES / 2), value[1]);
        }
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` proves AVX.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        // SAFETY: `self` proves FMA.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }

    #[inline(always)]
    fn splat_integer(self, value: i32) -> Self::Integers {
        // SAFETY: `self` proves AVX.
        unsafe { [_mm256_set1_epi32(value); 2] }
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8], at: usize) {
        // SAFETY: a prefetch never faults, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(at).cast()) }
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; 64]) -> Self::Codes {
        // SAFETY: `self` proves AVX2; 64 bytes are behind the reference, alignment is not needed.
        unsafe {
            let flip = _mm256_set1_epi8(i8::MIN);
            let low = _mm256_loadu_si256(from.as_ptr().cast());
            let high = _mm256_loadu_si256(from.as_ptr().add(32).cast());
            [_mm256_xor_si256(low, flip), _mm256_xor_si256(high, flip)]
        }
    }

    #[inline(always)]
    fn dot(self, sum: Self::Integers, codes: Self::Codes, four: i32) -> Self::Integers {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let values = _mm256_set1_epi32(four);
            let ones = _mm256_set1_epi16(1);
            let low = _mm256_maddubs_epi16(_mm256_abs_epi8(codes[0]), _mm256_sign_epi8(values, codes[0]));
            let high = _mm256_maddubs_epi16(_mm256_abs_epi8(codes[1]), _mm256_sign_epi8(values, codes[1]));
            [
                _mm256_add_epi32(sum[0], _mm256_madd_epi16(low, ones)),
                _mm256_add_epi32(sum[1], _mm256_madd_epi16(high, ones)),
            ]
        }
    }

    #[inline(always)]
    fn to_floats(self, value: Self::Integers) -> Self::Floats {
        // SAFETY: `self` proves AVX.
        unsafe { [_mm256_cvtepi32_ps(value[0]), _mm256_cvtepi32_ps(value[1])] }
    }
}
