//! What the gate needs to be durable, as traits: the audit log, the quotas and the stops. The proxy is written against
//! these, and whatever implements them is written against the same words.
//!
//! The order for one request is: [`Quota::reserve`] → [`Audit::intent`] (durable when it returns) → the request is
//! forwarded → [`Quota::settle`] → [`Audit::outcome`]. An intent without an outcome is a request whose end is not
//! known; it is charged at what was reserved.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use loadline_core::{Digest, Instant};
use loadline_policy::policy::Stage;
use loadline_trust::KeyId;
use serde::{Deserialize, Serialize};

use crate::guard::{Did, Side};

/// What comes when something is on the disk, or cannot be.
pub type Durable<T, E = AuditError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Names one request in answers, logs and receipts: 16 random bytes, shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&loadline_core::digest::hex(&self.0))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Place of an intent in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub u64);

/// Something that tokens are charged to: a caller's quota, or what one licence allows one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(Arc<str>);

impl Account {
    /// The quota that a key draws on; several keys may share one.
    pub fn quota(id: &str) -> Self {
        Self(format!("quota/{id}").into())
    }

    /// What the marks of a licence allow one key.
    pub fn marks(license: Digest, key: &str) -> Self {
        Self(format!("marks/{}/{key}", license.hex()).into())
    }

    /// An account by its name, as the audit log has it.
    pub fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// How much an account may be charged. What is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Tokens in a day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens in all, from the account's first use on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_term: Option<u64>,
}

/// An account and what it may be charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The account.
    pub account: Account,
    /// Its limits, as they are now.
    pub limits: Limits,
}

/// A request that is about to be forwarded.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The request.
    pub request: RequestId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The caller's key, by its id.
    pub key: Arc<str>,
    /// Whose content it is: erasing happens by subject.
    pub subject: Arc<str>,
    /// The path, such as `/v1/chat/completions`.
    pub route: &'static str,
    /// The model by its public name.
    pub model: Arc<str>,
    /// Digest of the model that the licence is about; none on a gate without licences.
    pub model_digest: Option<Digest>,
    /// The licence, by its payload digest.
    pub license: Option<Digest>,
    /// The licence's stage.
    pub stage: Option<Stage>,
    /// Epoch of the standing that it was admitted under; 0 without one.
    pub standing_epoch: u64,
    /// What is reserved, on each of these accounts.
    pub charges: Vec<Charge>,
    /// How many tokens.
    pub reserved: u64,
    /// Whether the content is kept in full, encrypted, or only as a keyed digest.
    pub keep: Keep,
    /// The request's body.
    pub content: Bytes,
}

/// The largest body that is kept in full, request or answer: a row holds it whole. What is larger is not served where
/// content is kept.
pub const MAX_KEPT_BYTES: u64 = 32 << 20;

/// How content is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// As a digest under the subject's key.
    #[default]
    Digest,
    /// In full, encrypted.
    Full,
}

/// Takes a response as it is delivered, for its digest or its ciphertext.
pub trait ContentSink: Send {
    /// The next bytes that went to the caller.
    fn write(&mut self, bytes: &[u8]);
}

/// An intent that is on the disk.
pub struct Recorded {
    /// Where.
    pub id: IntentId,
    /// Takes the response.
    pub content: Box<dyn ContentSink>,
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorded({})", self.id.0)
    }
}

/// How a forwarded request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Whole.
    Complete,
    /// The caller left before the end.
    CallerLeft,
    /// The upstream failed, before or in the middle of its answer.
    UpstreamFailed,
    /// It took longer than it may.
    TimedOut,
    /// It became larger than it may.
    TooLarge,
    /// A stop cut it.
    Stopped,
    /// A guard did not let it pass, or cut it.
    GuardRefused,
}

impl Ending {
    /// Every way to end, in the order of the type.
    pub const ALL: [Self; 7] = [
        Self::Complete,
        Self::CallerLeft,
        Self::UpstreamFailed,
        Self::TimedOut,
        Self::TooLarge,
        Self::Stopped,
        Self::GuardRefused,
    ];

    /// Its name in rows and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CallerLeft => "caller_left",
            Self::UpstreamFailed => "upstream_failed",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Stopped => "stopped",
            Self::GuardRefused => "guard_refused",
        }
    }
}

/// On what a number of tokens rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageBasis {
    /// The upstream said so, and what was delivered can hold that many.
    ServerUsage,
    /// Counted here from what was delivered.
    Estimated,
}

impl UsageBasis {
    /// Every basis, in the order of the type.
    pub const ALL: [Self; 2] = [Self::ServerUsage, Self::Estimated];

    /// Its name in rows and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerUsage => "server_usage",
            Self::Estimated => "estimated",
        }
    }
}

/// What a request used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the response.
    pub output: u64,
    /// On what both rest.
    pub basis: UsageBasis,
}

impl Used {
    /// Both together.
    pub fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// How a forwarded request ended and what it used.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The status that the caller saw.
    pub status: u16,
    /// How it ended.
    pub ending: Ending,
    /// What is charged.
    pub used: Used,
    /// Bytes of the response's body that went to the caller.
    pub delivered_bytes: u64,
}

/// A request that was not forwarded. It is written down, and nobody waits for that.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The request.
    pub request: RequestId,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The key, where it is one of the gate's.
    pub key: Option<Arc<str>>,
    /// The model, as far as it was read: untrusted.
    pub model: Option<String>,
    /// Why, as the caller sees it.
    pub code: &'static str,
}

/// Something that happened to the gate itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It began to listen; the digest of its configuration.
    Started(Digest),
    /// It goes by another configuration, with this digest, from now on.
    Reloaded(Digest),
    /// It goes by the standing of this epoch from now on.
    Standing {
        /// The epoch.
        epoch: u64,
        /// Its payload digest.
        digest: Digest,
    },
    /// A standing was offered and not accepted.
    StandingRefused(String),
    /// What is stopped changed.
    Stops {
        /// Digest of the order.
        order: Digest,
        /// How many streams were cut.
        cut: u64,
    },
    /// A guard matched, or could not be asked.
    Guard {
        /// The request.
        request: RequestId,
        /// The guard's name.
        guard: Arc<str>,
        /// Which way it looks.
        side: Side,
        /// What came of it.
        did: Did,
    },
    /// An answer was scored.
    Watched {
        /// By which watch.
        watch: Arc<str>,
        /// Of which model.
        model: Arc<str>,
        /// The request.
        request: RequestId,
        /// Whether it was right; none when it could not be scored.
        right: Option<bool>,
    },
    /// A watch raised its alarm.
    Drift {
        /// Which watch.
        watch: Arc<str>,
        /// About which model.
        model: Arc<str>,
        /// After how many scores.
        scored: u64,
        /// Whether the model is suspended here now.
        suspended: bool,
    },
    /// The operator cleared an alarm.
    DriftCleared {
        /// Of which watch.
        watch: Arc<str>,
        /// About which model.
        model: Arc<str>,
    },
    /// It ended in good order.
    Ended,
}

/// Why something is not durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// No room: nothing new is served until there is.
    #[error("the disk of the audit log is full")]
    Full,
    /// The disk failed once, so nothing is served any more.
    #[error("the audit log cannot be written: {0}")]
    Failed(String),
    /// More is waiting than may.
    #[error("the audit log has more to write than it can take")]
    Behind,
    /// It cannot do this.
    #[error("the audit log does not keep {0}")]
    Unsupported(&'static str),
    /// No such entry.
    #[error("the audit log has no entry {0}")]
    Unknown(u64),
    /// It is not there yet: the request goes on, or what became of it is not signed.
    #[error("the request has not come to its end, or that is not signed yet")]
    Pending,
}

/// The audit log.
pub trait Audit: Send + Sync {
    /// Writes an intent. Durable when it returns; only then is the request forwarded.
    fn intent(&self, intent: Intent) -> Durable<Recorded>;

    /// Writes what became of it. Never waits.
    fn outcome(&self, recorded: Recorded, outcome: Outcome);

    /// Notes a refusal. Never waits.
    fn refused(&self, refused: Refused);

    /// Writes an event. Durable when it returns.
    fn event(&self, event: Event) -> Durable<()>;

    /// Whether new requests can be taken.
    ///
    /// # Errors
    /// Why not.
    fn ready(&self) -> Result<(), AuditError>;

    /// A signed receipt for an intent of this subject, with inclusion proofs, as JSON. Somebody else's intent is
    /// unknown.
    fn receipt(&self, intent: IntentId, subject: &str) -> Durable<Vec<u8>>;
}

/// Tokens that are set aside for one request.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is never settled stays charged"]
pub struct Reservation {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// How many tokens on each.
    pub tokens: u64,
    /// When, in milliseconds since 1970: settling goes to the same minute and day.
    pub at_ms: u64,
}

/// A limit that a request would go over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The account.
    pub account: Account,
    /// `requests_per_minute`, `tokens_per_minute`, `tokens_per_day` or `tokens_per_term`.
    pub limit: &'static str,
    /// How much it is.
    pub most: u64,
    /// How much is used or set aside.
    pub used: u64,
    /// How much was asked for.
    pub asked: u64,
    /// When there is more, in milliseconds from now; none when waiting does not help.
    pub retry_after_ms: Option<u64>,
}

/// The quotas: integers, exact whatever happens at once.
pub trait Quota: Send + Sync {
    /// Sets tokens aside on every account, or on none.
    ///
    /// # Errors
    /// The first limit that does not allow it.
    fn reserve(&self, charges: &[Charge], tokens: u64, now_ms: u64) -> Result<Reservation, Exceeded>;

    /// Charges what was used and gives back the rest.
    fn settle(&self, reservation: Reservation, used: u64);
}

/// What can be stopped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
pub enum StopTarget {
    /// Everything.
    All,
    /// A model, by its public name.
    Model(String),
    /// A licence, by its payload digest.
    License(Digest),
    /// A caller's key, by its id.
    Key(String),
}

/// What is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Everything that an order stopped and no order started again.
    pub targets: BTreeSet<StopTarget>,
    /// Digest of the last order; none before the first.
    pub last: Option<Digest>,
    /// What the last order named.
    pub named: Option<StopTarget>,
}

/// What somebody who makes an order must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The gate's name, which an order carries.
    pub gate: String,
    /// How many must sign together to start again; 0 when nobody may.
    pub start_needs: u32,
    /// Whose signatures count.
    pub stop_keys: BTreeSet<KeyId>,
}

/// Why an order is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// It is no order, or its signatures do not carry it, or it is not the next.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// It could not be made durable. The gate serves nothing from then on.
    #[error("the order could not be written: {0}")]
    Disk(String),
}

/// Where stops are kept.
pub trait StopStore: Send + Sync {
    /// What is stopped.
    fn stops(&self) -> Arc<Stops>;

    /// What an order must keep to now.
    fn terms(&self) -> Terms;

    /// Checks a signed order, to stop or to start again, and keeps it. Durable when it returns: what is stopped then.
    fn order(&self, order: Bytes, now: Instant) -> Durable<Arc<Stops>, StopError>;
}
