//! What the examiner signs at the end of an exam: counts, and what they rest on. `docs/formats/exam.md` is the page of
//! these formats.
//!
//! Two statements say the same: [`Exam`], from which a decision is made, and in-toto's test result for those who know
//! only in-toto. Both are signed by the role `examiner`.

use loadline_core::{Digest, Instant, RunId};
use loadline_policy::decide::{Outcome, PolicyRef};
use loadline_policy::license::{DigestSet, Predicate, Sha256, Statement, StatementError};
use loadline_trust::{Envelope, EnvelopeError, IN_TOTO_TYPE, SecretKey};
use serde::{Deserialize, Serialize};

use crate::seed::SeedCheckpoint;

/// `predicateType` of an exam; its number is the version of the format.
pub const EXAM_TYPE: &str = "https://loadline.dev/exam/v1";
/// `predicateType` of an in-toto test result.
pub const TEST_RESULT_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// The most tests of one exam.
pub const MAX_TESTS: usize = 1_000;

/// What one test came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Samples with a score of 0 or 1.
    pub scored: u64,
    /// Samples that scored 1.
    pub successes: u64,
    /// Samples without a score: no answer, or none that could be read.
    pub unscored: u64,
}

impl Counts {
    /// Samples that were asked.
    pub fn samples(&self) -> u64 {
        self.scored.saturating_add(self.unscored)
    }
}

/// One test of an exam.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examined {
    /// The counts, over the samples 0 to `samples` - 1.
    pub counts: Counts,
    /// When the record was sealed.
    pub finished: Instant,
    /// Root of the sealed record.
    pub record: Digest,
    /// Rows of the record.
    pub rows: u64,
    /// The run.
    pub run: RunId,
    /// When the first sample was asked.
    pub started: Instant,
    /// The policy's test.
    pub test: String,
}

/// The predicate of an attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exam {
    /// Which attempt, from 1.
    pub attempt: u64,
    /// The state of the log that the seed is made from.
    pub checkpoint: SeedCheckpoint,
    /// Log index of the commitment.
    pub commitment: u64,
    /// [`crate::entry::exam_id`].
    pub exam: Digest,
    /// The policy.
    pub policy: PolicyRef,
    /// Version of the program that asked and scored.
    pub program: String,
    /// Log index of the registration.
    pub registration: u64,
    /// Log index of the start.
    pub start: u64,
    /// The tests, in the order of the policy.
    pub tests: Vec<Examined>,
}

impl Predicate for Exam {
    const TYPE: &'static str = EXAM_TYPE;
}

/// Why something is no attestation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// No signed envelope, or of something else.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Another kind of statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

/// Signs a statement as an in-toto envelope.
///
/// # Errors
/// When it cannot be signed.
pub fn sign<P: Predicate + Serialize>(
    statement: &Statement<P>,
    keys: &[&SecretKey],
) -> Result<Envelope, EnvelopeError> {
    Envelope::sign_json(IN_TOTO_TYPE, statement, keys)
}

/// Reads the statement in an envelope. The signatures are not checked: see [`loadline_trust::Root::verify`].
///
/// # Errors
/// When it holds another kind of statement.
pub fn statement<P>(envelope: &Envelope) -> Result<Statement<P>, AttestError>
where
    P: Predicate + Serialize + serde::de::DeserializeOwned,
{
    let statement: Statement<P> = envelope.json(IN_TOTO_TYPE)?;
    statement.check()?;
    Ok(statement)
}

/// in-toto's words for a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestOutcome {
    /// Every test is met.
    Passed,
    /// None failed; some are neither met nor failed.
    Warned,
    /// At least one failed.
    Failed,
}

/// What a test result was made with: the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The policy's digest.
    pub digest: DigestSet,
    /// The policy's name.
    pub name: String,
}

/// The predicate of in-toto's test result (v0.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TestResult {
    /// The policy.
    pub configuration: [Configuration; 1],
    /// Tests that are shown not to be met.
    pub failed_tests: Vec<String>,
    /// Tests that are shown to be met.
    pub passed_tests: Vec<String>,
    /// All of it in one word.
    pub result: TestOutcome,
    /// Tests of which neither is shown.
    pub warned_tests: Vec<String>,
}

impl Predicate for TestResult {
    const TYPE: &'static str = TEST_RESULT_TYPE;
}

impl TestResult {
    /// From what each test came to, in the order of the policy: see [`crate::case::test_outcomes`].
    pub fn of(policy: &PolicyRef, outcomes: &[(String, Outcome)]) -> Self {
        let named = |wanted: Outcome| -> Vec<String> {
            outcomes.iter().filter(|(_, outcome)| *outcome == wanted).map(|(test, _)| test.clone()).collect()
        };
        let (failed_tests, warned_tests) = (named(Outcome::Deny), named(Outcome::Undetermined));
        let result = match (failed_tests.is_empty(), warned_tests.is_empty()) {
            (false, _) => TestOutcome::Failed,
            (true, false) => TestOutcome::Warned,
            (true, true) => TestOutcome::Passed,
        };
        let digest = DigestSet { sha256: Sha256(policy.digest) };
        Self {
            configuration: [Configuration { digest, name: policy.name.clone() }],
            failed_tests,
            passed_tests: named(Outcome::Allow),
            result,
            warned_tests,
        }
    }
}
