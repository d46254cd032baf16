//! Models in this process: GGUF files, open to being looked into.
//!
//! From the file to the answer, in reading order: [`gguf`] (the file) → [`tokenizer`] and [`chat`] (text to
//! tokens) → [`decoder`] (tokens to the residual stream, on [`matrix`] and [`kernels`]) → [`score`] and
//! [`generate`] (log-likelihoods and text) → [`model`] (the [`loadline_core::Model`] that `measure` asks).
//! [`catalogue`] names the models whose files are known.
//! [`catalogue`] names the models whose files are known.

pub mod catalogue;
pub mod error;
pub mod model;
pub mod options;

pub use error::LocalError;
pub use model::LocalModel;
pub use options::{ChatUse, LocalOptions, Precision};
