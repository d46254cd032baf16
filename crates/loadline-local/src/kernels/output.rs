//! A row-major matrix cut into blocks of columns, so that several threads can fill it at once.
#![expect(
    unsafe_code,
    reason = "blocks of columns of one slice interleave in memory, which safe slices cannot say"
)]

use std::marker::PhantomData;
use std::ops::Range;

use super::simd::{LANES, Lanes};

/// Some columns of a matrix, in tiles of sixteen. No two blocks of a matrix share a column.
pub(crate) struct ColumnBlock<'a> {
    /// The first value of the whole matrix.
    data: *mut f32,
    rows: usize,
    columns: usize,
    tiles: Range<usize>,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block is the only one that touches its columns, so it may move to another thread.
unsafe impl Send for ColumnBlock<'_> {}

/// Cuts a matrix of `columns` columns into blocks of at most `tiles_per_block` tiles.
pub(crate) fn split_columns(
    data: &mut [f32],
    columns: usize,
    tiles_per_block: usize,
) -> Vec<ColumnBlock<'_>> {
    assert!(columns > 0 && data.len().is_multiple_of(columns), "a matrix has whole rows");
    let rows = data.len() / columns;
    let tiles = columns.div_ceil(LANES);
    let data = data.as_mut_ptr();
    (0..tiles)
        .step_by(tiles_per_block.max(1))
        .map(|first| {
            let tiles = first..tiles.min(first + tiles_per_block.max(1));
            ColumnBlock { data, rows, columns, tiles, life: PhantomData }
        })
        .collect()
}

impl ColumnBlock<'_> {
    /// How many rows the matrix has.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The tiles of this block.
    #[inline(always)]
    pub fn tiles(&self) -> Range<usize> {
        self.tiles.clone()
    }

    /// Where a tile's row begins, and how many of its sixteen columns are in the matrix.
    #[inline(always)]
    fn place(&self, row: usize, tile: usize) -> (usize, usize) {
        assert!(row < self.rows && self.tiles.contains(&tile), "inside the block");
        (row * self.columns + tile * LANES, LANES.min(self.columns - tile * LANES))
    }

    /// What is in a row of a tile; 0 beyond the right edge of the matrix.
    #[inline(always)]
    pub fn load(&self, row: usize, tile: usize) -> Lanes {
        let (at, width) = self.place(row, tile);
        let mut lanes = [0.0; LANES];
        // SAFETY: `at .. at + width` is inside the matrix and in columns that only this block touches.
        unsafe {
            if width == LANES {
                lanes = self.data.add(at).cast::<Lanes>().read();
            } else {
                std::ptr::copy_nonoverlapping(self.data.add(at), lanes.as_mut_ptr(), width);
            }
        }
        lanes
    }

    /// Writes a row of a tile; what is beyond the right edge of the matrix is dropped.
    #[inline(always)]
    pub fn store(&mut self, row: usize, tile: usize, lanes: &Lanes) {
        let (at, width) = self.place(row, tile);
        // SAFETY: `at .. at + width` is inside the matrix and in columns that only this block touches.
        unsafe {
            if width == LANES {
                self.data.add(at).cast::<Lanes>().write(*lanes);
            } else {
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), self.data.add(at), width);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_their_columns_and_nothing_else() {
        let mut data = vec![-1.0f32; 3 * 37];
        let mut blocks = split_columns(&mut data, 37, 2);
        assert_eq!(blocks.iter().map(ColumnBlock::tiles).collect::<Vec<_>>(), [0..2, 2..3]);
        std::thread::scope(|scope| {
            for block in &mut blocks {
                scope.spawn(|| {
                    let tiles = block.tiles();
                    for (row, tile) in (0..3).flat_map(|row| tiles.clone().map(move |tile| (row, tile))) {
                        block.store(row, tile, &[(row * 10 + tile) as f32; LANES]);
                    }
                });
            }
        });
        assert_eq!(blocks[1].load(2, 2)[..6], [22.0, 22.0, 22.0, 22.0, 22.0, 0.0]);
        drop(blocks);
        for (i, value) in data.iter().enumerate() {
            assert_eq!(*value, (i / 37 * 10 + i % 37 / LANES) as f32);
        }
    }

    #[test]
    #[should_panic(expected = "inside the block")]
    fn a_block_keeps_to_its_columns() {
        let mut data = vec![0.0f32; 64];
        split_columns(&mut data, 64, 2)[0].store(0, 2, &[0.0; LANES]);
    }
}
