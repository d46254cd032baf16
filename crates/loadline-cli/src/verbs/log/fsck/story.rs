//! What the entries of an authority's log must say of each other: attempts are counted without gaps, nothing is used before
//! it was logged, nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_exam::Entry;
use loadline_exam::entry::{
    Commitment, Finish, LicenseEntry, Registration, StageEntry, StandingChange, Start, exam_id,
};
use loadline_policy::policy::{ModelStage, Stage, Step};
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
    licenses: BTreeMap<Digest, Licensed>,
    /// Where each model stands, and since when.
    stages: BTreeMap<Digest, (ModelStage, Instant)>,
    drills: BTreeSet<Digest>,
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
        let kind = entry.kind();
        if let Err(what) = self.follow(index, entry) {
            self.wrong = Some(format!("entry {index} ({kind}) cannot stand there: {}", one_line(&what, 300)));
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
            Entry::Finish(finish) => self.finish(&finish),
            Entry::License(LicenseEntry { license, model, stage, .. }) => {
                match self.licenses.insert(license, Licensed { model, stage, revoked: false }) {
                    None => Ok(()),
                    Some(_) => Err("this licence was issued before".to_owned()),
                }
            }
            Entry::Stage(stage) => self.stage(&stage),
            Entry::Drill(drill) if self.drills.insert(drill.drill) => Ok(()),
            Entry::Drill(_) => Err("this drill was logged before".to_owned()),
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
        let Some(text) = &start.witnessed else { return Ok(()) };
        let note = Note::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let seen = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if seen.size() != index {
            return Err(format!("its witnesses saw a log of {} entries", seen.size()));
        }
        self.witnessed.push((index, *seen.root()));
        Ok(())
    }

    fn finish(&mut self, finish: &Finish) -> Result<(), String> {
        let exam = self.exams.get_mut(&finish.exam).ok_or_else(|| "no such exam began".to_owned())?;
        if std::mem::replace(&mut exam.ended, true) {
            return Err("its exam has ended before".to_owned());
        }
        if exam.start != finish.start {
            return Err(format!("its exam began at entry {}, not {}", exam.start, finish.start));
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
        let known = self.stages.insert(entry.model, (entry.to, entry.at));
        let stands = known.map_or(ModelStage::Draft, |(stage, _)| stage);
        if entry.from != stands {
            return Err(format!("it goes from `{}`, and the model stood at `{stands}`", entry.from));
        }
        if known.is_some_and(|(_, since)| entry.at < since) {
            return Err("it is earlier than the model's step before".to_owned());
        }
        match (entry.from.step(entry.to).map_err(|error| error.to_string())?, entry.license) {
            (Step::Demotion, None) => Ok(()),
            (Step::Demotion, Some(_)) => Err("a demotion rests on no licence".to_owned()),
            (Step::Promotion(_), None) => Err("a promotion without a licence".to_owned()),
            (Step::Promotion(stage), Some(license)) => match self.licenses.get(&license) {
                None => Err("no such licence was issued".to_owned()),
                Some(Licensed { revoked: true, .. }) => Err("its licence is revoked".to_owned()),
                Some(known) if (known.model, known.stage) != (entry.model, stage) => {
                    Err("its licence is of another model or stage".to_owned())
                }
                Some(_) => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use loadline_core::model::Basis;
    use loadline_exam::entry::{DrillEntry, LogState, PolicyEntry, Resume, RootEntry};
    use loadline_tlog::{Algorithm, SignerKey};

    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn at() -> Instant {
        Instant::from_seconds(1_700_000_000).unwrap()
    }

    fn secret(number: u8) -> loadline_exam::ExamSecret {
        loadline_exam::ExamSecret::from_bytes([number; 32])
    }

    fn registration(index: u64, commitment: u64) -> Entry {
        Entry::Registration(Registration {
            model: digest("model"),
            name: "a model".to_owned(),
            identity: Basis::Verified,
            compute: None,
            commitment,
            follows: LogState { size: index, root: digest("root") },
            nonce: digest(&format!("nonce {index}")),
        })
    }

    fn start(registration: u64, commitment: u64, attempt: u64, previous: Option<u64>) -> Start {
        let (model, policy) = (digest("model"), digest("policy"));
        let exam = exam_id(model, policy, commitment, registration, attempt);
        let witnessed = Some(witnessed(registration + 1));
        Start { exam, registration, commitment, model, policy, attempt, previous, witnessed, at: at() }
    }

    fn witnessed(size: u64) -> String {
        let checkpoint = Checkpoint::new("example.com/log", size, digest("root").0).unwrap();
        let mut note = Note::unsigned(&checkpoint.to_text()).unwrap();
        note.sign(&SignerKey::from_seed("example.com/log", Algorithm::Ed25519, &[1; 32]).unwrap(), 0)
            .unwrap();
        note.to_text()
    }

    fn commitment(number: u8) -> Entry {
        Entry::Commitment(Commitment { policy: digest("policy"), secret_hash: secret(number).hash() })
    }

    fn finish(start: u64, of: &Start, number: u8) -> Entry {
        resumed(start, of, number, None)
    }

    fn resumed(start: u64, of: &Start, number: u8, resumes: Option<u64>) -> Entry {
        let (attestation, records, secret) = (digest("attestation"), Vec::new(), secret(number));
        Entry::Finish(Finish { exam: of.exam, start, attestation, secret, records, resumes, at: at() })
    }

    fn change() -> StandingChange {
        StandingChange { license: digest("licence"), reason: "a reason".to_owned(), at: at() }
    }

    fn stage(from: ModelStage, to: ModelStage, license: Option<&str>) -> Entry {
        Entry::Stage(StageEntry {
            model: digest("model"),
            from,
            to,
            license: license.map(digest),
            reason: "a reason".to_owned(),
            transition: digest("transition"),
            at: at(),
        })
    }

    fn drill() -> Entry {
        Entry::Drill(DrillEntry {
            drill: digest("drill"),
            gate: "gate.example".to_owned(),
            model: digest("model"),
            streams: 100,
            last_byte_ms: 12,
            bytes_after: 0,
            at: at(),
        })
    }

    #[test]
    fn a_model_goes_from_stage_to_stage_and_each_lie_about_it_is_named() {
        use ModelStage::{Draft, Internal, Limited, Suspended, Withdrawn};
        let licence = Some("licence");
        let mut good = honest();
        good.truncate(11);
        good.extend([
            stage(Draft, Internal, licence),
            drill(),
            stage(Internal, Suspended, None),
            stage(Suspended, Internal, licence),
            stage(Internal, Withdrawn, None),
        ]);
        assert_eq!(read(&good).wrong(), None);
        let cases: Vec<(usize, Entry, &str)> = vec![
            (10, stage(Draft, Internal, licence), "no such licence"),
            (11, stage(Internal, Suspended, None), "the model stood at `draft`"),
            (11, stage(Draft, Internal, None), "a promotion without a licence"),
            (11, stage(Draft, Limited, licence), "another model or stage"),
            (12, stage(Internal, Internal, None), "already"),
            (13, stage(Internal, Suspended, licence), "rests on no licence"),
            (13, drill(), "this drill was logged before"),
            (3, stage(Draft, Suspended, None), "no such model"),
        ];
        for (place, lie, says) in cases {
            let mut entries = good.clone();
            entries[place] = lie;
            let story = read(&entries);
            let wrong = story.wrong().unwrap_or_default();
            assert!(
                wrong.starts_with(&format!("entry {place} (")) && wrong.contains(says),
                "{says}: {wrong}"
            );
        }
        good.push(stage(Withdrawn, Internal, licence));
        assert!(read(&good).wrong().unwrap().contains("nothing follows `withdrawn`"));
        let mut revoked = honest();
        revoked.insert(14, stage(Draft, Internal, licence));
        assert!(read(&revoked).wrong().unwrap().contains("its licence is revoked"));
    }

    /// Two attempts, the second with a licence that is suspended, reinstated and revoked.
    fn honest() -> Vec<Entry> {
        let (first, second) = (start(3, 2, 1, None), start(6, 5, 2, Some(4)));
        let license = LicenseEntry {
            license: digest("licence"),
            model: digest("model"),
            stage: Stage::Internal,
            at: at(),
        };
        vec![
            Entry::Root(RootEntry { version: 1, digest: digest("root") }),
            Entry::Policy(PolicyEntry {
                name: "p".to_owned(),
                version: "1".to_owned(),
                digest: digest("policy"),
            }),
            commitment(1),
            registration(3, 2),
            Entry::Start(first.clone()),
            commitment(2),
            registration(6, 5),
            Entry::Start(second.clone()),
            Entry::Resume(Resume { exam: second.exam, at: at() }),
            resumed(7, &second, 2, Some(1)),
            Entry::License(license),
            Entry::Suspend(change()),
            Entry::Reinstate(change()),
            Entry::Revoke(change()),
            finish(4, &first, 1),
        ]
    }

    fn read(entries: &[Entry]) -> Story {
        let mut story = Story::default();
        for (index, entry) in (0..).zip(entries) {
            story.read(index, &entry.to_bytes().unwrap());
        }
        story
    }

    #[test]
    fn an_honest_log_has_nothing_wrong() {
        let story = read(&honest());
        assert_eq!((story.wrong(), story.exams()), (None, Some(2)));
        let followed: Vec<_> = story.followed().map(|(kind, size, _)| (kind, size)).collect();
        assert_eq!(followed, [("registration", 3), ("registration", 6), ("start", 4), ("start", 7)]);
    }

    #[test]
    fn each_lie_is_named_with_its_entry() {
        let start_with = |change: &dyn Fn(&mut Start)| {
            let mut start = start(6, 5, 2, Some(4));
            change(&mut start);
            start.exam =
                exam_id(start.model, start.policy, start.commitment, start.registration, start.attempt);
            Entry::Start(start)
        };
        let cases: Vec<(usize, Entry, &str)> = vec![
            (7, start_with(&|start| start.attempt = 1), "says attempt 1, and attempt 1 was the last"),
            (7, start_with(&|start| start.attempt = 3), "says attempt 3"),
            (7, start_with(&|start| start.previous = None), "previous start is 4, not none"),
            (7, start_with(&|start| start.previous = Some(3)), "previous start is 4, not 3"),
            (7, start_with(&|start| start.registration = 3), "another model or commitment"),
            (7, start_with(&|start| start.registration = 99), "entry 99 is no registration"),
            (7, start_with(&|start| start.commitment = 2), "another model or commitment"),
            (7, Entry::Start(Start { exam: digest("x"), ..start(6, 5, 2, Some(4)) }), "another id"),
            (7, start_with(&|start| start.witnessed = Some(witnessed(6))), "saw a log of 6 entries"),
            (7, start_with(&|start| start.witnessed = Some("x".to_owned())), "not a signed note"),
            (5, commitment(1), "committed to before"),
            (6, registration(6, 2), "commitment 2 is taken"),
            (6, registration(6, 3), "entry 3 is no commitment"),
            (6, registration(5, 5), "follows a log of 5 entries"),
            (8, Entry::Resume(Resume { exam: digest("x"), at: at() }), "no such exam"),
            (9, finish(7, &start(6, 5, 2, Some(4)), 1), "not the one that was committed to"),
            (9, finish(4, &start(6, 5, 2, Some(4)), 2), "began at entry 7, not 4"),
            (9, resumed(7, &start(6, 5, 2, Some(4)), 2, Some(0)), "does not count 1 entries"),
            (10, finish(7, &start(6, 5, 2, Some(4)), 2), "ended before"),
            (10, Entry::Revoke(change()), "no such licence"),
            (14, Entry::Reinstate(change()), "which is for ever"),
            (14, Entry::Root(RootEntry { version: 1, digest: digest("root") }), "version 1 after 1"),
        ];
        for (at, lie, says) in cases {
            let mut entries = honest();
            entries[at] = lie;
            let story = read(&entries);
            let wrong = story.wrong().unwrap_or_default();
            assert!(wrong.starts_with(&format!("entry {at} (")) && wrong.contains(says), "{says}: {wrong}");
        }
    }

    #[test]
    fn another_log_is_left_alone_and_a_foreign_entry_in_an_authoritys_is_not() {
        let mut story = Story::default();
        story.read(0, b"anything");
        story.read(1, &honest()[7].to_bytes().unwrap());
        assert_eq!((story.wrong(), story.exams()), (None, None));
        let mut story = read(&honest()[..3]);
        story.read(3, b"anything");
        assert!(story.wrong().unwrap().starts_with("entry 3 is none of an authority's"));
    }
}
