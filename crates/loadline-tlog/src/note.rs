//! Signed notes: a text and who signed it (C2SP signed-note).
//!
//! A note that parses is not yet to be believed: [`Note::verify`] says who signed.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::cosignature;
use crate::key::{self, Algorithm, SignerKey, VerifierKey};
use crate::text;

/// The longest note that is read, in bytes.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// The most signatures that are read.
pub const MAX_SIGNATURES: usize = 128;

/// How a signature line begins: em dash, space.
const LINE_START: &str = "\u{2014} ";

/// A text with signature lines, in form but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// Why a text is not a signed note, or is not signed by whom it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// More than [`MAX_NOTE_BYTES`].
    #[error("the note has {0} bytes, more than {MAX_NOTE_BYTES}")]
    TooLong(usize),
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// Not UTF-8, or an ASCII control character other than the line feed.
    #[error("the note has a byte at {0} that no note may have")]
    Byte(usize),
    /// No blank line with signatures after it, or no line feed at the end.
    #[error("this is not a signed note: it must be a text, a blank line, and signature lines")]
    Form,
    /// A line after the blank line that is not a signature.
    #[error("signature {number} is not in form: `{line}`")]
    Line {
        /// Which signature line, from 1.
        number: usize,
        /// How it begins.
        line: String,
    },
    /// The same line twice.
    #[error("signature {0} stands in the note twice")]
    Duplicate(usize),
    /// A known key's line does not hold.
    #[error("the signature of `{0}` does not hold")]
    BadSignature(String),
    /// No line is by a known key.
    #[error("no known key signed this; there are signatures of {0}")]
    Unsigned(String),
    /// Two of the given keys cannot be told apart by name and id.
    #[error("two different keys have the name and id of `{0}`")]
    AmbiguousKey(String),
    /// A cosigner signs checkpoints only.
    #[error("a cosigner signs checkpoints only: {0}")]
    NotACheckpoint(#[from] CheckpointError),
    /// The time is beyond what a cosignature can carry, or a text is not for signing.
    #[error("this cannot be signed: {0}")]
    Unsignable(&'static str),
}

impl NoteError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::BadSignature(_) => "the text was changed after it was signed, or the key is another one",
            Self::Unsigned(_) => "give the key (vkey) of the log or witness that signed",
            Self::AmbiguousKey(_) => "remove one of the two keys",
            Self::NotACheckpoint(error) => error.hint(),
            Self::Unsignable(_) => "sign a text of whole lines, at a time after 1970",
            _ => "fetch the note again; it must be exactly as it was written",
        }
    }
}

/// A key that signed a note, and when, if it is a cosigner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<'k> {
    /// The key.
    pub key: &'k VerifierKey,
    /// Seconds since 1970, for cosignatures.
    pub time: Option<u64>,
}

impl NoteSignature {
    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the line says it is by this key. Whether it is, [`Note::verify`] says.
    pub fn is_of(&self, key: &VerifierKey) -> bool {
        self.id == key.id() && self.name == key.name()
    }

    /// What the line has in base64: the key's id (4 bytes), then the signature; that of a cosigner begins with its time
    /// (8 bytes).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    /// The line with its line feed.
    pub fn to_line(&self) -> String {
        format!("{LINE_START}{} {}\n", self.name, text::base64(&self.to_bytes()))
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, data) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        key::check_name(name).ok()?;
        let data = text::from_base64(data)?;
        let (id, bytes) = data.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }

    /// `Some` when it holds over this text; inside, the time of a cosignature.
    fn check(&self, key: &VerifierKey, note_text: &str) -> Option<Option<u64>> {
        if key.algorithm().is_cosignature() {
            return cosignature::verify(key, note_text, &self.bytes).map(Some);
        }
        key.verify(note_text.as_bytes(), &self.bytes).then_some(None)
    }
}

impl Note {
    /// A text without signatures yet.
    ///
    /// # Errors
    /// When the text does not end in a line feed, is too long, or has control characters.
    pub fn unsigned(note_text: &str) -> Result<Self, NoteError> {
        check_bytes(note_text.as_bytes())?;
        if !note_text.ends_with('\n') {
            return Err(NoteError::Unsignable("a note's text ends in a line feed"));
        }
        Ok(Self { text: note_text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a signed note. What is read is written back byte for byte by [`Note::to_text`].
    ///
    /// # Errors
    /// When anything is not exactly in form, or a limit is passed.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let whole = check_bytes(bytes)?;
        // The last blank line parts the text from the signatures.
        let blank = whole.rfind("\n\n").ok_or(NoteError::Form)?;
        let (note_text, lines) = whole.split_at(blank + 1);
        let signatures = parse_lines(lines.strip_prefix('\n').ok_or(NoteError::Form)?)?;
        Ok(Self { text: note_text.to_owned(), signatures })
    }

    /// The note as bytes: text, blank line, signature lines.
    pub fn to_text(&self) -> String {
        let mut whole = format!("{}\n", self.text);
        for signature in &self.signatures {
            whole.push_str(&signature.to_line());
        }
        whole
    }

    /// The text. Not to be believed before [`Note::verify`].
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Who of these keys signed, in the order of the keys, each key once. Lines of unknown keys are ignored, as the
    /// specification demands. Where a key signed twice, every line must hold and the latest time counts.
    ///
    /// # Errors
    /// When a line of a known key does not hold, or no line is by a known key, or two keys cannot be told apart.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<Signed<'k>>, NoteError> {
        let mut seen: Vec<&VerifierKey> = Vec::new();
        let mut signed = Vec::new();
        for key in keys {
            if let Some(twin) = seen.iter().find(|twin| twin.id() == key.id() && twin.name() == key.name()) {
                if *twin == key {
                    continue;
                }
                return Err(NoteError::AmbiguousKey(text::excerpt(key.name())));
            }
            seen.push(key);
            let mut time = None;
            for signature in self.signatures.iter().filter(|signature| signature.is_of(key)) {
                let checked = signature.check(key, &self.text);
                time = time
                    .max(Some(checked.ok_or_else(|| NoteError::BadSignature(text::excerpt(key.name())))?));
            }
            signed.extend(time.map(|time| Signed { key, time }));
        }
        if signed.is_empty() { Err(self.unsigned_error()) } else { Ok(signed) }
    }

    fn unsigned_error(&self) -> NoteError {
        let mut names: Vec<String> =
            self.signatures.iter().take(4).map(|signature| text::excerpt(&signature.name)).collect();
        if self.signatures.len() > names.len() {
            names.push("others".to_owned());
        }
        NoteError::Unsigned(if names.is_empty() { "nobody".to_owned() } else { names.join(", ") })
    }

    /// Adds a signature; `time` is in seconds since 1970 and is used by cosigning keys only. Ed25519 note keys sign
    /// the text itself.
    ///
    /// # Errors
    /// When a cosigning key is to sign what is no checkpoint, the time is too late, or there are too many
    /// signatures.
    pub fn sign(&mut self, key: &SignerKey, time: u64) -> Result<(), NoteError> {
        let public = key.verifier();
        let bytes = if public.algorithm() == Algorithm::Ed25519 {
            key.sign(self.text.as_bytes())
        } else {
            let checkpoint = Checkpoint::parse(&self.text)?;
            let message =
                cosignature::message(public.algorithm(), public.name(), time, &self.text, &checkpoint)
                    .ok_or(NoteError::Unsignable("the time is later than a cosignature can say"))?;
            let mut bytes = time.to_be_bytes().to_vec();
            bytes.extend_from_slice(&key.sign(&message));
            bytes
        };
        self.add(NoteSignature { name: public.name().to_owned(), id: public.id(), bytes })
    }

    /// Adds a signature that came from elsewhere; nothing happens when it is there already. It is not verified.
    ///
    /// # Errors
    /// When there are too many signatures.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        Ok(())
    }
}

/// Reads signature lines alone: the answer of a witness.
pub(crate) fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
    let mut signatures = Vec::new();
    for (index, line) in lines.split('\n').enumerate() {
        let number = index + 1;
        if number > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signature = NoteSignature::parse(line)
            .ok_or_else(|| NoteError::Line { number, line: text::excerpt(line) })?;
        if signatures.contains(&signature) {
            return Err(NoteError::Duplicate(number));
        }
        signatures.push(signature);
    }
    Ok(signatures)
}

/// UTF-8, no control character but the line feed, and not too long.
pub(crate) fn check_bytes(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong(bytes.len()));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte < b' ' && *byte != b'\n') {
        return Err(NoteError::Byte(at));
    }
    std::str::from_utf8(bytes).map_err(|error| NoteError::Byte(error.valid_up_to()))
}
