//! A record, recomputed: every question made again from the seed, every answer scored again, every score counted.
//!
//! The examiner counts with this code when an exam ends, and so does everybody who checks it.

mod tally;

use std::io::Read;

use loadline_core::model::ModelIdentity;
use loadline_core::record::{EvalSpec, RECORD_FORMAT, Row, SampleRecord, TaskIdentity};
use loadline_core::untrusted::one_line;
use loadline_core::{ModelOutput, ModelRef, RunId, Sample};
use loadline_evidence::{RecordError, Streamed, Verified, verify_stream};
use loadline_policy::policy::{self, IntervalMethod, Source, Test};
use loadline_suites::{Form, Seed, Selection, SuiteError};

use crate::attest::Counts;
use crate::seed::{ExamSeed, seed_number};

pub use tally::Tally;

/// The most samples of one test.
pub const MAX_SAMPLES: u64 = 1_000_000;
/// The largest row, in bytes: larger ones are not read.
pub const MAX_ROW_BYTES: usize = 4 << 20;

/// Why a test cannot be asked again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteTestError {
    /// Its questions are fixed: they are not made from a seed.
    #[error("test `{0}` asks a task with fixed questions, which are not made from a seed")]
    Fixed(String),
    /// The suite is not there, or has no such form or level.
    #[error("test `{test}`: {error}")]
    Suite {
        /// The test.
        test: String,
        /// What is not there.
        #[source]
        error: SuiteError,
    },
    /// More samples than are asked.
    #[error("test `{test}` asks {n} samples; 1 to {MAX_SAMPLES} can be")]
    Samples {
        /// The test.
        test: String,
        /// How many.
        n: u64,
    },
}

/// A test of a policy with its questions, fixed by the exam's seed.
#[derive(Clone, Debug)]
pub struct SuiteTest {
    id: String,
    metric: String,
    method: IntervalMethod,
    n: u64,
    selection: Selection,
    seed: Seed,
}

impl SuiteTest {
    /// The test of a policy under an exam's seed.
    ///
    /// # Errors
    /// When its questions are not made from a seed, or it asks what is not there.
    pub fn new(test: &Test, seed: &ExamSeed) -> Result<Self, SuiteTestError> {
        let id = || one_line(&test.id, 100);
        let Source::Suite { name, form, levels } = &test.source else {
            return Err(SuiteTestError::Fixed(id()));
        };
        if !(1..=MAX_SAMPLES).contains(&test.n) {
            return Err(SuiteTestError::Samples { test: id(), n: test.n });
        }
        let wrong = |error| SuiteTestError::Suite { test: id(), error };
        let suite = loadline_suites::require(name).map_err(wrong)?;
        let form = match form {
            policy::Form::Generate => Form::Generate,
            policy::Form::Choice => Form::Choice,
        };
        let levels = levels.iter().map(|level| u32::try_from(*level).unwrap_or(u32::MAX)).collect();
        let selection = Selection::new(suite, form, levels).map_err(wrong)?;
        let seed = seed.of_test(&test.id);
        let (metric, method) = (test.metric.clone(), test.method);
        Ok(Self { id: test.id.clone(), metric, method, n: test.n, selection, seed })
    }

    /// The test's name in the policy.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How many samples are asked; with an anytime method at most.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Suite, form and levels.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What its questions are made from.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Which task it is.
    pub fn identity(&self) -> TaskIdentity {
        self.selection.identity(&self.seed, self.n)
    }

    /// The number that a run's options must give as the seed.
    pub fn seed_number(&self) -> u64 {
        seed_number(&self.seed)
    }

    /// The one specification that a run of this test may have, given who answered.
    pub fn spec(&self, model: ModelRef, identity: ModelIdentity) -> EvalSpec {
        EvalSpec {
            format: RECORD_FORMAT,
            task: self.identity(),
            model,
            identity,
            metrics: self.selection.metrics(),
            groups_epochs: false,
            samples: self.n,
            limit: None,
            epochs: 1,
            seed: self.seed_number(),
            overrides: std::collections::BTreeMap::new(),
            repeat: 0,
        }
    }
}

/// Where a row is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("test `{test}`, row {row}, sample `{sample}`: {what}")]
pub struct RowFault {
    /// The test.
    pub test: String,
    /// The row's number in its record.
    pub row: u64,
    /// The sample's id, as the row says; made safe for showing.
    pub sample: String,
    /// What differs.
    pub what: String,
}

/// What a record came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Recount {
    /// The record itself: whole and sealed.
    pub record: Verified,
    /// The specification is the one that this test has, for the model and identity that it names. Why not, otherwise.
    pub spec: Result<(), String>,
    /// The first row whose question is not the one that the seed makes.
    pub item_fault: Option<RowFault>,
    /// The first row whose scores are not those of its answer.
    pub score_fault: Option<RowFault>,
    /// Questions that were made again, answers that were scored again.
    pub rescored: u64,
    /// The scores, by sample.
    pub tally: Tally,
    /// When the first question was asked and the last answer was there, by the rows that are shown; in milliseconds
    /// since 1970-01-01 UTC.
    pub asked_ms: Option<(u64, u64)>,
}

impl Recount {
    /// The counts, when all of it is as it should be.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn counts(&self) -> Result<Counts, String> {
        self.spec.clone()?;
        if let Some(fault) = self.item_fault.as_ref().or(self.score_fault.as_ref()) {
            return Err(fault.to_string());
        }
        self.tally.counts(self.record.withheld.len() as u64)
    }
}

/// Reads a sealed record of a test once and recomputes it. `name` is how messages call it.
///
/// # Errors
/// When the record itself does not verify. What is wrong with its content is in the [`Recount`].
pub fn recount<R: Read>(
    test: &SuiteTest,
    run: RunId,
    seal: &[u8],
    (log, length): (R, u64),
    name: &str,
) -> Result<Recount, RecordError> {
    let mut check = RowCheck {
        test,
        item_fault: None,
        score_fault: None,
        rescored: 0,
        tally: Tally::new(test.n, test.method),
        asked_ms: None,
    };
    let record = Streamed {
        name,
        run,
        seal,
        log,
        length,
        // A sample that failed is asked again, and every resume is a row.
        most_rows: test.n.saturating_mul(2).saturating_add(1_000),
        most_row_bytes: MAX_ROW_BYTES,
    };
    let record = verify_stream(record, |number, row| {
        if let Row::Sample(sample) = row {
            check.sample(number, sample);
        }
    })?;
    let spec = check_spec(test, &record.spec);
    let RowCheck { item_fault, score_fault, rescored, tally, asked_ms, .. } = check;
    Ok(Recount { record, spec, item_fault, score_fault, rescored, tally, asked_ms })
}

/// The specification must be the test's, but for who answered.
fn check_spec(test: &SuiteTest, found: &EvalSpec) -> Result<(), String> {
    let expected = test.spec(found.model.clone(), found.identity.clone());
    if expected == *found {
        return Ok(());
    }
    let fields = [
        ("task", expected.task != found.task),
        ("seed", expected.seed != found.seed),
        ("samples", expected.samples != found.samples),
        ("limit", expected.limit != found.limit),
        ("epochs", expected.epochs != found.epochs),
        ("overrides", expected.overrides != found.overrides),
        ("repeat", expected.repeat != found.repeat),
        ("metrics", expected.metrics != found.metrics),
    ];
    let field = fields.iter().find(|(_, differs)| *differs).map_or("format", |(field, _)| *field);
    let task = |spec: &EvalSpec| format!("{} {}", one_line(&spec.task.name, 80), spec.task.digest);
    Err(format!(
        "test `{}`: the run's specification differs in `{field}`: it asks {}, the seed makes {}",
        test.id,
        task(found),
        task(&expected)
    ))
}

/// What is checked of each row.
struct RowCheck<'a> {
    test: &'a SuiteTest,
    item_fault: Option<RowFault>,
    score_fault: Option<RowFault>,
    rescored: u64,
    tally: Tally,
    asked_ms: Option<(u64, u64)>,
}

impl RowCheck<'_> {
    fn sample(&mut self, number: u64, row: &SampleRecord) {
        let fault = |what: String| RowFault {
            test: self.test.id.clone(),
            row: number,
            sample: one_line(&row.id, 80),
            what,
        };
        let ended = row.started_ms.saturating_add(row.duration_ms);
        let (first, last) = self.asked_ms.unwrap_or((row.started_ms, ended));
        self.asked_ms = Some((first.min(row.started_ms), last.max(ended)));
        if row.index >= self.test.n || row.epoch != 0 {
            let what =
                format!("index {}, epoch {} is outside of {} samples", row.index, row.epoch, self.test.n);
            self.item_fault.get_or_insert_with(|| fault(what));
            return;
        }
        let sample = self.test.selection.sample(&self.test.seed, row.index);
        if let Some(field) = differs(&sample, row) {
            let what = format!("its `{field}` is not the one that the seed makes for index {}", row.index);
            self.item_fault.get_or_insert_with(|| fault(what));
            return;
        }
        self.rescored += 1;
        let scores =
            if row.is_final() { self.test.selection.score(&sample, &output(row)) } else { Vec::new() };
        if scores != row.scores {
            let shown = |scores: &[_]| one_line(&serde_json::to_string(scores).unwrap_or_default(), 200);
            let what =
                format!("its scores are {}; scored again they are {}", shown(&row.scores), shown(&scores));
            self.score_fault.get_or_insert_with(|| fault(what));
        }
        let value =
            scores.into_iter().find(|score| score.metric == self.test.metric).map(|score| score.value);
        if let Err(what) = self.tally.add(row.index, row.is_final(), value.as_ref()) {
            self.score_fault.get_or_insert_with(|| fault(what));
        }
    }
}

/// What was answered, as the scorer got it.
fn output(row: &SampleRecord) -> ModelOutput {
    ModelOutput {
        completion: row.output.clone().unwrap_or_default(),
        stop_reason: row.stop_reason,
        loglikelihoods: row.loglikelihoods.clone(),
        usage: row.usage,
    }
}

/// The first field of a row that is not the sample's.
fn differs(sample: &Sample, row: &SampleRecord) -> Option<&'static str> {
    let fields = [
        ("id", sample.id == row.id),
        ("input", sample.input == row.input),
        ("target", sample.target == row.target),
        ("gold", sample.gold == row.gold),
        ("cluster", sample.cluster == row.cluster),
        ("metadata", sample.metadata == row.metadata),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}
