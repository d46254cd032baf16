//! The blocks of a GGUF file, taken apart into codes and scales.
//!
//! The layouts are those of ggml: <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.

use super::format::f32_to_half;
use crate::gguf::TensorKind;
use crate::kernels::UNIT;

/// One row of one unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UnitRow {
    /// Codes, in column order.
    pub codes: [u8; UNIT],
    /// One scale of 16 bits, or one or two of 8 bits.
    pub scales: [u8; 2],
    /// As the scales.
    pub mins: [u8; 2],
}

/// Takes one block apart: into one unit, or eight with their upper scale and min, which are returned.
///
/// `block` is as long as a block of this kind, or 32 values for floats.
pub(super) fn take_apart(kind: TensorKind, block: &[u8], units: &mut [UnitRow]) -> [u16; 2] {
    match kind {
        TensorKind::F32 | TensorKind::F16 | TensorKind::BF16 => round_floats(kind, block, &mut units[0]),
        TensorKind::Q4_0 | TensorKind::Q4_1 | TensorKind::Q5_0 | TensorKind::Q5_1 | TensorKind::Q8_0 => {
            one_level(kind, block, &mut units[0]);
        }
        TensorKind::Q2_K => return q2_k(block, units),
        TensorKind::Q3_K => return q3_k(block, units),
        TensorKind::Q4_K => return q4_q5_k(block, None, &block[16..], units),
        TensorKind::Q5_K => return q4_q5_k(block, Some(&block[16..48]), &block[48..], units),
        TensorKind::Q6_K => return q6_k(block, units),
    }
    [0; 2]
}

/// One value of a float format.
#[inline(always)]
pub(super) fn float_at(kind: TensorKind, bytes: &[u8], index: usize) -> f32 {
    let half = |i: usize| u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]);
    match kind {
        TensorKind::F16 => super::format::half_to_f32(half(index)),
        TensorKind::BF16 => f32::from_bits(u32::from(half(index)) << 16),
        _ => f32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * index + byte])),
    }
}

fn round_floats(kind: TensorKind, block: &[u8], unit: &mut UnitRow) {
    let count = (block.len() / kind.block_bytes()).min(UNIT);
    let mut values = [0.0f32; UNIT];
    for (i, value) in values[..count].iter_mut().enumerate() {
        *value = float_at(kind, block, i);
    }
    let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let half = f32_to_half(largest / 127.0);
    let scale = super::format::half_to_f32(half);
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    unit.codes = values.map(|value| ((value * inverse).round_ties_even().clamp(-128.0, 127.0) + 128.0) as u8);
    unit.scales = half.to_le_bytes();
}

/// The formats with one scale of 16 bits for 32 values.
fn one_level(kind: TensorKind, block: &[u8], unit: &mut UnitRow) {
    unit.scales = [block[0], block[1]];
    let (high, low) = match kind {
        TensorKind::Q8_0 => {
            for (code, byte) in unit.codes.iter_mut().zip(&block[2..34]) {
                *code = byte ^ 0x80;
            }
            return;
        }
        TensorKind::Q4_0 => (0, &block[2..18]),
        TensorKind::Q4_1 => (0, &block[4..20]),
        TensorKind::Q5_0 => (u32::from_le_bytes([block[2], block[3], block[4], block[5]]), &block[6..22]),
        _ => (u32::from_le_bytes([block[4], block[5], block[6], block[7]]), &block[8..24]),
    };
    if matches!(kind, TensorKind::Q4_1 | TensorKind::Q5_1) {
        // The file adds the min, the kernels subtract it.
        unit.mins = (u16::from_le_bytes([block[2], block[3]]) ^ 0x8000).to_le_bytes();
    }
    for (i, byte) in low.iter().enumerate() {
        unit.codes[i] = (byte & 15) | ((high >> i & 1) << 4) as u8;
        unit.codes[i + 16] = (byte >> 4) | ((high >> (i + 16) & 1) << 4) as u8;
    }
}

fn half_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// 16 × (4 bits scale, 4 bits min), 64 bytes of four codes of 2 bits, scale, min.
fn q2_k(block: &[u8], units: &mut [UnitRow]) -> [u16; 2] {
    for (u, unit) in units.iter_mut().enumerate() {
        let (half, shift) = (u / 4, 2 * (u % 4));
        for (code, byte) in unit.codes.iter_mut().zip(&block[16 + half * 32..]) {
            *code = byte >> shift & 3;
        }
        unit.scales = [block[2 * u] & 15, block[2 * u + 1] & 15];
        unit.mins = [block[2 * u] >> 4, block[2 * u + 1] >> 4];
    }
    [half_at(block, 80), half_at(block, 82)]
}

/// 32 bytes with the third bit of each code, 64 bytes of four times 2 bits, 16 scales of 6 bits in 12 bytes, scale.
fn q3_k(block: &[u8], units: &mut [UnitRow]) -> [u16; 2] {
    let packed = &block[96..108];
    let scale = |i: usize| {
        let low = if i < 8 { packed[i] & 15 } else { packed[i - 8] >> 4 };
        let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
        (low | high << 4).wrapping_sub(32)
    };
    for (u, unit) in units.iter_mut().enumerate() {
        let (half, shift) = (u / 4, 2 * (u % 4));
        for (i, code) in unit.codes.iter_mut().enumerate() {
            let high = block[i] >> u & 1;
            *code = (block[32 + half * 32 + i] >> shift & 3) | high << 2;
        }
        unit.scales = [scale(2 * u), scale(2 * u + 1)];
    }
    [half_at(block, 108), 0]
}

/// Scale, min, 8 × (6 bits scale, 6 bits min) in 12 bytes, (32 bytes with the fifth bits,) 128 bytes of 4 bits.
fn q4_q5_k(block: &[u8], high: Option<&[u8]>, low: &[u8], units: &mut [UnitRow]) -> [u16; 2] {
    let packed = &block[4..16];
    for (u, unit) in units.iter_mut().enumerate() {
        let (scale, min) = if u < 4 {
            (packed[u] & 63, packed[u + 4] & 63)
        } else {
            (packed[u + 4] & 15 | packed[u - 4] >> 6 << 4, packed[u + 4] >> 4 | packed[u] >> 6 << 4)
        };
        for (i, code) in unit.codes.iter_mut().enumerate() {
            *code =
                low[u / 2 * 32 + i] >> (4 * (u % 2)) & 15 | high.map_or(0, |high| (high[i] >> u & 1) << 4);
        }
        unit.scales[0] = scale;
        unit.mins[0] = min;
    }
    [half_at(block, 0), half_at(block, 2)]
}

/// 128 bytes with the low 4 bits, 64 bytes with the high 2 bits, 16 scales of 8 bits, scale.
fn q6_k(block: &[u8], units: &mut [UnitRow]) -> [u16; 2] {
    for (u, unit) in units.iter_mut().enumerate() {
        let (half, quarter) = (u / 4, u % 4);
        let low = &block[half * 64 + quarter % 2 * 32..];
        let high = &block[128 + half * 32..];
        for (i, code) in unit.codes.iter_mut().enumerate() {
            *code = low[i] >> (4 * (quarter / 2)) & 15 | (high[i] >> (2 * quarter) & 3) << 4;
        }
        unit.scales = [block[192 + 2 * u], block[192 + 2 * u + 1]];
    }
    [half_at(block, 208), 0]
}
