//! The text of a checkpoint: which log, how many entries, which root (C2SP tlog-checkpoint).

use crate::key::MAX_NAME_BYTES;
use crate::merkle::{Hash, empty_root};
use crate::text;

/// The most extension lines that are read.
pub const MAX_EXTENSIONS: usize = 64;

/// What a log says of itself at one moment. As a signed note it can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why a text is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Origin, size and root are needed, each on a line that ends in a line feed.
    #[error("a checkpoint has at least three lines: origin, size, root hash")]
    Short,
    /// The origin must be non-empty, of at most 255 bytes and without control characters.
    #[error("checkpoint line 1: `{0}` cannot be an origin: 1 to 255 bytes without control characters")]
    Origin(String),
    /// The size must be a decimal number without leading zeros.
    #[error("checkpoint line 2: `{0}` is not a tree size")]
    Size(String),
    /// The root must be the base64 of 32 bytes.
    #[error("checkpoint line 3: `{0}` is not the base64 of a SHA-256 hash")]
    Root(String),
    /// The tree without entries has one root and only one.
    #[error("the checkpoint says 0 entries but has not the root of the empty tree")]
    EmptyRoot,
    /// Extension lines must be non-empty and without control characters, and at most 64.
    #[error("checkpoint line {0} is not an extension line that can be read")]
    Extension(usize),
}

impl CheckpointError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::EmptyRoot => "do not trust this log: no honest log writes this",
            _ => "fetch the checkpoint again; it must be exactly as the log wrote it",
        }
    }
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    ///
    /// # Errors
    /// When the origin is not usable, or the tree is empty and the root is not the empty tree's.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let bad = origin.is_empty() || origin.len() > MAX_NAME_BYTES || origin.contains(char::is_control);
        if bad {
            return Err(CheckpointError::Origin(text::excerpt(origin)));
        }
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions: Vec::new() })
    }

    /// Reads the text of a note. Every accepted text is written back the same by [`Checkpoint::to_text`].
    ///
    /// # Errors
    /// When a line is not exactly in form; the error names the line.
    pub fn parse(note_text: &str) -> Result<Self, CheckpointError> {
        let lines = note_text.strip_suffix('\n').ok_or(CheckpointError::Short)?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Short);
        };
        let tree_size = text::decimal(size).ok_or_else(|| CheckpointError::Size(text::excerpt(size)))?;
        let root = text::hash(root).ok_or_else(|| CheckpointError::Root(text::excerpt(root)))?;
        let mut checkpoint = Self::new(origin, tree_size, root)?;
        for (number, line) in lines.enumerate() {
            if line.is_empty() || line.contains(char::is_control) || number >= MAX_EXTENSIONS {
                return Err(CheckpointError::Extension(number + 4));
            }
            checkpoint.extensions.push(line.to_owned());
        }
        Ok(checkpoint)
    }

    /// The text of the note: three lines, and the extension lines if there are any.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, text::base64(&self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Which log it is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The Merkle root over them.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The lines after the third. Not covered by ML-DSA cosignatures, and no witness vouches for them.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn what_is_read_is_written_the_same() {
        for extensions in ["", "more\n", "more\nand more\n"] {
            let text = format!("example.com/behind the sofa\n20852163\n{ROOT}\n{extensions}");
            let checkpoint = Checkpoint::parse(&text).unwrap();
            assert_eq!(checkpoint.to_text(), text);
            assert_eq!(checkpoint.size(), 20_852_163);
            assert_eq!(checkpoint.extensions().len(), extensions.lines().count());
        }
    }

    #[test]
    fn what_is_not_in_form_is_refused_with_its_line() {
        let cases = [
            (String::new(), "at least three lines"),
            (format!("o\n1\n{ROOT}"), "at least three lines"),
            (format!("o\n{ROOT}\n"), "at least three lines"),
            (format!("\n1\n{ROOT}\n"), "line 1"),
            (format!("{}\n1\n{ROOT}\n", "o".repeat(256)), "line 1"),
            (format!("o\r\n1\n{ROOT}\n"), "line 1"),
            (format!("o\n01\n{ROOT}\n"), "line 2"),
            (format!("o\n18446744073709551616\n{ROOT}\n"), "line 2"),
            (format!("o\n-1\n{ROOT}\n"), "line 2"),
            (format!("o\n1\n{}\n", &ROOT[1..]), "line 3"),
            (format!("o\n1\n{}\n", ROOT.replace("2I=", "2J=")), "line 3"),
            (format!("o\n0\n{ROOT}\n"), "empty tree"),
            (format!("o\n1\n{ROOT}\n\n"), "line 4"),
            (format!("o\n1\n{ROOT}\na\u{1b}b\n"), "line 4"),
            (format!("o\n1\n{ROOT}\n{}", "x\n".repeat(65)), "line 68"),
        ];
        for (text, part) in cases {
            let error = Checkpoint::parse(&text).unwrap_err();
            assert!(error.to_string().contains(part), "{error} for {text:?}");
            assert!(!error.hint().is_empty());
        }
    }
}
