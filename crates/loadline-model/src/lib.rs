//! Models over HTTP: OpenAI-compatible, Anthropic, the Hugging Face hub; the only TLS client.
