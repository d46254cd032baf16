//! `exam start|run`: an attempt gets its number from the log, its questions from the seed, its answers from the model.

use std::fs::File;
use std::path::PathBuf;

use loadline_core::record::Row;
use loadline_core::{Digest, Instant, Model};
use loadline_evidence::{RecordReader, Store};
use loadline_exam::case;
use loadline_exam::entry::{Registration, Resume, Start, exam_id};
use loadline_exam::rescore::SuiteTest;
use loadline_exam::{Entry, ExamSecret, ExamSeed, Manifest, SeedCheckpoint, Witnessed};
use loadline_measure::SuiteTask;
use loadline_policy::decide::{Case, Path, decide};
use loadline_policy::policy::{Stage, Test};
use loadline_policy::{Pack, Policy, ScopeVerdict, rules};
use serde::{Deserialize, Serialize};

use super::commit;
use super::folder::{self, Folder};
use super::history::ExamHistory;
use super::office::Office;
use super::registry::{self, Kept};
use super::roots;
use super::sequential::Sequential;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::store::record_failure;
use crate::tasks::Ready;
use crate::ui::Ui;

/// `format` of `exam.json`.
const EXAM_FORMAT: &str = "loadline-exam/1";

/// What the folder of an exam says of it. The log says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExamFile {
    format: String,
    /// Log index of the start.
    index: u64,
    start: Start,
}

/// Everything that an exam is made of, read and checked against the log.
pub struct Sitting {
    /// What the log says of it.
    pub history: ExamHistory,
    /// What the log says of the registration.
    pub registration: Registration,
    /// The policy.
    pub policy: Policy,
    /// The model.
    pub kept: Kept,
    /// The compute test of each law that the policy names.
    pub scope: Vec<ScopeVerdict>,
    /// The secret.
    pub secret: ExamSecret,
    /// The state of the log that the seed is made from.
    pub checkpoint: SeedCheckpoint,
    /// The tests that are asked, in the order of the policy, with their questions.
    pub tests: Vec<(Test, SuiteTest)>,
    /// Its folder.
    pub dir: PathBuf,
}

impl Sitting {
    /// The records.
    pub fn store(&self) -> PathBuf {
        store(&self.dir)
    }

    /// Its id.
    pub fn exam(&self) -> Digest {
        self.history.start.exam
    }
}

/// The records of an exam.
fn store(dir: &std::path::Path) -> PathBuf {
    dir.join("store")
}

/// Begins an exam of a registered model: the newest registration whose commitment made no questions yet, or this one.
/// An exam that was begun and of which nothing was asked is given again, unless a newer registration waits: whoever began it may
/// have been killed.
///
/// The start is the next entry after its registration, but for roots, and before it the log is cosigned. So nobody knows the questions before the log has shown what
/// they follow from, and a process that is killed in between leaves nothing behind.
///
/// # Errors
/// When there is none, the policy allows no more attempts, too few witnesses cosign the log, the disk refuses, or a key
/// cannot be opened.
pub fn start(office: &mut Office, registration: Option<u64>, ui: &Ui) -> Result<ExamHistory> {
    if let Some(history) = begun(office, registration)? {
        keep(&office.folder, &history)?;
        return Ok(history);
    }
    let index = match registration {
        Some(index) => index,
        None => office.history.free_registration(None).map(|(index, _)| index).ok_or_else(|| {
            Failure::new(Exit::Usage, "no registered model waits for its exam")
                .hint("register it with `loadline model register MODEL`, after `loadline exam commit POLICY`")
        })?,
    };
    let registration = office.history.registration(index)?.clone();
    office.history.check_fresh(registration.commitment)?;
    let policy = office.history.commitment(registration.commitment)?.policy;
    let most = office.policy(policy)?.attempts.most;
    registry::kept(&office.folder, &registration)?;
    let (before, previous) = office.history.attempts(registration.model, policy);
    let attempt = before + 1;
    if attempt > most {
        let message = format!("the policy allows {most} attempts, and this would be attempt {attempt}");
        return Err(Failure::new(Exit::Usage, message).hint("a decision with more attempts is a deny"));
    }
    if let Some(previous) = previous.filter(|previous| *previous > index) {
        let message = format!(
            "registration {index} is older than attempt {before}, which entry {previous} of the log began"
        );
        return Err(Failure::new(Exit::Usage, message).hint(
            "an attempt is registered after the one before: `loadline exam commit POLICY`, then `loadline model register MODEL`",
        ));
    }
    is_newest(office, index)?;
    let model = registration.model;
    let (witnessed, at) = witnessed(office, ui)?;
    let start = Start {
        exam: exam_id(model, policy, registration.commitment, index, attempt),
        registration: index,
        commitment: registration.commitment,
        model,
        policy,
        attempt,
        previous,
        witnessed: Some(witnessed.to_text()),
        at,
    };
    let exam = start.exam;
    office.log(vec![Entry::Start(start)])?;
    let history = office.history.exam(Some(&exam.hex()))?;
    keep(&office.folder, &history)?;
    Ok(history)
}

/// Only roots may be between a registration and its start: with several that wait, or with more entries, an authority would
/// have as many seeds to choose from.
fn is_newest(office: &Office, registration: u64) -> Result<()> {
    let newest = office.history.iter().rev().find(|(_, entry)| !matches!(entry, Entry::Root(_)));
    match newest {
        Some((index, entry)) if index != registration => {
            let kind = entry.kind();
            let message = format!(
                "an exam begins right after its registration, and after registration {registration} the log has entry \
                 {index}, a `{kind}`"
            );
            Err(Failure::new(Exit::Usage, message).hint(
                "register the model again: `loadline exam commit POLICY`, then `loadline model register MODEL`",
            ))
        }
        _ => Ok(()),
    }
}

/// The newest exam, if it is of what is to be begun, and nothing was asked of it.
fn begun(office: &Office, registration: Option<u64>) -> Result<Option<ExamHistory>> {
    let Ok(history) = office.history.exam(None) else { return Ok(None) };
    let is_wanted = match registration {
        Some(index) => index == history.start.registration,
        None => office.history.free_registration(None).is_none_or(|(waits, _)| waits < history.index),
    };
    let is_asked = history.finish.is_some() || is_asked(&office.folder.exam(history.start.exam))?;
    Ok((is_wanted && !is_asked).then_some(history))
}

/// Whether something was asked of an exam: there is the marker, or an answer. Who takes away the one has the other still.
fn is_asked(dir: &std::path::Path) -> Result<bool> {
    if marker(dir).exists() {
        return Ok(true);
    }
    let store = Store::open(store(dir));
    for run in store.runs().map_err(|error| record_failure(&error))? {
        let reader = store.reader(&run).map_err(|error| record_failure(&error))?;
        for row in reader.rows() {
            if let (_, Row::Sample(_)) = row.map_err(|error| record_failure(&error))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Made before the first question of an exam is asked: whoever finds it goes on with an exam that was cut off.
fn marker(dir: &std::path::Path) -> PathBuf {
    dir.join("running")
}

/// The log as it is right before the start, and the moment of the start.
fn witnessed(office: &mut Office, ui: &Ui) -> Result<(Witnessed, Instant)> {
    // Before the log is cosigned: between that and the start there is no other entry.
    office.log_roots()?;
    let witnessed = office.witnessed(ui)?;
    let at = roots::now()?.max(office.now);
    witnessed.check_times(at).map_err(|error| {
        Failure::of(Exit::Unexpected, &error).hint(
            "nothing was begun: set the clock of this machine or of the witness, and give the same command again",
        )
    })?;
    Ok((witnessed, at))
}

fn keep(folder: &Folder, history: &ExamHistory) -> Result<()> {
    let file =
        ExamFile { format: EXAM_FORMAT.to_owned(), index: history.index, start: history.start.clone() };
    folder::write_json(&folder.exam(history.start.exam).join("exam.json"), &file)
}

/// Reads an exam.
///
/// # Errors
/// When there is none, or a file is not what the log says.
pub fn open(office: &Office, exam: Option<&str>) -> Result<Sitting> {
    let history = office.history.exam(exam)?;
    let start = &history.start;
    let dir = office.folder.exam(start.exam);
    let path = dir.join("exam.json");
    if path.exists() {
        let file: ExamFile = folder::read_json(&path)?;
        if file.format != EXAM_FORMAT || file.index != history.index || file.start != *start {
            return Err(folder::not_as_written(&path).cause("the log says something else of this exam"));
        }
    } else {
        // The process that began it was killed between the log and the file.
        keep(&office.folder, &history)?;
    }
    let registration = office.history.registration(start.registration)?.clone();
    let policy = office.policy(start.policy)?;
    let kept = registry::kept(&office.folder, &registration)?;
    let scope = case::scope(&packs(&policy), kept.compute.as_ref())
        .map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let secret = commit::secret(office, start.commitment)?;
    let (checkpoint, witnessed) = seen(office, &history)?;
    let seed = ExamSeed::derive(&secret, &checkpoint, witnessed.as_ref(), start.policy, start.model)
        .map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let mut tests = Vec::new();
    for test in asked(&policy, &scope, start.model)? {
        let suite = SuiteTest::new(&test, &seed).map_err(|error| {
            Failure::of(Exit::TaskInvalid, &error)
                .hint("an exam asks suites only: their questions are made from a seed")
        })?;
        tests.push((test, suite));
    }
    Ok(Sitting { history, registration, policy, kept, scope, secret, checkpoint, tests, dir })
}

/// The state of the log that an exam's seed is made from, and who cosigned it.
fn seen(office: &Office, history: &ExamHistory) -> Result<(SeedCheckpoint, Option<Witnessed>)> {
    let witnessed = match &history.start.witnessed {
        Some(text) => {
            let read = Witnessed::parse(text, &office.log_policy_at(history.index)?);
            Some(read.map_err(|error| {
                let message =
                    format!("what entry {} of the log says that it follows does not hold", history.index);
                Failure::because(Exit::EvidenceInvalid, message, &error).hint("begin a new attempt")
            })?)
        }
        None => None,
    };
    let size = if witnessed.is_some() { history.index } else { history.start.registration + 1 };
    let state = office.journal.state_at(size)?;
    let origin = office.journal.origin().to_owned();
    Ok((SeedCheckpoint { origin, size: state.size, root: state.root }, witnessed))
}

/// The packs of the laws that a policy names.
pub fn packs(policy: &Policy) -> Vec<Pack> {
    policy.scope.laws.iter().filter_map(|law| rules::find(law)).collect()
}

/// The tests that a policy asks of a model with this scope.
fn asked(policy: &Policy, scope: &[ScopeVerdict], model: Digest) -> Result<Vec<Test>> {
    let stage = policy.stages.first().map_or(Stage::Internal, |rule| rule.stage);
    let case = Case {
        subject: model,
        stage,
        now: Instant::EPOCH,
        scope: scope.to_vec(),
        evidence: Vec::new(),
        sign_offs: Vec::new(),
        drill: None,
    };
    let path = decide(policy, &case).map_err(|error| Failure::of(Exit::Unexpected, &error))?.path;
    Ok(policy.tests.iter().filter(|test| path == Path::Full || test.light).cloned().collect())
}

/// The record of a test, if there is one.
///
/// # Errors
/// When the folder cannot be read, or a record in it is damaged.
pub fn record(sitting: &Sitting, test: &SuiteTest) -> Result<Option<RecordReader>> {
    let store = Store::open(sitting.store());
    let wanted = test.identity();
    for run in store.runs().map_err(|error| record_failure(&error))? {
        let reader = store.reader(&run).map_err(|error| record_failure(&error))?;
        if reader.spec().task == wanted && reader.spec().seed == test.seed_number() {
            return Ok(Some(reader));
        }
    }
    Ok(None)
}

/// Whether every test has its sealed record.
///
/// # Errors
/// As [`record`].
pub fn is_complete(sitting: &Sitting) -> Result<bool> {
    for (_, test) in &sitting.tests {
        if record(sitting, test)?.is_none_or(|record| record.seal().is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Logs that an exam goes on, if it was begun before and is not complete. Gives whether it was.
///
/// # Errors
/// When the disk refuses or a key cannot be opened.
pub fn resume(office: &mut Office, sitting: &Sitting) -> Result<bool> {
    if !is_asked(&sitting.dir)? {
        folder::write(&marker(&sitting.dir), b"", folder::PUBLIC)?;
        return Ok(false);
    }
    office.log(vec![Entry::Resume(Resume { exam: sitting.exam(), at: office.now })])?;
    Ok(true)
}

/// Refuses to ask a model that is not the registered one.
///
/// # Errors
/// When its weights, or what it says of itself, are not those of the manifest.
pub fn check_model(sitting: &Sitting, model: &dyn Model) -> Result<()> {
    let weights = model.identity().weights;
    let registered = &sitting.kept.manifest;
    let is_same = match (registered, weights) {
        (Manifest::Weights(statement), Some(found)) => statement.predicate.digests().contains(&found),
        // Weights that somebody serves: nothing here can tell, and the registration says so.
        (Manifest::Weights(_), None) => {
            sitting.registration.identity != loadline_core::model::Basis::Verified
        }
        (Manifest::Remote(statement), _) => {
            let reference = model.reference();
            (&statement.predicate.provider, &statement.predicate.name)
                == (&reference.provider, &reference.name)
        }
    };
    if is_same {
        return Ok(());
    }
    let message = format!("{} is not the model that was registered", model.reference());
    let failure = Failure::new(Exit::ModelUnreachable, message).cause(format!(
        "registered was {} ({})",
        registered.name(),
        sitting.registration.model
    ));
    let failure = match weights {
        Some(found) => failure.cause(format!("its file is now {found}, which the manifest does not list")),
        None => failure,
    };
    Err(failure.hint("bring back the registered file, or register the new one: it is another model"))
}

/// The tests as tasks to run. Those that may stop early know what their records say already.
///
/// # Errors
/// When a record is damaged.
pub fn tasks(sitting: &Sitting) -> Result<Vec<Ready>> {
    let mut ready = Vec::new();
    for (test, suite) in &sitting.tests {
        let task = SuiteTask::from(suite.selection().clone()).seeded(suite.seed().clone(), suite.n());
        let mut sequential = Sequential::of(&sitting.policy, test);
        if let (Some(sequential), Some(record)) = (&mut sequential, record(sitting, suite)?) {
            for row in record.rows() {
                let row = row.map_err(|error| record_failure(&error))?;
                if let (_, Row::Sample(row)) = row
                    && row.is_final()
                {
                    let value = row.scores.first().and_then(|score| score.value.number());
                    sequential.take(row.index, value);
                }
            }
        }
        ready.push(Ready { task, seed: suite.seed_number(), limit: None, sequential });
    }
    Ok(ready)
}

/// Keeps every other process from running the same exam, until the value is dropped.
///
/// # Errors
/// When another process runs it.
pub fn lock(sitting: &Sitting) -> Result<File> {
    Folder::new(&sitting.dir).lock()
}
