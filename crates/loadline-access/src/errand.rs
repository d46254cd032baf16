//! What whoever runs a programme has done at its desk. An errand is the same at the programme's folder and at the
//! operator's door, and no path comes with it: which files are read and written, the programme's own file says.

use std::sync::{Mutex, MutexGuard, PoisonError};

use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_gate::audit::AuditOpenError;
use serde::{Deserialize, Serialize};

use crate::Desk;
use crate::desk::Granted;
use crate::lottery::Lottery;
use crate::refusal::{Code, Refusal};
use crate::usage::{self, Used};

/// The largest errand, in bytes.
pub const MAX_ERRAND_BYTES: usize = 4 << 10;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Errand {
    /// Give the places of a round.
    Draw {
        /// The round.
        round: String,
        /// Value of the public randomness that the programme announced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beacon: Option<String>,
    },
    /// Make the key of an application.
    Grant {
        /// Its id.
        application: String,
    },
    /// Revoke the key of an application.
    Revoke {
        /// Its id.
        application: String,
    },
    /// Erase the texts of an application.
    Erase {
        /// Its id.
        application: String,
    },
    /// Show what each grant has used.
    Usage,
}

/// What came of an errand. A key in it is for whoever asked, and is written nowhere else. A reader overlooks fields that
/// it does not know: the errand is done, and a key is shown once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// The draw, as it is published.
    Drawn(Box<Lottery>),
    /// The key, shown once.
    Granted(Box<Granted>),
    /// Keys that are revoked.
    Revoked {
        /// Of this application.
        application: String,
        /// Their ids.
        keys: Vec<String>,
    },
    /// The application whose texts are gone.
    Erased(String),
    /// What each grant has used.
    Used(Vec<Used>),
}

impl Errand {
    /// Reads an errand as JSON.
    ///
    /// # Errors
    /// When it is none, has something unknown in it, or is too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let wrong = |why: &str| {
            Refusal::new(Code::BadRequest, format!("this is no errand: {why}")).hint(
                "`\"usage\"`, `{\"draw\":{\"round\":…}}`, or `{\"revoke\":{\"application\":…}}`, as `grant` and `erase`",
            )
        };
        if bytes.len() > MAX_ERRAND_BYTES {
            return Err(wrong(&format!(
                "it has {} bytes, and at most {MAX_ERRAND_BYTES} are read",
                bytes.len()
            )));
        }
        serde_json::from_slice(bytes).map_err(|error| wrong(&one_line(&error.to_string(), 200)))
    }
}

impl From<AuditOpenError> for Refusal {
    fn from(error: AuditOpenError) -> Self {
        let code = match &error {
            error if error.is_tampered() => Code::Damaged,
            AuditOpenError::Missing(_) => Code::Unknown,
            _ => Code::Unavailable,
        };
        Self::new(code, error.to_string()).hint(error.hint())
    }
}

/// Does an errand. What it changes is durable when this returns. Others have the desk while an audit log is read.
///
/// # Errors
/// Why it is not done.
pub fn run(desk: &Mutex<Desk>, errand: &Errand, now: Instant) -> Result<Done, Refusal> {
    Ok(match errand {
        Errand::Draw { round, beacon } => {
            Done::Drawn(Box::new(held(desk).draw(round, beacon.as_deref(), now)?))
        }
        Errand::Grant { application } => Done::Granted(Box::new(held(desk).grant(application, now)?)),
        Errand::Revoke { application } => {
            let keys = held(desk).revoke(application, now)?;
            Done::Revoked { application: application.clone(), keys }
        }
        Errand::Erase { application } => {
            held(desk).erase(application, now)?;
            Done::Erased(application.clone())
        }
        Errand::Usage => {
            let (disk, audit) = held(desk).audit()?;
            let accounts = usage::read(disk.as_ref(), &audit)?;
            Done::Used(usage::of(&accounts, held(desk).book(), now))
        }
    })
}

/// The desk, for whoever comes next. After a panic between two steps the store refuses everything; reading goes on.
pub fn held(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
