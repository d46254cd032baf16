//! That stopping was tried out: what was measured, signed by who held the stop key. `docs/formats/drill.md` is the page
//! of this format.

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_policy::decide::Drill;
use loadline_policy::policy::Stage;
use loadline_trust::{Envelope, EnvelopeError, Role, Root, SecretKey};
use serde::{Deserialize, Serialize};

use crate::entry::DrillEntry;

/// `payloadType` of a report.
pub const DRILL_TYPE: &str = "application/vnd.loadline.drill+json";
/// `format` of a report.
pub const DRILL_FORMAT: &str = "loadline-drill/1";
/// The longest name in a report, in bytes.
pub const MAX_NAME_BYTES: usize = 300;

/// What a drill came to. Times are whole milliseconds from the moment right before the order was sent, rounded up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillReport {
    /// Until the gate's answer.
    pub answer_ms: u64,
    /// Streams that were asked for.
    pub asked: u64,
    /// When the order was made.
    pub at: Instant,
    /// Bytes that any stream brought after the gate's answer.
    pub bytes_after: u64,
    /// Requests that the gate says it cut.
    pub cut: u64,
    /// [`DRILL_FORMAT`].
    pub format: String,
    /// The gate's name.
    pub gate: String,
    /// How long the gate says that it took until the order was on its disk.
    pub kept_ms: u64,
    /// Until the last byte of the stream that ended last.
    pub last_byte_ms: u64,
    /// Until at least half of the streams had had their last byte.
    pub last_byte_median_ms: u64,
    /// The licence that the gate served it under.
    pub license: Digest,
    /// Whether it was started again after.
    pub lifted: bool,
    /// Digest of the model, as the gate's licence says.
    pub model: Digest,
    /// Its public name at the gate.
    pub name: String,
    /// Payload digest of the order.
    pub order: Digest,
    /// Which program measured.
    pub program: String,
    /// The licence's stage.
    pub stage: Stage,
    /// Streams that brought bytes before the order and had not ended.
    pub streams: u64,
    /// What was stopped: `model:NAME` or `key:ID`.
    pub target: String,
    /// Streams that the upstream said were alive after the gate's answer; absent when it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_alive: Option<u64>,
}

/// Why a report does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// No envelope of a report, or a signature that does not hold.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Another format.
    #[error("`format` is `{0}`, not `{DRILL_FORMAT}`")]
    Format(String),
    /// It contradicts itself.
    #[error("the report {0}")]
    Contradiction(&'static str),
}

impl DrillError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Envelope(EnvelopeError::Unknown(_)) => "a report is signed by a holder of the role `stop`",
            Self::Envelope(error) => error.hint(),
            Self::Format(_) => "this version of loadline reads `loadline-drill/1` only",
            Self::Contradiction(_) => "make another drill with `loadline stop drill`",
        }
    }
}

impl DrillReport {
    /// Signs it.
    ///
    /// # Errors
    /// When it contradicts itself or cannot be signed.
    pub fn sign(&self, key: &SecretKey) -> Result<Envelope, DrillError> {
        self.check()?;
        Ok(Envelope::sign_json(DRILL_TYPE, self, &[key])?)
    }

    /// Reads a report that a holder of the role `stop` under this root signed, and its payload digest.
    ///
    /// # Errors
    /// See [`DrillError`].
    pub fn accept(bytes: &[u8], root: &Root) -> Result<(Self, Digest), DrillError> {
        let envelope = Envelope::parse(bytes)?;
        let report: Self = envelope.json(DRILL_TYPE)?;
        report.check()?;
        // An envelope without a signer is none, so at least one of them signed.
        envelope.signers(root.holders(Role::Stop))?;
        Ok((report, envelope.payload_digest()))
    }

    fn check(&self) -> Result<(), DrillError> {
        if self.format != DRILL_FORMAT {
            return Err(DrillError::Format(one_line(&self.format, 40)));
        }
        let named = [&self.gate, &self.name, &self.program, &self.target];
        let wrong = [
            (self.streams > self.asked, "has more streams than were asked for"),
            (self.last_byte_median_ms > self.last_byte_ms, "has a median above its largest"),
            (
                named.iter().any(|name| name.is_empty() || name.len() > MAX_NAME_BYTES),
                "has too long a name, or none",
            ),
            (named.iter().any(|name| name.chars().any(char::is_control)), "has a name of more than a line"),
        ];
        match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, what)) => Err(DrillError::Contradiction(what)),
            None => Ok(()),
        }
    }

    /// What the log says of it.
    pub fn entry(&self, drill: Digest) -> DrillEntry {
        DrillEntry {
            at: self.at,
            bytes_after: self.bytes_after,
            drill,
            gate: self.gate.clone(),
            last_byte_ms: self.last_byte_ms,
            model: self.model,
            streams: self.streams,
        }
    }
}

impl DrillEntry {
    /// What a decision looks at, given the entry's place in the log.
    pub fn evidence(&self, log_index: u64) -> Drill {
        Drill {
            id: format!("drill-{}", &self.drill.hex()[..12]),
            report: self.drill,
            log_index,
            model: self.model,
            streams: self.streams,
            last_byte_ms: self.last_byte_ms,
            bytes_after: self.bytes_after,
            at: self.at,
        }
    }
}
