//! Why a request is not done. The words are for people, the code is for programs.

use loadline_trust::EnvelopeError;
use serde::Serialize;

/// What kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not what it must be.
    BadRequest,
    /// Nobody but the operator may ask for it.
    NoKey,
    /// A signature does not hold, or is by another key.
    NotSigned,
    /// Signed too long ago, or in the future.
    NotFresh,
    /// No round takes applications now.
    RoundClosed,
    /// The identity does not count here.
    IdentityRefused,
    /// This identity has applied in this round.
    AlreadyApplied,
    /// No such application, or not of this key.
    Unknown,
    /// The application does not stand so that this could be done.
    WrongMoment,
    /// The token was used.
    Spent,
    /// The programme takes no more.
    Full,
    /// What was written safely has changed since.
    Damaged,
    /// The programme cannot keep what it is told, or its files are damaged.
    Unavailable,
}

impl Code {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::NotFresh => 400,
            Self::NoKey => 401,
            Self::NotSigned | Self::IdentityRefused => 403,
            Self::Unknown => 404,
            Self::RoundClosed | Self::AlreadyApplied | Self::WrongMoment | Self::Spent => 409,
            Self::Full => 429,
            Self::Damaged => 500,
            Self::Unavailable => 503,
        }
    }

    /// The word that programs go by.
    pub fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NoKey => "no_key",
            Self::NotSigned => "not_signed",
            Self::NotFresh => "not_fresh",
            Self::RoundClosed => "round_closed",
            Self::IdentityRefused => "identity_refused",
            Self::AlreadyApplied => "already_applied",
            Self::Unknown => "unknown",
            Self::WrongMoment => "wrong_moment",
            Self::Spent => "spent",
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: String::new() }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Of an envelope that does not hold.
    pub fn envelope(error: &EnvelopeError) -> Self {
        Self::new(Code::NotSigned, error.to_string()).hint(error.hint())
    }

    /// Of an application that is not there, or not of whoever asks: the two are not told apart.
    pub fn unknown() -> Self {
        Self::new(Code::Unknown, "there is no such application for this key")
            .hint("give the id that you got when you applied, and sign with the same key")
    }

    /// Of an application that is not there, for whoever may know that: who runs the programme, and reviewers.
    pub fn no_application() -> Self {
        Self::new(Code::Unknown, "there is no such application").hint("give the id that its applicant got")
    }

    /// Of something that cannot be done as the application stands.
    pub fn moment(message: impl Into<String>) -> Self {
        Self::new(Code::WrongMoment, message).hint("`loadline access status` shows how it stands")
    }
}
