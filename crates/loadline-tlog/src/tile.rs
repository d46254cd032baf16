//! Tiles: how a log's tree and entries are cut into files that never change (C2SP tlog-tiles).
//!
//! A tile holds up to 256 neighbouring hashes of one level; each hash of a tile at level L + 1 is the root over a full
//! tile at level L. A bundle holds up to 256 neighbouring entries.

use crate::merkle::Hash;
use crate::text;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;

/// The longest entry, in bytes: its length stands in two.
pub const MAX_ENTRY_BYTES: usize = 65_535;

/// The longest bundle, in bytes.
pub const MAX_BUNDLE_BYTES: usize = 256 * (2 + MAX_ENTRY_BYTES);

/// The highest level at which a tree of up to 2⁶⁴ − 1 entries has a tile.
pub const MAX_LEVEL: u8 = 7;

/// A file of a log, as it stands behind the log's prefix, in a URL as on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `checkpoint`: the newest signed checkpoint. The only one that changes.
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`: hashes.
    Tile(Tile),
    /// `tile/entries/<N>[.p/<W>]`: entries.
    Entries(Span),
}

/// Which part of a level a tile or bundle covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    index: u64,
    width: u16,
}

/// A tile's place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    level: u8,
    span: Span,
}

/// Why a path names no file of a log, or a file's bytes are not what it must hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// The path is not one of a log.
    #[error("`{0}` is no file of a log")]
    Path(String),
    /// A tile of another length than its width says.
    #[error("{path} must have {expected} bytes and has {found}")]
    Length {
        /// Which file.
        path: String,
        /// Bytes it must have.
        expected: usize,
        /// Bytes it has.
        found: usize,
    },
    /// A bundle that does not hold the entries it must.
    #[error("{path} is damaged at entry {entry}")]
    Bundle {
        /// Which file.
        path: String,
        /// The first entry that cannot be read, counted from the log's beginning.
        entry: u64,
    },
    /// An entry that no bundle can hold.
    #[error("an entry has at most {MAX_ENTRY_BYTES} bytes, this one has {0}")]
    EntryTooLong(usize),
    /// A tree has at most 2⁶³ − 1 entries.
    #[error("a log cannot have more entries")]
    Full,
}

impl Span {
    /// The span with this index and width; `None` when the width is not 1 to 256.
    pub fn new(index: u64, width: u16) -> Option<Self> {
        let fits = index <= u64::MAX / TILE_WIDTH && (1..=TILE_WIDTH).contains(&u64::from(width));
        fits.then_some(Self { index, width })
    }

    /// The span that holds this item in a level with so many items; `None` when the item is not there.
    pub fn holding(item: u64, items: u64) -> Option<Self> {
        if item >= items {
            return None;
        }
        let index = item / TILE_WIDTH;
        let width = (items - index * TILE_WIDTH).min(TILE_WIDTH);
        Some(Self { index, width: u16::try_from(width).ok()? })
    }

    /// Its number in the level, from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many items it has, 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// The first item.
    pub fn start(self) -> u64 {
        self.index * TILE_WIDTH
    }

    /// Whether it has all 256 items.
    pub fn is_full(self) -> bool {
        u64::from(self.width) == TILE_WIDTH
    }

    /// The same span with all 256 items.
    #[must_use]
    pub fn full(self) -> Self {
        Self { index: self.index, width: 256 }
    }

    /// Whether a level with so many items has all of it.
    fn is_within(self, items: u64) -> bool {
        self.start().checked_add(u64::from(self.width)).is_some_and(|end| end <= items)
    }

    /// `x001/x234/067`, and `.p/<W>` when it is not full.
    fn path(self) -> String {
        let mut path = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            path = format!("x{:03}/{path}", rest % 1000);
            rest /= 1000;
        }
        if !self.is_full() {
            path.push_str(&format!(".p/{}", self.width));
        }
        path
    }

    fn parse(path: &str) -> Option<Self> {
        let (number, width) = match path.split_once(".p/") {
            Some((number, width)) => (number, u16::try_from(text::decimal(width)?).ok()?),
            None => (path, 256),
        };
        let mut index = 0u64;
        for part in number.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let span = Self::new(index, width)?;
        // Whatever would be written in another way is not its path: leading zeros, missing `x`, `.p/256`.
        (span.path() == path).then_some(span)
    }
}

impl Tile {
    /// The tile at this level; `None` above [`MAX_LEVEL`].
    pub fn new(level: u8, span: Span) -> Option<Self> {
        (level <= MAX_LEVEL).then_some(Self { level, span })
    }

    /// The level: 0 holds the hashes of entries.
    pub fn level(self) -> u8 {
        self.level
    }

    /// Which part of its level it covers.
    pub fn span(self) -> Span {
        self.span
    }

    /// Splits its bytes into hashes.
    ///
    /// # Errors
    /// When there are not exactly as many bytes as the width says.
    pub fn hashes(self, bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
        let expected = usize::from(self.span.width) * HASH_BYTES;
        if bytes.len() != expected {
            let path = Resource::Tile(self).path();
            return Err(TileError::Length { path, expected, found: bytes.len() });
        }
        Ok(bytes.as_chunks::<HASH_BYTES>().0.to_vec())
    }
}

/// How many hashes the tiles of a level hold in a tree of this size.
pub fn items_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

impl Resource {
    /// The path behind the log's prefix, without a slash in front.
    pub fn path(self) -> String {
        match self {
            Self::Checkpoint => "checkpoint".to_owned(),
            Self::Tile(tile) => format!("tile/{}/{}", tile.level, tile.span.path()),
            Self::Entries(span) => format!("tile/entries/{}", span.path()),
        }
    }

    /// Reads a path behind the log's prefix. Each file has one path, and nothing else is one: safe to join to a folder.
    ///
    /// # Errors
    /// When it is not exactly the path of a file.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        Self::parse_path(path).ok_or_else(|| TileError::Path(text::excerpt(path)))
    }

    fn parse_path(path: &str) -> Option<Self> {
        // The longest index has 7 groups of 4 characters and slashes.
        if path.len() > 64 {
            return None;
        }
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let rest = path.strip_prefix("tile/")?;
        if let Some(span) = rest.strip_prefix("entries/") {
            return Span::parse(span).map(Self::Entries);
        }
        let (level, span) = rest.split_once('/')?;
        let level = u8::try_from(text::decimal(level)?).ok()?;
        Tile::new(level, Span::parse(span)?).map(Self::Tile)
    }

    /// The `Content-Type` to serve it with.
    pub fn content_type(self) -> &'static str {
        if self == Self::Checkpoint { "text/plain; charset=utf-8" } else { "application/octet-stream" }
    }

    /// The `Cache-Control` to serve it with: all but the checkpoint never change.
    pub fn cache_control(self) -> &'static str {
        if self == Self::Checkpoint { "no-cache" } else { "public, max-age=604800, immutable" }
    }

    /// Whether a tree of this size vouches for all of it. A server serves nothing else: what lies beyond the published
    /// checkpoint may yet change.
    pub fn is_within(self, size: u64) -> bool {
        match self {
            Self::Checkpoint => true,
            Self::Tile(tile) => tile.span.is_within(items_at(tile.level, size)),
            Self::Entries(span) => span.is_within(size),
        }
    }

    /// The file with all 256 items that replaces a partial one.
    #[must_use]
    pub fn full(self) -> Self {
        match self {
            Self::Checkpoint => Self::Checkpoint,
            Self::Tile(Tile { level, span }) => Self::Tile(Tile { level, span: span.full() }),
            Self::Entries(span) => Self::Entries(span.full()),
        }
    }
}

/// Appends an entry to the bytes of a bundle.
///
/// # Errors
/// When the entry is longer than [`MAX_ENTRY_BYTES`].
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLong(entry.len()))?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Splits the bytes of a bundle into its entries.
///
/// # Errors
/// When they are not exactly as many entries as the span says.
pub fn entries(span: Span, bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let path = || Resource::Entries(span).path();
    let mut rest = bytes;
    let mut found = Vec::with_capacity(usize::from(span.width));
    for number in 0..u64::from(span.width) {
        let entry = rest
            .split_first_chunk::<2>()
            .and_then(|(length, after)| after.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let Some((entry, after)) = entry else {
            return Err(TileError::Bundle { path: path(), entry: span.start() + number });
        };
        found.push(entry);
        rest = after;
    }
    if rest.is_empty() {
        return Ok(found);
    }
    Err(TileError::Length { path: path(), expected: bytes.len() - rest.len(), found: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_its_file_are_one() {
        let cases = [
            ("tile/0/000", 0, 0, 256),
            ("tile/0/x001/x234/067", 0, 1_234_067, 256),
            ("tile/7/003.p/1", 7, 3, 1),
            ("tile/2/x001/000.p/255", 2, 1000, 255),
            ("tile/0/x072/x057/x594/x037/x927/935", 0, u64::MAX / 256, 256),
        ];
        for (path, level, index, width) in cases {
            let tile = Tile::new(level, Span::new(index, width).unwrap()).unwrap();
            assert_eq!(Resource::Tile(tile).path(), path);
            assert_eq!(Resource::parse(path), Ok(Resource::Tile(tile)));
        }
        assert_eq!(Resource::parse("tile/entries/x123/456.p/7").unwrap().path(), "tile/entries/x123/456.p/7");
        assert_eq!(Resource::parse("checkpoint"), Ok(Resource::Checkpoint));
    }

    #[test]
    fn nothing_else_is_a_path() {
        let wrong = [
            "",
            "/checkpoint",
            "checkpoint/",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/x001/x002",
            "tile/00/000",
            "tile/8/000",
            "tile/-1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/2",
            "tile/0/../../../secret",
            "tile/entries/../lock",
            "tile/0/000\0",
            "tile/0/+01",
            "tile/0/x072/x057/x594/x037/x927/936",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/data/000",
            "head",
        ];
        for path in wrong {
            assert!(Resource::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_the_specification_lists() {
        assert_eq!(items_at(0, 70_000), 70_000);
        assert_eq!(items_at(1, 70_000), 273);
        assert_eq!(items_at(2, 70_000), 1);
        assert_eq!(items_at(3, 70_000), 0);
        assert_eq!(Span::holding(69_999, 70_000), Span::new(273, 112));
        assert_eq!(Span::holding(272, 273), Span::new(1, 17));
        assert_eq!(Span::holding(70_000, 70_000), None);
        assert!(Resource::parse("tile/0/273.p/112").unwrap().is_within(70_000));
        assert!(!Resource::parse("tile/0/273.p/113").unwrap().is_within(70_000));
        assert!(!Resource::parse("tile/0/273").unwrap().is_within(70_000));
        assert!(!Resource::parse("tile/0/x072/x057/x594/x037/x927/935").unwrap().is_within(u64::MAX - 1));
    }

    #[test]
    fn a_bundle_holds_what_was_put_in_and_nothing_more() {
        let mut bytes = Vec::new();
        for entry in [&b""[..], b"one", &[0; MAX_ENTRY_BYTES]] {
            push_entry(&mut bytes, entry).unwrap();
        }
        assert_eq!(push_entry(&mut bytes, &[0; MAX_ENTRY_BYTES + 1]), Err(TileError::EntryTooLong(65_536)));
        let span = Span::new(2, 3).unwrap();
        assert_eq!(entries(span, &bytes).unwrap()[1], b"one");
        for cut in 0..bytes.len().min(20) {
            assert!(entries(span, &bytes[..cut]).is_err(), "{cut}");
        }
        let error = entries(span, &bytes[..5]).unwrap_err();
        assert_eq!(error.to_string(), "tile/entries/002.p/3 is damaged at entry 513");
        bytes.push(0);
        assert!(entries(span, &bytes).is_err());
    }
}
