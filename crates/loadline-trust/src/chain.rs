//! How roots follow each other: each version is signed by its own keys and by those of the version before.

use loadline_core::{Digest, Instant};

use crate::CLOCK_SKEW_S;
use crate::envelope::{Envelope, EnvelopeError};
use crate::role::Role;
use crate::root::{ROOT_TYPE, Root, RootError, SignerError};

/// The most versions of one chain that are read.
pub const MAX_VERSIONS: usize = 1024;

/// What a verifier remembers of the newest root it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootMark {
    /// Its version.
    pub version: u64,
    /// Its payload digest.
    pub digest: Digest,
}

/// Why a root is not trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It is no envelope of a root.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It contradicts itself.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The signatures do not carry it.
    #[error("root version {version}: {error}")]
    Signers {
        /// The version whose keys are missing or wrong.
        version: u64,
        /// What is wrong.
        #[source]
        error: SignerError,
    },
    /// A chain begins with version 1.
    #[error("the first root has version {0}, not 1")]
    First(u64),
    /// The first root is not the one that was pinned.
    #[error("the first root is {found}, and {pinned} is pinned")]
    Pin {
        /// What it is.
        found: Digest,
        /// What it should be.
        pinned: Digest,
    },
    /// A version that is not newer.
    #[error("root version {found} is offered after version {current}: a rollback")]
    Rollback {
        /// What is offered.
        found: u64,
        /// What is there.
        current: u64,
    },
    /// A version is left out.
    #[error("root version {found} is offered after version {current}: a version is left out")]
    Gap {
        /// What is offered.
        found: u64,
        /// What is there.
        current: u64,
    },
    /// It follows another root than this one.
    #[error("root version {0} follows another root than this chain has")]
    Previous(u64),
    /// It is older than its predecessor.
    #[error("root version {0} was issued before the version that it follows")]
    Backwards(u64),
    /// More versions than are read.
    #[error("more than {MAX_VERSIONS} versions of a root")]
    TooLong,
    /// A root seen before is not in this chain.
    #[error("this chain does not have root version {version} with digest {digest}, which was seen before")]
    Forked {
        /// The version seen before.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// Not current any more.
    #[error("root version {version} expired at {expires}, and it is {now}")]
    Expired {
        /// The version.
        version: u64,
        /// Its last moment.
        expires: Instant,
        /// Now.
        now: Instant,
    },
    /// Not yet issued.
    #[error("root version {version} is issued at {issued}, and it is only {now}")]
    Future {
        /// The version.
        version: u64,
        /// When it is issued.
        issued: Instant,
        /// Now.
        now: Instant,
    },
}

impl ChainError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.hint(),
            Self::Root(error) => error.hint(),
            Self::Signers { error, .. } => error.hint(),
            Self::Pin { .. } => "this is another authority, or a forgery: ask whoever gave you the digest",
            Self::Rollback { .. } | Self::Forked { .. } | Self::Previous(_) | Self::Backwards(_) => {
                "somebody shows an old or another root: do not trust it, and tell the authority"
            }
            Self::First(_) | Self::Gap { .. } => "give every version of the root, from 1 on",
            Self::TooLong => "no honest authority changes its root so often",
            Self::Expired { .. } => "get the newest root; if there is none, check the clock",
            Self::Future { .. } => "check the clock",
        }
    }
}

/// Roots from version 1 on, each checked against the one before.
#[derive(Clone, Debug)]
pub struct RootChain {
    /// At least one.
    roots: Vec<(Root, Digest)>,
}

/// Reads the root in an envelope. Its signatures are not checked.
fn read(envelope: &Envelope) -> Result<Root, ChainError> {
    let root: Root = envelope.json(ROOT_TYPE)?;
    root.check()?;
    Ok(root)
}

impl RootChain {
    /// Begins with version 1: the envelope's bytes, and its payload digest where somebody has it from elsewhere. Without
    /// that pin, the chain proves only that one owner made all of it.
    ///
    /// # Errors
    /// When it is no version 1, not the pinned one, or not signed by enough of its own root keys.
    pub fn start(bytes: &[u8], pinned: Option<Digest>) -> Result<Self, ChainError> {
        let envelope = Envelope::parse(bytes)?;
        let root = read(&envelope)?;
        if root.version != 1 {
            return Err(ChainError::First(root.version));
        }
        let found = envelope.payload_digest();
        if let Some(pinned) = pinned.filter(|pinned| *pinned != found) {
            return Err(ChainError::Pin { found, pinned });
        }
        root.verify(&envelope, Role::Root).map_err(|error| ChainError::Signers { version: 1, error })?;
        Ok(Self { roots: vec![(root, found)] })
    }

    /// Reads a whole chain, oldest first.
    ///
    /// # Errors
    /// As [`RootChain::start`] and [`RootChain::extend`]; [`ChainError::First`] with 0 when there is none.
    pub fn read<B: AsRef<[u8]>>(
        envelopes: impl IntoIterator<Item = B>,
        pinned: Option<Digest>,
    ) -> Result<Self, ChainError> {
        let mut envelopes = envelopes.into_iter();
        let first = envelopes.next().ok_or(ChainError::First(0))?;
        let mut chain = Self::start(first.as_ref(), pinned)?;
        for envelope in envelopes {
            chain.extend(envelope.as_ref())?;
        }
        Ok(chain)
    }

    /// Adds the next version. On an error the chain is as before.
    ///
    /// # Errors
    /// When it is not the next version, follows another root, or is not signed by enough root keys of both.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        let envelope = Envelope::parse(bytes)?;
        let next = read(&envelope)?;
        let (current, digest) = self.last();
        let (found, version) = (next.version, current.version);
        if found <= version {
            return Err(ChainError::Rollback { found, current: version });
        }
        if found != version + 1 {
            return Err(ChainError::Gap { found, current: version });
        }
        if next.previous != Some(*digest) {
            return Err(ChainError::Previous(found));
        }
        if next.issued < current.issued {
            return Err(ChainError::Backwards(found));
        }
        if self.roots.len() >= MAX_VERSIONS {
            return Err(ChainError::TooLong);
        }
        let holders = current.holders(Role::Root).chain(next.holders(Role::Root));
        let signers = envelope
            .signers(holders)
            .map_err(|error| ChainError::Signers { version: found, error: error.into() })?;
        for root in [current, &next] {
            let version = root.version;
            root.enough_of(Role::Root, &signers).map_err(|error| ChainError::Signers { version, error })?;
        }
        self.roots.push((next, envelope.payload_digest()));
        Ok(())
    }

    fn last(&self) -> &(Root, Digest) {
        // A chain begins with one root and never loses any.
        &self.roots[self.roots.len() - 1]
    }

    /// The newest root.
    pub fn current(&self) -> &Root {
        &self.last().0
    }

    /// What to remember of it.
    pub fn mark(&self) -> RootMark {
        RootMark { version: self.current().version, digest: self.last().1 }
    }

    /// Payload digest of version 1: this names the authority for ever, and is what a verifier pins.
    pub fn authority(&self) -> Digest {
        self.roots[0].1
    }

    /// A version.
    pub fn version(&self, version: u64) -> Option<&Root> {
        self.at(version).map(|(root, _)| root)
    }

    /// The payload digest of a version.
    pub fn digest(&self, version: u64) -> Option<Digest> {
        self.at(version).map(|(_, digest)| *digest)
    }

    fn at(&self, version: u64) -> Option<&(Root, Digest)> {
        usize::try_from(version).ok()?.checked_sub(1).and_then(|at| self.roots.get(at))
    }

    /// Checks that the newest root that was seen before is in this chain: neither rolled back nor forked.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_seen(&self, seen: RootMark) -> Result<(), ChainError> {
        if self.current().version < seen.version {
            return Err(ChainError::Rollback { found: self.current().version, current: seen.version });
        }
        if self.digest(seen.version) == Some(seen.digest) {
            return Ok(());
        }
        Err(ChainError::Forked { version: seen.version, digest: seen.digest })
    }

    /// Checks that the newest root counts at a moment.
    ///
    /// # Errors
    /// When it expired before it, or was issued more than [`CLOCK_SKEW_S`] after it.
    pub fn check_at(&self, now: Instant) -> Result<(), ChainError> {
        let Root { version, issued, expires, .. } = *self.current();
        if now > expires {
            return Err(ChainError::Expired { version, expires, now });
        }
        if issued.seconds() > now.seconds().saturating_add(CLOCK_SKEW_S) {
            return Err(ChainError::Future { version, issued, now });
        }
        Ok(())
    }
}
