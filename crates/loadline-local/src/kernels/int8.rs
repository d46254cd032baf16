//! Products of 8-bit activations with weight codes of at most 8 bits.
//!
//! An activation row is rounded in blocks of 32 to `scale · q`, `q` from −127 to 127. A weight is
//! `scale · (code − offset)` or `scale · code − min`, its scale shared by 16 or 32 columns. The integer sums are
//! exact; each block adds one rounded float product.

use std::ops::Range;

use super::output::ColumnBlock;
use super::simd::{LANES, Lanes, Simd};

/// Columns in one unit: what one activation scale is for.
pub(crate) const UNIT: usize = 32;

/// Activation rows rounded to 8 bits.
#[derive(Debug)]
pub(crate) struct Int8Rows {
    rows: usize,
    units: usize,
    /// Per row and unit: 32 signed bytes, four in a word.
    words: Vec<[i32; 8]>,
    /// Per row and unit.
    scales: Vec<f32>,
    /// Per row and unit: the sums of the first and second 16 bytes.
    sums: Vec<[i32; 2]>,
}

impl Int8Rows {
    /// Room for rows of so many columns.
    pub fn new(rows: usize, columns: usize) -> Self {
        let units = columns.div_ceil(UNIT);
        let n = rows * units;
        Self { rows, units, words: vec![[0; 8]; n], scales: vec![0.0; n], sums: vec![[0; 2]; n] }
    }

    /// The parts of each row, to be filled by [`quantise_row`].
    pub fn parts(&mut self) -> impl Iterator<Item = (&mut [[i32; 8]], &mut [f32], &mut [[i32; 2]])> {
        let units = self.units.max(1);
        let words = self.words.chunks_mut(units);
        let scales = self.scales.chunks_mut(units);
        words
            .zip(scales)
            .zip(self.sums.chunks_mut(units))
            .map(|((words, scales), sums)| (words, scales, sums))
    }

    /// The same rows with what a matrix needs to be multiplied with them: `subs` scales in a unit, codes that stand
    /// for `code − offset`, and whether it has mins. `bias` is what the backend takes off a code by itself.
    pub fn prepare(&self, subs: usize, offset: i32, mins: bool, bias: i32) -> Int8Input<'_> {
        let per_unit = |sums: &[i32; 2]| if subs == 1 { [sums[0] + sums[1], 0] } else { *sums };
        let mut start = Vec::with_capacity(self.sums.len() * subs);
        let mut min_sums = Vec::new();
        for (sums, scale) in self.sums.iter().zip(&self.scales) {
            let sums = per_unit(sums);
            start.extend(sums[..subs].iter().map(|sum| (bias - offset) * sum));
            if mins {
                min_sums.extend(sums[..subs].iter().map(|sum| -scale * *sum as f32));
            }
        }
        Int8Input { rows: self, start, min_sums }
    }
}

/// Rounds one row.
#[inline(always)]
pub(crate) fn quantise_row(input: &[f32], words: &mut [[i32; 8]], scales: &mut [f32], sums: &mut [[i32; 2]]) {
    for (unit, values) in input.chunks(UNIT).enumerate() {
        let mut block = [0.0f32; UNIT];
        block[..values.len()].copy_from_slice(values);
        let mut largest = [0.0f32; LANES];
        let mut check = [0.0f32; LANES];
        for half in block.as_chunks::<LANES>().0 {
            for i in 0..LANES {
                let size = half[i].abs();
                largest[i] = if size > largest[i] { size } else { largest[i] };
                // What is not finite must not be rounded to something that is.
                check[i] += half[i] * 0.0;
            }
        }
        let largest = largest.into_iter().fold(0.0f32, f32::max);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        scales[unit] = largest / 127.0 + check.iter().sum::<f32>();
        // Adding 1.5 · 2²³ leaves the rounded number in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let mut bytes = [0u8; UNIT];
        let mut sum = [0i32; 2];
        for half in 0..2 {
            for i in 0..LANES {
                let bits = (block[half * LANES + i] * inverse + ROUND).to_bits();
                // Outside the bounds only where the value is not finite.
                let rounded = bits.wrapping_sub(ROUND.to_bits()).cast_signed().clamp(-127, 127);
                sum[half] += rounded;
                bytes[half * LANES + i] = rounded as u8;
            }
        }
        sums[unit] = sum;
        for (word, four) in words[unit].iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = i32::from_le_bytes(*four);
        }
    }
}

/// Activation rows prepared for one matrix.
pub(crate) struct Int8Input<'a> {
    rows: &'a Int8Rows,
    /// Per row, unit and scale: where the integer sum starts.
    start: Vec<i32>,
    /// Per row, unit and scale: what the min is multiplied with; empty for a matrix without mins.
    min_sums: Vec<f32>,
}

impl Int8Input<'_> {
    /// How many rows.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.rows.rows
    }

    /// Some units of a row.
    #[inline(always)]
    pub fn row<const N: usize, const MINS: bool>(&self, row: usize, units: Range<usize>) -> Row<'_, N> {
        let from = row * self.rows.units + units.start;
        let units = from..from + units.len();
        Row {
            words: &self.rows.words[units.clone()],
            scales: &self.rows.scales[units.clone()],
            start: &self.start.as_chunks::<N>().0[units.clone()],
            min_sums: if MINS { &self.min_sums.as_chunks::<N>().0[units] } else { &[] },
        }
    }
}

/// A slice of an activation row, unit by unit.
pub(crate) struct Row<'a, const N: usize> {
    /// 32 signed bytes, four in a word.
    pub words: &'a [[i32; 8]],
    /// What a byte of the unit stands for.
    pub scales: &'a [f32],
    /// Where the integer sums start.
    pub start: &'a [[i32; N]],
    /// What mins are multiplied with; empty without mins.
    pub min_sums: &'a [[f32; N]],
}

/// Sixteen rows of a weight matrix, some units of them, unpacked to one byte a code.
#[derive(Clone, Copy)]
pub(crate) struct TileCodes<'a> {
    /// Per unit: eight lines of 16 rows × 4 columns.
    pub codes: &'a [[[u8; 64]; 8]],
    /// Per unit and scale: sixteen rows.
    pub scales: &'a [Lanes],
    /// Per unit and scale: sixteen rows; empty without mins.
    pub mins: &'a [Lanes],
}

/// Where a product goes.
pub(crate) struct Target<'a, 'b> {
    /// The columns to write, of all rows.
    pub out: &'a mut ColumnBlock<'b>,
    /// The first tile of columns.
    pub tile: usize,
    /// Whether to add to what is there.
    pub add: bool,
}

/// Multiplies all rows with one or two tiles of weights, `N` scales in a unit, over the units that start with
/// `first_unit`.
#[inline(always)]
pub(crate) fn int8_panels<S: Simd, const N: usize, const MINS: bool>(
    simd: S,
    tiles: &[TileCodes<'_>],
    input: &Int8Input<'_>,
    first_unit: usize,
    target: &mut Target<'_, '_>,
) {
    if S::PANEL_TILES == 2 {
        // A tile that is left over is computed twice and stored once.
        let pair = [tiles[0], tiles[tiles.len() - 1]];
        return all_rows::<S, 2, N, MINS>(simd, pair, tiles.len(), input, first_unit, target);
    }
    for (at, tile) in tiles.iter().enumerate() {
        let target = &mut Target { out: target.out, tile: target.tile + at, add: target.add };
        all_rows::<S, 1, N, MINS>(simd, [*tile], 1, input, first_unit, target);
    }
}

#[inline(always)]
fn all_rows<S: Simd, const T: usize, const N: usize, const MINS: bool>(
    simd: S,
    tiles: [TileCodes<'_>; T],
    stored: usize,
    input: &Int8Input<'_>,
    first_unit: usize,
    target: &mut Target<'_, '_>,
) {
    let mut row = 0;
    while row < input.rows.rows {
        row += match input.rows.rows - row {
            6.. if S::PANEL_ROWS >= 6 => {
                panel::<S, 6, T, N, MINS>(simd, tiles, stored, input, first_unit, row, target)
            }
            2.. if S::PANEL_ROWS >= 2 => {
                panel::<S, 2, T, N, MINS>(simd, tiles, stored, input, first_unit, row, target)
            }
            _ => panel::<S, 1, T, N, MINS>(simd, tiles, stored, input, first_unit, row, target),
        };
    }
}

/// `M` rows times `T` tiles, of which the first `stored` are kept; gives `M`.
#[inline(always)]
fn panel<S: Simd, const M: usize, const T: usize, const N: usize, const MINS: bool>(
    simd: S,
    tiles: [TileCodes<'_>; T],
    stored: usize,
    input: &Int8Input<'_>,
    first_unit: usize,
    first_row: usize,
    target: &mut Target<'_, '_>,
) -> usize {
    let units = tiles[0].codes.len();
    let rows: [Row<'_, N>; M] =
        std::array::from_fn(|m| input.row::<N, MINS>(first_row + m, first_unit..first_unit + units));
    let codes: [&[[[u8; 64]; 8]]; T] = std::array::from_fn(|t| &tiles[t].codes[..units]);
    let scales: [&[[Lanes; N]]; T] = std::array::from_fn(|t| &tiles[t].scales.as_chunks::<N>().0[..units]);
    let mins: [&[[Lanes; N]]; T] =
        std::array::from_fn(|t| if MINS { &tiles[t].mins.as_chunks::<N>().0[..units] } else { &[][..] });
    let mut sums = [[simd.splat(0.0); T]; M];
    if target.add {
        for (m, sums) in sums.iter_mut().enumerate() {
            for (t, sum) in sums.iter_mut().enumerate().take(stored) {
                *sum = simd.load(&target.out.load(first_row + m, target.tile + t));
            }
        }
    }
    for unit in 0..units {
        for part in 0..N {
            let mut dots = [[simd.splat_integer(0); T]; M];
            for (dots, row) in dots.iter_mut().zip(&rows) {
                *dots = [simd.splat_integer(row.start[unit][part]); T];
            }
            #[expect(
                clippy::needless_range_loop,
                reason = "the group indexes the codes of every tile and every row"
            )]
            for group in part * (8 / N)..(part + 1) * (8 / N) {
                let mut line = [simd.load_codes(&codes[0][unit][group]); T];
                for t in 1..T {
                    line[t] = simd.load_codes(&codes[t][unit][group]);
                }
                for m in 0..M {
                    let four = rows[m].words[unit][group];
                    for t in 0..T {
                        dots[m][t] = simd.dot(dots[m][t], line[t], four);
                    }
                }
            }
            for t in 0..T {
                let scale = simd.load(&scales[t][unit][part]);
                for m in 0..M {
                    let both = simd.mul(scale, simd.splat(rows[m].scales[unit]));
                    sums[m][t] = simd.mul_add(simd.to_floats(dots[m][t]), both, sums[m][t]);
                    if MINS {
                        let min = simd.load(&mins[t][unit][part]);
                        sums[m][t] = simd.mul_add(min, simd.splat(rows[m].min_sums[unit][part]), sums[m][t]);
                    }
                }
            }
        }
    }
    for (m, sums) in sums.into_iter().enumerate() {
        for (t, sum) in sums.into_iter().enumerate().take(stored) {
            let mut lanes = [0.0; LANES];
            simd.store(sum, &mut lanes);
            target.out.store(first_row + m, target.tile + t, &lanes);
        }
    }
    M
}
