//! Roles: what a key may say, and how many of its holders must say it together.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::KeyId;

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The root file itself.
    Root,
    /// Licences.
    Authority,
    /// Attestations of exams.
    Examiner,
    /// What is revoked and suspended, every few seconds.
    Standing,
    /// Orders to a gate: any one holder stops, as many as the threshold asks for start again.
    Stop,
    /// Sign-offs of the red team.
    RedTeam,
    /// Sign-offs of an external auditor.
    ExternalAuditor,
    /// Sign-offs of a scientist.
    Scientist,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Root,
        Self::Authority,
        Self::Examiner,
        Self::Standing,
        Self::Stop,
        Self::RedTeam,
        Self::ExternalAuditor,
        Self::Scientist,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Authority => "authority",
            Self::Examiner => "examiner",
            Self::Standing => "standing",
            Self::Stop => "stop",
            Self::RedTeam => "red_team",
            Self::ExternalAuditor => "external_auditor",
            Self::Scientist => "scientist",
        }
    }

    /// The role of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who holds a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleKeys {
    /// The keys.
    pub keyids: BTreeSet<KeyId>,
    /// How many of them must sign: 1 to all.
    pub threshold: u32,
}

impl RoleKeys {
    /// Whether this many signers are enough.
    pub fn enough(&self, signers: usize) -> bool {
        usize::try_from(self.threshold).is_ok_and(|threshold| threshold > 0 && signers >= threshold)
    }
}
