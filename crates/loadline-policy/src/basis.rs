//! The words for "on what a field rests", as they are written in documents.

use loadline_core::model::Basis;

use crate::names::names;

names! {
    /// As [`Basis`], for reading.
    BasisName {
        /// Checked here.
        Verified = "verified",
        /// The developer says so.
        SelfReported = "self_reported",
        /// Concluded from something else.
        Inferred = "inferred",
        /// Nothing is known.
        Absent = "absent",
    }
}

impl From<BasisName> for Basis {
    fn from(name: BasisName) -> Self {
        match name {
            BasisName::Verified => Self::Verified,
            BasisName::SelfReported => Self::SelfReported,
            BasisName::Inferred => Self::Inferred,
            BasisName::Absent => Self::Absent,
        }
    }
}

/// The word for a basis.
pub(crate) fn word(basis: Basis) -> &'static str {
    match basis {
        Basis::Verified => "verified",
        Basis::SelfReported => "self_reported",
        Basis::Inferred => "inferred",
        Basis::Absent => "absent",
    }
}
