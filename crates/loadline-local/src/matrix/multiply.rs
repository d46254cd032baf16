//! Activations times weights.

use std::ops::Range;

use rayon::prelude::*;

use super::few::{FEW, few_rows};
use super::{Matrix, Packed, Storage, float_at, unit_to_floats, unpack_codes, unpack_scales};
use crate::gguf::TensorKind;
use crate::kernels::{
    Backend, ColumnBlock, Int8Input, Int8Rows, LANES, Lanes, Operation, Simd, Target, TileCodes, UNIT,
    float_panels, int8_panels, quantise_row, split_columns,
};
use crate::options::Precision;

/// Units of weights that are unpacked at once: two tiles of them and a panel of activations stay in the L1 cache.
const INT8_UNITS: usize = 16;
/// As above, for floats, which are four times as large.
const FLOAT_UNITS: usize = 8;

/// Rows that are to be multiplied with one or more matrices.
pub(crate) struct Activations<'a> {
    width: usize,
    floats: &'a [f32],
    int8: Option<Int8Rows>,
}

impl<'a> Activations<'a> {
    /// Takes rows of `width` values; for [`Precision::Int8`] they are rounded here, once for all matrices.
    pub fn new(floats: &'a [f32], width: usize, precision: Precision, backend: Backend) -> Self {
        let int8 = (precision == Precision::Int8).then(|| {
            let mut rows = Int8Rows::new(floats.len() / width, width);
            let parts: Vec<_> = floats.chunks_exact(width).zip(rows.parts()).collect();
            parts.into_par_iter().with_min_len(16).for_each(|(input, (words, scales, sums))| {
                backend.run(QuantiseRow { input, words, scales, sums });
            });
            rows
        });
        Self { width, floats, int8 }
    }

    fn rows(&self) -> usize {
        self.floats.len() / self.width
    }
}

struct QuantiseRow<'a> {
    input: &'a [f32],
    words: &'a mut [[i32; 8]],
    scales: &'a mut [f32],
    sums: &'a mut [[i32; 2]],
}

impl Operation for QuantiseRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        quantise_row(self.input, self.words, self.scales, self.sums);
    }
}

/// Rows, ready for one matrix.
pub(crate) enum Prepared<'a> {
    Int8(Int8Input<'a>),
    Floats { values: &'a [f32], width: usize },
}

impl Matrix {
    /// All products: one row of `rows()` values for each row of activations. The memory of `out` is used again.
    pub(crate) fn multiply(&self, input: &Activations<'_>, backend: Backend, out: &mut Vec<f32>) {
        out.resize(input.rows() * self.rows, 0.0);
        let prepared = self.prepare(input, backend);
        let tiles = self.rows.div_ceil(LANES);
        // Even, since tiles are multiplied in pairs; enough blocks that threads end about together.
        let per_block = (tiles.div_ceil(8 * rayon::current_num_threads())).next_multiple_of(2).min(128);
        let mut blocks = split_columns(out, self.rows, per_block);
        if let [block] = blocks.as_mut_slice() {
            self.product(&prepared, block, 0, backend);
        } else {
            blocks.par_iter_mut().for_each(|block| {
                self.product(&prepared, block, 0, backend);
            });
        }
    }

    /// The products with some outputs only, on this thread. `outputs` begins at a multiple of sixteen; `out` gets a
    /// row of as many values for each row of activations.
    pub(crate) fn multiply_some(
        &self,
        input: &Prepared<'_>,
        outputs: Range<usize>,
        out: &mut [f32],
        backend: Backend,
    ) {
        assert!(outputs.start.is_multiple_of(LANES) && outputs.end <= self.rows, "whole tiles of the matrix");
        for mut block in split_columns(out, outputs.len(), usize::MAX) {
            let first_tile = outputs.start / LANES;
            self.product(input, &mut block, first_tile, backend);
        }
    }

    /// Makes activations ready for this matrix.
    pub(crate) fn prepare<'a>(&self, input: &'a Activations<'_>, backend: Backend) -> Prepared<'a> {
        assert_eq!(input.width, self.columns, "as many inputs as the matrix has");
        match (&self.storage, &input.int8) {
            (Storage::Packed(packed), Some(rows)) => {
                let format = packed.format;
                Prepared::Int8(rows.prepare(format.subs, format.offset, format.mins, backend.bias()))
            }
            _ => Prepared::Floats { values: input.floats, width: input.width },
        }
    }

    /// The products with the weights of one block of outputs, whose first tile stands for `first_tile` of the matrix.
    fn product(
        &self,
        input: &Prepared<'_>,
        block: &mut ColumnBlock<'_>,
        first_tile: usize,
        backend: Backend,
    ) {
        match (&self.storage, input) {
            (Storage::Packed(packed), Prepared::Int8(input)) => {
                let int8 = Int8Product { packed, input, block, first_tile };
                match (input.len(), packed.format.subs, packed.format.mins) {
                    (..=FEW, ..) => few_rows(backend, int8),
                    (_, 1, false) => backend.run(ManyRows::<1, false>(int8)),
                    (_, 1, true) => backend.run(ManyRows::<1, true>(int8)),
                    (_, _, false) => backend.run(ManyRows::<2, false>(int8)),
                    (_, _, true) => backend.run(ManyRows::<2, true>(int8)),
                }
            }
            (_, Prepared::Floats { values, width }) => {
                backend.run(FloatProduct { matrix: self, values, width: *width, block, first_tile });
            }
            // Matrices of floats are only kept where nothing is rounded to 8 bits.
            (Storage::Floats(..), Prepared::Int8(_)) => {}
        }
    }
}

/// Rounded rows times the packed weights of one block of outputs.
pub(super) struct Int8Product<'a, 'b> {
    pub packed: &'a Packed,
    pub input: &'a Int8Input<'a>,
    pub block: &'a mut ColumnBlock<'b>,
    /// The tile of the matrix that tile 0 of the output stands for.
    pub first_tile: usize,
}

/// The tiles of a block in pairs.
#[inline(always)]
fn pairs(tiles: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = tiles.end;
    tiles.step_by(2).map(move |tile| tile..(tile + 2).min(end))
}

/// With many rows weights are unpacked once, some units at a time, and then used for all of them.
struct ManyRows<'a, 'b, const N: usize, const MINS: bool>(Int8Product<'a, 'b>);

impl<const N: usize, const MINS: bool> Operation for ManyRows<'_, '_, N, MINS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Int8Product { packed, input, block, first_tile } = self.0;
        let format = packed.format;
        let mut lines = [[[[0u8; 64]; 8]; INT8_UNITS]; 2];
        let mut scales = [[[[0.0f32; LANES]; N]; INT8_UNITS]; 2];
        let mut mins = [[[[0.0f32; LANES]; N]; INT8_UNITS]; 2];
        for pair in pairs(block.tiles()) {
            for first in (0..packed.units).step_by(INT8_UNITS) {
                let count = INT8_UNITS.min(packed.units - first);
                for (t, tile) in pair.clone().enumerate() {
                    let (codes, small, upper) = packed.tile(first_tile + tile);
                    for u in 0..count {
                        let unit = first + u;
                        let from = &codes[unit * format.code_bytes()..][..format.code_bytes()];
                        unpack_codes(format.bits, from, &mut lines[t][u]);
                        unpack_scales(format, unit, small, upper, &mut scales[t][u], &mut mins[t][u]);
                    }
                }
                let tile = |t: usize| TileCodes {
                    codes: &lines[t][..count],
                    scales: scales[t][..count].as_flattened(),
                    mins: mins[t][..if MINS { count } else { 0 }].as_flattened(),
                };
                let target = &mut Target { out: block, tile: pair.start, add: first > 0 };
                int8_panels::<S, N, MINS>(simd, &[tile(0), tile(1)][..pair.len()], input, first, target);
            }
        }
    }
}

/// Rows of floats times the weights of one block of outputs.
struct FloatProduct<'a, 'b> {
    matrix: &'a Matrix,
    values: &'a [f32],
    width: usize,
    block: &'a mut ColumnBlock<'b>,
    first_tile: usize,
}

impl Operation for FloatProduct<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { matrix, values, width, block, first_tile } = self;
        let units = width.div_ceil(UNIT);
        let mut floats = [[[0.0f32; LANES]; FLOAT_UNITS * UNIT]; 2];
        for pair in pairs(block.tiles()) {
            for first in (0..units).step_by(FLOAT_UNITS) {
                let count = FLOAT_UNITS.min(units - first);
                for (floats, tile) in floats.iter_mut().zip(pair.clone()) {
                    let (tile, units) = (first_tile + tile, first..first + count);
                    match &matrix.storage {
                        Storage::Packed(packed) => unpack_floats(packed, tile, units, floats),
                        Storage::Floats(kind, bytes) => {
                            gather_floats(matrix, *kind, bytes, tile, units, floats)
                        }
                    }
                }
                let columns = (count * UNIT).min(width - first * UNIT);
                let tiles: [&[Lanes]; 2] = [&floats[0][..columns], &floats[1][..columns]];
                let target = &mut Target { out: block, tile: pair.start, add: first > 0 };
                float_panels(simd, &tiles[..pair.len()], values, width, first * UNIT, target);
            }
        }
    }
}

/// The weights of some units of a tile as floats, exactly as the format defines them.
#[inline(always)]
fn unpack_floats(packed: &Packed, tile: usize, units: Range<usize>, out: &mut [Lanes]) {
    let format = packed.format;
    let (codes, small, upper) = packed.tile(tile);
    let mut lines = [[0u8; 64]; 8];
    let mut scales = [[0.0f32; LANES]; 2];
    let mut mins = [[0.0f32; LANES]; 2];
    for (unit, out) in units.zip(out.as_chunks_mut::<UNIT>().0) {
        unpack_codes(format.bits, &codes[unit * format.code_bytes()..][..format.code_bytes()], &mut lines);
        unpack_scales(format, unit, small, upper, &mut scales, &mut mins);
        unit_to_floats(format, &lines, &scales, &mins, out);
    }
}

/// The weights of some units of a tile of a matrix of floats.
#[inline(always)]
fn gather_floats(
    matrix: &Matrix,
    kind: TensorKind,
    bytes: &[u8],
    tile: usize,
    units: Range<usize>,
    out: &mut [Lanes],
) {
    let columns = units.start * UNIT..(units.end * UNIT).min(matrix.columns);
    for r in 0..LANES {
        let row = tile * LANES + r;
        if row < matrix.rows {
            let bytes = &bytes[row * matrix.columns * kind.block_bytes()..];
            for (lanes, column) in out.iter_mut().zip(columns.clone()) {
                lanes[r] = float_at(kind, bytes, column);
            }
        }
    }
}
