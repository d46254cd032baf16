//! `license bundle`: everything that a decision rests on, as one file that anybody can check.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_evidence::Store;
use loadline_exam::bundle::{self, LoggedEntry, RunParts};
use loadline_exam::entry::Start;
use loadline_exam::{Anchor, CONSISTENCY_FORMAT, Consistency, Status, Step, StepName};
use loadline_exam::{Contents, Entry};
use loadline_tlog::{ConsistencyProof, LogProof, TileReader};
use loadline_trust::Envelope;

use super::decide::Decided;
use super::exams::{self, Sitting};
use super::folder;
use super::office::Office;
use super::{licenses, roots, standing};
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Writes the bundle of an exam and what was decided of it. Gives its size in bytes.
///
/// # Errors
/// When something is missing or damaged, the log is not published far enough, or the disk refuses.
pub fn write(office: &Office, sitting: &Sitting, decided: &Decided, to: &Path) -> Result<u64> {
    let contents = contents(office, sitting, decided)?;
    let store = Store::open(sitting.store());
    let failed = |error: &std::io::Error| Failure::io(format!("cannot write `{}`", to.display()), error);
    let fresh = to.with_extension("bundle.new");
    let file = File::create(&fresh).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let failure = Failure::because(Exit::Usage, format!("cannot write `{}`", to.display()), &error);
            failure.hint("its folder is not there: make it, or name another place with `-o`")
        }
        _ => failed(&error),
    })?;
    let mut writer = BufWriter::new(file);
    bundle::write(&contents, |run| File::open(store.run_dir(run).join("log")), &mut writer).map_err(
        |error| {
            Failure::because(Exit::Unexpected, format!("cannot write `{}`", to.display()), &error)
                .hint(error.hint())
        },
    )?;
    let file = writer.into_inner().map_err(|error| failed(error.error()))?;
    file.sync_all().map_err(|error| failed(&error))?;
    let bytes = file.metadata().map_err(|error| failed(&error))?.len();
    check(office, &fresh, to)?;
    std::fs::rename(&fresh, to).map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// Verifies what was written, as everybody will: a bundle that does not hold helps nobody. One of a licence that ran out
/// or was revoked is still evidence.
fn check(office: &Office, fresh: &Path, to: &Path) -> Result<()> {
    let file = File::open(fresh).map_err(|error| Failure::io("cannot read the bundle again", &error))?;
    let anchor = Anchor { root: Some(office.chain.authority()), ..Anchor::at(office.now) };
    let report = loadline_exam::verify(file, &anchor);
    let harmless = [StepName::Validity, StepName::Standing];
    let failed = |step: &&Step| step.status == Status::Failed && !harmless.contains(&step.name);
    let Some(step) = report.steps.iter().find(failed) else { return Ok(()) };
    let _nobody_needs_it = std::fs::remove_file(fresh);
    Err(Failure::new(Exit::EvidenceInvalid, format!("`{}` is not written: it would not hold", to.display()))
        .cause(format!("{}: {}", step.name, step.detail))
        .hint("something in the authority's folder is not what was written: restore it from a copy"))
}

fn contents(office: &Office, sitting: &Sitting, decided: &Decided) -> Result<Contents> {
    let unexpected = |error: serde_json::Error| Failure::of(Exit::Unexpected, &error);
    let mut rules = Vec::new();
    for pack in exams::packs(&sitting.policy) {
        rules.push((pack.id.clone(), canonical_json(&pack).map_err(unexpected)?));
    }
    let license = match &decided.license {
        Some(digest) => Some(licenses::read(office, *digest)?),
        None => None,
    };
    // A decision without a licence has nothing to stand.
    let standing = match license {
        Some(_) => standing::read(&office.folder, &office.chain)?.map(|(_, bytes)| bytes),
        None => None,
    };
    let compute = sitting.kept.compute.as_ref();
    let attestation = folder::read(&sitting.dir.join("attestation.json"))?;
    let mut records = Vec::new();
    for examined in &decided.attested.statement.predicate.tests {
        let path = Store::open(sitting.store()).run_dir(&examined.run).join("seal.json");
        records.push(RunParts { run: examined.run, seal: folder::read(&path)? });
    }
    Ok(Contents {
        roots: roots::bytes(office.folder.path())?,
        policy: canonical_json(&sitting.policy).map_err(unexpected)?,
        manifest: sitting.kept.manifest.to_bytes().map_err(|error| Failure::of(Exit::Unexpected, &error))?,
        compute: compute.map(canonical_json).transpose().map_err(unexpected)?,
        rules,
        entries: entries(office, sitting, decided)?,
        consistency: consistency(office, sitting)?,
        attestation,
        test_result: folder::read(&sitting.dir.join("test-result.json"))?,
        sign_offs: decided.sign_offs.iter().map(Envelope::to_bytes).collect(),
        drill: decided.drill.clone(),
        decision: canonical_json(&decided.decision).map_err(unexpected)?,
        license: license.as_ref().map(|license| license.bytes.clone()),
        svr: license.map(|license| license.svr),
        standing,
        records,
    })
}

/// The entries that tell the story of an exam: roots, policy, commitment, registration, every start of the chain of
/// attempts up to it with its commitment, its resumes, its end, the drill, and the licence with the stages of its model.
fn story(office: &Office, sitting: &Sitting, decided: &Decided) -> Vec<u64> {
    let (license, drill) = (decided.license, decided.case.drill.as_ref().map(|drill| drill.report));
    let start = &sitting.history.start;
    let is_attempt = |index: u64, other: &Start| {
        index <= sitting.history.index && (other.model, other.policy) == (start.model, start.policy)
    };
    let attempts = office.history.iter().filter_map(|(index, entry)| match entry {
        Entry::Start(other) if is_attempt(index, other) => Some(other.commitment),
        _ => None,
    });
    let commitments: BTreeSet<u64> = attempts.collect();
    let mut has_policy = false;
    let wanted = |index: u64, entry: &Entry, has_policy: &mut bool| match entry {
        Entry::Root(_) => true,
        Entry::Policy(policy) => policy.digest == start.policy && !std::mem::replace(has_policy, true),
        Entry::Commitment(_) => commitments.contains(&index),
        Entry::Registration(_) => index == start.registration,
        Entry::Start(other) => is_attempt(index, other),
        Entry::Resume(resume) => resume.exam == start.exam,
        Entry::Finish(finish) => finish.exam == start.exam,
        Entry::License(entry) => Some(entry.license) == license,
        Entry::Stage(entry) => license.is_some() && entry.model == start.model,
        Entry::Drill(entry) => Some(entry.drill) == drill,
        Entry::Revoke(_) | Entry::Suspend(_) | Entry::Reinstate(_) => false,
    };
    let entries = office.history.iter();
    entries.filter(|(index, entry)| wanted(*index, entry, &mut has_policy)).map(|(index, _)| index).collect()
}

fn entries(office: &Office, sitting: &Sitting, decided: &Decided) -> Result<Vec<LoggedEntry>> {
    let (note, checkpoint) = office.journal.published()?;
    let mut reader = TileReader::new(office.journal.log().source(), checkpoint.size(), *checkpoint.root());
    let mut logged = Vec::new();
    for index in story(office, sitting, decided) {
        if index >= checkpoint.size() {
            let message =
                format!("entry {index} is in the log, but no checkpoint that covers it is published");
            return Err(Failure::new(Exit::Unexpected, message)
                .hint("`loadline log publish` asks the witnesses again; then bundle again"));
        }
        let (entry, proof) =
            reader.entry(index).map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))?;
        let proof = LogProof { extra: None, index, path: proof.path, checkpoint: note.clone() };
        logged.push(LoggedEntry { index, entry, proof: proof.to_text().into_bytes() });
    }
    Ok(logged)
}

fn consistency(office: &Office, sitting: &Sitting) -> Result<Vec<u8>> {
    let (_, last) = office.journal.published()?;
    let source = || office.journal.log().source();
    let damaged = |error: &(dyn std::error::Error + 'static)| Failure::of(Exit::EvidenceInvalid, error);
    let checkpoint = sitting.checkpoint.clone();
    let mut before = TileReader::new(source(), checkpoint.size, checkpoint.root.0);
    let follows = sitting.registration.follows.size;
    let (_, from_before) = before.consistency(follows).map_err(|error| damaged(&error))?;
    let mut after = TileReader::new(source(), last.size(), *last.root());
    let (_, to_last) = after.consistency(checkpoint.size).map_err(|error| damaged(&error))?;
    let digests = |proof: ConsistencyProof| proof.path.into_iter().map(Digest).collect();
    let consistency = Consistency {
        checkpoint,
        follows_to_checkpoint: digests(from_before),
        format: CONSISTENCY_FORMAT.to_owned(),
        checkpoint_to_last: digests(to_last),
    };
    canonical_json(&consistency).map_err(|error| Failure::of(Exit::Unexpected, &error))
}
