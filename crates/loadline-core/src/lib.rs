//! The nouns of Loadline and its stable file formats.
//!
//! No IO, no async runtime, no clock: the same input gives the same bytes (invariant 1).
//! Read in the order a number is born: [`sample`] → [`model`] → [`score`] → [`record`].

pub mod digest;
pub mod instant;
pub mod model;
pub mod record;
pub mod sample;
pub mod score;
pub mod secret;
pub mod strict;
pub mod suggest;
pub mod untrusted;

pub use digest::Digest;
pub use instant::Instant;
pub use model::{Model, ModelError, ModelErrorKind, ModelOutput, ModelRef, Request, Usage};
pub use record::{EvalSpec, RunId, SampleRecord};
pub use sample::Sample;
pub use score::{Score, Unscored, Value};
pub use secret::Secret;
pub use untrusted::Untrusted;
