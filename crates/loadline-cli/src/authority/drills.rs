//! Drills: reports of stops that were tried out, taken in and logged.

use std::path::PathBuf;

use loadline_core::Digest;
use loadline_exam::{DrillReport, Entry};
use loadline_policy::decide::Drill;
use loadline_trust::CLOCK_SKEW_S;

use super::folder;
use super::office::Office;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

fn path(office: &Office, drill: Digest) -> PathBuf {
    office.folder.path().join("drills").join(format!("{}.json", drill.hex()))
}

/// Takes in a report and logs it. Gives its place in the log.
///
/// # Errors
/// When no holder of the role `stop` signed it, it is logged already or not of a moment between the model's last drill and now,
/// the disk refuses, or a key cannot be opened.
pub fn log(office: &mut Office, bytes: &[u8]) -> Result<u64> {
    let (report, digest) = DrillReport::accept(bytes, office.chain.current())
        .map_err(|error| Failure::of(Exit::EvidenceInvalid, &error).hint(error.hint()))?;
    if let Some(index) = office.history.drilled(digest) {
        return Err(Failure::new(Exit::Usage, format!("the drill is entry {index} of the log already"))
            .hint("one drill is logged once"));
    }
    in_time(office, &report)?;
    folder::write(&path(office, digest), bytes, folder::PUBLIC)?;
    office.log(vec![Entry::Drill(report.entry(digest))])
}

/// The newest drill counts, so an old good one must not be logged after a bad one.
fn in_time(office: &Office, report: &DrillReport) -> Result<()> {
    let last = office.history.iter().rev().find_map(|(index, entry)| match entry {
        Entry::Drill(drill) if drill.model == report.model => Some((index, drill.at)),
        _ => None,
    });
    let (at, now) = (report.at, office.now);
    if let Some((index, last)) = last.filter(|(_, last)| at <= *last) {
        let message = format!(
            "the drill is of {at}, which is not after the model's last one: entry {index}, of {last}"
        );
        return Err(
            Failure::new(Exit::Usage, message).hint("log drills in the order in which they were made")
        );
    }
    if at.seconds() > now.seconds().saturating_add(CLOCK_SKEW_S) {
        let message = format!("the drill is of {at}, and it is {now}");
        return Err(Failure::new(Exit::Usage, message).hint("set the clock of the machine that was wrong"));
    }
    Ok(())
}

/// The newest drill of a model before an entry of the log (or of all of it), with its report.
///
/// # Errors
/// When its report is not here, or is not what was logged.
pub fn newest(office: &Office, model: Digest, before: Option<u64>) -> Result<Option<(Drill, Vec<u8>)>> {
    let found = office.history.iter().rev().find_map(|(index, entry)| match entry {
        Entry::Drill(drill) if drill.model == model && before.is_none_or(|before| index < before) => {
            Some((index, drill))
        }
        _ => None,
    });
    let Some((index, entry)) = found else { return Ok(None) };
    let path = path(office, entry.drill);
    let bytes = folder::read(&path)?;
    let (report, digest) = DrillReport::accept(&bytes, office.root_at(Some(index))?)
        .map_err(|error| folder::changed(&path, &error))?;
    if report.entry(digest) != *entry {
        return Err(folder::not_as_written(&path).cause("it does not say what the log says"));
    }
    Ok(Some((entry.evidence(index), bytes)))
}
