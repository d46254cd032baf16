//! Models in this process: GGUF files, open to being looked into.
