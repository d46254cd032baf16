//! A transparency log after the C2SP texts: a list that only grows, that everybody can check, and whose owner cannot
//! tell two stories without being caught.
//!
//! | module | its one idea | source |
//! |---|---|---|
//! | [`merkle`] | the tree, inclusion and consistency proofs | RFC 6962 |
//! | [`key`] | public and secret keys as text | signed-note |
//! | [`note`] | a text and who signed it | signed-note |
//! | [`checkpoint`] | size and root of a log | tlog-checkpoint |
//! | [`cosignature`] | what a witness signs | tlog-cosignature |
//!
//! Pure: no IO, no clock, no randomness. Times and seeds come
//! from the caller.

pub mod checkpoint;
pub mod cosignature;
pub mod key;
pub mod merkle;
pub mod note;
mod text;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use key::{Algorithm, KeyError, SignerKey, VerifierKey};
pub use merkle::{ConsistencyProof, Hash, InclusionProof, ProofError, Tree, leaf_hash, node_hash};
pub use note::{Note, NoteError, NoteSignature, Signed};
