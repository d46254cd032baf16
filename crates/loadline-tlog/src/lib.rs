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
//! | [`tile`] | the files of a log: paths and forms | tlog-tiles |
//! | [`grow`] | entries in, files out | tlog-tiles |
//! | [`tiles`] | proofs from files | tlog-tiles |
//!
//! Pure: no IO, no clock, no randomness. Times and seeds come
//! from the caller.

pub mod checkpoint;
pub mod cosignature;
pub mod grow;
pub mod key;
pub mod merkle;
pub mod note;
mod text;
pub mod tile;
pub mod tiles;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use key::{Algorithm, KeyError, SignerKey, VerifierKey};
pub use merkle::{ConsistencyProof, Hash, InclusionProof, ProofError, Tree, leaf_hash, node_hash};
pub use grow::{Edge, NewFile};
pub use note::{Note, NoteError, NoteSignature, Signed};
pub use tile::{Resource, Span, Tile, TileError};
pub use tiles::{ReadError, TileReader, TileSource};
