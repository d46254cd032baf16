//! Standing: what is revoked and suspended as of now, signed anew every few seconds. A gate works only as long as it has
//! a fresh one.

use loadline_core::{Digest, Instant};
use serde::{Deserialize, Serialize};

use crate::CLOCK_SKEW_S;
use crate::chain::RootChain;
use crate::envelope::{Envelope, EnvelopeError};
use crate::role::Role;
use crate::root::SignerError;
use crate::secret::SecretKey;

/// `payloadType` of a standing.
pub const STANDING_TYPE: &str = "application/vnd.loadline.standing+json";
/// `format` of a standing.
pub const STANDING_FORMAT: &str = "loadline-standing/1";
/// The most licences that one standing may name.
pub const MAX_ENTRIES: usize = 10_000;
/// The longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 500;

/// What became of a licence. One that is not named is as it was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingState {
    /// For ever.
    Revoked,
    /// Until it is reinstated.
    Suspended,
}

impl StandingState {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
        }
    }
}

/// One licence that is not as it was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingEntry {
    /// Payload digest of the licence.
    pub license: Digest,
    /// What became of it.
    pub state: StandingState,
    /// Since when.
    pub since: Instant,
    /// Why, for people.
    pub reason: String,
}

/// What an authority says of its licences at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// [`STANDING_FORMAT`].
    pub format: String,
    /// [`RootChain::authority`] of who says it.
    pub authority: Digest,
    /// 1, 2, 3, …: every change is a new epoch, and so is every renewal.
    pub epoch: u64,
    /// When it was signed.
    pub issued: Instant,
    /// The last moment at which it counts.
    pub expires: Instant,
    /// Size of the log that it reflects.
    pub log_size: u64,
    /// Ascending by licence, each once.
    pub entries: Vec<StandingEntry>,
}

/// What a verifier remembers of the newest standing it has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandingMark {
    /// Its epoch.
    pub epoch: u64,
    /// Its payload digest.
    pub digest: Digest,
    /// Size of the log that it reflects.
    pub log_size: u64,
}

/// Why a standing is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandingError {
    /// It is no envelope of a standing.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The signatures do not carry it.
    #[error("the standing: {0}")]
    Signers(#[from] SignerError),
    /// Another format.
    #[error("`format` is `{0}`, not `{STANDING_FORMAT}`")]
    Format(String),
    /// It contradicts itself.
    #[error("the standing of epoch {epoch} {problem}")]
    Contradiction {
        /// Its epoch.
        epoch: u64,
        /// How.
        problem: &'static str,
    },
    /// By another authority.
    #[error("the standing is of authority {found}, not of {expected}")]
    Authority {
        /// Whose it is.
        found: Digest,
        /// Whose it should be.
        expected: Digest,
    },
    /// Older than one that was accepted.
    #[error("the standing has epoch {found}; epoch {seen} was seen before: a rollback")]
    Rollback {
        /// What is offered.
        found: u64,
        /// What was seen.
        seen: u64,
    },
    /// A second standing of one epoch.
    #[error("there are two standings of epoch {0}: the authority says two things at once")]
    Forked(u64),
    /// A newer epoch that reflects less of the log.
    #[error("the standing of epoch {epoch} reflects {found} log entries; {seen} were reflected before")]
    LogShrank {
        /// Its epoch.
        epoch: u64,
        /// What it reflects.
        found: u64,
        /// What was reflected.
        seen: u64,
    },
    /// Not current any more.
    #[error("the standing of epoch {epoch} expired at {expires}, and it is {now}")]
    Expired {
        /// Its epoch.
        epoch: u64,
        /// Its last moment.
        expires: Instant,
        /// Now.
        now: Instant,
    },
    /// From the future.
    #[error("the standing of epoch {epoch} is issued at {issued}, and it is only {now}")]
    Future {
        /// Its epoch.
        epoch: u64,
        /// When it is issued.
        issued: Instant,
        /// Now.
        now: Instant,
    },
}

impl StandingError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.hint(),
            Self::Signers(error) => error.hint(),
            Self::Format(_) => "this version of loadline reads `loadline-standing/1` only",
            Self::Contradiction { .. } => "have the authority sign it again",
            Self::Authority { .. } => "get the standing from the authority that issued the licence",
            Self::Rollback { .. } | Self::Forked(_) | Self::LogShrank { .. } => {
                "somebody shows an old or a forged standing: do not trust it, and tell the authority"
            }
            Self::Expired { .. } => "get a fresh standing; if there is none, the licences count as suspended",
            Self::Future { .. } => "check the clock",
        }
    }
}

impl Standing {
    /// Signs it.
    ///
    /// # Errors
    /// When it contradicts itself, or cannot be signed.
    pub fn sign(&self, keys: &[&SecretKey]) -> Result<Envelope, StandingError> {
        self.check()?;
        Ok(Envelope::sign_json(STANDING_TYPE, self, keys)?)
    }

    /// Reads and accepts a standing: signed by the role `standing` of the newest root, of this authority, not older than
    /// what was seen, current at `now`.
    ///
    /// # Errors
    /// When any of it is not so. What was seen stays in force then.
    pub fn accept(
        bytes: &[u8],
        chain: &RootChain,
        seen: Option<StandingMark>,
        now: Instant,
    ) -> Result<(Self, StandingMark), StandingError> {
        let envelope = Envelope::parse(bytes)?;
        let standing: Self = envelope.json(STANDING_TYPE)?;
        chain.current().verify(&envelope, Role::Standing)?;
        standing.check()?;
        if standing.authority != chain.authority() {
            let (found, expected) = (standing.authority, chain.authority());
            return Err(StandingError::Authority { found, expected });
        }
        let mark = standing.mark(envelope.payload_digest());
        mark.check_after(seen)?;
        standing.check_at(now)?;
        Ok((standing, mark))
    }

    fn mark(&self, digest: Digest) -> StandingMark {
        StandingMark { epoch: self.epoch, digest, log_size: self.log_size }
    }

    fn check(&self) -> Result<(), StandingError> {
        if self.format != STANDING_FORMAT {
            return Err(StandingError::Format(loadline_core::untrusted::one_line(&self.format, 40)));
        }
        let ascending = self.entries.windows(2).all(|pair| pair[0].license < pair[1].license);
        let wrong = [
            (self.epoch == 0, "has no epoch: they count from 1"),
            (self.issued > self.expires, "expires before it is issued"),
            (!ascending, "names its licences twice or out of order"),
            (self.entries.len() > MAX_ENTRIES, "names too many licences"),
            (self.entries.iter().any(|entry| entry.reason.len() > MAX_REASON_BYTES), "has too long a reason"),
        ];
        match wrong.iter().find(|(wrong, _)| *wrong) {
            Some((_, problem)) => Err(StandingError::Contradiction { epoch: self.epoch, problem }),
            None => Ok(()),
        }
    }

    /// Whether it counts at a moment. Both ends are in; it may be issued up to [`CLOCK_SKEW_S`] after it.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_at(&self, now: Instant) -> Result<(), StandingError> {
        let Self { epoch, issued, expires, .. } = *self;
        if now > expires {
            return Err(StandingError::Expired { epoch, expires, now });
        }
        if issued.seconds() > now.seconds().saturating_add(CLOCK_SKEW_S) {
            return Err(StandingError::Future { epoch, issued, now });
        }
        Ok(())
    }

    /// What became of a licence, if anything.
    pub fn of(&self, license: Digest) -> Option<&StandingEntry> {
        let at = self.entries.binary_search_by(|entry| entry.license.cmp(&license)).ok()?;
        self.entries.get(at)
    }
}

impl StandingMark {
    fn check_after(self, seen: Option<Self>) -> Result<(), StandingError> {
        let Some(seen) = seen else { return Ok(()) };
        let epoch = self.epoch;
        if epoch < seen.epoch {
            return Err(StandingError::Rollback { found: epoch, seen: seen.epoch });
        }
        if epoch == seen.epoch && self.digest != seen.digest {
            return Err(StandingError::Forked(epoch));
        }
        if self.log_size < seen.log_size {
            return Err(StandingError::LogShrank { epoch, found: self.log_size, seen: seen.log_size });
        }
        Ok(())
    }
}
