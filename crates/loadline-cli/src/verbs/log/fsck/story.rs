//! What the entries of an authority's log must say of each other: attempts are counted without gaps, nothing is used before
//! it was logged, nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_exam::Entry;
use loadline_exam::entry::{
    Commitment, Finish, LicenseEntry, Registration, StageEntry, StandingChange, Start, exam_id,
};
use loadline_exam::stage::Walk;
use loadline_policy::policy::{Stage, Step};
use loadline_tlog::{Checkpoint, Hash, Note};

/// An exam as far as it was read.
struct Examined {
    start: u64,
    commitment: u64,
    resumes: u64,
    ended: bool,
}

/// A licence that was issued.
#[derive(Clone, Copy, Debug)]
struct Licensed {
    model: Digest,
    stage: Stage,
    revoked: bool,
}

/// Reads the entries in order and keeps the first thing that is wrong. Its memory grows with the number of exams.
#[derive(Default)]
pub struct Story {
    /// Whether the first entry is an authority's: then all must be.
    is_authority: bool,
    root_version: u64,
    commitments: BTreeMap<u64, Commitment>,
    registrations: BTreeMap<u64, Registration>,
    /// Commitments that a registration names, and that an exam used.
    registered: BTreeSet<u64>,
    examined: BTreeSet<u64>,
    /// Of a model under a policy: the number and the index of the last start.
    attempts: BTreeMap<(Digest, Digest), (u64, u64)>,
    exams: BTreeMap<Digest, Examined>,
    /// The state that each start says it follows.
    witnessed: Vec<(u64, Hash)>,
    /// The first end that counts its interruptions.
    counted: Option<u64>,
    /// The newest entry that is no root.
    newest: u64,
    licenses: BTreeMap<Digest, Licensed>,
    /// Where each model stands.
    stages: BTreeMap<Digest, Walk>,
    drills: BTreeSet<Digest>,
    /// When the last drill of each model was.
    drilled: BTreeMap<Digest, Instant>,
    wrong: Option<String>,
}

impl Story {
    /// Reads the next entry.
    pub fn read(&mut self, index: u64, bytes: &[u8]) {
        if self.wrong.is_some() || (index > 0 && !self.is_authority) {
            return;
        }
        let entry = match Entry::parse(bytes) {
            Ok(entry) => entry,
            Err(_) if index == 0 => return,
            Err(error) => {
                self.wrong = Some(format!("entry {index} is none of an authority's: {error}"));
                return;
            }
        };
        self.is_authority = true;
        let (kind, is_root) = (entry.kind(), matches!(entry, Entry::Root(_)));
        if let Err(what) = self.follow(index, entry) {
            self.wrong = Some(format!("entry {index} ({kind}) cannot stand there: {}", one_line(&what, 300)));
        }
        if !is_root {
            self.newest = index;
        }
    }

    /// The first thing that is wrong.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// How many exams began, when it is an authority's log.
    pub fn exams(&self) -> Option<u64> {
        self.is_authority.then_some(self.exams.len() as u64)
    }

    /// The sizes whose roots registrations and starts name, and the roots.
    pub fn followed(&self) -> impl Iterator<Item = (&'static str, u64, Hash)> {
        let registrations = self.registrations.values().map(|registration| registration.follows);
        let registrations = registrations.map(|follows| ("registration", follows.size, follows.root.0));
        registrations.chain(self.witnessed.iter().map(|(size, root)| ("start", *size, *root)))
    }

    fn follow(&mut self, index: u64, entry: Entry) -> Result<(), String> {
        match entry {
            Entry::Root(root) => {
                let last = std::mem::replace(&mut self.root_version, root.version);
                if root.version > last {
                    Ok(())
                } else {
                    Err(format!("version {} after {last}", root.version))
                }
            }
            Entry::Policy(_) => Ok(()),
            Entry::Commitment(commitment) => {
                let twin = self.commitments.values().any(|other| other.secret_hash == commitment.secret_hash);
                self.commitments.insert(index, commitment);
                if twin { Err("its secret was committed to before".to_owned()) } else { Ok(()) }
            }
            Entry::Registration(registration) => self.registration(index, registration),
            Entry::Start(start) => self.start(index, &start),
            Entry::Resume(resume) => match self.exams.get_mut(&resume.exam) {
                Some(exam) if exam.ended => Err("its exam has ended".to_owned()),
                Some(exam) => {
                    exam.resumes += 1;
                    Ok(())
                }
                None => Err("no such exam began".to_owned()),
            },
            Entry::Finish(finish) => self.finish(index, &finish),
            Entry::License(LicenseEntry { license, model, stage, .. }) => {
                match self.licenses.insert(license, Licensed { model, stage, revoked: false }) {
                    None => Ok(()),
                    Some(_) => Err("this licence was issued before".to_owned()),
                }
            }
            Entry::Stage(stage) => self.stage(&stage),
            Entry::Drill(drill) if !self.drills.insert(drill.drill) => {
                Err("this drill was logged before".to_owned())
            }
            Entry::Drill(drill) => match self.drilled.insert(drill.model, drill.at) {
                Some(last) if drill.at <= last => Err(format!(
                    "it is of {}, which is not after the model's last drill, of {last}",
                    drill.at
                )),
                _ => Ok(()),
            },
            Entry::Revoke(change) => self.standing(&change).map(|license| license.revoked = true),
            Entry::Suspend(change) | Entry::Reinstate(change) => self.standing(&change).map(drop),
        }
    }

    fn registration(&mut self, index: u64, registration: Registration) -> Result<(), String> {
        let (commitment, size) = (registration.commitment, registration.follows.size);
        self.registrations.insert(index, registration);
        if size != index {
            return Err(format!("it follows a log of {size} entries"));
        }
        if !self.commitments.contains_key(&commitment) {
            return Err(format!("entry {commitment} is no commitment before it"));
        }
        if self.registered.insert(commitment) {
            Ok(())
        } else {
            Err(format!("commitment {commitment} is taken"))
        }
    }

    fn start(&mut self, index: u64, start: &Start) -> Result<(), String> {
        let (last, previous) = match self.attempts.get(&(start.model, start.policy)) {
            Some((attempt, index)) => (*attempt, Some(*index)),
            None => (0, None),
        };
        if start.attempt != last + 1 {
            return Err(format!("it says attempt {}, and attempt {last} was the last", start.attempt));
        }
        if start.previous != previous {
            let said =
                |index: Option<u64>| index.map_or_else(|| "none".to_owned(), |index| index.to_string());
            return Err(format!("its previous start is {}, not {}", said(previous), said(start.previous)));
        }
        let registration = self.registrations.get(&start.registration);
        let registration = registration
            .ok_or_else(|| format!("entry {} is no registration before it", start.registration))?;
        if registration.model != start.model || registration.commitment != start.commitment {
            return Err(format!("registration {} is of another model or commitment", start.registration));
        }
        let commitment = self.commitments.get(&start.commitment);
        if commitment.is_none_or(|commitment| commitment.policy != start.policy) {
            return Err(format!("commitment {} is not for this policy", start.commitment));
        }
        if !self.examined.insert(start.commitment) {
            return Err(format!("commitment {} made the questions of an earlier exam", start.commitment));
        }
        let id = exam_id(start.model, start.policy, start.commitment, start.registration, start.attempt);
        if id != start.exam {
            return Err("its exam has another id".to_owned());
        }
        self.attempts.insert((start.model, start.policy), (start.attempt, index));
        let commitment = start.commitment;
        self.exams.insert(start.exam, Examined { start: index, commitment, resumes: 0, ended: false });
        self.witnessed(index, start)
    }

    /// The start is the next entry after the state that its witnesses saw.
    fn witnessed(&mut self, index: u64, start: &Start) -> Result<(), String> {
        let Some(text) = &start.witnessed else {
            return match self.witnessed.first() {
                None => Ok(()),
                Some((first, _)) => Err(format!("it has no `witnessed`, and the start in entry {first} has")),
            };
        };
        if self.newest != start.registration {
            let (newest, registration) = (self.newest, start.registration);
            return Err(format!("entry {newest} is between it and its registration, entry {registration}"));
        }
        let note = Note::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let seen = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if seen.size() != index {
            return Err(format!("its witnesses saw a log of {} entries", seen.size()));
        }
        self.witnessed.push((index, *seen.root()));
        Ok(())
    }

    fn finish(&mut self, index: u64, finish: &Finish) -> Result<(), String> {
        match (finish.resumes, self.counted) {
            (Some(_), None) => self.counted = Some(index),
            (None, Some(first)) => {
                return Err(format!("it has no `resumes`, and the end in entry {first} has"));
            }
            _ => {}
        }
        let exam = self.exams.get_mut(&finish.exam).ok_or_else(|| "no such exam began".to_owned())?;
        if std::mem::replace(&mut exam.ended, true) {
            return Err("its exam has ended before".to_owned());
        }
        if exam.start != finish.start {
            return Err(format!("its exam began at entry {}, not {}", exam.start, finish.start));
        }
        if finish.resumes.is_none() && self.witnessed.iter().any(|(start, _)| *start == exam.start) {
            return Err("it has no `resumes`, and its start is of the form whose end counts them".to_owned());
        }
        if finish.resumes.is_some_and(|resumes| resumes != exam.resumes) {
            return Err(format!("it does not count {} entries of kind `resume`", exam.resumes));
        }
        let committed = self.commitments.get(&exam.commitment).map(|commitment| commitment.secret_hash);
        if committed == Some(finish.secret.hash()) {
            Ok(())
        } else {
            Err("its secret is not the one that was committed to".to_owned())
        }
    }

    fn standing(&mut self, change: &StandingChange) -> Result<&mut Licensed, String> {
        match self.licenses.get_mut(&change.license) {
            None => Err("no such licence was issued".to_owned()),
            Some(Licensed { revoked: true, .. }) => {
                Err("the licence is revoked, which is for ever".to_owned())
            }
            Some(license) => Ok(license),
        }
    }

    fn stage(&mut self, entry: &StageEntry) -> Result<(), String> {
        if !self.registrations.values().any(|registration| registration.model == entry.model) {
            return Err("no such model was registered".to_owned());
        }
        let walk = self.stages.entry(entry.model).or_default();
        let step = walk.go(entry).map_err(|error| error.to_string())?;
        let (Step::Promotion(stage), Some(license)) = (step, entry.license) else { return Ok(()) };
        match self.licenses.get(&license) {
            None => Err("no such licence was issued".to_owned()),
            Some(Licensed { revoked: true, .. }) => Err("its licence is revoked".to_owned()),
            Some(known) if (known.model, known.stage) != (entry.model, stage) => {
                Err("its licence is of another model or stage".to_owned())
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
