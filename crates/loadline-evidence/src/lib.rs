//! The append-only durable record: write, resume, recover, seal, verify, export.
