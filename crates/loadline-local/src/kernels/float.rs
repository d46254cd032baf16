//! Products of 32-bit floats: rows times lanes.

use super::int8::Target;
use super::simd::{LANES, Lanes, Simd};

/// `sums[m][t] += Σⱼ a[m][j] · b[t][j]`, `j` in order.
#[inline(always)]
pub(crate) fn outer<S: Simd, const M: usize, const T: usize>(
    simd: S,
    a: [&[f32]; M],
    b: [&[Lanes]; T],
    sums: &mut [[S::Floats; T]; M],
) {
    let length = b[0].len();
    let a: [&[f32]; M] = std::array::from_fn(|m| &a[m][..length]);
    let b: [&[Lanes]; T] = std::array::from_fn(|t| &b[t][..length]);
    let mut running = *sums;
    for j in 0..length {
        let mut lanes = [simd.load(&b[0][j]); T];
        for t in 1..T {
            lanes[t] = simd.load(&b[t][j]);
        }
        for m in 0..M {
            let value = simd.splat(a[m][j]);
            for t in 0..T {
                running[m][t] = simd.mul_add(value, lanes[t], running[m][t]);
            }
        }
    }
    *sums = running;
}

/// Multiplies rows of `width` floats, their columns from `first_column`, with one or two tiles of weights, each
/// sixteen lanes per column.
#[inline(always)]
pub(crate) fn float_panels<S: Simd>(
    simd: S,
    tiles: &[&[Lanes]],
    input: &[f32],
    width: usize,
    first_column: usize,
    target: &mut Target<'_, '_>,
) {
    let rows = target.out.rows();
    let mut at = 0;
    while at < tiles.len() {
        let two = S::PANEL_TILES == 2 && tiles.len() - at >= 2;
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let slice = |m: usize| &input[(row + m) * width + first_column..(row + m + 1) * width];
            let target = &mut Target { out: target.out, tile: target.tile + at, add: target.add };
            row += match (two, left) {
                (true, 8..) => panel::<S, 8, 2>(simd, &tiles[at..], slice, row, target),
                (true, 2..) => panel::<S, 2, 2>(simd, &tiles[at..], slice, row, target),
                (true, _) => panel::<S, 1, 2>(simd, &tiles[at..], slice, row, target),
                (false, 4..) => panel::<S, 4, 1>(simd, &tiles[at..], slice, row, target),
                (false, _) => panel::<S, 1, 1>(simd, &tiles[at..], slice, row, target),
            };
        }
        at += if two { 2 } else { 1 };
    }
}

/// `M` rows times `T` tiles; gives `M`.
#[inline(always)]
fn panel<'a, S: Simd, const M: usize, const T: usize>(
    simd: S,
    tiles: &[&[Lanes]],
    slice: impl Fn(usize) -> &'a [f32],
    first_row: usize,
    target: &mut Target<'_, '_>,
) -> usize {
    let mut sums = [[simd.splat(0.0); T]; M];
    let one = simd.splat(1.0);
    outer(simd, std::array::from_fn(slice), std::array::from_fn(|t| tiles[t]), &mut sums);
    for (m, sums) in sums.into_iter().enumerate() {
        for (t, mut sum) in sums.into_iter().enumerate() {
            let mut lanes = [0.0; LANES];
            if target.add {
                lanes = target.out.load(first_row + m, target.tile + t);
                sum = simd.mul_add(sum, one, simd.load(&lanes));
            }
            simd.store(sum, &mut lanes);
            target.out.store(first_row + m, target.tile + t, &lanes);
        }
    }
    M
}
