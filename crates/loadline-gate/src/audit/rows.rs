//! The rows of the audit log, as JSON. `docs/formats/audit.md` says when each is written.

use std::borrow::Cow;

use loadline_core::Digest;
use loadline_policy::policy::Stage;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::content::Content;
use crate::guard::Did;
use crate::ledger::{Ending, UsageBasis};

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row<'a> {
    /// A process began to write.
    Opened {
        /// When.
        at_ms: u64,
        /// Which program.
        program: String,
        /// The name of the log.
        name: String,
    },
    /// A request is about to be forwarded.
    #[serde(borrow)]
    Intent(Box<IntentRow<'a>>),
    /// It has ended.
    #[serde(borrow)]
    Outcome(Box<OutcomeRow<'a>>),
    /// Nobody knows how it ended: it is charged at what was reserved.
    Unsettled {
        /// The intent's row.
        intent: u64,
        /// When this was found.
        at_ms: u64,
    },
    /// A request was not forwarded.
    Refused {
        /// The request, 32 hexadecimal digits.
        request: String,
        /// When.
        at_ms: u64,
        /// The key, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The model that was asked for: untrusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// Why.
        code: String,
        /// Refusals before it that have no row.
        #[serde(default, skip_serializing_if = "is_zero")]
        skipped: u64,
    },
    /// Something happened to the gate.
    Event {
        /// When.
        at_ms: u64,
        /// What.
        what: What,
    },
    /// A subject's key was erased.
    Erased {
        /// When.
        at_ms: u64,
        /// The subject's pseudonym.
        subject: String,
    },
    /// A torn tail was cut.
    Recovered {
        /// When.
        at_ms: u64,
        /// How many bytes.
        bytes_cut: u64,
        /// Their digest.
        cut: Digest,
    },
    /// What the rows before come to: the first row of every segment but the first.
    Carried(Book),
}

/// A request that is about to be forwarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentRow<'a> {
    /// The request, 32 hexadecimal digits.
    pub request: Cow<'a, str>,
    /// When.
    pub at_ms: u64,
    /// The caller's key, by its id.
    pub key: Cow<'a, str>,
    /// The subject's pseudonym.
    pub subject: Cow<'a, str>,
    /// The path.
    pub route: Cow<'a, str>,
    /// The model, by its public name.
    pub model: Cow<'a, str>,
    /// The model's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<Digest>,
    /// The licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<Digest>,
    /// Its stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Epoch of the standing.
    pub standing_epoch: u64,
    /// What is charged.
    pub accounts: Vec<Cow<'a, str>>,
    /// How much, on each.
    pub reserved: u64,
    /// The request's body.
    pub content: Content<'a>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRow<'a> {
    /// The intent's row.
    pub intent: u64,
    /// When.
    pub at_ms: u64,
    /// The status that the caller saw.
    pub status: u16,
    /// How.
    pub ending: Ending,
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the response.
    pub output: u64,
    /// On what both rest.
    pub basis: UsageBasis,
    /// Bytes that went to the caller.
    pub delivered_bytes: u64,
    /// Those bytes.
    #[serde(borrow)]
    pub content: Content<'a>,
}

/// Something that happened to the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It began to listen; the digest of its configuration.
    Started(Digest),
    /// It goes by another configuration.
    Reloaded(Digest),
    /// It goes by another standing.
    Standing {
        /// The epoch.
        epoch: u64,
        /// Its payload digest.
        digest: Digest,
    },
    /// A standing was not accepted; why.
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
        /// The request, 32 hexadecimal digits.
        request: String,
        /// The guard's name.
        guard: String,
        /// `input` or `output`.
        on: String,
        /// What came of it.
        did: Did,
    },
    /// An answer was scored.
    Watched {
        /// By which watch.
        watch: String,
        /// Of which model.
        model: String,
        /// The request, 32 hexadecimal digits.
        request: String,
        /// Whether it was right; none when it could not be scored.
        right: Option<bool>,
    },
    /// A watch raised its alarm.
    Drift {
        /// Which watch.
        watch: String,
        /// About which model.
        model: String,
        /// After how many scores.
        scored: u64,
        /// Whether the model is suspended at this gate now.
        suspended: bool,
    },
    /// The operator cleared an alarm.
    DriftCleared {
        /// Of which watch.
        watch: String,
        /// About which model.
        model: String,
    },
    /// It ended in good order.
    Ended,
}

/// The form that serde calls.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The most of a text from outside that a row keeps, in characters.
pub const MAX_TEXT_CHARS: usize = 200;

impl Row<'_> {
    /// Reads a row.
    ///
    /// # Errors
    /// In words, when it is of no form known here.
    pub fn parse(payload: &[u8]) -> Result<Row<'_>, String> {
        serde_json::from_slice(payload).map_err(|error| {
            let error = loadline_core::untrusted::one_line(&error.to_string(), MAX_TEXT_CHARS);
            format!("the row is whole, but of no form known here: {error}")
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// In words; no row that is made here fails.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(768);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }
}
