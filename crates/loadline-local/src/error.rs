//! What can be wrong with a model file, and what to do about it.

use std::path::PathBuf;

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not begin as a GGUF file does.
    #[error("`{}` is not a GGUF file: it begins with {found}", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// Its first bytes, in words.
        found: String,
    },
    /// A version of the format that this reader does not know.
    #[error("`{}` is GGUF version {version}; this reader knows versions 2 and 3", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it says.
        version: u32,
    },
    /// The file ends before what its header promises.
    #[error("`{}` is cut short: {expected} bytes are expected, {found} are there", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Bytes it should have, at least.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// The header contradicts itself or a limit.
    #[error("`{}` is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the value.
        what: String,
    },
    /// A kind of network this crate does not compute.
    #[error("`{}` is of the architecture `{found}`, which is not known", path.display())]
    UnknownArchitecture {
        /// The file.
        path: PathBuf,
        /// What the file says it is.
        found: String,
    },
    /// The architecture is known, this variation of it is not.
    #[error("`{}`: {what} is not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature, with its value.
        what: String,
    },
    /// A tensor in a number format this crate does not read.
    #[error("`{}`: the tensor `{tensor}` is of the type {kind}, which is not supported", path.display())]
    UnsupportedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        kind: String,
    },
    /// The file's tokenizer cannot be used.
    #[error("`{}`: the tokenizer cannot be used: {what}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file's chat template cannot be used.
    #[error("`{}`: the chat template cannot be used: {what}", path.display())]
    ChatTemplate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file is not the one that was expected.
    #[error("`{}` has the digest {found}, not {expected}", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: loadline_core::Digest,
        /// What the file has.
        found: loadline_core::Digest,
    },
    /// The threads to compute on could not be started.
    #[error("cannot start the threads of the model: {0}")]
    Threads(String),
}

/// The architectures that are known, as a GGUF file names them.
pub const ARCHITECTURES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

impl LocalError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { .. } => "check the path and that the file may be read".to_owned(),
            Self::NotGguf { .. } => "a model in this process is one file in the GGUF format".to_owned(),
            Self::Version { .. } => "convert the model again with a current tool".to_owned(),
            Self::CutShort { .. } => "the download is not complete: fetch the file again".to_owned(),
            Self::Damaged { .. } | Self::Digest { .. } => {
                "fetch the file again and compare its SHA-256 with the publisher's".to_owned()
            }
            Self::UnknownArchitecture { .. } => format!("known are {}", ARCHITECTURES.join(", ")),
            Self::UnsupportedTensor { .. } => {
                "take a file quantised as Q4_0 to Q8_0, Q2_K to Q6_K, F16, BF16 or F32".to_owned()
            }
            Self::ChatTemplate { .. } => "open the model with chat=off to send plain text".to_owned(),
            Self::Unsupported { .. } | Self::Tokenizer { .. } | Self::Threads(_) => return None,
        };
        Some(hint)
    }
}
