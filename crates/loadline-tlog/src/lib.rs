//! Merkle trees as in RFC 6962: leaves, roots, inclusion and consistency proofs.
//!
//! Pure: no IO and no clock. Hashes come in, hashes and proofs go out.

pub mod merkle;

pub use merkle::{ConsistencyProof, Hash, InclusionProof, ProofError, Tree, leaf_hash, node_hash};
