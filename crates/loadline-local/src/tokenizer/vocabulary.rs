//! The tokens of a model: texts, kinds, and finding them.

use super::ControlTokens;
use crate::gguf::{Metadata, TextTable, Value};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for text the vocabulary cannot write.
    Unknown,
    /// Controls the model and is no text, as `<bos>`.
    Control,
    /// Text that is always this one token.
    UserDefined,
    /// Not in use.
    Unused,
    /// One byte.
    Byte,
}

/// The tokens of a model.
#[derive(Debug)]
pub struct Vocabulary {
    texts: TextTable,
    kinds: Vec<u8>,
    /// Open-addressed table of token numbers by text; `u32::MAX` is free.
    index: Box<[u32]>,
    /// Tokens that stand for themselves, by first byte, longest first.
    own: Vec<Vec<u32>>,
}

/// A piece of text with the tokens that stand for themselves cut out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Token(u32),
    Text(&'t str),
}

impl Vocabulary {
    pub(super) fn from_metadata(metadata: &mut Metadata) -> Result<Self, String> {
        let texts =
            metadata.take_texts("tokenizer.ggml.tokens").ok_or("`tokenizer.ggml.tokens` is missing")?;
        if texts.is_empty() {
            return Err("`tokenizer.ggml.tokens` is empty".to_owned());
        }
        let kinds = match metadata.take("tokenizer.ggml.token_type") {
            Some(Value::Integers(kinds)) if kinds.len() == texts.len() => {
                kinds.into_iter().map(|kind| u8::try_from(kind).unwrap_or(1)).collect()
            }
            None => vec![1; texts.len()],
            Some(_) => return Err("`tokenizer.ggml.token_type` is not as long as the vocabulary".to_owned()),
        };
        let mut index = vec![u32::MAX; (texts.len() * 2).next_power_of_two()].into_boxed_slice();
        for (id, text) in texts.iter().enumerate() {
            let mut slot = hash(text) & (index.len() - 1);
            while index[slot] != u32::MAX && texts.get(index[slot] as usize) != Some(text) {
                slot = (slot + 1) & (index.len() - 1);
            }
            // Of two tokens with one text the last counts, as in the reference.
            index[slot] = id as u32;
        }
        let mut vocabulary = Self { texts, kinds, index, own: vec![Vec::new(); 256] };
        vocabulary.collect_own();
        Ok(vocabulary)
    }

    fn collect_own(&mut self) {
        for id in 0..self.len() as u32 {
            if matches!(self.kind(id), TokenKind::Unknown | TokenKind::Control | TokenKind::UserDefined)
                && let Some(first) = self.text(id).and_then(|text| text.bytes().next())
            {
                self.own[usize::from(first)].push(id);
            }
        }
        for list in &mut self.own {
            list.sort_by_key(|id| (std::cmp::Reverse(self.texts.get(*id as usize).map(str::len)), *id));
        }
    }

    /// How many tokens.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The token with this text.
    pub fn find(&self, text: &str) -> Option<u32> {
        let mut slot = hash(text) & (self.index.len() - 1);
        loop {
            let id = self.index[slot];
            if id == u32::MAX {
                return None;
            }
            if self.text(id) == Some(text) {
                return Some(id);
            }
            slot = (slot + 1) & (self.index.len() - 1);
        }
    }

    /// The text of a token, as the vocabulary writes it.
    pub fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(id as usize)
    }

    /// What a token is for.
    pub fn kind(&self, id: u32) -> TokenKind {
        match self.kinds.get(id as usize) {
            Some(2) => TokenKind::Unknown,
            Some(3) => TokenKind::Control,
            Some(4) => TokenKind::UserDefined,
            Some(5) | None => TokenKind::Unused,
            Some(6) => TokenKind::Byte,
            Some(_) => TokenKind::Normal,
        }
    }

    /// The tokens for single bytes (`<0x0A>`), by byte.
    pub(super) fn byte_tokens(&self) -> Box<[Option<u32>; 256]> {
        let mut tokens = Box::new([None; 256]);
        for id in 0..self.len() as u32 {
            if self.kind(id) == TokenKind::Byte
                && let Some(byte) = self.text(id).and_then(byte_of)
            {
                tokens[usize::from(byte)] = Some(id);
            }
        }
        tokens
    }

    /// Cuts out the tokens that stand for themselves: the longest first, each wherever it occurs, so that a short
    /// one never breaks a longer one.
    pub(super) fn cut<'t>(&self, text: &'t str, control: ControlTokens) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        for id in self.occurring(text, control) {
            let Some(pattern) = self.text(id) else { continue };
            let mut cut = Vec::with_capacity(pieces.len() + 2);
            for piece in pieces {
                let Piece::Text(mut rest) = piece else {
                    cut.push(piece);
                    continue;
                };
                while let Some(at) = rest.find(pattern) {
                    if at > 0 {
                        cut.push(Piece::Text(&rest[..at]));
                    }
                    cut.push(Piece::Token(id));
                    rest = &rest[at + pattern.len()..];
                }
                if !rest.is_empty() {
                    cut.push(Piece::Text(rest));
                }
            }
            pieces = cut;
        }
        pieces
    }

    /// The tokens that stand for themselves and occur in the text, longest first.
    fn occurring(&self, text: &str, control: ControlTokens) -> Vec<u32> {
        let mut found = std::collections::BTreeSet::new();
        for (at, byte) in text.bytes().enumerate() {
            let rest = &text.as_bytes()[at..];
            for id in &self.own[usize::from(byte)] {
                let allowed = control == ControlTokens::Parsed || self.kind(*id) == TokenKind::UserDefined;
                if allowed
                    && let Some(own) = self.text(*id)
                    && rest.starts_with(own.as_bytes())
                {
                    found.insert((std::cmp::Reverse(own.len()), *id));
                }
            }
        }
        found.into_iter().map(|(_, id)| id).collect()
    }
}

/// The byte that a token like `<0x0A>` stands for.
pub(super) fn byte_of(text: &str) -> Option<u8> {
    u8::from_str_radix(text.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// FNV-1a; the table is built from one file and never grows, so no keyed hash is needed.
fn hash(text: &str) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash ^ (hash >> 32)) as usize
}
