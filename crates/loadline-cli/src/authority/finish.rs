//! `exam finish`: every answer is scored again, the counts are attested, and the secret becomes public.

use std::fs::File;
use std::path::Path;

use loadline_core::record::Row;
use loadline_core::{Digest, Instant};
use loadline_evidence::{RecordReader, Store};
use loadline_exam::attest::{self, Counts, TestResult};
use loadline_exam::case;
use loadline_exam::entry::{Finish, RecordRef};
use loadline_exam::rescore::{SuiteTest, recount};
use loadline_exam::{Entry, Exam, Examined};
use loadline_policy::decide::PolicyRef;
use loadline_policy::license::Statement;
use loadline_policy::policy::Test;
use loadline_trust::Role;
use serde::Serialize;

use super::exams::{self, Sitting};
use super::folder;
use super::history::ExamHistory;
use super::office::Office;
use super::signing::{self, Attested};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::store::record_failure;

/// Which program asked and scored.
const PROGRAM: &str = concat!("loadline ", env!("CARGO_PKG_VERSION"));

/// What an exam came to.
#[derive(Debug, Serialize)]
pub struct Finished {
    /// The exam.
    pub exam: Digest,
    /// Which attempt.
    pub attempt: u64,
    /// Payload digest of the attestation.
    pub attestation: Digest,
    /// Log index of the finish.
    pub finish: u64,
    /// The tests, in the order of the policy.
    pub tests: Vec<Examined>,
}

/// Recounts, attests and logs the end of an exam. An exam that has ended is only read.
///
/// # Errors
/// When a test is not complete, a record does not verify, the disk refuses, or a key cannot be opened.
pub fn finish(office: &mut Office, sitting: &Sitting) -> Result<Finished> {
    if sitting.history.finish.is_none() {
        let exam = attest(office, sitting)?;
        log(office, sitting, &exam)?;
    }
    let ended = office.history.exam(Some(&sitting.exam().hex()))?;
    let attested = attested(office, &ended, &sitting.dir)?;
    let (finish, _) =
        ended.finish.ok_or_else(|| Failure::new(Exit::Unexpected, "the finish is not in the log"))?;
    Ok(Finished {
        exam: sitting.exam(),
        attempt: sitting.history.start.attempt,
        attestation: attested.digest,
        finish,
        tests: attested.statement.predicate.tests,
    })
}

/// Signs the attestation and the test result, and writes both. The same records give the same bytes, so a process that
/// was killed here is simply followed by another.
fn attest(office: &Office, sitting: &Sitting) -> Result<Attested> {
    let mut tests = Vec::new();
    for (test, suite) in &sitting.tests {
        tests.push(examined(sitting, test, suite)?);
    }
    let (start, policy) = (&sitting.history.start, &sitting.policy);
    let exam = Exam {
        attempt: start.attempt,
        checkpoint: sitting.checkpoint.clone(),
        commitment: start.commitment,
        exam: start.exam,
        policy: PolicyRef {
            name: policy.name.clone(),
            version: policy.version.clone(),
            digest: start.policy,
        },
        program: PROGRAM.to_owned(),
        registration: start.registration,
        start: sitting.history.index,
        tests,
    };
    let outcomes = case::test_outcomes(policy, start.model, sitting.registration.identity, &exam)
        .map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let result = TestResult::of(&exam.policy, &outcomes);
    let key = office.key(Role::Examiner)?;
    let name = &sitting.registration.name;
    let unsigned = |error: loadline_trust::EnvelopeError| Failure::of(Exit::Unexpected, &error);
    let result = attest::sign(&Statement::about(name, start.model, result), &[&key]).map_err(unsigned)?;
    folder::write(&sitting.dir.join("test-result.json"), &result.to_bytes(), folder::PUBLIC)?;
    let envelope = attest::sign(&Statement::about(name, start.model, exam), &[&key]).map_err(unsigned)?;
    let path = sitting.dir.join("attestation.json");
    folder::write(&path, &envelope.to_bytes(), folder::PUBLIC)?;
    signing::attestation(&path, Some(office.chain.current()))
}

fn log(office: &mut Office, sitting: &Sitting, attested: &Attested) -> Result<()> {
    let tests = &attested.statement.predicate.tests;
    let records =
        tests.iter().map(|test| RecordRef { test: test.test.clone(), record: test.record }).collect();
    let finish = Finish {
        exam: sitting.exam(),
        start: sitting.history.index,
        attestation: attested.digest,
        secret: sitting.secret.clone(),
        records,
        resumes: Some(sitting.history.resumes.len() as u64),
        at: office.now,
    };
    office.log(vec![Entry::Finish(finish)]).map(drop)
}

/// One test, recomputed from its sealed record by the code that everybody verifies with.
fn examined(sitting: &Sitting, test: &Test, suite: &SuiteTest) -> Result<Examined> {
    let record = exams::record(sitting, suite)?.filter(|record| record.seal().is_some());
    let Some(record) = record else {
        let message = format!("test `{}` is not complete", test.id);
        return Err(Failure::new(Exit::Usage, message)
            .hint("go on with `loadline exam run`: it asks only what has no answer yet"));
    };
    let run = record.run();
    let (counts, root, rows) = recounted(sitting, suite, &record)?;
    let (started, finished) = times(&record)?;
    Ok(Examined { counts, finished, record: root, rows, run, started, test: test.id.clone() })
}

fn recounted(sitting: &Sitting, suite: &SuiteTest, record: &RecordReader) -> Result<(Counts, Digest, u64)> {
    let run = record.run();
    let dir = Store::open(sitting.store()).run_dir(&run);
    let seal = folder::read(&dir.join("seal.json"))?;
    let path = dir.join("log");
    let unreadable = |error: &std::io::Error| Failure::io(format!("cannot read `{}`", path.display()), error);
    let log = File::open(&path).map_err(|error| unreadable(&error))?;
    let length = log.metadata().map_err(|error| unreadable(&error))?.len();
    let name = dir.display().to_string();
    let recount = recount(suite, run, &seal, (log, length), &name).map_err(|error| record_failure(&error))?;
    let counts = recount.counts().map_err(|what| {
        let message = format!("the record in `{name}` is not one of this exam");
        Failure::new(Exit::EvidenceInvalid, message).cause(what).hint("restore it from a copy")
    })?;
    Ok((counts, recount.record.root, recount.record.rows))
}

/// When the first question was asked, and when the last answer was there.
fn times(record: &RecordReader) -> Result<(Instant, Instant)> {
    let (mut first, mut last) = (u64::MAX, 0);
    for row in record.rows() {
        if let (_, Row::Sample(row)) = row.map_err(|error| record_failure(&error))? {
            first = first.min(row.started_ms);
            last = last.max(row.started_ms.saturating_add(row.duration_ms));
        }
    }
    let instant = |ms: u64| {
        Instant::from_seconds(ms / 1000).map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))
    };
    Ok((instant(first.min(last))?, instant(last)?))
}

/// The attestation of an exam that has ended, checked against the log.
///
/// # Errors
/// When the exam has not ended, or the file is not the one whose digest was logged.
pub fn attested(office: &Office, history: &ExamHistory, dir: &Path) -> Result<Attested> {
    let Some((index, finish)) = &history.finish else {
        return Err(Failure::new(Exit::Usage, format!("exam {} has not ended", history.start.exam))
            .hint("end it with `loadline exam finish`"));
    };
    let path = dir.join("attestation.json");
    let attested = signing::attestation(&path, Some(office.root_at(Some(*index))?))?;
    if attested.digest == finish.attestation {
        return Ok(attested);
    }
    Err(folder::not_as_written(&path).cause("the log names another attestation"))
}
