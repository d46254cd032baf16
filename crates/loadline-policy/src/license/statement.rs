//! The in-toto Statement (v1) around a predicate, and the Simple Verification Result (v0.1) for those who know only
//! in-toto. The bytes that are signed are a statement's canonical JSON.

use loadline_core::Digest;
use loadline_core::digest::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::License;
use crate::decide::Outcome;
use crate::instant::Instant;
use crate::names::Named as _;

/// `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of a licence; its number is the version of the format.
pub const LICENSE_TYPE: &str = "https://loadline.dev/license/v1";
/// `predicateType` of a Simple Verification Result.
pub const SVR_TYPE: &str = "https://in-toto.io/attestation/svr/v0.1";

/// A predicate that has a type.
pub trait Predicate {
    /// Its `predicateType`.
    const TYPE: &'static str;
}

impl Predicate for License {
    const TYPE: &'static str = LICENSE_TYPE;
}

impl Predicate for Svr {
    const TYPE: &'static str = SVR_TYPE;
}

/// A SHA-256 digest in in-toto's form: hexadecimal digits without a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256(pub Digest);

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0.0))
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        format!("sha256:{text}").parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Digests of a subject. Others than SHA-256 are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSet {
    /// SHA-256 of the model's manifest.
    pub sha256: Sha256,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What it is called; the digest is what counts.
    pub name: String,
    /// Its digest.
    pub digest: DigestSet,
}

/// An in-toto Statement with one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement<P> {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The model.
    pub subject: [Subject; 1],
    /// [`Predicate::TYPE`].
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said of it.
    pub predicate: P,
}

/// Why a statement is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not an in-toto Statement v1.
    #[error("`_type` is `{0}`, not `{STATEMENT_TYPE}`")]
    Type(String),
    /// Another predicate.
    #[error("`predicateType` is `{found}`, not `{expected}`")]
    PredicateType {
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl<P: Predicate> Statement<P> {
    /// A statement about a model.
    pub fn about(name: impl Into<String>, model: Digest, predicate: P) -> Self {
        Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: [Subject { name: name.into(), digest: DigestSet { sha256: Sha256(model) } }],
            predicate_type: P::TYPE.to_owned(),
            predicate,
        }
    }

    /// Checks both types. Reading alone does not: a statement of another type may have fields of the same names.
    ///
    /// # Errors
    /// Which type it is not of.
    pub fn check(&self) -> Result<(), StatementError> {
        let shown = |text: &str| loadline_core::untrusted::one_line(text, 100);
        if self.kind != STATEMENT_TYPE {
            return Err(StatementError::Type(shown(&self.kind)));
        }
        if self.predicate_type != P::TYPE {
            let found = shown(&self.predicate_type);
            return Err(StatementError::PredicateType { found, expected: P::TYPE });
        }
        Ok(())
    }

    /// The model's digest.
    pub fn model(&self) -> Digest {
        self.subject[0].digest.sha256.0
    }
}

/// Who verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifier {
    /// A URI.
    pub id: String,
}

/// in-toto's Simple Verification Result. It knows no expiry and no stage, so these are properties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Svr {
    /// Who verified.
    pub verifier: Verifier,
    /// When.
    #[serde(rename = "timeCreated")]
    pub time_created: Instant,
    /// What was shown.
    pub properties: Vec<String>,
}

/// The name that in-toto properties give a word: `averi.org/aal-1` becomes `AVERI_ORG_AAL_1`.
fn property(word: &str) -> String {
    word.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

impl Svr {
    /// What a licence comes to. A licence that is anything but allowed has no properties.
    pub fn of(license: &License) -> Self {
        let mut properties = Vec::new();
        if license.decision.value.outcome == Outcome::Allow {
            properties.push(format!("LOADLINE_STAGE_{}", property(license.stage.value.name())));
            properties.push(format!("LOADLINE_POLICY_{}", property(&license.policy.value.name)));
            let day = license.validity.value.expires.day();
            properties.push(format!("LOADLINE_EXPIRES_{}", property(&day)));
            for level in &license.assurance.value {
                properties.push(format!("LOADLINE_ASSURANCE_{}", property(level)));
            }
            properties.push("LOADLINE_NOT_LEGAL_CONFORMITY".to_owned());
        }
        Self {
            verifier: Verifier { id: license.issuer.value.id.clone() },
            time_created: license.issued.value,
            properties,
        }
    }
}
