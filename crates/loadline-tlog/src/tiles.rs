//! Reading a log from its tiles: proofs, the right edge, and the check of everything.
//!
//! The source is not trusted: a proof that is handed out was verified against the root of the checkpoint it was asked
//! for, so wrong tiles give an error and never a wrong proof.

use std::collections::BTreeMap;

use crate::grow::{self, Edge};
use crate::merkle::{ConsistencyProof, Hash, InclusionProof, ProofError, Tree};
use crate::tile::{self, Resource, Span, Tile, TileError};

/// Where the files of a log come from: a folder, a server, a map in a test.
pub trait TileSource {
    /// Why a file cannot be had.
    type Error: std::error::Error;

    /// The bytes of a file. A source that keeps only full files gives the first part of one for a partial file:
    /// [`cut`] does it.
    ///
    /// # Errors
    /// When it cannot be had.
    fn read(&self, resource: Resource) -> Result<Vec<u8>, Self::Error>;
}

impl<S: TileSource + ?Sized> TileSource for &S {
    type Error = S::Error;

    fn read(&self, resource: Resource) -> Result<Vec<u8>, Self::Error> {
        (**self).read(resource)
    }
}

/// Why something cannot be read from a log's tiles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError<E: std::error::Error> {
    /// The source did not give a file.
    #[error("{path}: {source}")]
    Source {
        /// Which file.
        path: String,
        /// Why.
        source: E,
    },
    /// A file is not in form.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// The tiles do not lead to the root, or there is no such entry.
    #[error("the tiles do not prove it: {0}")]
    Proof(#[from] ProofError),
    /// An entry is not the one whose hash is in the tree.
    #[error("entry {0} is not the one whose hash is in the tree")]
    Entry(u64),
}

/// Tiles kept in memory, at most this many: 8 KiB each.
const CACHED_TILES: usize = 1024;

/// Reads a log at one size and root. Tiles are read once and kept, up to a limit.
#[derive(Debug)]
pub struct TileReader<S> {
    source: S,
    size: u64,
    root: Hash,
    cache: BTreeMap<Tile, Vec<Hash>>,
}

impl<S: TileSource> TileReader<S> {
    /// A reader for the log that had this size and this root.
    pub fn new(source: S, size: u64, root: Hash) -> Self {
        Self { source, size, root, cache: BTreeMap::new() }
    }

    /// The log's size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Proves that an entry is in the log; gives its leaf hash too. Reads at most two tiles for each level.
    ///
    /// # Errors
    /// When there is no such entry, a tile cannot be read, or the tiles do not lead to the root.
    pub fn inclusion(&mut self, index: u64) -> Result<(Hash, InclusionProof), ReadError<S::Error>> {
        let size = self.size;
        if index >= size {
            return Err(ProofError::OutOfRange { index, size }.into());
        }
        let leaf = self.node(0, index)?;
        let mut path = Vec::new();
        let (mut start, mut end) = (0, size);
        // From the root down to the leaf (RFC 6962, 2.1.1); the path is written from the leaf up.
        while end - start > 1 {
            let middle = start + largest_power_below(end - start);
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        let proof = InclusionProof { index, size, path };
        proof.verify(&leaf, &self.root)?;
        Ok((leaf, proof))
    }

    /// Proves that the log is the one of an earlier size with entries added; gives the earlier root too.
    ///
    /// # Errors
    /// When the log is smaller, a tile cannot be read, or the tiles do not lead to the root.
    pub fn consistency(&mut self, old_size: u64) -> Result<(Hash, ConsistencyProof), ReadError<S::Error>> {
        let new_size = self.size;
        if old_size > new_size {
            return Err(ProofError::OutOfRange { index: old_size, size: new_size }.into());
        }
        let old_root = if old_size == new_size { self.root } else { self.range(0, old_size)? };
        let mut path = Vec::new();
        if old_size > 0 && old_size < new_size {
            let (mut start, mut end, mut whole) = (0, new_size, true);
            // SUBPROOF of RFC 6962, 2.1.2, from the root down; the path is written from below.
            while old_size != end {
                let middle = start + largest_power_below(end - start);
                if old_size <= middle {
                    path.push(self.range(middle, end)?);
                    end = middle;
                } else {
                    path.push(self.range(start, middle)?);
                    (start, whole) = (middle, false);
                }
            }
            if !whole {
                path.push(self.range(start, end)?);
            }
            path.reverse();
        }
        let proof = ConsistencyProof { old_size, new_size, path };
        proof.verify(&old_root, &self.root)?;
        Ok((old_root, proof))
    }

    /// An entry, checked to be in the log, with its proof.
    ///
    /// # Errors
    /// As [`TileReader::inclusion`], and when the entry's bytes are not those that were logged.
    pub fn entry(&mut self, index: u64) -> Result<(Vec<u8>, InclusionProof), ReadError<S::Error>> {
        let (leaf, proof) = self.inclusion(index)?;
        let span = Span::holding(index, self.size).ok_or(ReadError::Entry(index))?;
        let bytes = read(&self.source, Resource::Entries(span))?;
        let entry = *tile::entries(span, &bytes)?
            .get((index - span.start()) as usize)
            .ok_or(ReadError::Entry(index))?;
        if crate::merkle::leaf_hash(entry) != leaf {
            return Err(ReadError::Entry(index));
        }
        Ok((entry.to_vec(), proof))
    }

    /// The right edge, to add entries to the log. Its tiles were checked against the root, its entries against their
    /// hashes.
    ///
    /// # Errors
    /// When a file cannot be read or does not fit the root.
    pub fn edge(&mut self) -> Result<Edge, ReadError<S::Error>> {
        let size = self.size;
        let mut frontier = Vec::new();
        let mut covered = 0;
        for height in (0..u64::BITS).rev().filter(|height| size >> height & 1 == 1) {
            frontier.push(self.node(height, covered >> height)?);
            covered += 1 << height;
        }
        let tree = Tree::from_frontier(size, frontier);
        if tree.root() != self.root {
            return Err(ProofError::RootMismatch.into());
        }
        let mut levels = Vec::new();
        for level in (0..=tile::MAX_LEVEL).take_while(|level| tile::items_at(*level, size) > 0) {
            let tile = grow::last_tile(level, tile::items_at(level, size));
            let partial = tile.filter(|tile| !tile.span().is_full());
            levels.push(partial.map(|tile| self.tile(tile)).transpose()?.unwrap_or_default());
        }
        let bundle = self.last_bundle(levels.first().map(Vec::as_slice).unwrap_or_default())?;
        let edge = Edge::from_parts(tree, levels, bundle);
        Ok(edge)
    }

    fn last_bundle(&self, leaves: &[Hash]) -> Result<Vec<u8>, ReadError<S::Error>> {
        let span = self.size.checked_sub(1).and_then(|last| Span::holding(last, self.size));
        let Some(span) = span.filter(|span| !span.is_full()) else { return Ok(Vec::new()) };
        let bytes = read(&self.source, Resource::Entries(span))?;
        for (number, (entry, leaf)) in
            (span.start()..).zip(tile::entries(span, &bytes)?.into_iter().zip(leaves))
        {
            if crate::merkle::leaf_hash(entry) != *leaf {
                return Err(ReadError::Entry(number));
            }
        }
        Ok(bytes)
    }

    /// The root over the entries `start..end`, from the roots of the perfect trees in it.
    fn range(&mut self, start: u64, end: u64) -> Result<Hash, ReadError<S::Error>> {
        let mut frontier = Vec::new();
        let mut from = start;
        while from < end {
            // `start` is a multiple of every power of two that fits, so the widest tree first.
            let height = (end - from).ilog2();
            frontier.push(self.node(height, from >> height)?);
            from += 1 << height;
        }
        Ok(Tree::from_frontier(end - start, frontier).root())
    }

    /// The root of the perfect tree of this height (0: a leaf) with this number.
    fn node(&mut self, height: u32, number: u64) -> Result<Hash, ReadError<S::Error>> {
        let (level, inner) = ((height / 8) as u8, height % 8);
        let first = number << inner;
        let span = Span::holding(first, tile::items_at(level, self.size));
        let tile = span.and_then(|span| Tile::new(level, span));
        let tile = tile.ok_or(ProofError::OutOfRange { index: first, size: self.size })?;
        let hashes = self.tile(tile)?;
        let offset = (first - tile.span().start()) as usize;
        let under = hashes.get(offset..offset + (1 << inner)).unwrap_or_default();
        Ok(grow::root_of(under))
    }

    fn tile(&mut self, tile: Tile) -> Result<Vec<Hash>, ReadError<S::Error>> {
        if let Some(hashes) = self.cache.get(&tile) {
            return Ok(hashes.clone());
        }
        let hashes = tile.hashes(&read(&self.source, Resource::Tile(tile))?)?;
        if self.cache.len() >= CACHED_TILES {
            self.cache.clear();
        }
        self.cache.insert(tile, hashes.clone());
        Ok(hashes)
    }
}

/// The largest power of two below `n`, for n ≥ 2.
fn largest_power_below(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Reads a file and puts its path into the error.
pub(crate) fn read<S: TileSource>(source: &S, resource: Resource) -> Result<Vec<u8>, ReadError<S::Error>> {
    source.read(resource).map_err(|source| ReadError::Source { path: resource.path(), source })
}

/// The first part of a full file's bytes: what the partial file holds. `None` when there are too few bytes.
pub fn cut(partial: Resource, full: &[u8]) -> Option<Vec<u8>> {
    let end = match partial {
        Resource::Checkpoint => full.len(),
        Resource::Tile(tile) => grow::tile_bytes(tile.span().width()),
        Resource::Entries(span) => {
            let mut end = 0usize;
            for _ in 0..span.width() {
                let length = full.get(end..)?.first_chunk::<2>()?;
                end = end.checked_add(2 + usize::from(u16::from_be_bytes(*length)))?;
            }
            end
        }
    };
    full.get(..end).map(<[u8]>::to_vec)
}
