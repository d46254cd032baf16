//! The rows of a programme's log, as JSON. `docs/formats/access.md` says when each is written.

use loadline_core::{Digest, Instant};
use loadline_gate::audit::content::Content;
use serde::{Deserialize, Serialize};

use crate::request::Verdict;

/// A text of a person, encrypted under the key of the application that it is about.
pub type Sealed = Content<'static>;

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Row {
    /// The log began: first row.
    Founded {
        /// When.
        at: Instant,
        /// Digest of the programme's file.
        digest: Digest,
        /// The programme's name.
        programme: String,
    },
    /// The programme goes by another file from here on.
    Changed {
        /// When.
        at: Instant,
        /// Digest of the file.
        digest: Digest,
    },
    /// A torn tail was cut.
    Recovered {
        /// When.
        at: Instant,
        /// How many bytes.
        bytes_cut: u64,
        /// Their digest.
        cut: Digest,
    },
    /// Somebody applied.
    Applied(Box<Applied>),
    /// A reviewer got an application.
    Assigned {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The reviewer's name.
        reviewer: String,
    },
    /// A reviewer stepped back.
    Recused {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The reviewer's name.
        reviewer: String,
        /// The signed request.
        content: Sealed,
    },
    /// A reviewer came to a verdict.
    Reviewed {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The reviewer's name.
        reviewer: String,
        /// The verdict.
        verdict: Verdict,
        /// The signed request, with the reason.
        content: Sealed,
    },
    /// So many verdicts agree.
    Decided {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The decision.
        verdict: Verdict,
    },
    /// The applicant appealed.
    Appealed {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The signed request.
        content: Sealed,
    },
    /// The applicant took it back.
    Withdrawn {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
    },
    /// The places of a round were given.
    Drawn {
        /// When.
        at: Instant,
        /// Which round.
        round: String,
        /// How many places.
        places: u64,
        /// The log's signed checkpoint right before.
        checkpoint: String,
        /// The public randomness, if the programme goes by any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beacon: Option<String>,
        /// All accepted applications, the first drawn first.
        order: Vec<String>,
    },
    /// A key was made for an application.
    Granted {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The key's id in the gate's file.
        key: String,
        /// The last moment it works.
        expires: Instant,
    },
    /// The key of anonymous tokens was made.
    TokenKey {
        /// When.
        at: Instant,
        /// SHA-256 of the public key.
        key: Digest,
    },
    /// An anonymous token was issued for an application, instead of a key.
    Issued {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// SHA-256 of what was signed, which nobody could see into.
        request: Digest,
        /// The last moment of what any token of the round is good for.
        expires: Instant,
    },
    /// A token was used. Nothing says of which application.
    Spent {
        /// When.
        at: Instant,
        /// The token's nullifier.
        nullifier: Digest,
        /// The round it is of.
        round: String,
        /// The key's id in the gate's file.
        key: String,
        /// The last moment it works.
        expires: Instant,
    },
    /// The key was revoked.
    Revoked {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
    },
    /// The applicant reported what came of it.
    Reported {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
        /// The signed request.
        content: Sealed,
    },
    /// The texts of an application cannot be read any more.
    Erased {
        /// When.
        at: Instant,
        /// Which application.
        application: String,
    },
}

/// An application, as the log has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// When.
    pub at: Instant,
    /// Its id: the pseudonym of its subject, 32 hexadecimal digits.
    pub application: String,
    /// Which round.
    pub round: String,
    /// Which level of access.
    pub level: String,
    /// For how many days.
    pub days: u64,
    /// Who: a keyed digest, 64 hexadecimal digits.
    pub identity: String,
    /// On what the identity rests.
    pub basis: Basis,
    /// Reviewers who never get it, since they are of the same institution or it is their own.
    pub conflicts: Vec<String>,
    /// The signed application.
    pub content: Sealed,
}

/// On what an identity rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// A key that anybody can make.
    Key,
    /// A key that the programme lists.
    ListedKey,
    /// An issuer vouched for the person.
    Issuer,
    /// An issuer vouched for the person and for an address at the institution.
    IssuerAndAffiliation,
}

impl Basis {
    /// Whether somebody besides the applicant says who it is.
    pub fn is_verified(self) -> bool {
        self != Self::Key
    }

    /// As a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::ListedKey => "listed_key",
            Self::Issuer => "issuer",
            Self::IssuerAndAffiliation => "issuer_and_affiliation",
        }
    }
}

impl Row {
    /// Reads a row.
    ///
    /// # Errors
    /// In words, when it is of no form known here.
    pub fn parse(payload: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(payload).map_err(|error| {
            let error = loadline_core::untrusted::one_line(&error.to_string(), 200);
            format!("the row is whole, but of no form known here: {error}")
        })
    }
}
