//! The bytes of a log: a first line, then frames. `docs/formats/record.md` is the page of this format, and
//! `docs/formats/audit.md` that of logs that never end.
//!
//! A frame is one line: `R 0000054c 9f86d081884c7d65 {…}` and a line feed: kind, length of the payload, check,
//! payload. Fixed widths and lower case only, so that one content has one form.

use loadline_core::digest::{Digest, hex};
use loadline_tlog::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};

/// The first line of a record: what it is, and the version of the byte format.
pub(crate) const FIRST_LINE: &[u8] = b"loadline-record 1\n";
/// The first line of a segment of a log that never ends.
pub(crate) const SEGMENT_FIRST_LINE: &[u8] = b"loadline-log 1\n";
/// Bytes of a frame before its payload.
pub(crate) const HEADER_LEN: usize = 28;
/// The largest payload, in bytes. A limit, so that a false length cannot ask for the whole memory.
pub(crate) const MAX_PAYLOAD_LEN: usize = 64 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A row, as JSON.
    Row,
    /// So many rows are durable: [`Checkpoint`].
    Checkpoint,
    /// In place of a row: its leaf hash, as 64 hexadecimal digits.
    Withheld,
    /// What a segment begins with: [`Begin`].
    Begin,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Row => b'R',
            Self::Checkpoint => b'C',
            Self::Withheld => b'W',
            Self::Begin => b'B',
        }
    }

    fn from_letter(letter: u8) -> Option<Self> {
        [Self::Row, Self::Checkpoint, Self::Withheld, Self::Begin]
            .into_iter()
            .find(|kind| kind.letter() == letter)
    }

    /// What the check of a frame is taken from. A row's is its RFC 6962 leaf hash (0x00 before the payload); the
    /// others have their letter in that place.
    pub(crate) fn hash(self, payload: &[u8]) -> Hash {
        match self {
            Self::Row => leaf_hash(payload),
            _ => {
                let mut hasher = loadline_core::digest::Hasher::new();
                hasher.update(&[self.letter()]);
                hasher.update(payload);
                hasher.finish().0
            }
        }
    }
}

/// What a checkpoint says: these rows were durable when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    /// How many rows, from the first.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The payload: one form only.
    pub(crate) fn payload(&self) -> Vec<u8> {
        format!("{{\"size\":{},\"root\":\"{}\"}}", self.size, self.root).into_bytes()
    }

    /// Reads a payload; `None` unless it is exactly what [`Checkpoint::payload`] writes.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let checkpoint: Self = serde_json::from_slice(payload).ok()?;
        (checkpoint.payload() == payload).then_some(checkpoint)
    }
}

/// What a segment says of the rows before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// Roots of the perfect subtrees over the rows before, from left to right.
    pub edge: Vec<Digest>,
    /// The number of the segment's first row.
    pub first: u64,
    /// The name of the log.
    pub name: String,
}

impl Begin {
    /// The payload: one form only.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a payload; `None` unless it is exactly what [`Begin::payload`] writes, of a tree that can be.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let begin: Self = serde_json::from_slice(payload).ok()?;
        let fits = begin.edge.len() == begin.first.count_ones() as usize;
        (fits && begin.payload().ok()? == payload).then_some(begin)
    }
}

/// Appends a frame around a payload that [`begin`] and the caller put at the end of `buffer`: fills in the header
/// left free, and ends the line. Gives the hash behind the check, for a row the leaf hash.
pub(crate) fn finish(buffer: &mut Vec<u8>, start: usize, kind: Kind) -> Hash {
    let (head, payload) = buffer[start..].split_at_mut(HEADER_LEN);
    let hash = kind.hash(payload);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    head[0] = kind.letter();
    head[1] = b' ';
    head[2..10].copy_from_slice(hex(&length.to_be_bytes()).as_bytes());
    head[10] = b' ';
    head[11..27].copy_from_slice(hex(&hash[..8]).as_bytes());
    head[27] = b' ';
    buffer.push(b'\n');
    hash
}

/// Leaves room for a header and says where it is.
pub(crate) fn begin(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.resize(start + HEADER_LEN, 0);
    start
}

/// Appends a whole frame.
pub(crate) fn push(buffer: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> Hash {
    let start = begin(buffer);
    buffer.extend_from_slice(payload);
    finish(buffer, start, kind)
}

/// A frame's header, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub length: usize,
    pub check: [u8; 8],
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Says what is wrong with it, in words.
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, &'static str> {
        let kind = Kind::from_letter(bytes[0]).ok_or("no frame begins here")?;
        if bytes[1] != b' ' || bytes[10] != b' ' || bytes[27] != b' ' {
            return Err("the frame's header is not separated by spaces");
        }
        let length = unhex::<4>(&bytes[2..10]).ok_or("the frame's length is not hexadecimal")?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_PAYLOAD_LEN {
            return Err("the frame's length is beyond the limit");
        }
        let check = unhex::<8>(&bytes[11..27]).ok_or("the frame's check is not hexadecimal")?;
        Ok(Self { kind, length, check })
    }
}

/// Bytes from lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_line_that_says_its_length_and_check() {
        let mut bytes = Vec::new();
        let hash = push(&mut bytes, Kind::Row, b"{}");
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text, format!("R 00000002 {} {{}}\n", hex(&hash[..8])));
        let header = Header::parse(bytes[..HEADER_LEN].try_into().unwrap()).unwrap();
        assert_eq!(header, Header { kind: Kind::Row, length: 2, check: hash[..8].try_into().unwrap() });
    }

    #[test]
    fn only_the_written_form_of_a_header_is_read() {
        let mut bytes = Vec::new();
        push(&mut bytes, Kind::Row, b"abcdefghijkl");
        for (place, byte) in [(0, b'r'), (1, b'_'), (2, b'7'), (9, b'C'), (10, b'\t'), (12, b'G'), (27, b'0')]
        {
            let mut changed: [u8; HEADER_LEN] = bytes[..HEADER_LEN].try_into().unwrap();
            changed[place] = byte;
            assert!(Header::parse(&changed).is_err(), "{place}");
        }
    }

    #[test]
    fn kinds_do_not_share_checks() {
        assert_ne!(Kind::Row.hash(b"x"), Kind::Checkpoint.hash(b"x"));
        assert_ne!(Kind::Checkpoint.hash(b"x"), Kind::Withheld.hash(b"x"));
    }

    #[test]
    fn a_checkpoint_has_one_form() {
        let checkpoint = Checkpoint { size: 3, root: Digest::of(b"x") };
        let payload = checkpoint.payload();
        assert_eq!(Checkpoint::parse(&payload), Some(checkpoint));
        let spaced = String::from_utf8(payload).unwrap().replace(':', ": ");
        assert_eq!(Checkpoint::parse(spaced.as_bytes()), None);
    }
}
