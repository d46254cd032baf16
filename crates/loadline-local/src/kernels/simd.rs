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
    /// Whether there are registers enough for panels of 6 × 2 vectors.
    const WIDE: bool;

    fn splat(self, value: f32) -> Self::Floats;
    fn load(self, from: &Lanes) -> Self::Floats;
    fn store(self, value: Self::Floats, to: &mut Lanes);
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;

    fn splat_integer(self, value: i32) -> Self::Integers;
    fn load_codes(self, from: &[u8; 64]) -> Self::Codes;
    /// To each lane adds the dot product of its four codes with the four signed bytes in `four`.
    fn dot(self, sum: Self::Integers, codes: Self::Codes, four: i32) -> Self::Integers;
    fn to_floats(self, value: Self::Integers) -> Self::Floats;
}
