//! Text to tokens and back, from the vocabulary in the file.
//!
//! Two algorithms: SentencePiece-style merging by score with byte fallback (`llama`; Gemma and Llama 2), and
//! byte-level pair encoding by rank (`gpt2`; Qwen and Llama 3). Both first cut out the tokens that stand for
//! themselves: user-defined ones always, control tokens only where the text is trusted to contain them.

mod bytes;
mod merge;
mod pretokenize;
mod stream;
mod vocabulary;

use std::collections::HashMap;

pub use stream::TextStream;
pub use vocabulary::{TokenKind, Vocabulary};

use crate::gguf::{Metadata, Value};
use merge::{Symbol, merge};
use pretokenize::Pretokenizer;

/// How SentencePiece writes a space.
const SPACE: &str = "\u{2581}";

/// Whether text that looks like a control token (`<|im_end|>`) becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlTokens {
    /// It stays text: for what a dataset or a person wrote.
    AsText,
    /// It becomes the token: for what a chat template wrote.
    Parsed,
}

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    algorithm: Algorithm,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    ends: Vec<u32>,
}

#[derive(Debug)]
enum Algorithm {
    /// Merges the pair whose joined text scores highest.
    SentencePiece {
        scores: Vec<f32>,
        space_prefix: bool,
        byte_tokens: Box<[Option<u32>; 256]>,
        unknown: Option<u32>,
    },
    /// Merges the pair of the lowest rank, inside each word.
    BytePair { merges: HashMap<(u32, u32), Merge>, words: Pretokenizer, byte_tokens: Box<[Option<u32>; 256]> },
}

/// What a pair of tokens becomes, and how early.
#[derive(Clone, Copy, Debug)]
struct Merge {
    rank: u32,
    into: u32,
}

impl Tokenizer {
    /// The tokenizer that a file describes; takes its tables out of the metadata.
    ///
    /// # Errors
    /// In words, what is missing or not supported.
    pub fn from_metadata(metadata: &mut Metadata) -> Result<Self, String> {
        let model = metadata.text("tokenizer.ggml.model").unwrap_or("none").to_owned();
        let pre = metadata.text("tokenizer.ggml.pre").unwrap_or("default").to_owned();
        let vocabulary = Vocabulary::from_metadata(metadata)?;
        let algorithm = match model.as_str() {
            "llama" => Algorithm::sentence_piece(metadata, &vocabulary)?,
            "gpt2" => Algorithm::byte_pair(metadata, &vocabulary, &pre)?,
            other => {
                let other = loadline_core::untrusted::one_line(other, 40);
                return Err(format!(
                    "its model `{other}` is not known; known are llama (SentencePiece) and gpt2 (BPE)"
                ));
            }
        };
        let id = |key: &str| {
            let id = metadata.count(&format!("tokenizer.ggml.{key}_token_id"))?;
            u32::try_from(id).ok().filter(|id| (*id as usize) < vocabulary.len())
        };
        let add_bos = metadata
            .bool("tokenizer.ggml.add_bos_token")
            .unwrap_or(model == "llama" || matches!(pre.as_str(), "llama3" | "llama-v3" | "llama-bpe"));
        let mut ends: Vec<u32> = ["eos", "eot", "eom"].into_iter().filter_map(id).collect();
        ends.extend(END_TOKENS.iter().filter_map(|text| vocabulary.find(text)).filter(|id| {
            vocabulary.kind(*id) == TokenKind::Control || vocabulary.kind(*id) == TokenKind::UserDefined
        }));
        ends.sort_unstable();
        ends.dedup();
        let (bos, eos) = (id("bos"), id("eos"));
        Ok(Self { algorithm, bos, eos, add_bos: add_bos && bos.is_some(), ends, vocabulary })
    }

    /// The tokens of a text, without a token for the beginning of a sequence.
    pub fn encode(&self, text: &str, control: ControlTokens) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 1);
        let mut after_token = true;
        for piece in self.vocabulary.cut(text, control) {
            match piece {
                vocabulary::Piece::Token(id) => {
                    ids.push(id);
                    after_token = true;
                }
                vocabulary::Piece::Text(text) => {
                    self.encode_text(text, after_token, &mut ids);
                    after_token = false;
                }
            }
        }
        ids
    }

    /// The tokens of a text as the model expects a sequence to begin: with the token for the beginning, where the
    /// file asks for it and the text does not already have it.
    pub fn encode_sequence(&self, text: &str, control: ControlTokens) -> Vec<u32> {
        let mut ids = self.encode(text, control);
        if let (true, Some(bos)) = (self.add_bos, self.bos)
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        ids
    }

    fn encode_text(&self, text: &str, after_token: bool, ids: &mut Vec<u32>) {
        match &self.algorithm {
            Algorithm::SentencePiece { scores, space_prefix, byte_tokens, unknown } => {
                let prefix = if *space_prefix && after_token { SPACE } else { "" };
                let text = format!("{prefix}{}", text.replace(' ', SPACE));
                let symbols = text.char_indices().map(|(start, c)| {
                    let end = start + c.len_utf8();
                    Symbol { start, end, id: self.vocabulary.find(&text[start..end]) }
                });
                let join = |left: Symbol, right: Symbol| {
                    let id = self.vocabulary.find(&text[left.start..right.end])?;
                    Some((order(scores.get(id as usize).copied().unwrap_or(0.0)), id))
                };
                for symbol in merge(symbols.collect(), join) {
                    match symbol.id {
                        Some(id) => ids.push(id),
                        None => ids.extend(
                            text.as_bytes()[symbol.start..symbol.end]
                                .iter()
                                .filter_map(|byte| byte_tokens[usize::from(*byte)].or(*unknown)),
                        ),
                    }
                }
            }
            Algorithm::BytePair { merges, words, byte_tokens } => words.split(text, |word| {
                if words.whole_words()
                    && let Some(id) = self.vocabulary.find(&bytes::to_chars(word.as_bytes()))
                {
                    ids.push(id);
                    return;
                }
                let symbols = word.bytes().enumerate().map(|(start, byte)| Symbol {
                    start,
                    end: start + 1,
                    id: byte_tokens[usize::from(byte)],
                });
                let join = |left: Symbol, right: Symbol| {
                    let merge = merges.get(&(left.id?, right.id?))?;
                    Some((-i64::from(merge.rank), merge.into))
                };
                ids.extend(merge(symbols.collect(), join).filter_map(|symbol| symbol.id));
            }),
        }
    }

    /// The bytes a token stands for in text; none for control tokens.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let Some(text) = self.vocabulary.text(id) else { return Vec::new() };
        match (self.vocabulary.kind(id), &self.algorithm) {
            (TokenKind::Control | TokenKind::Unknown | TokenKind::Unused, _) => Vec::new(),
            (TokenKind::Byte, _) => vocabulary::byte_of(text).map_or_else(Vec::new, |byte| vec![byte]),
            (TokenKind::UserDefined, _) => text.as_bytes().to_vec(),
            (TokenKind::Normal, Algorithm::SentencePiece { .. }) => text.replace(SPACE, " ").into_bytes(),
            (TokenKind::Normal, Algorithm::BytePair { .. }) => bytes::from_chars(text),
        }
    }

    /// The text of some tokens; bytes that are not UTF-8 become `U+FFFD`.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.token_bytes(*id)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The token as the vocabulary writes it (`<bos>`, `▁the`).
    pub fn token_text(&self, id: u32) -> Option<&str> {
        self.vocabulary.text(id)
    }

    /// The token for the beginning of a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token for the end of a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// What stands before a text that has no context: the beginning of a sequence, or else its end.
    pub fn prefix(&self) -> Option<u32> {
        self.bos.or(self.eos)
    }

    /// Whether this token ends an answer.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tokens that end an answer in the model families that are known, whatever the file calls the end.
const END_TOKENS: [&str; 7] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>", "</s>"];

/// A score as a number that orders the same way.
fn order(score: f32) -> i64 {
    let bits = score.to_bits().cast_signed();
    i64::from(bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed())
}

impl Algorithm {
    fn sentence_piece(metadata: &mut Metadata, vocabulary: &Vocabulary) -> Result<Self, String> {
        let scores = match metadata.take("tokenizer.ggml.scores") {
            Some(Value::Floats(scores)) if scores.len() == vocabulary.len() => scores,
            _ => return Err("`tokenizer.ggml.scores` is missing or not as long as the vocabulary".to_owned()),
        };
        let unknown = metadata.count("tokenizer.ggml.unknown_token_id");
        Ok(Self::SentencePiece {
            scores,
            space_prefix: metadata.bool("tokenizer.ggml.add_space_prefix").unwrap_or(true),
            byte_tokens: vocabulary.byte_tokens(),
            unknown: unknown
                .and_then(|id| u32::try_from(id).ok())
                .filter(|id| (*id as usize) < vocabulary.len()),
        })
    }

    fn byte_pair(metadata: &mut Metadata, vocabulary: &Vocabulary, pre: &str) -> Result<Self, String> {
        let table =
            metadata.take_texts("tokenizer.ggml.merges").ok_or("`tokenizer.ggml.merges` is missing")?;
        let mut merges = HashMap::with_capacity(table.len());
        for (rank, line) in table.iter().enumerate() {
            let Some((left, right)) = line.split_once(' ') else {
                return Err(format!("line {rank} of `tokenizer.ggml.merges` is not a pair"));
            };
            // A pair that names no token can never be formed.
            let joined = format!("{left}{right}");
            if let (Some(left), Some(right), Some(into)) =
                (vocabulary.find(left), vocabulary.find(right), vocabulary.find(&joined))
            {
                let rank = u32::try_from(rank).map_err(|_| "too many merges")?;
                merges.entry((left, right)).or_insert(Merge { rank, into });
            }
        }
        let mut byte_tokens = Box::new([None; 256]);
        for (byte, id) in byte_tokens.iter_mut().enumerate() {
            *id = vocabulary.find(&bytes::to_chars(&[byte as u8]));
        }
        Ok(Self::BytePair { merges, words: Pretokenizer::named(pre)?, byte_tokens })
    }
}
