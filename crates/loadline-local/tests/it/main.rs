//! Integration tests: model files as they are published, and tiny ones made here.

mod decoding;
mod gguf_files;
mod local_model;
mod network;
mod real_models;
mod tiny;
