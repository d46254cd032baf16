//! Who agrees: one signed statement of one person in one role, about one model, stage, policy and exam.

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_policy::decide::SignOff;
use loadline_policy::policy::{Role, Stage};
use loadline_trust::{Envelope, EnvelopeError, KeyId, Root, SecretKey, SignerError};
use serde::{Deserialize, Serialize};

/// `payloadType` of a sign-off.
pub const SIGN_OFF_TYPE: &str = "application/vnd.loadline.sign-off+json";
/// `format` of a sign-off that is made now.
pub const SIGN_OFF_FORMAT: &str = "loadline-sign-off/2";
/// `format` of a sign-off whose id does not tell two signers of the same payload apart. Read for ever, made no more.
pub const SIGN_OFF_FORMAT_1: &str = "loadline-sign-off/1";

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOffStatement {
    /// Yes, or no.
    pub approves: bool,
    /// When.
    pub at: Instant,
    /// Payload digest of the exam's attestation: what was looked at.
    pub attestation: Digest,
    /// [`SIGN_OFF_FORMAT`], or [`SIGN_OFF_FORMAT_1`] of old.
    pub format: String,
    /// Under which policy.
    pub policy: Digest,
    /// The role it is signed in.
    pub role: Role,
    /// To which stage.
    pub stage: Stage,
    /// Of which model.
    pub subject: Digest,
}

/// Why a sign-off does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignOffError {
    /// No envelope of a sign-off.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The signature does not carry it.
    #[error(transparent)]
    Signers(#[from] SignerError),
    /// Another format.
    #[error("`format` is `{0}`, not `{SIGN_OFF_FORMAT}` or `{SIGN_OFF_FORMAT_1}`")]
    Format(String),
    /// More than one signed it.
    #[error("{0} keys signed one sign-off; each person signs their own")]
    Several(usize),
    /// It is about another exam.
    #[error("it is about the exam attested in {found}, not {expected}")]
    Attestation {
        /// What it names.
        found: Digest,
        /// What it should.
        expected: Digest,
    },
}

/// The same role in a root file.
pub fn trust_role(role: Role) -> loadline_trust::Role {
    match role {
        Role::RedTeam => loadline_trust::Role::RedTeam,
        Role::ExternalAuditor => loadline_trust::Role::ExternalAuditor,
        Role::Scientist => loadline_trust::Role::Scientist,
        Role::Authority => loadline_trust::Role::Authority,
    }
}

impl SignOffStatement {
    /// Signs it with one key.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, key: &SecretKey) -> Result<Envelope, EnvelopeError> {
        Envelope::sign_json(SIGN_OFF_TYPE, self, &[key])
    }

    /// Reads what somebody says that they signed. No signature is checked.
    ///
    /// # Errors
    /// When it is no sign-off.
    pub fn read(envelope: &Envelope) -> Result<Self, SignOffError> {
        let statement: Self = envelope.json(SIGN_OFF_TYPE)?;
        if [SIGN_OFF_FORMAT, SIGN_OFF_FORMAT_1].contains(&statement.format.as_str()) {
            return Ok(statement);
        }
        Err(SignOffError::Format(one_line(&statement.format, 40)))
    }

    /// Reads a sign-off about an exam and checks that exactly one key signed it, which holds the role under this root.
    /// Whether it is fresh, and about the right model, stage and policy, is for the decision to say.
    ///
    /// # Errors
    /// See [`SignOffError`].
    pub fn accept(bytes: &[u8], root: &Root, attestation: Digest) -> Result<SignOff, SignOffError> {
        let envelope = Envelope::parse(bytes)?;
        let statement = Self::read(&envelope)?;
        if statement.attestation != attestation {
            return Err(SignOffError::Attestation { found: statement.attestation, expected: attestation });
        }
        let signer = signer(&envelope, root, trust_role(statement.role))?;
        Ok(SignOff {
            id: format!("sign-off-{}", &digest(&envelope)?.hex()[..12]),
            signer,
            role: statement.role,
            approves: statement.approves,
            stage: statement.stage,
            subject: statement.subject,
            policy: statement.policy,
            at: statement.at,
        })
    }
}

/// Names one person's sign-off: what was signed and by which key. Two people who agree in the same second sign the same
/// payload, so that version 1, which is named by the payload alone, cannot tell them apart.
///
/// # Errors
/// When it is no sign-off, or of several keys.
pub fn digest(envelope: &Envelope) -> Result<Digest, SignOffError> {
    let (statement, key, payload) =
        (SignOffStatement::read(envelope)?, claimed(envelope)?, envelope.payload_digest());
    match statement.format.as_str() {
        SIGN_OFF_FORMAT_1 => Ok(payload),
        _ => Ok(Digest::of_parts("loadline/sign-off/2", &[&payload.0, &key.0.0])),
    }
}

fn claimed(envelope: &Envelope) -> Result<KeyId, SignOffError> {
    let claimed: Vec<_> = envelope.claimed().collect();
    match claimed[..] {
        [id] => Ok(id),
        _ => Err(SignOffError::Several(claimed.len())),
    }
}

/// The one key that signed, as `NAME KEYID`. A role's threshold is about what the role says as one; a sign-off is what
/// one person says, and the policy counts them.
fn signer(envelope: &Envelope, root: &Root, role: loadline_trust::Role) -> Result<String, SignOffError> {
    let id = claimed(envelope)?;
    if let Some(key) = root.keys.get(&id)
        && !root.roles_of(id).any(|held| held == role)
    {
        return Err(SignerError::WrongRole { name: key.name().to_owned(), role }.into());
    }
    envelope.signers(root.holders(role))?;
    let name = root.keys.get(&id).map(|key| key.name()).unwrap_or_default();
    Ok(format!("{name} {id}"))
}
