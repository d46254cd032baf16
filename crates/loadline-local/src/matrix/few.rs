//! Products with few rows, as when text is written token by token.
//!
//! Time goes into reading the weights from memory, so each unit is taken out of its packed form in registers, used
//! for all rows and forgotten.

use super::Packed;
use super::multiply::Int8Product;
use super::tiles::{planes_of, unpack_scales};
use crate::kernels::{Backend, ColumnBlock, Int8Input, LANES, Operation, Row, Simd};

/// Rows up to which this is the faster way.
pub(super) const FEW: usize = 6;

/// Bytes of codes that are asked for before they are needed: what memory delivers in the time it takes to answer, and
/// more, since the processor by itself does not look past a page. 4 to 16 KiB were about equal, without it 15 % slower.
const AHEAD: usize = 8192;

/// All rows times the tiles of a block.
pub(super) fn few_rows(backend: Backend, int8: Int8Product<'_, '_>) {
    let format = int8.packed.format;
    match (format.bits, format.subs, format.mins) {
        (4, 1, false) => backend.run(FewRows::<4, 1, false>(int8)),
        (4, 1, true) => backend.run(FewRows::<4, 1, true>(int8)),
        (4, _, false) => backend.run(FewRows::<4, 2, false>(int8)),
        (4, _, true) => backend.run(FewRows::<4, 2, true>(int8)),
        (5, _, false) => backend.run(FewRows::<5, 1, false>(int8)),
        (5, _, true) => backend.run(FewRows::<5, 1, true>(int8)),
        (6, ..) => backend.run(FewRows::<6, 2, false>(int8)),
        _ => backend.run(FewRows::<8, 1, false>(int8)),
    }
}

/// One operation for each format, so that each is compiled by itself.
struct FewRows<'a, 'b, const BITS: u8, const N: usize, const MINS: bool>(Int8Product<'a, 'b>);

impl<const BITS: u8, const N: usize, const MINS: bool> Operation for FewRows<'_, '_, BITS, N, MINS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Int8Product { packed, input, block, first_tile } = self.0;
        for tile in block.tiles() {
            let mut row = 0;
            while row < input.len() {
                row += match input.len() - row {
                    4.. if S::PANEL_ROWS >= 4 => {
                        panel::<S, 4, BITS, N, MINS>(simd, packed, first_tile, tile, input, row, block)
                    }
                    2.. if S::PANEL_ROWS >= 2 => {
                        panel::<S, 2, BITS, N, MINS>(simd, packed, first_tile, tile, input, row, block)
                    }
                    _ => panel::<S, 1, BITS, N, MINS>(simd, packed, first_tile, tile, input, row, block),
                };
            }
        }
    }
}

/// `M` rows times one tile; gives `M`.
#[inline(always)]
fn panel<S: Simd, const M: usize, const BITS: u8, const N: usize, const MINS: bool>(
    simd: S,
    packed: &Packed,
    first_tile: usize,
    tile: usize,
    input: &Int8Input<'_>,
    first_row: usize,
    block: &mut ColumnBlock<'_>,
) -> usize {
    let format = packed.format;
    let units = packed.units;
    let (codes, small, upper) = packed.tile(first_tile + tile);
    let rows: [Row<'_, N>; M] = std::array::from_fn(|m| input.row::<N, MINS>(first_row + m, 0..units));
    let mut sums = [simd.splat(0.0); M];
    let mut scales = [[0.0f32; LANES]; N];
    let mut mins = [[0.0f32; LANES]; N];
    for (unit, codes) in codes.as_chunks::<64>().0.chunks_exact(planes_of(BITS)).enumerate() {
        // Tiles lie one behind another, so beyond this one comes the next.
        for line in 0..planes_of(BITS) {
            simd.prefetch(codes.as_flattened(), AHEAD + line * 64);
        }
        unpack_scales(format, unit, small, upper, &mut scales, &mut mins);
        for part in 0..N {
            let mut dots = [simd.splat_integer(0); M];
            for (dot, row) in dots.iter_mut().zip(&rows) {
                *dot = simd.splat_integer(row.start[unit][part]);
            }
            for group in part * (8 / N)..(part + 1) * (8 / N) {
                let line = simd.unpack::<BITS>(codes, group);
                for m in 0..M {
                    dots[m] = simd.dot(dots[m], line, rows[m].words[unit][group]);
                }
            }
            let scale = simd.load(&scales[part]);
            for m in 0..M {
                let both = simd.mul(scale, simd.splat(rows[m].scales[unit]));
                sums[m] = simd.mul_add(simd.to_floats(dots[m]), both, sums[m]);
                if MINS {
                    let min = simd.load(&mins[part]);
                    sums[m] = simd.mul_add(min, simd.splat(rows[m].min_sums[unit][part]), sums[m]);
                }
            }
        }
    }
    for (m, sum) in sums.into_iter().enumerate() {
        let mut lanes = [0.0; LANES];
        simd.store(sum, &mut lanes);
        block.store(first_row + m, tile, &lanes);
    }
    M
}
