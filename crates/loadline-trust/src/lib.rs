//! Who may say what, and how anybody checks it. Pure: no IO, no clock, no randomness; seeds and times come from the
//! caller.
//!
//! Read in this order: [`key`] (a hybrid key) → [`envelope`] (what a key signs) → [`role`] and [`root`] (which keys
//! may say what) → [`chain`] (how that changes) → [`standing`] (what is revoked, as of now).

pub mod chain;
pub mod envelope;
pub mod key;
pub mod published;
pub mod role;
pub mod root;
pub mod secret;
pub mod standing;

pub use chain::{ChainError, RootChain, RootMark};
pub use envelope::{Envelope, EnvelopeError, IN_TOTO_TYPE};
pub use key::{KeyId, PublicKey, PublicKeyError, Scheme};
pub use role::{Role, RoleKeys};
pub use root::{ROOT_TYPE, Root, RootError, SignerError};
pub use secret::SecretKey;
pub use standing::{STANDING_TYPE, Standing, StandingEntry, StandingError, StandingMark, StandingState};

/// How far a signed moment may lie in the future before it is refused, in seconds: clocks differ a little.
pub const CLOCK_SKEW_S: u64 = 60;
