//! Growing a log: entries go in, tiles and bundles come out.

use crate::merkle::{Hash, Tree, leaf_hash};
use crate::tile::{self, HASH_BYTES, Resource, Span, TILE_WIDTH, Tile, TileError};

/// The right edge of a log: all that is needed to add entries. Its memory does not grow with the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    tree: Tree,
    /// For each level, the hashes of its last tile that is not full.
    levels: Vec<Vec<Hash>>,
    /// The last bundle that is not full.
    bundle: Vec<u8>,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// Which.
    pub resource: Resource,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Edge {
    /// The edge of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn from_parts(tree: Tree, levels: Vec<Vec<Hash>>, bundle: Vec<u8>) -> Self {
        Self { tree, levels, bundle }
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root over them.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Adds an entry. The tiles and the bundle that it fills are pushed to `full`.
    ///
    /// # Errors
    /// When the entry is too long, or the log has 2⁶³ − 1 entries already. Nothing changes then.
    pub fn push(&mut self, entry: &[u8], full: &mut Vec<NewFile>) -> Result<u64, TileError> {
        if self.size() >= i64::MAX as u64 {
            return Err(TileError::Full);
        }
        tile::push_entry(&mut self.bundle, entry)?;
        let leaf = leaf_hash(entry);
        let index = self.tree.push(leaf);
        let last = Span::holding(index, index + 1).ok_or(TileError::Full)?;
        if last.is_full() {
            let bytes = std::mem::take(&mut self.bundle);
            full.push(NewFile { resource: Resource::Entries(last), bytes });
        }
        self.push_hash(leaf, full)?;
        Ok(index)
    }

    /// Adds the hash of an entry to level 0, and the root of each tile that is full to the level above.
    fn push_hash(&mut self, leaf: Hash, full: &mut Vec<NewFile>) -> Result<(), TileError> {
        let size = self.tree.size();
        let mut hash = leaf;
        for level in 0..=tile::MAX_LEVEL {
            if usize::from(level) == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(usize::from(level)) else { break };
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_WIDTH {
                break;
            }
            let hashes = std::mem::take(hashes);
            hash = root_of(&hashes);
            let items = tile::items_at(level, size);
            let tile = last_tile(level, items).ok_or(TileError::Full)?;
            full.push(NewFile { resource: Resource::Tile(tile), bytes: hashes.concat() });
        }
        Ok(())
    }

    /// The bundle and the tiles that are not full, for a checkpoint of this size.
    pub fn partial(&self) -> Vec<NewFile> {
        let size = self.size();
        let mut files = Vec::new();
        if let Some(span) = size.checked_sub(1).and_then(|last| Span::holding(last, size))
            && !self.bundle.is_empty()
        {
            files.push(NewFile { resource: Resource::Entries(span), bytes: self.bundle.clone() });
        }
        for (level, hashes) in (0..).zip(&self.levels) {
            let tile = last_tile(level, tile::items_at(level, size));
            if let Some(tile) = tile.filter(|_| !hashes.is_empty()) {
                debug_assert_eq!(hashes.len(), usize::from(tile.span().width()));
                files.push(NewFile { resource: Resource::Tile(tile), bytes: hashes.concat() });
            }
        }
        files
    }
}

/// The last tile of a level with so many hashes.
pub(crate) fn last_tile(level: u8, items: u64) -> Option<Tile> {
    Tile::new(level, Span::holding(items.checked_sub(1)?, items)?)
}

/// The root over hashes of one level, which must be the leaves of one tile.
pub(crate) fn root_of(hashes: &[Hash]) -> Hash {
    let mut tree = Tree::new();
    for hash in hashes {
        tree.push(*hash);
    }
    tree.root()
}

/// Bytes of a file with so many hashes.
pub(crate) const fn tile_bytes(width: u16) -> usize {
    width as usize * HASH_BYTES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_tiles_are_those_of_the_specification() {
        let (mut edge, mut files) = (Edge::new(), Vec::new());
        for number in 0..70_000u32 {
            edge.push(&number.to_be_bytes(), &mut files).unwrap();
        }
        let full_bundles = files.iter().filter(|file| matches!(file.resource, Resource::Entries(_))).count();
        assert_eq!(full_bundles, 273);
        files.extend(edge.partial());
        let files: BTreeMap<String, usize> =
            files.into_iter().map(|file| (file.resource.path(), file.bytes.len())).collect();
        assert_eq!(files.len(), 274 + 274 + 2 + 1);
        assert_eq!(files["tile/0/272"], 8192);
        assert_eq!(files["tile/0/273.p/112"], 112 * 32);
        assert_eq!(files["tile/1/000"], 8192);
        assert_eq!(files["tile/1/001.p/17"], 17 * 32);
        assert_eq!(files["tile/2/000.p/1"], 32);
        assert_eq!(files["tile/entries/273.p/112"], 112 * 6);
    }

    #[test]
    fn a_tree_of_256_has_one_full_tile_and_one_above() {
        let (mut edge, mut files) = (Edge::new(), Vec::new());
        assert!(edge.partial().is_empty());
        for number in 0..256u32 {
            edge.push(&number.to_be_bytes(), &mut files).unwrap();
        }
        files.extend(edge.partial());
        let paths: Vec<_> = files.iter().map(|file| file.resource.path()).collect();
        assert_eq!(paths, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(files[2].bytes, edge.root());
    }
}
