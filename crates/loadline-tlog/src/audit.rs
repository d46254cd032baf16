//! The check of everything: the whole log derived anew from its entries.

use crate::grow::{Edge, NewFile};
use crate::merkle::Hash;
use crate::tile::{self, Resource, Span, TILE_WIDTH};
use crate::tiles::{ReadError, TileSource, read};

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Entries.
    pub entries: u64,
    /// Tiles.
    pub tiles: u64,
    /// Bundles.
    pub bundles: u64,
}

/// The first thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError<E: std::error::Error> {
    /// A file that cannot be read, or is not in form.
    #[error(transparent)]
    Read(#[from] ReadError<E>),
    /// An entry, or its hash, is not the one that was logged.
    #[error("entry {entry} in {bundle} does not have the hash that {tile} says")]
    Entry {
        /// The entry.
        entry: u64,
        /// Its bundle.
        bundle: String,
        /// The tile with its hash.
        tile: String,
    },
    /// A hash of a tile above is not the root of the tile below.
    #[error("hash {hash} of {tile} is not the root of {below}")]
    Tile {
        /// The tile above.
        tile: String,
        /// Which of its hashes, from 0.
        hash: usize,
        /// The tile below.
        below: String,
    },
    /// Entries and tiles agree, but not with the checkpoint.
    #[error("entries and tiles agree, but the root over {0} entries is not the checkpoint's")]
    Root(u64),
}

/// Reads every entry and every tile of a log of this size and checks that they make this root. Memory does not grow
/// with the log. Every entry is shown to `visit`, with its index, once its hash was found to be in its tile.
///
/// # Errors
/// With the first file, entry or hash that is wrong.
pub fn audit<S: TileSource>(
    source: &S,
    size: u64,
    root: &Hash,
    visit: &mut dyn FnMut(u64, &[u8]),
) -> Result<Audited, AuditError<S::Error>> {
    let (mut edge, mut audited, mut full) = (Edge::new(), Audited::default(), Vec::new());
    while let Some(span) = Span::holding(edge.size(), size) {
        let bytes = read(source, Resource::Entries(span))?;
        let entries = tile::entries(span, &bytes).map_err(ReadError::Tile)?;
        for entry in &entries {
            edge.push(entry, &mut full).map_err(ReadError::Tile)?;
        }
        audited.bundles += 1;
        if !span.is_full() {
            full = edge.partial();
        }
        for file in full.drain(..) {
            compare(source, &file, &mut audited)?;
        }
        for (index, entry) in (span.start()..).zip(entries) {
            visit(index, entry);
        }
    }
    if size.is_multiple_of(TILE_WIDTH) {
        for file in edge.partial() {
            compare(source, &file, &mut audited)?;
        }
    }
    audited.entries = edge.size();
    if edge.root() == *root { Ok(audited) } else { Err(AuditError::Root(size)) }
}

fn compare<S: TileSource>(
    source: &S,
    file: &NewFile,
    audited: &mut Audited,
) -> Result<(), AuditError<S::Error>> {
    let Resource::Tile(tile) = file.resource else { return Ok(()) };
    let found = tile.hashes(&read(source, file.resource)?).map_err(ReadError::Tile)?;
    let expected = tile.hashes(&file.bytes).map_err(ReadError::Tile)?;
    audited.tiles += 1;
    let Some(hash) = found.iter().zip(&expected).position(|(found, expected)| found != expected) else {
        return Ok(());
    };
    let path = file.resource.path();
    let below = tile.span().start() + hash as u64;
    if tile.level() == 0 {
        let bundle = Resource::Entries(tile.span()).path();
        return Err(AuditError::Entry { entry: below, bundle, tile: path });
    }
    let below = Span::new(below, TILE_WIDTH as u16).and_then(|span| tile::Tile::new(tile.level() - 1, span));
    let below = below.map(|tile| Resource::Tile(tile).path()).unwrap_or_default();
    Err(AuditError::Tile { tile: path, hash, below })
}
