//! Models in this process: GGUF files, open to being looked into.
//!
//! From the file to the answer, in reading order: [`gguf`] (the file) → [`tokenizer`] and [`chat`] (text to
//! tokens) → [`decoder`] (tokens to the residual stream, on [`matrix`] and [`kernels`]) → [`score`] and
//! [`generate`] (log-likelihoods and text) → [`model`] (the [`loadline_core::Model`] that `measure` asks).
//! [`catalogue`] names the models whose files are known.

pub mod catalogue;
pub mod chat;
pub mod decoder;
pub mod engine;
pub mod error;
pub mod generate;
pub mod gguf;
pub mod kernels;
pub mod matrix;
pub mod model;
pub mod options;
pub mod sampler;
pub mod score;
pub mod tokenizer;

pub use engine::{Engine, EngineError};
pub use error::LocalError;
pub use model::{LocalModel, Written};
pub use options::{ChatUse, LocalOptions, OptionError, Precision};
