//! What a licence does not say. A licence without limitations cannot be made or read.

use serde::{Deserialize, Serialize};

use crate::names::names;

names! {
    /// A limitation that is known by name.
    LimitationCode {
        /// A licence is not legal conformity.
        NotLegalConformity = "not_legal_conformity",
        /// The tests may not measure what matters.
        TestValidity = "test_validity",
        /// Runs that were not registered leave no trace.
        UnloggedRuns = "unlogged_runs",
        /// Nobody can promise that a remote endpoint serves the weights it claims.
        RemoteIdentity = "remote_identity",
        /// There is no model: the subject knows the answers and is made to be so good and no better.
        SimulatedSubject = "simulated_subject",
        /// Public weights cannot be called back.
        WeightsPublic = "weights_public",
        /// The compute was not measured here.
        ComputeDeclared = "compute_declared",
        /// A required test is not met and is disclosed.
        DisclosedFailure = "disclosed_failure",
        /// Something else.
        Other = "other",
    }
}

impl LimitationCode {
    /// What it means, for people; empty for [`LimitationCode::Other`].
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NotLegalConformity => "This licence is not legal conformity with any law.",
            Self::TestValidity => "The tests show what they ask; they may not measure all that matters.",
            Self::UnloggedRuns => {
                "Runs that were never registered leave no trace: there may have been others."
            }
            Self::RemoteIdentity => {
                "The model is reached over a network: that it serves these weights is claimed, not checked."
            }
            Self::SimulatedSubject => {
                "The subject is simulated: this is about no real model, and for demonstration only."
            }
            Self::WeightsPublic => {
                "The weights are public: the kill switch is void, and no limit binds those who have them."
            }
            Self::ComputeDeclared => "The training compute is as declared; it was not measured here.",
            Self::DisclosedFailure => "A test that does not stop this licence is not met.",
            Self::Other => "",
        }
    }
}

/// One limitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limitation {
    /// Which.
    pub code: LimitationCode,
    /// In words.
    pub text: String,
}

impl Limitation {
    /// A known limitation in its own words.
    pub fn known(code: LimitationCode) -> Self {
        Self { code, text: code.meaning().to_owned() }
    }
}

/// Limitations: never none, and always those that every licence has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Limitation>", into = "Vec<Limitation>")]
pub struct Limitations(Vec<Limitation>);

/// Why a list is not one of limitations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitationsError {
    /// One that every licence has is not there.
    #[error("the limitation `{0}` is not there, which every licence has")]
    Missing(LimitationCode),
    /// One says nothing.
    #[error("the limitation `{0}` has no words")]
    Empty(LimitationCode),
}

/// What no licence can promise.
const ALWAYS: [LimitationCode; 3] =
    [LimitationCode::NotLegalConformity, LimitationCode::TestValidity, LimitationCode::UnloggedRuns];

impl Limitations {
    /// Those that every licence has, and these.
    pub fn with(more: impl IntoIterator<Item = Limitation>) -> Self {
        Self(ALWAYS.into_iter().map(Limitation::known).chain(more).collect())
    }

    /// Whether one is there.
    pub fn has(&self, code: LimitationCode) -> bool {
        self.0.iter().any(|limitation| limitation.code == code)
    }

    /// Every one, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Limitation> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Limitation>> for Limitations {
    type Error = LimitationsError;

    fn try_from(list: Vec<Limitation>) -> Result<Self, LimitationsError> {
        if let Some(empty) = list.iter().find(|limitation| limitation.text.trim().is_empty()) {
            return Err(LimitationsError::Empty(empty.code));
        }
        let limitations = Self(list);
        match ALWAYS.into_iter().find(|code| !limitations.has(*code)) {
            Some(code) => Err(LimitationsError::Missing(code)),
            None => Ok(limitations),
        }
    }
}

impl From<Limitations> for Vec<Limitation> {
    fn from(limitations: Limitations) -> Self {
        limitations.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Named as _;

    #[test]
    fn there_is_no_licence_without_limitations() {
        let said = |json: &str| serde_json::from_str::<Limitations>(json).unwrap_err().to_string();
        assert!(said("[]").contains("`not_legal_conformity` is not there, which every licence has"));
        let mut list = Vec::from(Limitations::with([]));
        list[1].text = " ".to_owned();
        let json = serde_json::to_string(&list).unwrap();
        assert!(said(&json).contains("`test_validity` has no words"));
    }

    #[test]
    fn every_code_but_other_has_words() {
        for code in LimitationCode::ALL {
            assert_eq!(code.meaning().is_empty(), *code == LimitationCode::Other);
        }
    }
}
