//! Keys and values of the tokens that were read.

use std::ops::Range;

use super::config::Config;
use crate::kernels::{LANES, Lanes};

/// Tiles of sixteen rows that are made room for at once. Doubling, as vectors do by themselves, would take half as
/// much memory again on average, and keys and values are most of what a request takes.
const ROOM: usize = 8;

/// Keys and values of one sequence, or of a tree of sequences, as layers need them. Rows are never moved, so a tree
/// is a matter of which rows a token may see.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    positions: Vec<u32>,
    kv_heads: usize,
    head_width: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LayerCache {
    /// Per sixteen rows, head and value of the head: the value of sixteen rows.
    keys: Vec<Lanes>,
    /// Per head and sixteen values of it: per row the sixteen values.
    values: Vec<Vec<Lanes>>,
}

impl KvCache {
    /// An empty cache for a decoder of this shape.
    pub fn new(config: &Config) -> Self {
        let parts = config.kv_heads * config.head_width.div_ceil(LANES);
        let layer = LayerCache { keys: Vec::new(), values: vec![Vec::new(); parts] };
        Self {
            layers: vec![layer; config.layers],
            positions: Vec::new(),
            kv_heads: config.kv_heads,
            head_width: config.head_width,
        }
    }

    /// How many rows it holds.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Forgets all rows from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.positions.truncate(len);
        let tiles = len.div_ceil(LANES);
        for layer in &mut self.layers {
            layer.keys.truncate(tiles * self.kv_heads * self.head_width);
            for values in &mut layer.values {
                values.truncate(tiles * LANES);
                // A forgotten row of the last tile is multiplied with 0, so it must be finite.
                values[len..].fill([0.0; LANES]);
            }
        }
    }

    /// A copy, to go on from the same place in another way.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// The position of each row in its sequence.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Makes room for rows at these positions; they are filled layer by layer.
    pub(super) fn extend(&mut self, positions: impl Iterator<Item = u32>) {
        self.positions.extend(positions);
        let tiles = self.len().div_ceil(LANES);
        let per_tile = self.kv_heads * self.head_width;
        for layer in &mut self.layers {
            grow(&mut layer.keys, tiles * per_tile, ROOM * per_tile);
            for values in &mut layer.values {
                grow(values, tiles * LANES, ROOM * LANES);
            }
        }
    }

    /// Writes the keys and values of one row, all heads one after another.
    pub(super) fn write(&mut self, layer: usize, row: usize, keys: &[f32], values: &[f32]) {
        let per_row = self.kv_heads * self.head_width;
        let layer = &mut self.layers[layer];
        let tile = &mut layer.keys[row / LANES * per_row..][..per_row];
        for (lanes, key) in tile.iter_mut().zip(keys) {
            lanes[row % LANES] = *key;
        }
        let parts = self.head_width.div_ceil(LANES);
        for (head, values) in values.chunks_exact(self.head_width).enumerate() {
            for (part, values) in values.chunks(LANES).enumerate() {
                layer.values[head * parts + part][row][..values.len()].copy_from_slice(values);
            }
        }
    }

    /// The keys of sixteen rows: per value of the head, the value of each row.
    pub(super) fn keys(&self, layer: usize, tile: usize, head: usize) -> &[Lanes] {
        &self.layers[layer].keys[(tile * self.kv_heads + head) * self.head_width..][..self.head_width]
    }

    /// Sixteen values of a head, for some rows.
    pub(super) fn values(&self, layer: usize, head: usize, part: usize, rows: Range<usize>) -> &[Lanes] {
        &self.layers[layer].values[head * self.head_width.div_ceil(LANES) + part][rows]
    }
}

/// Lengthens to `length`, with room up to the next multiple of `step`.
fn grow(lanes: &mut Vec<Lanes>, length: usize, step: usize) {
    if length > lanes.capacity() {
        lanes.reserve_exact(length.next_multiple_of(step) - lanes.len());
    }
    lanes.resize(length, [0.0; LANES]);
}
