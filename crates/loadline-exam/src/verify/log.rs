//! What the log says: every entry in it, in the only order that means something.

use std::collections::BTreeMap;

use loadline_core::Digest;
use loadline_core::strict;
use loadline_policy::Policy;
use loadline_tlog::{Accepted, ConsistencyProof, InclusionProof, LogProof, leaf_hash};
use loadline_trust::{Root, RootChain};

use super::list::{Not, wrong};
use super::{CONSISTENCY_FORMAT, Consistency};
use crate::bundle::{PartName, SmallParts};
use crate::entry::{Commitment, Entry, Finish, LicenseEntry, Registration, Start, exam_id};
use crate::stage::Walk;

/// The entries of a bundle, each proved to be in one log.
pub(super) struct Logged {
    /// By index.
    pub entries: BTreeMap<u64, Entry>,
    /// The checkpoint that every proof is against, and who cosigned it.
    pub last: Accepted,
    /// How the log grew around the registration.
    pub consistency: Consistency,
}

/// The most hashes of a consistency proof.
const MAX_HASHES: usize = 128;

/// Checks every proof, all against one checkpoint that the root's log policy accepts.
pub(super) fn logged(parts: &SmallParts, chain: &RootChain) -> Result<(Logged, String), Not> {
    let policy =
        chain.current().parsed_log_policy().map_err(|error| wrong("the root's log policy", error))?;
    let mut entries = BTreeMap::new();
    let mut first: Option<(String, Accepted)> = None;
    for (name, bytes) in parts.iter() {
        let PartName::Entry(index) = name else { continue };
        let proof_name = PartName::Proof(*index);
        let proof = parts.get(&proof_name).unwrap_or_default();
        let proof = LogProof::parse(proof).map_err(|error| wrong(&proof_name, error))?;
        if proof.index != *index || proof.extra.is_some() {
            return Err(wrong(&proof_name, format!("it is about entry {}, or has extra data", proof.index)));
        }
        let text = proof.checkpoint.to_text();
        if first.is_none() {
            let accepted = policy.check(&proof.checkpoint).map_err(|error| wrong(&proof_name, error))?;
            first = Some((text.clone(), accepted));
        }
        let Some((checkpoint, accepted)) = &first else { continue };
        if *checkpoint != text {
            return Err(wrong(&proof_name, "its checkpoint is not the one of the other proofs"));
        }
        let (size, root) = (accepted.checkpoint.size(), accepted.checkpoint.root());
        let inclusion = InclusionProof { index: *index, size, path: proof.path };
        inclusion
            .verify(&leaf_hash(bytes), root)
            .map_err(|error| wrong(&proof_name, format!("the entry is not in the log: {error}")))?;
        entries.insert(*index, Entry::parse(bytes).map_err(|error| wrong(name, error))?);
    }
    let Some((_, last)) = first else { return Err(Not::Wrong("there is no entry of the log".to_owned())) };
    let consistency = consistency(parts, &last)?;
    let cosigned: Vec<&str> = last.witnesses.iter().map(|(name, _)| name.as_str()).collect();
    let cosigned = if cosigned.is_empty() { "no witness".to_owned() } else { cosigned.join(", ") };
    let detail = format!(
        "{} entries in `{}` of {} entries, cosigned by {cosigned}",
        entries.len(),
        last.checkpoint.origin(),
        last.checkpoint.size()
    );
    Ok((Logged { entries, last, consistency }, detail))
}

fn consistency(parts: &SmallParts, last: &Accepted) -> Result<Consistency, Not> {
    let name = PartName::Consistency;
    let bytes = parts.get(&name).unwrap_or_default();
    let read: Consistency = strict::from_canonical_json(bytes).map_err(|error| wrong(&name, error))?;
    if read.format != CONSISTENCY_FORMAT {
        return Err(wrong(&name, format!("`format` is not `{CONSISTENCY_FORMAT}`")));
    }
    if read.checkpoint.origin != last.checkpoint.origin() {
        return Err(wrong(&name, "its checkpoint is of another log"));
    }
    let proof = ConsistencyProof {
        old_size: read.checkpoint.size,
        new_size: last.checkpoint.size(),
        path: hashes(&name, &read.checkpoint_to_last)?,
    };
    proof
        .verify(&read.checkpoint.root.0, last.checkpoint.root())
        .map_err(|error| wrong(&name, format!("the log did not grow from the seed's checkpoint: {error}")))?;
    Ok(read)
}

fn hashes(name: &PartName, digests: &[Digest]) -> Result<Vec<[u8; 32]>, Not> {
    if digests.len() > MAX_HASHES {
        return Err(wrong(name, "too many hashes"));
    }
    Ok(digests.iter().map(|digest| digest.0).collect())
}

/// The entries of one exam, by what they are.
pub(super) struct Story {
    pub commitment: (u64, Commitment),
    pub registration: (u64, Registration),
    pub start: (u64, Start),
    pub finish: (u64, Finish),
    pub license: Option<(u64, LicenseEntry)>,
    pub resumes: u64,
    /// Earlier attempts whose commitment is not in the bundle, as in those of before it had to be.
    pub unshown: usize,
    /// Root versions, by the index from which they are in force.
    roots: Vec<(u64, u64)>,
}

impl Story {
    /// The root that was in force right before an entry.
    pub(super) fn root_at<'c>(&self, chain: &'c RootChain, index: u64) -> Result<&'c Root, Not> {
        let version = self.roots.iter().rev().find(|(at, _)| *at < index).map(|(_, version)| *version);
        let root = version.and_then(|version| chain.version(version));
        root.ok_or_else(|| Not::Wrong(format!("no root was in force before log entry {index}")))
    }

    /// When the decision was made public, or the newest moment that the bundle knows.
    pub(super) fn decided_at(&self) -> u64 {
        self.license.as_ref().map_or(u64::MAX, |(index, _)| *index)
    }
}

fn at(index: u64) -> String {
    format!("log entry {index}")
}

/// One entry of a kind, and where.
macro_rules! entry {
    ($logged:expr, $index:expr, $kind:ident) => {
        match $logged.entries.get(&$index) {
            Some(Entry::$kind(found)) => Ok(($index, found.clone())),
            Some(other) => {
                Err(wrong(at($index), format!("it is a `{}`, not what it is cited as", other.kind())))
            }
            None => Err(wrong(at($index), "it is cited and is not in the bundle")),
        }
    };
}

/// Puts the entries in their places and checks that each is where it must be.
pub(super) fn story(
    logged: &Logged,
    chain: &RootChain,
    (rules, policy): (&Policy, Digest),
    model: Digest,
) -> Result<(Story, String), Not> {
    let of_kind = |kind: &str| -> Vec<u64> {
        logged.entries.iter().filter(|(_, entry)| entry.kind() == kind).map(|(index, _)| *index).collect()
    };
    let [finish] = of_kind("finish")[..] else {
        return Err(Not::Wrong("a bundle has exactly one `finish` entry".to_owned()));
    };
    let finish = entry!(logged, finish, Finish)?;
    let start = entry!(logged, finish.1.start, Start)?;
    let registration = entry!(logged, start.1.registration, Registration)?;
    let commitment = entry!(logged, start.1.commitment, Commitment)?;
    let license = match of_kind("license")[..] {
        [] => None,
        [index] => Some(entry!(logged, index, License)?),
        _ => return Err(Not::Wrong("a bundle has at most one `license` entry".to_owned())),
    };
    let roots = roots(logged, chain)?;
    let mut story = Story { commitment, registration, start, finish, license, resumes: 0, unshown: 0, roots };
    let public = policy_entry(logged, (rules, policy), story.commitment.0)?;
    sequence(&story)?;
    about(&story, policy, model)?;
    adjoins(&story)?;
    follows(&story, logged)?;
    let (before, shown) = attempts(&story, logged)?;
    story.unshown = before - shown;
    story.resumes = resumes(&story, logged)?;
    counted(&story)?;
    let known = 4 + public + before + shown + story.resumes as usize + story.roots.len();
    stages(logged, model)?;
    let changes = ["revoke", "suspend", "reinstate", "stage", "drill"]
        .iter()
        .map(|kind| of_kind(kind).len())
        .sum::<usize>();
    if known + usize::from(story.license.is_some()) + changes != logged.entries.len() {
        return Err(Not::Wrong("the bundle has log entries that are not part of this exam".to_owned()));
    }
    let detail = format!(
        "commitment {}, registration {}, start {}, finish {}; attempt {}",
        story.commitment.0, story.registration.0, story.start.0, story.finish.0, story.start.1.attempt
    );
    Ok((story, detail))
}

/// Every version of the chain has its entry, in order.
fn roots(logged: &Logged, chain: &RootChain) -> Result<Vec<(u64, u64)>, Not> {
    let mut roots = Vec::new();
    for (index, entry) in &logged.entries {
        let Entry::Root(root) = entry else { continue };
        let next = roots.len() as u64 + 1;
        if root.version != next || chain.digest(next) != Some(root.digest) {
            return Err(wrong(
                at(*index),
                format!("root version {} is not the one of the bundle", root.version),
            ));
        }
        roots.push((*index, next));
    }
    if roots.len() as u64 != chain.current().version {
        return Err(Not::Wrong(format!("root version {} is not in the log", roots.len() + 1)));
    }
    Ok(roots)
}

/// The model's way from stage to stage: each entry goes on where the one before ended. What the last one comes to is for
/// the step `standing` to say.
fn stages(logged: &Logged, model: Digest) -> Result<(), Not> {
    let mut walk = Walk::default();
    for (index, entry) in &logged.entries {
        let Entry::Stage(entry) = entry else { continue };
        if entry.model != model {
            return Err(wrong(at(*index), "it is the stage of another model"));
        }
        walk.go(entry).map_err(|error| wrong(at(*index), error))?;
    }
    Ok(())
}

/// The policy was public before the commitment. Gives how many entries say so: one.
fn policy_entry(logged: &Logged, (rules, policy): (&Policy, Digest), commitment: u64) -> Result<usize, Not> {
    let mut found = 0;
    for (index, entry) in &logged.entries {
        let Entry::Policy(entry) = entry else { continue };
        found += 1;
        if entry.digest != policy {
            return Err(wrong(at(*index), "it is another policy than the bundle's"));
        }
        if (&entry.name, &entry.version) != (&rules.name, &rules.version) {
            let (name, version) = (&rules.name, &rules.version);
            let what = format!(
                "it calls the policy `{}` version {}, which is `{name}` version {version}",
                entry.name, entry.version
            );
            return Err(wrong(at(*index), what));
        }
        if *index >= commitment {
            return Err(wrong(
                at(*index),
                format!("the policy was published after the commitment, {commitment}"),
            ));
        }
    }
    if found == 1 { Ok(1) } else { Err(Not::Wrong("a bundle has exactly one `policy` entry".to_owned())) }
}

fn sequence(story: &Story) -> Result<(), Not> {
    let mut places = vec![
        ("commitment", story.commitment.0),
        ("registration", story.registration.0),
        ("start", story.start.0),
        ("finish", story.finish.0),
    ];
    places.extend(story.license.as_ref().map(|(index, _)| ("license", *index)));
    for pair in places.windows(2) {
        if pair[0].1 >= pair[1].1 {
            let what = format!("the {} is not before the {}, entry {}", pair[0].0, pair[1].0, pair[1].1);
            return Err(wrong(at(pair[0].1), what));
        }
    }
    let (start, finish) = (story.start.1.at, story.finish.1.at);
    if start > finish || story.license.as_ref().is_some_and(|(_, license)| license.at < finish) {
        return Err(wrong(at(story.finish.0), "the times of start, finish and licence do not rise"));
    }
    Ok(())
}

/// A witnessed start is the next entry after its registration, but for new roots: whoever has several registrations waiting,
/// or adds entries, would choose among as many seeds.
fn adjoins(story: &Story) -> Result<(), Not> {
    let (registration, start) = (story.registration.0, story.start.0);
    let roots = story.roots.iter().filter(|(index, _)| (registration..start).contains(index)).count() as u64;
    // What has a place before the start was checked to rise.
    let others = start.saturating_sub(registration).saturating_sub(1).saturating_sub(roots);
    if story.start.1.witnessed.is_none() || others == 0 {
        return Ok(());
    }
    let what = format!(
        "the start is not the next entry after its registration, entry {registration}: {others} others than roots are between"
    );
    Err(wrong(at(start), what))
}

/// What counts its interruptions never ceases to.
fn counted(story: &Story) -> Result<(), Not> {
    if story.start.1.witnessed.is_some() && story.finish.1.resumes.is_none() {
        let what = format!(
            "it has no `resumes`, and the start, entry {}, is of the form whose end counts them",
            story.start.0
        );
        return Err(wrong(at(story.finish.0), what));
    }
    Ok(())
}

/// Every entry is about this model, this policy and this exam.
fn about(story: &Story, policy: Digest, model: Digest) -> Result<(), Not> {
    let (commitment, registration) = (&story.commitment.1, &story.registration.1);
    let (start, finish) = (&story.start.1, &story.finish.1);
    let exam = exam_id(model, policy, start.commitment, start.registration, start.attempt);
    let checks = [
        (story.commitment.0, "policy", commitment.policy == policy),
        (story.registration.0, "model", registration.model == model),
        (story.registration.0, "commitment", registration.commitment == start.commitment),
        (story.start.0, "model", start.model == model),
        (story.start.0, "policy", start.policy == policy),
        (story.start.0, "exam", start.exam == exam),
        (story.finish.0, "exam", finish.exam == exam),
    ];
    match checks.iter().find(|(_, _, holds)| !holds) {
        Some((index, field, _)) => Err(wrong(at(*index), format!("its `{field}` is not this exam's"))),
        None => Ok(()),
    }
}

/// The registration stands right after the state that it names, so nobody chose the state.
fn follows(story: &Story, logged: &Logged) -> Result<(), Not> {
    let (index, registration) = &story.registration;
    let follows = registration.follows;
    if follows.size != *index {
        let what =
            format!("the registration follows a log of {} entries and is not the next one", follows.size);
        return Err(wrong(at(*index), what));
    }
    let seed = &logged.consistency.checkpoint;
    let name = PartName::Consistency;
    let proof = ConsistencyProof {
        old_size: follows.size,
        new_size: seed.size,
        path: hashes(&name, &logged.consistency.follows_to_checkpoint)?,
    };
    proof.verify(&follows.root.0, &seed.root.0).map_err(|error| {
        wrong(name, format!("the log did not grow from what the registration follows: {error}"))
    })
}

/// The starts before this one, down to the first: none may be left out, and none may share its secret. Gives how many there
/// are, and of how many the commitment is in the bundle.
fn attempts(story: &Story, logged: &Logged) -> Result<(usize, usize), Not> {
    let (mut index, mut later) = story.start.clone();
    let (mut before, mut shown) = (0, vec![(later.commitment, story.commitment.1.secret_hash)]);
    let mut commitments = vec![later.commitment];
    while let Some(previous) = later.previous {
        let (_, earlier) = entry!(logged, previous, Start)?;
        attempt(&earlier, previous)?;
        let same = earlier.model == later.model && earlier.policy == later.policy;
        if previous >= index || !same || earlier.attempt.checked_add(1) != Some(later.attempt) {
            let what = format!("attempt {} does not follow attempt {}", later.attempt, earlier.attempt);
            return Err(wrong(at(index), what));
        }
        if later.registration <= previous || commitments.contains(&earlier.commitment) {
            return Err(wrong(
                at(index),
                "it was not registered and committed anew after the attempt before",
            ));
        }
        if earlier.witnessed.is_some() && later.witnessed.is_none() {
            let what = format!("it has no `witnessed`, and the attempt before, entry {previous}, has");
            return Err(wrong(at(index), what));
        }
        if earlier.at > later.at {
            return Err(wrong(at(index), "it is earlier than the attempt before"));
        }
        if story.start.1.witnessed.is_some() || logged.entries.contains_key(&earlier.commitment) {
            shown.push(secret(logged, &earlier, &shown)?);
        }
        before += 1;
        commitments.push(earlier.commitment);
        (index, later) = (previous, earlier);
    }
    if later.attempt != 1 {
        return Err(wrong(at(index), format!("attempt {} names no attempt before it", later.attempt)));
    }
    if logged.entries.values().filter(|entry| entry.kind() == "start").count() != before + 1 {
        return Err(Not::Wrong(
            "the bundle has a `start` entry that is not in the chain of attempts".to_owned(),
        ));
    }
    Ok((before, shown.len() - 1))
}

/// An earlier attempt in itself: its id is its own, and it stands after what it names.
fn attempt(start: &Start, index: u64) -> Result<(), Not> {
    let exam = exam_id(start.model, start.policy, start.commitment, start.registration, start.attempt);
    if start.exam != exam {
        return Err(wrong(at(index), "its `exam` is not the id of this attempt"));
    }
    if start.commitment < start.registration && start.registration < index {
        return Ok(());
    }
    Err(wrong(at(index), "it does not stand after its registration, or that not after its commitment"))
}

/// The commitment of an earlier attempt, whose secret must be of that attempt alone: it may be public since.
fn secret(logged: &Logged, start: &Start, others: &[(u64, Digest)]) -> Result<(u64, Digest), Not> {
    let (index, commitment) = entry!(logged, start.commitment, Commitment)?;
    if commitment.policy != start.policy {
        return Err(wrong(at(index), "its `policy` is not the one of the attempt that it was made for"));
    }
    match others.iter().find(|(_, secret)| *secret == commitment.secret_hash) {
        Some((other, _)) => {
            let what = format!(
                "its secret is the one of entry {index}, which made the questions of an earlier attempt"
            );
            Err(wrong(at(*other), what))
        }
        None => Ok((index, commitment.secret_hash)),
    }
}

fn resumes(story: &Story, logged: &Logged) -> Result<u64, Not> {
    let mut count = 0;
    for (index, entry) in &logged.entries {
        let Entry::Resume(resume) = entry else { continue };
        let during = story.start.0 < *index && *index < story.finish.0;
        if !during || resume.exam != story.start.1.exam || resume.at < story.start.1.at {
            return Err(wrong(at(*index), "it resumes another exam, or not while this one was on"));
        }
        count += 1;
    }
    match story.finish.1.resumes {
        Some(said) if said != count => {
            let what = format!("it counts {said} entries of kind `resume`, and {count} are in the bundle");
            Err(wrong(at(story.finish.0), what))
        }
        _ => Ok(count),
    }
}
