//! What people sign: an application, and what comes after it. Every request is an envelope signed by a hybrid key, so
//! nobody acts for somebody else, and a reviewer cannot deny a review.

use loadline_core::Instant;
use loadline_trust::{CLOCK_SKEW_S, Envelope, PublicKey, SecretKey};
use serde::{Deserialize, Serialize};

use crate::programme::{Programme, is_domain};
use crate::refusal::{Code, Refusal};

/// `payloadType` of an application.
pub const APPLICATION_TYPE: &str = "application/vnd.loadline.access-application.v1+json";
/// `payloadType` of every other request.
pub const REQUEST_TYPE: &str = "application/vnd.loadline.access-request.v1+json";
/// The largest request, in bytes: an envelope of an application with every text as long as it may be.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// How old a request may be, in seconds. It may be from at most [`CLOCK_SKEW_S`] ahead. Within that a request that somebody
/// listened to does nothing a second time: what changes something is taken once.
pub const FRESH_S: u64 = 300;
/// The longest free text, in bytes.
pub const MAX_TEXT_BYTES: usize = 8_000;
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// An application for access.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The domain of the institution.
    pub affiliation: String,
    /// When it was signed.
    pub at: Instant,
    /// For how many days.
    pub days: u64,
    /// The reference of an ethics board, or why there is none.
    pub ethics: String,
    /// The applicant's key; it signs the application and everything after it.
    pub key: PublicKey,
    /// Which level of access.
    pub level: String,
    /// Who applies.
    pub name: String,
    /// To which programme.
    pub programme: String,
    /// What for.
    pub purpose: String,
    /// An ID token (OpenID Connect) whose `nonce` is the id of `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// What is asked after an application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What to do.
    pub act: Act,
    /// The application that it is about, 32 hexadecimal digits; none for the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// When it was signed.
    pub at: Instant,
    /// To which programme.
    pub programme: String,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Applicant: how does it stand?
    Status,
    /// Applicant: take it back.
    Withdraw,
    /// Applicant: against a rejection; why.
    Appeal(String),
    /// Applicant: what the access was used for and what came of it.
    Report(String),
    /// Applicant: the key that was granted.
    Claim,
    /// Applicant: an anonymous token instead of the key; a request for one (RFC 9578), as base64.
    Token(String),
    /// Reviewer: what waits for me?
    Queue,
    /// Reviewer: a verdict, with the reason that the applicant gets.
    Review {
        /// The verdict.
        verdict: Verdict,
        /// Why.
        reason: String,
    },
    /// Reviewer: not me; why.
    Recuse(String),
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No.
    Reject,
}

impl Verdict {
    /// As a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
        }
    }
}

/// Signs an application.
///
/// # Errors
/// When it cannot be written as canonical JSON.
pub fn sign_application(
    application: &Application,
    key: &SecretKey,
) -> Result<Vec<u8>, loadline_trust::EnvelopeError> {
    Ok(Envelope::sign_json(APPLICATION_TYPE, application, &[key])?.to_bytes())
}

/// Signs another request.
///
/// # Errors
/// As [`sign_application`].
pub fn sign_request(request: &Request, key: &SecretKey) -> Result<Vec<u8>, loadline_trust::EnvelopeError> {
    Ok(Envelope::sign_json(REQUEST_TYPE, request, &[key])?.to_bytes())
}

impl Application {
    /// Reads an application, and sees that it is signed by the key in it and by nobody else.
    ///
    /// # Errors
    /// When it is not.
    pub fn read(envelope: &Envelope) -> Result<Self, Refusal> {
        let application: Self = envelope.json(APPLICATION_TYPE).map_err(|error| Refusal::envelope(&error))?;
        envelope.signers([&application.key]).map_err(|error| Refusal::envelope(&error))?;
        Ok(application)
    }

    /// Whether all of it is as it must be.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn check(&self, programme: &Programme, now: Instant) -> Result<(), Refusal> {
        check_address(programme, &self.programme, self.at, now)?;
        check_text("name", &self.name, MAX_NAME_BYTES)?;
        check_text("purpose", &self.purpose, MAX_TEXT_BYTES)?;
        check_text("ethics", &self.ethics, MAX_TEXT_BYTES)?;
        if !is_domain(&self.affiliation) {
            return Err(Refusal::new(Code::BadRequest, "`affiliation` is not a domain")
                .hint("the domain of your institution in lower case, such as `uni.example`"));
        }
        let known =
            || programme.levels.iter().map(|level| level.name.as_str()).collect::<Vec<_>>().join(", ");
        let level = programme.level(&self.level).ok_or_else(|| {
            Refusal::new(Code::BadRequest, "there is no such level of access")
                .hint(format!("one of {}", known()))
        })?;
        if self.days == 0 || self.days > level.days {
            let message =
                format!("`days` is {}: `{}` is given for 1 to {}", self.days, level.name, level.days);
            return Err(Refusal::new(Code::BadRequest, message).hint("ask for a shorter term"));
        }
        Ok(())
    }
}

impl Request {
    /// Whether it is for this programme, and fresh.
    ///
    /// # Errors
    /// When it is not, or a text in it is empty or too long.
    pub fn check(&self, programme: &Programme, now: Instant) -> Result<(), Refusal> {
        check_address(programme, &self.programme, self.at, now)?;
        match &self.act {
            Act::Appeal(text) | Act::Report(text) | Act::Recuse(text) => {
                check_text("text", text, MAX_TEXT_BYTES)
            }
            Act::Review { reason, .. } => check_text("reason", reason, MAX_TEXT_BYTES),
            // A request for a token has one length, and is looked at where tokens are made.
            Act::Status | Act::Withdraw | Act::Claim | Act::Queue | Act::Token(_) => Ok(()),
        }
    }
}

fn check_address(programme: &Programme, named: &str, at: Instant, now: Instant) -> Result<(), Refusal> {
    if named != programme.name {
        let message = format!("this is the programme `{}`", programme.name);
        return Err(Refusal::new(Code::BadRequest, message).hint("sign the request for this programme"));
    }
    let (at_s, now_s) = (at.seconds(), now.seconds());
    if at_s.saturating_add(FRESH_S) < now_s || at_s > now_s.saturating_add(CLOCK_SKEW_S) {
        let message = format!("the request was signed at {at}, and it is {now}");
        return Err(Refusal::new(Code::NotFresh, message).hint("set the clock, sign again and send at once"));
    }
    Ok(())
}

fn check_text(what: &str, text: &str, most: usize) -> Result<(), Refusal> {
    let fine = !text.trim().is_empty()
        && text.len() <= most
        && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if fine {
        return Ok(());
    }
    let message = format!("`{what}` is empty, too long, or has control characters");
    Err(Refusal::new(Code::BadRequest, message).hint(format!("1 to {most} bytes of plain text")))
}
