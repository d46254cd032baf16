//! What the inner loops need from a processor: sixteen floats, sixteen integers, and one dot product of bytes.

/// Lanes of a vector, whatever the width of the registers.
pub(crate) const LANES: usize = 16;

/// Sixteen numbers in memory.
pub(crate) type Lanes = [f32; LANES];

/// Vectors of sixteen lanes. A value of an implementing type is the proof that the processor has the instructions.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen floats.
    type Floats: Copy;
    /// Sixteen integers.
    type Integers: Copy;
    /// Sixty-four codes of one byte, four for each lane.
    type Codes: Copy;

    /// What [`Simd::dot`] takes off every code: `Σ (code − BIAS) · value`.
    const BIAS: i32;
    /// Rows and tiles of a panel whose sums stay in registers, for integers.
    const PANEL_ROWS: usize;
    /// See [`Simd::PANEL_ROWS`]: 1 or 2.
    const PANEL_TILES: usize;

    fn splat(self, value: f32) -> Self::Floats;
    fn load(self, from: &Lanes) -> Self::Floats;
    fn store(self, value: Self::Floats, to: &mut Lanes);
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    fn splat_integer(self, value: i32) -> Self::Integers;
    /// Asks for the 64 bytes at a place of a slice, or beyond it, to be brought into the cache.
    #[inline(always)]
    fn prefetch(self, _: &[u8], _: usize) {}

    fn load_codes(self, from: &[u8; 64]) -> Self::Codes;

    /// The codes of line `g` of a packed unit; see [`unpack_line`].
    #[inline(always)]
    fn unpack<const BITS: u8>(self, planes: &[[u8; 64]], g: usize) -> Self::Codes {
        self.load_codes(&unpack_line::<BITS>(planes, g))
    }

    /// To each lane adds the dot product of its four codes with the four signed bytes in `four`.
    fn dot(self, sum: Self::Integers, codes: Self::Codes, four: i32) -> Self::Integers;
    fn to_floats(self, value: Self::Integers) -> Self::Floats;
}

/// The codes of line `g` of a packed unit of `BITS` bits. Eight bits are as they are. Otherwise the low four bits of
/// line `g` are in plane `g % 4`, in the low half of each byte for the first four lines and the high half for the
/// others; behind these are a plane with the fifth bit (bit `g` of each byte), or two planes with the fifth and sixth
/// (bits `2 (g % 4)` and the next, the first plane for the first four lines).
#[inline(always)]
pub(crate) fn unpack_line<const BITS: u8>(planes: &[[u8; 64]], g: usize) -> [u8; 64] {
    if BITS == 8 {
        return planes[g];
    }
    let low = &planes[g % 4];
    let mut line = [0; 64];
    for (i, code) in line.iter_mut().enumerate() {
        let nibble = if g < 4 { low[i] & 15 } else { low[i] >> 4 };
        *code = match BITS {
            5 => nibble | (planes[4][i] >> g & 1) << 4,
            6 => nibble | (planes[4 + g / 4][i] >> (2 * (g % 4)) & 3) << 4,
            _ => nibble,
        };
    }
    line
}
