//! Weight matrices: kept about as small as the file has them, multiplied in 32-bit floats or 8 bits.

mod blocks;
mod few;
mod format;
mod multiply;
mod tiles;

use rayon::prelude::*;

pub(crate) use multiply::Activations;

use crate::error::LocalError;
use crate::gguf::{Gguf, TensorInfo, TensorKind};
use crate::kernels::{LANES, Lanes, UNIT};
use crate::options::Precision;
use blocks::{UnitRow, float_at, take_apart};
use format::{Format, UNITS_PER_BLOCK};
use tiles::{UnitCodes, pack_unit, unit_to_floats, unpack_codes, unpack_scales};

/// Tiles that a thread reads and packs at once.
const TILES_PER_READ: usize = 8;

/// A weight matrix of `rows` outputs and `columns` inputs.
#[derive(Debug)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Packed(Packed),
    /// As in the file, for exact products of a file that holds floats: row-major bytes.
    Floats(TensorKind, Vec<u8>),
}

/// Codes and scales in tiles of sixteen rows; see [`Format`].
#[derive(Debug)]
struct Packed {
    format: Format,
    units: usize,
    /// Per tile and unit.
    codes: Vec<u8>,
    /// Per tile and unit.
    scales: Vec<u8>,
    /// Per tile and eight units; empty for formats with one level of scales.
    blocks: Vec<u8>,
}

impl Matrix {
    /// Reads a tensor piece by piece, on the threads of the current pool.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn load(file: &Gguf, tensor: &TensorInfo, precision: Precision) -> Result<Self, LocalError> {
        let is_float = matches!(tensor.kind, TensorKind::F32 | TensorKind::F16 | TensorKind::BF16);
        let storage = if is_float && precision == Precision::F32 {
            let mut bytes = vec![0; tensor.row_bytes() * tensor.rows];
            file.read_rows(tensor, 0, &mut bytes)?;
            Storage::Floats(tensor.kind, bytes)
        } else {
            Storage::Packed(Packed::load(file, tensor)?)
        };
        Ok(Self { rows: tensor.rows, columns: tensor.columns, storage })
    }

    /// How many outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Packed(packed) => packed.codes.len() + packed.scales.len() + packed.blocks.len(),
            Storage::Floats(_, bytes) => bytes.len(),
        }
    }

    /// Writes the weights of one output as floats.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        match &self.storage {
            Storage::Packed(packed) => packed.row(row, out),
            Storage::Floats(kind, bytes) => {
                let bytes = &bytes[row * self.columns * kind.block_bytes()..];
                for (i, value) in out.iter_mut().enumerate().take(self.columns) {
                    *value = float_at(*kind, bytes, i);
                }
            }
        }
    }
}

impl Packed {
    fn load(file: &Gguf, tensor: &TensorInfo) -> Result<Self, LocalError> {
        let format = Format::of(tensor.kind);
        let units = tensor.columns.div_ceil(UNIT);
        let tile_count = tensor.rows.div_ceil(LANES);
        let code_bytes = units * format.code_bytes();
        let scale_bytes = units * format.scale_bytes();
        let block_bytes = units.div_ceil(UNITS_PER_BLOCK) * format.block_bytes();
        let mut codes = vec![0u8; tile_count * code_bytes];
        let mut scales = vec![0u8; tile_count * scale_bytes];
        let mut blocks = vec![0u8; tile_count * block_bytes];
        codes
            .par_chunks_mut(TILES_PER_READ * code_bytes)
            .zip(scales.par_chunks_mut(TILES_PER_READ * scale_bytes))
            .zip(chunks_or_nothing(
                &mut blocks,
                TILES_PER_READ * block_bytes,
                tile_count.div_ceil(TILES_PER_READ),
            ))
            .enumerate()
            .try_for_each(|(piece, ((codes, scales), blocks))| {
                let first_row = piece * TILES_PER_READ * LANES;
                let rows = (TILES_PER_READ * LANES).min(tensor.rows - first_row);
                let mut bytes = vec![0; rows * tensor.row_bytes()];
                file.read_rows(tensor, first_row, &mut bytes)?;
                let mut rest = blocks;
                for (tile, rows) in bytes.chunks(LANES * tensor.row_bytes()).enumerate() {
                    let blocks;
                    (blocks, rest) = rest.split_at_mut(block_bytes);
                    pack_tile(
                        tensor,
                        rows,
                        &mut codes[tile * code_bytes..][..code_bytes],
                        &mut scales[tile * scale_bytes..][..scale_bytes],
                        blocks,
                    );
                }
                Ok(())
            })?;
        Ok(Self { format, units, codes, scales, blocks })
    }

    /// The codes, scales and upper scales of one tile.
    #[inline(always)]
    fn tile(&self, tile: usize) -> (&[u8], &[u8], &[u8]) {
        let part = |bytes: usize| tile * bytes..(tile + 1) * bytes;
        let codes = part(self.format.code_bytes() * self.units);
        let scales = part(self.format.scale_bytes() * self.units);
        let blocks = part(self.format.block_bytes() * self.units.div_ceil(UNITS_PER_BLOCK));
        (&self.codes[codes], &self.scales[scales], &self.blocks[blocks])
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let (codes, scales, blocks) = self.tile(row / LANES);
        let mut lines: UnitCodes = [[0; 64]; 8];
        let mut unit_scales = [[0.0; LANES]; 2];
        let mut mins = [[0.0; LANES]; 2];
        let mut floats: [Lanes; UNIT] = [[0.0; LANES]; UNIT];
        for (unit, out) in out.chunks_mut(UNIT).enumerate().take(self.units) {
            unpack_codes(self.format.bits, &codes[unit * self.format.code_bytes()..], &mut lines);
            unpack_scales(self.format, unit, scales, blocks, &mut unit_scales, &mut mins);
            unit_to_floats(self.format, &lines, &unit_scales, &mins, &mut floats);
            for (value, lanes) in out.iter_mut().zip(&floats) {
                *value = lanes[row % LANES];
            }
        }
    }
}

/// Chunks of a slice in parallel, or as many empty ones where there is nothing to cut.
fn chunks_or_nothing(
    bytes: &mut [u8],
    chunk: usize,
    count: usize,
) -> impl IndexedParallelIterator<Item = &mut [u8]> {
    let mut rest = bytes;
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let length = chunk.min(rest.len());
        let (first, others) = std::mem::take(&mut rest).split_at_mut(length);
        chunks.push(first);
        rest = others;
    }
    chunks.into_par_iter()
}

/// Packs at most sixteen rows as they are in the file.
fn pack_tile(tensor: &TensorInfo, rows: &[u8], codes: &mut [u8], scales: &mut [u8], blocks: &mut [u8]) {
    let format = Format::of(tensor.kind);
    // A float format is cut into units, whose last may be short.
    let per_block = (tensor.kind.block_len() / UNIT).max(1);
    let step = if tensor.kind.block_len() == 1 {
        UNIT * tensor.kind.block_bytes()
    } else {
        tensor.kind.block_bytes()
    };
    let mut units = [[UnitRow::default(); LANES]; UNITS_PER_BLOCK];
    let code_steps = codes.chunks_mut(per_block * format.code_bytes());
    let scale_steps = scales.chunks_mut(per_block * format.scale_bytes());
    for (block, (codes, scales)) in code_steps.zip(scale_steps).enumerate() {
        for (r, row) in rows.chunks(tensor.row_bytes()).enumerate() {
            let mut one = [UnitRow::default(); UNITS_PER_BLOCK];
            let bytes = &row[block * step..row.len().min((block + 1) * step)];
            let upper = take_apart(tensor.kind, bytes, &mut one[..per_block]);
            for (unit, one) in units.iter_mut().zip(one) {
                unit[r] = one;
            }
            if format.two_levels {
                let out = &mut blocks[block * format.block_bytes()..][..format.block_bytes()];
                for (half, upper) in out.chunks_mut(2 * LANES).zip(upper) {
                    half[2 * r..2 * r + 2].copy_from_slice(&upper.to_le_bytes());
                }
            }
        }
        for (unit, (codes, scales)) in units[..per_block]
            .iter()
            .zip(codes.chunks_mut(format.code_bytes()).zip(scales.chunks_mut(format.scale_bytes())))
        {
            pack_unit(format, unit, codes, scales);
        }
    }
}
