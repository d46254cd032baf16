//! Integration tests: model files as they are published, and tiny ones made here.

mod real_models;
