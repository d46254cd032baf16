//! Packing codes into tiles and taking them out again.

use super::blocks::UnitRow;
use super::format::{Format, UNITS_PER_BLOCK, half_to_f32};
use crate::kernels::{LANES, Lanes, UNIT, unpack_line};

/// The codes of one unit of sixteen rows, one byte a code: eight lines of 16 rows × 4 columns.
pub(super) type UnitCodes = [[u8; 64]; 8];

/// Writes sixteen rows of one unit.
pub(super) fn pack_unit(format: Format, rows: &[UnitRow; LANES], codes: &mut [u8], scales: &mut [u8]) {
    let mut lines: UnitCodes = [[0; 64]; 8];
    for (r, row) in rows.iter().enumerate() {
        for (line, four) in lines.iter_mut().zip(row.codes.as_chunks::<4>().0) {
            line[r * 4..r * 4 + 4].copy_from_slice(four);
        }
    }
    pack_codes(format.bits, &lines, codes);
    let each = if format.two_levels { format.subs } else { 2 };
    let (low, high) = scales.split_at_mut(LANES * each);
    for (r, row) in rows.iter().enumerate() {
        if format.two_levels {
            for sub in 0..format.subs {
                low[sub * LANES + r] = row.scales[sub];
                if format.mins {
                    high[sub * LANES + r] = row.mins[sub];
                }
            }
        } else {
            low[2 * r..2 * r + 2].copy_from_slice(&row.scales);
            if format.mins {
                high[2 * r..2 * r + 2].copy_from_slice(&row.mins);
            }
        }
    }
}

fn pack_codes(bits: u8, lines: &UnitCodes, codes: &mut [u8]) {
    if bits == 8 {
        codes.copy_from_slice(lines.as_flattened());
        return;
    }
    for (g, line) in lines.iter().enumerate() {
        for (i, code) in line.iter().enumerate() {
            codes[g % 4 * 64 + i] |= (code & 15) << (4 * (g / 4));
            match bits {
                5 => codes[256 + i] |= (code >> 4 & 1) << g,
                6 => codes[256 + g / 4 * 64 + i] |= (code >> 4 & 3) << (2 * (g % 4)),
                _ => {}
            }
        }
    }
}

/// Takes out the codes of one unit. Written so that the compiler vectorises it.
#[inline(always)]
pub(super) fn unpack_codes(bits: u8, codes: &[u8], lines: &mut UnitCodes) {
    let (planes, _) = codes.as_chunks::<64>();
    match bits {
        8 => {
            for (line, plane) in lines.iter_mut().zip(planes) {
                *line = *plane;
            }
        }
        5 => unpack::<5>(planes, lines),
        6 => unpack::<6>(planes, lines),
        _ => unpack::<4>(planes, lines),
    }
}

#[inline(always)]
fn unpack<const BITS: u8>(planes: &[[u8; 64]], lines: &mut UnitCodes) {
    let planes = &planes[..planes_of(BITS)];
    for (g, line) in lines.iter_mut().enumerate() {
        *line = unpack_line::<BITS>(planes, g);
    }
}

/// Planes of 64 bytes in one unit.
#[inline(always)]
pub(super) fn planes_of(bits: u8) -> usize {
    if bits == 8 { 8 } else { bits as usize }
}

/// Takes out the scales (and mins) of one unit: `subs` times sixteen rows each.
#[inline(always)]
pub(super) fn unpack_scales(
    format: Format,
    unit: usize,
    scales: &[u8],
    blocks: &[u8],
    out: &mut [Lanes],
    mins: &mut [Lanes],
) {
    let scales = &scales[unit * format.scale_bytes()..][..format.scale_bytes()];
    if !format.two_levels {
        out[0] = halves(scales);
        if format.mins {
            mins[0] = halves(&scales[2 * LANES..]);
        }
        return;
    }
    let block = &blocks[unit / UNITS_PER_BLOCK * format.block_bytes()..][..format.block_bytes()];
    let upper = halves(block);
    for sub in 0..format.subs {
        let small = &scales[sub * LANES..][..LANES];
        products(&upper, small, &mut out[sub]);
    }
    if format.mins {
        let upper = halves(&block[2 * LANES..]);
        for sub in 0..format.subs {
            let small = &scales[(format.subs + sub) * LANES..][..LANES];
            products(&upper, small, &mut mins[sub]);
        }
    }
}

#[inline(always)]
fn halves(bytes: &[u8]) -> Lanes {
    let mut lanes = [0.0; LANES];
    for (lane, pair) in lanes.iter_mut().zip(bytes[..2 * LANES].as_chunks::<2>().0) {
        *lane = half_to_f32(u16::from_le_bytes(*pair));
    }
    lanes
}

#[inline(always)]
fn products(upper: &Lanes, small: &[u8], out: &mut Lanes) {
    for ((out, upper), small) in out.iter_mut().zip(upper).zip(small) {
        *out = upper * f32::from(small.cast_signed());
    }
}

/// The weights of one unit as floats: 32 columns of sixteen rows.
#[inline(always)]
pub(super) fn unit_to_floats(
    format: Format,
    lines: &UnitCodes,
    scales: &[Lanes],
    mins: &[Lanes],
    out: &mut [Lanes; UNIT],
) {
    for (g, line) in lines.iter().enumerate() {
        let sub = g * format.subs / 8;
        let scale = &scales[sub];
        let (words, _) = line.as_chunks::<4>();
        for column in 0..4 {
            let to = &mut out[g * 4 + column];
            for r in 0..LANES {
                let code = (u32::from_le_bytes(words[r]) >> (8 * column) & 255).cast_signed();
                let value = scale[r] * (code - format.offset) as f32;
                to[r] = if format.mins { value - mins[sub][r] } else { value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_out_as_they_went_in() {
        for bits in [4u8, 5, 6, 8] {
            let format = Format { bits, offset: 0, subs: 1, mins: false, two_levels: false };
            let mut state = 1u32;
            let mut lines: UnitCodes = [[0; 64]; 8];
            for code in lines.as_flattened_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *code = (state >> 24) as u8 & (((1u16 << bits) - 1) as u8);
            }
            let mut codes = vec![0; format.code_bytes()];
            pack_codes(bits, &lines, &mut codes);
            let mut back: UnitCodes = [[0; 64]; 8];
            unpack_codes(bits, &codes, &mut back);
            assert_eq!(back, lines, "{bits} bits");
        }
    }
}
