//! Merkle trees as in RFC 6962: leaves, roots, inclusion and consistency proofs.
