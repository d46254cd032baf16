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
//! | [`audit`] | everything, derived anew | tlog-tiles |
//! | [`disk`] | a log in a folder, durable | tlog-tiles |
//! | [`policy`] | which logs and witnesses are believed | tlog-policy |
//! | [`proof`] | a proof that travels alone | tlog-proof |
//! | [`witness`] | cosigning, both sides | tlog-witness |
//! | [`monitor`] | what the next checkpoint means | – |
//!
//! Pure: no IO, no clock, no randomness, except in [`disk`], which reads and writes the files of a log and nothing
//! else. Times and seeds come from the caller.

pub mod audit;
pub mod checkpoint;
pub mod cosignature;
pub mod disk;
pub mod grow;
pub mod key;
pub mod merkle;
pub mod monitor;
pub mod note;
pub mod policy;
pub mod proof;
mod text;
pub mod tile;
pub mod tiles;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use grow::{Edge, NewFile};
pub use key::{Algorithm, KeyError, SignerKey, VerifierKey};
pub use merkle::{ConsistencyProof, Hash, InclusionProof, ProofError, Tree, leaf_hash, node_hash};
pub use monitor::{Finding, Monitor};
pub use note::{Note, NoteError, NoteSignature, Signed};
pub use policy::{Accepted, Policy, PolicyError, Refused};
pub use proof::{LogProof, LogProofError};
pub use tile::{Resource, Span, Tile, TileError};
pub use tiles::{ReadError, TileReader, TileSource};
