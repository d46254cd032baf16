//! The network: from tokens to the residual stream, and from there to logits.
//!
//! One decoder for the llama, qwen2, qwen3 and gemma3 families: root-mean-square norms, rotary positions, grouped
//! attention, gated MLPs. They differ in what [`Config`] says and in which tensors a file has.

mod attention;
mod cache;
mod config;
mod forward;
mod hook;
mod logits;
mod pieces;
mod rope;
mod weights;

pub use cache::KvCache;
pub use config::Config;
pub use forward::{Batch, Decoder, ForwardError, Segment};
pub use hook::{Hook, NoHook, Rows, Site};
pub use logits::TokenScore;
pub use pieces::{PIECE, Piece};
