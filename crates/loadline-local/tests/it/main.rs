//! Integration tests: model files as they are published, and tiny ones made here.
#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod decoding;
mod gguf_files;
mod local_model;
mod network;
mod real_models;
mod tiny;
