//! What the log says happened: which commitments are free, which exams began, which licences stand.

use std::collections::BTreeMap;

use loadline_core::{Digest, Instant};
use loadline_exam::Entry;
use loadline_exam::entry::{
    Commitment, Finish, LicenseEntry, Registration, StageEntry, StandingChange, Start,
};
use loadline_policy::policy::{ModelStage, Stage};
use loadline_trust::standing::{MAX_REASON_BYTES, StandingEntry, StandingState};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The entries of a log, in order.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<Entry>);

/// An exam, as the log tells it.
#[derive(Clone, Debug)]
pub struct ExamHistory {
    /// Log index of the start.
    pub index: u64,
    /// The start.
    pub start: Start,
    /// Log indexes of the times it went on.
    pub resumes: Vec<u64>,
    /// Its end, with its log index.
    pub finish: Option<(u64, Finish)>,
}

/// A licence, as the log tells it.
#[derive(Clone, Debug)]
pub struct LicenseHistory {
    /// Log index of its issue.
    pub index: u64,
    /// Its issue.
    pub entry: LicenseEntry,
    /// What became of it, if anything.
    pub standing: Option<StandingEntry>,
}

/// Where a model stands, as the log tells it.
#[derive(Clone, Debug)]
pub struct ModelHistory {
    /// Where.
    pub stage: ModelStage,
    /// The stage that it stood at last, where it is closed now; the one that it stands at, else.
    pub reached: Option<Stage>,
    /// Since when; absent before its first step.
    pub since: Option<Instant>,
    /// Payload digest of its last transition.
    pub last: Option<Digest>,
    /// Its steps, with their log indexes.
    pub steps: Vec<(u64, StageEntry)>,
}

impl ModelHistory {
    fn new() -> Self {
        Self { stage: ModelStage::Draft, reached: None, since: None, last: None, steps: Vec::new() }
    }

    fn step(&mut self, index: u64, entry: &StageEntry) {
        (self.stage, self.since, self.last) = (entry.to, Some(entry.at), Some(entry.transition));
        match entry.to {
            // Where it was before it was suspended is where it may come back to.
            ModelStage::Suspended => {}
            other => self.reached = other.stage(),
        }
        self.steps.push((index, entry.clone()));
    }

    /// What becomes of a licence for this stage, if anything. Before its first step a model's licences count as issued.
    fn limits(&self, license: Digest, licensed: Stage) -> Option<StandingEntry> {
        let (_, entry) = self.steps.last().filter(|_| !self.stage.carries(licensed))?;
        let state = match self.stage {
            ModelStage::Withdrawn => StandingState::Revoked,
            _ => StandingState::Suspended,
        };
        let mut reason = format!("the model stands at `{}`: {}", self.stage, entry.reason);
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        Some(StandingEntry { license, state, since: entry.at, reason })
    }
}

impl History {
    /// Of these entries.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Entries with their indexes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        self.0.iter().enumerate().map(|(index, entry)| (index as u64, entry))
    }

    /// The entry with this index.
    pub fn at(&self, index: u64) -> Option<&Entry> {
        self.0.get(usize::try_from(index).ok()?)
    }

    /// The commitment with this log index.
    ///
    /// # Errors
    /// When that entry is none.
    pub fn commitment(&self, index: u64) -> Result<&Commitment> {
        match self.at(index) {
            Some(Entry::Commitment(commitment)) => Ok(commitment),
            other => Err(not_a("commitment", index, other)),
        }
    }

    /// The registration with this log index.
    ///
    /// # Errors
    /// When that entry is none.
    pub fn registration(&self, index: u64) -> Result<&Registration> {
        match self.at(index) {
            Some(Entry::Registration(registration)) => Ok(registration),
            other => Err(not_a("registration", index, other)),
        }
    }

    /// The newest commitment that no registration names and whose secret made no questions.
    pub fn free_commitment(&self) -> Option<(u64, &Commitment)> {
        let spent = self.spent();
        self.iter().rev().find_map(|(index, entry)| match entry {
            Entry::Commitment(commitment)
                if self.registered(index).is_none() && !spent.contains_key(&commitment.secret_hash) =>
            {
                Some((index, commitment))
            }
            _ => None,
        })
    }

    /// The first registration that names this commitment.
    pub fn registered(&self, commitment: u64) -> Option<u64> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Registration(r) if r.commitment == commitment);
        self.iter().find(|(_, entry)| is_it(entry)).map(|(index, _)| index)
    }

    /// The newest registration, of this model when one is named, whose commitment no exam has used.
    pub fn free_registration(&self, model: Option<Digest>) -> Option<(u64, &Registration)> {
        let spent = self.spent();
        let is_fresh = |commitment| {
            self.commitment(commitment).is_ok_and(|commitment| !spent.contains_key(&commitment.secret_hash))
        };
        self.iter().rev().find_map(|(index, entry)| match entry {
            Entry::Registration(registration)
                if is_fresh(registration.commitment)
                    && model.is_none_or(|model| model == registration.model) =>
            {
                Some((index, registration))
            }
            _ => None,
        })
    }

    /// Hashes of secrets that made questions or are public, each with the entry that says so first.
    fn spent(&self) -> BTreeMap<Digest, u64> {
        let mut spent = BTreeMap::new();
        for (index, entry) in self.iter() {
            let hash = match entry {
                Entry::Start(start) => self.commitment(start.commitment).ok().map(|known| known.secret_hash),
                Entry::Finish(finish) => Some(finish.secret.hash()),
                _ => None,
            };
            if let Some(hash) = hash {
                spent.entry(hash).or_insert(index);
            }
        }
        spent
    }

    /// Checks that the secret of a commitment can still make questions that nobody knows: no exam was begun with it, under
    /// this commitment or another one, and no exam's end made it public.
    ///
    /// # Errors
    /// When that is not so, or that entry is no commitment.
    pub fn check_fresh(&self, index: u64) -> Result<()> {
        let hash = self.commitment(index)?.secret_hash;
        let Some(at) = self.spent().remove(&hash) else { return Ok(()) };
        let message = match self.at(at) {
            Some(Entry::Start(start)) if start.commitment == index => {
                format!("commitment {index} made the questions of an exam already")
            }
            Some(Entry::Start(_)) => {
                format!(
                    "commitment {index} binds the secret of another exam, which entry {at} of the log began"
                )
            }
            _ => format!("the secret of commitment {index} is public: entry {at} of the log revealed it"),
        };
        Err(Failure::new(Exit::Usage, message).hint(
            "every attempt has its own questions: `loadline exam commit POLICY`, then `loadline model register MODEL`",
        ))
    }

    /// Whether a policy was published.
    pub fn has_policy(&self, digest: Digest) -> bool {
        self.0.iter().any(|entry| matches!(entry, Entry::Policy(policy) if policy.digest == digest))
    }

    /// How often this model was examined under this policy, and the log index of the last start.
    pub fn attempts(&self, model: Digest, policy: Digest) -> (u64, Option<u64>) {
        let starts = self.iter().filter(
            |(_, entry)| matches!(entry, Entry::Start(start) if start.model == model && start.policy == policy),
        );
        starts.fold((0, None), |(count, _), (index, _)| (count + 1, Some(index)))
    }

    /// The exam that this beginning of its id names; without one, the newest.
    ///
    /// # Errors
    /// When none or several have such an id.
    pub fn exam(&self, prefix: Option<&str>) -> Result<ExamHistory> {
        let starts = self.iter().filter_map(|(index, entry)| match entry {
            Entry::Start(start) => Some((index, start)),
            _ => None,
        });
        let wanted = prefix.map(|text| text.strip_prefix("sha256:").unwrap_or(text));
        let found: Vec<_> = starts
            .filter(|(_, start)| wanted.is_none_or(|text| start.exam.hex().starts_with(text)))
            .collect();
        let usage = |message: String, hint: &str| Failure::new(Exit::Usage, message).hint(hint);
        let (index, start) = match (found.as_slice(), wanted) {
            ([], None) => {
                return Err(usage("no exam was begun".to_owned(), "begin one with `loadline exam start`"));
            }
            ([], Some(text)) => {
                let text = loadline_core::untrusted::one_line(text, 80);
                return Err(usage(
                    format!("no exam `{text}`"),
                    "`loadline exam start` prints the id of an exam",
                ));
            }
            ([.., last], None) => *last,
            ([only], Some(_)) => *only,
            (_, Some(text)) => {
                return Err(usage(
                    format!("{} exams begin with `{text}`", found.len()),
                    "give more digits of the id",
                ));
            }
        };
        Ok(self.story(index, start.clone()))
    }

    fn story(&self, index: u64, start: Start) -> ExamHistory {
        let mut story = ExamHistory { index, resumes: Vec::new(), finish: None, start };
        for (index, entry) in self.iter() {
            match entry {
                Entry::Resume(resume) if resume.exam == story.start.exam => story.resumes.push(index),
                Entry::Finish(finish) if finish.exam == story.start.exam => {
                    story.finish = Some((index, finish.clone()));
                }
                _ => {}
            }
        }
        story
    }

    /// The licence that this beginning of its digest names; without one, the newest.
    ///
    /// # Errors
    /// When none or several have such a digest.
    pub fn license(&self, prefix: Option<&str>) -> Result<LicenseHistory> {
        let wanted = prefix.map(|text| text.strip_prefix("sha256:").unwrap_or(text));
        let mut found = self.licenses();
        found.retain(|license| wanted.is_none_or(|text| license.entry.license.hex().starts_with(text)));
        let usage = |message: String, hint: &str| Failure::new(Exit::Usage, message).hint(hint);
        match (found.len(), wanted) {
            (0, None) => {
                Err(usage("no licence was issued".to_owned(), "issue one with `loadline license issue`"))
            }
            (0, Some(text)) => {
                let text = loadline_core::untrusted::one_line(text, 80);
                Err(usage(format!("no licence `{text}`"), "`loadline license show` lists them"))
            }
            (count @ 2.., Some(text)) => {
                Err(usage(format!("{count} licences begin with `{text}`"), "give more digits of the digest"))
            }
            _ => found.pop().ok_or_else(|| Failure::new(Exit::Unexpected, "a licence that is not there")),
        }
    }

    /// Log index of a licence, if it is logged.
    pub fn logged(&self, license: Digest) -> Option<u64> {
        let is_it = |entry: &Entry| matches!(entry, Entry::License(known) if known.license == license);
        self.iter().find(|(_, entry)| is_it(entry)).map(|(index, _)| index)
    }

    /// Log index of a drill, if it is logged.
    pub fn drilled(&self, drill: Digest) -> Option<u64> {
        let is_it = |entry: &Entry| matches!(entry, Entry::Drill(known) if known.drill == drill);
        self.iter().find(|(_, entry)| is_it(entry)).map(|(index, _)| index)
    }

    /// The newest change of a licence's standing, with its log index.
    pub fn last_change(&self, license: Digest) -> Option<(u64, &StandingChange)> {
        self.iter().rev().find_map(|(index, entry)| match entry {
            Entry::Revoke(change) | Entry::Suspend(change) | Entry::Reinstate(change)
                if change.license == license =>
            {
                Some((index, change))
            }
            _ => None,
        })
    }

    /// Every licence, in the order of issue.
    pub fn licenses(&self) -> Vec<LicenseHistory> {
        let standing = self.standing();
        let issued = self.iter().filter_map(|(index, entry)| match entry {
            Entry::License(license) => Some((index, license)),
            _ => None,
        });
        issued
            .map(|(index, entry)| {
                let standing = standing.get(&entry.license).cloned();
                LicenseHistory { index, entry: entry.clone(), standing }
            })
            .collect()
    }

    /// Where a model stands.
    pub fn stages(&self, model: Digest) -> ModelHistory {
        self.all_stages().remove(&model).unwrap_or_else(ModelHistory::new)
    }

    fn all_stages(&self) -> BTreeMap<Digest, ModelHistory> {
        let mut models = BTreeMap::new();
        for (index, entry) in self.iter() {
            if let Entry::Stage(entry) = entry {
                models.entry(entry.model).or_insert_with(ModelHistory::new).step(index, entry);
            }
        }
        models
    }

    /// What no gate serves as of the newest entry: what was revoked or suspended, and licences that open a model further
    /// than it stands open.
    pub fn standing(&self) -> BTreeMap<Digest, StandingEntry> {
        let (mut standing, models) = (self.changes(), self.all_stages());
        for entry in &self.0 {
            let Entry::License(license) = entry else { continue };
            let Some(model) = models.get(&license.model) else { continue };
            let Some(limited) = model.limits(license.license, license.stage) else { continue };
            let known = standing.entry(license.license).or_insert_with(|| limited.clone());
            if known.state == StandingState::Suspended && limited.state == StandingState::Revoked {
                *known = limited;
            }
        }
        standing
    }

    /// What was revoked or suspended by name as of the newest entry. What is revoked stays so.
    pub fn changes(&self) -> BTreeMap<Digest, StandingEntry> {
        let mut standing: BTreeMap<Digest, StandingEntry> = BTreeMap::new();
        for entry in &self.0 {
            let (change, state) = match entry {
                Entry::Revoke(change) => (change, Some(StandingState::Revoked)),
                Entry::Suspend(change) => (change, Some(StandingState::Suspended)),
                Entry::Reinstate(change) => (change, None),
                _ => continue,
            };
            let known = standing.get(&change.license).map(|entry| entry.state);
            if known == Some(StandingState::Revoked) || (known.is_some() && known == state) {
                continue;
            }
            match state {
                Some(state) => {
                    let (license, since, reason) = (change.license, change.at, change.reason.clone());
                    standing.insert(license, StandingEntry { license, state, since, reason });
                }
                None => drop(standing.remove(&change.license)),
            }
        }
        standing
    }
}

fn not_a(what: &str, index: u64, found: Option<&Entry>) -> Failure {
    let found = found.map_or("not there".to_owned(), |entry| format!("a {}", entry.kind()));
    Failure::new(Exit::Usage, format!("entry {index} of the log is {found}, no {what}"))
}

#[cfg(test)]
mod tests {
    use loadline_core::Instant;
    use loadline_core::model::Basis;
    use loadline_exam::ExamSecret;
    use loadline_exam::entry::{LogState, exam_id};

    use super::*;

    const MODEL: Digest = Digest([1; 32]);
    const POLICY: Digest = Digest([2; 32]);

    fn secret(byte: u8) -> ExamSecret {
        ExamSecret::from_bytes([byte; 32])
    }

    fn commitment(byte: u8) -> Entry {
        Entry::Commitment(Commitment { policy: POLICY, secret_hash: secret(byte).hash() })
    }

    fn registration(commitment: u64) -> Entry {
        Entry::Registration(Registration {
            model: MODEL,
            name: "a model".to_owned(),
            identity: Basis::Verified,
            compute: None,
            commitment,
            follows: LogState { size: 0, root: MODEL },
            nonce: MODEL,
        })
    }

    fn start(commitment: u64) -> Start {
        Start {
            exam: exam_id(MODEL, POLICY, commitment, commitment + 1, 1),
            registration: commitment + 1,
            commitment,
            model: MODEL,
            policy: POLICY,
            attempt: 1,
            previous: None,
            witnessed: None,
            at: Instant::EPOCH,
        }
    }

    fn finish(start: u64, of: &Start, byte: u8) -> Entry {
        Entry::Finish(Finish {
            exam: of.exam,
            start,
            attestation: MODEL,
            secret: secret(byte),
            records: Vec::new(),
            resumes: Some(0),
            at: Instant::EPOCH,
        })
    }

    #[test]
    fn a_secret_makes_questions_once() {
        let begun = start(0);
        let mut entries = vec![commitment(1), registration(0), Entry::Start(begun.clone())];
        entries.extend([commitment(1), registration(3), commitment(2), registration(5), commitment(1)]);
        let history = History::new(entries.clone());
        let said = |history: &History, index| history.check_fresh(index).unwrap_err().message;
        assert_eq!(said(&history, 0), "commitment 0 made the questions of an exam already");
        assert_eq!(
            said(&history, 3),
            "commitment 3 binds the secret of another exam, which entry 2 of the log began"
        );
        assert!(history.check_fresh(5).is_ok());
        assert_eq!(history.free_registration(None).unwrap().0, 6);
        assert!(history.free_commitment().is_none(), "entry 7 binds a secret that made questions");
        // Another exam's end reveals it, whatever its own commitment bound.
        entries[4] = finish(2, &begun, 2);
        let history = History::new(entries);
        let message = said(&history, 5);
        assert_eq!(message, "the secret of commitment 5 is public: entry 4 of the log revealed it");
        assert!(history.free_registration(None).is_none());
        let hint = history.check_fresh(5).unwrap_err().hint.unwrap();
        assert!(hint.contains("loadline exam commit POLICY"), "{hint}");
    }
}
