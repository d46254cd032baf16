//! The records: read once each, recomputed while they are read.

use std::collections::BTreeMap;
use std::io::Read;

use loadline_core::model::{Basis, ModelIdentity};
use loadline_core::record::EvalSpec;
use loadline_core::{ModelRef, RunId};
use loadline_evidence::{RecordError, Streamed, Verified, verify_stream};
use loadline_policy::Policy;
use loadline_policy::policy::Source;

use super::list::{Checklist, Not, need};
use super::report::{Status, StepName, WithheldRows};
use crate::attest::{Counts, Exam, Examined};
use crate::bundle::{BundleError, NextRecord, Reader};
use crate::manifest::Manifest;
use crate::rescore::{MAX_ROW_BYTES, Recount, SuiteTest, recount};
use crate::seed::ExamSeed;

/// What is known before the records are read.
pub(super) struct Known<'a> {
    pub policy: Option<&'a Policy>,
    pub manifest: Option<&'a Manifest>,
    pub identity: Option<Basis>,
    pub seed: Option<&'a ExamSeed>,
    pub exam: Option<&'a Exam>,
}

/// What the records came to.
#[derive(Default)]
pub(super) struct Found {
    pub withheld: Vec<WithheldRows>,
    pub samples: u64,
    /// The first thing that is wrong, by step.
    faults: Vec<(StepName, String)>,
    /// Tests whose questions are fixed: nothing in them can be asked again.
    fixed: Vec<String>,
    asked_by: Option<(ModelRef, ModelIdentity)>,
    rows: u64,
    tests: usize,
    /// Of tests with withheld rows: the counts when only what is shown counts.
    shown: BTreeMap<String, Counts>,
}

impl Found {
    fn fault(&mut self, step: StepName, what: impl std::fmt::Display) {
        self.faults.push((step, what.to_string()));
    }

    /// How many records there were.
    pub(super) fn tests(&self) -> usize {
        self.tests
    }

    /// Who answered, by the records' own word, and how it was set up.
    fn answered(&self) -> String {
        let Some((model, identity)) = &self.asked_by else { return String::new() };
        let set: Vec<_> = identity.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let set = if set.is_empty() { String::new() } else { format!(", with {}", set.join(", ")) };
        let weights = identity.weights.map(|weights| format!(" from {weights}")).unwrap_or_default();
        format!("; they say that `{model}` answered{weights}{set}")
    }

    /// The exam when only what is shown counts; none when all of it is shown.
    pub(super) fn shown_alone(&self, exam: &Exam) -> Option<Exam> {
        let mut exam = exam.clone();
        for test in &mut exam.tests {
            test.counts = self.shown.get(&test.test).copied().unwrap_or(test.counts);
        }
        (!self.shown.is_empty()).then_some(exam)
    }

    fn first(&self, step: StepName) -> Option<&str> {
        self.faults.iter().find(|(of, _)| *of == step).map(|(_, what)| what.as_str())
    }
}

/// Reads every record to the end of the bundle. Gives what was found and whether the container held; what is wrong with
/// a record is noted in the list.
pub(super) fn read(
    reader: Reader<impl Read>,
    known: &Known<'_>,
    list: &mut Checklist,
) -> (Found, Result<(), BundleError>) {
    let mut found = Found::default();
    let whole = read_all(reader, known, &mut found);
    judge(known, &found, list);
    (found, whole)
}

fn read_all(mut reader: Reader<impl Read>, known: &Known<'_>, found: &mut Found) -> Result<(), BundleError> {
    let mut broken = Ok(());
    while let Some(NextRecord { number, run, seal, length }) = reader.next_record()? {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let examined = known.exam.zip(place).and_then(|(exam, place)| exam.tests.get(place));
        let test = examined.and_then(|examined| suite_test(known, examined, found));
        let name = format!("records/{number}-{run}");
        let ((), end) = reader.log(|log| {
            one(known, found, examined, test.as_ref(), (run, &seal, &name), (log, length));
        })?;
        broken = broken.and(end);
        found.tests += 1;
    }
    reader.end()?;
    broken
}

/// The test with its questions, where they can be made again.
fn suite_test(known: &Known<'_>, examined: &Examined, read: &mut Found) -> Option<SuiteTest> {
    let test = known.policy?.tests.iter().find(|test| test.id == examined.test)?;
    if matches!(test.source, Source::Task { .. }) {
        read.fixed.push(test.id.clone());
        return None;
    }
    match SuiteTest::new(test, known.seed?) {
        Ok(test) => Some(test),
        Err(error) => {
            read.fault(StepName::Items, error);
            None
        }
    }
}

/// One record.
fn one(
    known: &Known<'_>,
    read: &mut Found,
    examined: Option<&Examined>,
    test: Option<&SuiteTest>,
    (run, seal, name): (RunId, &[u8], &str),
    log: (&mut dyn Read, u64),
) {
    let counted = match test {
        Some(test) => {
            recount(test, run, seal, log, name).map(|recount| (recount.record.clone(), Some(recount)))
        }
        None => whole(run, seal, log, name).map(|record| (record, None)),
    };
    let (record, counted) = match counted {
        Ok(counted) => counted,
        Err(error) => return read.fault(StepName::Records, error),
    };
    read.rows += record.rows;
    let Some(examined) = examined else {
        return read.fault(StepName::Records, format!("{name}: the attestation has no such test"));
    };
    if (record.run, record.root, record.rows) != (examined.run, examined.record, examined.rows) {
        let what = format!(
            "{name}: it is run {} with {} rows and root {}; attested for test `{}` is run {} with {} rows and root {}",
            record.run, record.rows, record.root, examined.test, examined.run, examined.rows, examined.record
        );
        read.fault(StepName::Records, what);
    }
    who(known, read, &record.spec, name);
    if let Some(counted) = counted {
        content(read, examined, &counted);
    }
    if !record.withheld.is_empty() {
        let test = examined.test.clone();
        read.withheld.push(WithheldRows { test, run: record.run, rows: record.withheld });
    }
}

/// A record whose questions cannot be made again: still whole and sealed.
fn whole(
    run: RunId,
    seal: &[u8],
    (log, length): (&mut dyn Read, u64),
    name: &str,
) -> Result<Verified, RecordError> {
    let most_rows = 2 * crate::rescore::MAX_SAMPLES + 1_000;
    verify_stream(
        Streamed { name, run, seal, log, length, most_rows, most_row_bytes: MAX_ROW_BYTES },
        |_, _| {},
    )
}

fn content(read: &mut Found, examined: &Examined, counted: &Recount) {
    read.samples += counted.rescored;
    if let Err(what) = &counted.spec {
        read.fault(StepName::Records, what);
    }
    if let Some(fault) = &counted.item_fault {
        read.fault(StepName::Items, fault);
    }
    if let Some(fault) = &counted.score_fault {
        read.fault(StepName::Scores, fault);
    }
    if let Err(what) = when(examined, counted) {
        read.fault(StepName::Records, format!("test `{}`: {what}", examined.test));
    }
    let withheld = counted.record.withheld.len() as u64;
    if withheld > 0 {
        read.shown.insert(examined.test.clone(), counted.tally.shown_alone(&examined.counts));
    }
    if let Err(what) = counted.tally.agrees(&examined.counts, withheld) {
        read.fault(StepName::Counts, format!("test `{}`: {what}", examined.test));
    }
}

/// The longest time between the last answer and the attested end of a test, in seconds: how old evidence is is counted in
/// days from that end.
const MOST_IDLE_S: u64 = 86_400;

/// The rows were asked when the examiner attests it.
fn when(examined: &Examined, counted: &Recount) -> Result<(), String> {
    let Some((first, last)) = counted.asked_ms.map(|(first, last)| (first / 1000, last / 1000)) else {
        return Ok(());
    };
    let (started, finished) = (examined.started, examined.finished);
    if first < started.seconds() || last > finished.seconds() {
        return Err(format!("it has rows from before {started} or after {finished}, when it was asked"));
    }
    // The last rows may be among the withheld ones.
    if counted.record.withheld.is_empty() && finished.seconds() - last > MOST_IDLE_S {
        return Err(format!("it is attested to end at {finished}, more than a day after its last answer"));
    }
    Ok(())
}

/// All records are of one model, and it is the registered one.
fn who(known: &Known<'_>, read: &mut Found, spec: &EvalSpec, name: &str) {
    let (Some(manifest), Some(identity)) = (known.manifest, known.identity) else { return };
    if let Some((model, identity)) = &read.asked_by
        && (*model != spec.model || *identity != spec.identity)
    {
        read.fault(StepName::Records, format!("{name}: `{}` answered, not `{model}` as before", spec.model));
    }
    if let Err(what) = is_model(manifest, identity, spec) {
        read.fault(StepName::Records, format!("{name}: {what}"));
    }
    read.asked_by = Some((spec.model.clone(), spec.identity.clone()));
}

fn is_model(manifest: &Manifest, identity: Basis, spec: &EvalSpec) -> Result<(), String> {
    match manifest {
        Manifest::Weights(statement) => {
            let known = |weights| statement.predicate.resources.iter().any(|file| file.digest.0 == weights);
            match spec.identity.weights {
                Some(weights) if !known(weights) => {
                    Err(format!("the weights that answered, {weights}, are no file of the registered model"))
                }
                None if identity == Basis::Verified => {
                    Err("nothing says that the registered weights answered".to_owned())
                }
                Some(_) if identity == Basis::Verified && spec.identity.settings.contains_key("base_url") => {
                    Err("an endpoint answered, and nobody can verify which weights it serves".to_owned())
                }
                Some(_) if identity == Basis::Verified && spec.identity.basis != Basis::Verified => {
                    Err("the weights that answered are not verified, and were registered as such".to_owned())
                }
                _ => Ok(()),
            }
        }
        Manifest::Remote(statement) => {
            let remote = &statement.predicate;
            if (&remote.provider, &remote.name) != (&spec.model.provider, &spec.model.name) {
                return Err(format!("`{}` answered, not the registered `{}`", spec.model, manifest.name()));
            }
            let endpoint = spec.identity.settings.get("base_url");
            if remote.endpoint.is_some() && endpoint != remote.endpoint.as_ref() {
                return Err("another endpoint answered than the registered one".to_owned());
            }
            Ok(())
        }
    }
}

/// Says of the four steps what became of them.
fn judge(known: &Known<'_>, read: &Found, list: &mut Checklist) {
    let missing = known.exam.filter(|exam| exam.tests.len() != read.tests);
    list.step(StepName::Records, || {
        need(known.exam, StepName::Attestation)?;
        if let Some(what) = read.first(StepName::Records) {
            return Err(Not::Wrong(what.to_owned()));
        }
        if let Some(exam) = missing {
            let what = format!("{} records for {} tests", read.tests, exam.tests.len());
            return Err(Not::Wrong(what));
        }
        need(known.manifest, StepName::Model)?;
        Ok(((), format!("{} records, {} rows, sealed{}", read.tests, read.rows, read.answered())))
    });
    let fixed = match read.fixed.as_slice() {
        [] => String::new(),
        tests => format!("; fixed questions, not made, scored or counted again: {}", tests.join(", ")),
    };
    let withheld: usize = read.withheld.iter().map(|rows| rows.rows.len()).sum();
    let left_out = if withheld == 0 { String::new() } else { format!("; {withheld} rows are withheld") };
    for (step, done) in [
        (StepName::Items, format!("{} questions made again{fixed}{left_out}", read.samples)),
        (StepName::Scores, format!("{} answers scored again{fixed}{left_out}", read.samples)),
        (StepName::Counts, counted(withheld, &fixed)),
    ] {
        let found = read.first(step);
        match (found, known.seed, known.exam) {
            (Some(what), _, _) => list.set(step, Status::Failed, what),
            (None, None, _) => list.set(step, Status::Skipped, "needs step `seed`"),
            (None, _, None) => list.set(step, Status::Skipped, "needs step `attestation`"),
            _ if !list.holds(StepName::Records) => list.set(step, Status::Skipped, "needs step `records`"),
            _ => list.set(step, Status::Ok, &done),
        }
    }
}

fn counted(withheld: usize, fixed: &str) -> String {
    match withheld {
        0 => format!("counted again, and equal{fixed}"),
        _ => format!(
            "possible with what is shown; {withheld} rows are withheld, and their scores are as the examiner attests{fixed}"
        ),
    }
}
