//! Witnesses: they cosign what the log says of itself, each only if it continues what it cosigned before. So a log that
//! was cut short or rewritten is found, whoever can write to its folder and sign with its key.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_evidence::disk::Disk;
use loadline_evidence::endless::{self, LogMark};
use loadline_evidence::{Damage, RecordError, write_whole};
use loadline_tlog::note::MAX_NOTE_BYTES;
use loadline_tlog::policy::Party;
use loadline_tlog::witness::{AddCheckpoint, ClientError, Outcome};
use loadline_tlog::{Checkpoint, Note, Policy, PolicyError, Refused, VerifierKey};

use super::{AuditOpenError, Inner, damage, read_small, signer};
use crate::post::Post;

/// The newest checkpoint that the witnesses cosigned.
pub const COSIGNED: &str = "cosigned";
/// How long one exchange with a witness may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a witness is asked in one go: it may answer that it knows another size.
const ROUNDS: usize = 3;

/// Whose cosignatures the log gathers.
#[derive(Clone)]
pub struct Witnesses {
    /// Which witnesses, and how many of them are enough: a policy's text, as for [`policy`].
    pub policy: Vec<u8>,
    /// How they are asked.
    pub post: Arc<dyn Post>,
    /// How often.
    pub every: Duration,
    /// Takes what the operator should know; each thing once, until it changes.
    pub notice: Arc<dyn Fn(String) + Send + Sync>,
}

/// The policy of a text (C2SP tlog-policy) for the log with this key. Where the text names no log, this one is meant.
///
/// # Errors
/// As [`Policy::parse`].
pub fn policy(text: &[u8], key: &VerifierKey) -> Result<Policy, PolicyError> {
    let policy = Policy::parse(text)?;
    if !policy.logs().is_empty() {
        return Ok(policy);
    }
    // Behind the text, so that the numbers of its lines stay.
    Policy::parse(&[text, format!("log {}\n", key.to_vkey()).as_bytes()].concat())
}

/// A checkpoint that was cosigned, as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub mark: LogMark,
    pub note: Note,
}

impl Kept {
    fn of(note: Note, key: &VerifierKey) -> Result<Self, String> {
        note.verify([key]).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
        if checkpoint.origin() != key.name() {
            return Err(format!("the checkpoint is of the log `{}`", one_line(checkpoint.origin(), 100)));
        }
        let mark = LogMark { rows: checkpoint.size(), root: Digest(*checkpoint.root()) };
        Ok(Self { mark, note })
    }

    /// Reads a note that witnesses cosigned.
    pub(super) fn parse(path: &Path, bytes: &[u8], key: &VerifierKey) -> Result<Self, AuditOpenError> {
        let note = Note::parse(bytes).map_err(|error| damage(path, error.to_string()))?;
        Self::of(note, key).map_err(|what| damage(path, what))
    }

    /// What is kept in a log's folder.
    pub(super) fn read(
        disk: &dyn Disk,
        dir: &Path,
        key: &VerifierKey,
    ) -> Result<Option<Self>, AuditOpenError> {
        let path = dir.join(COSIGNED);
        let bytes = read_small(disk, &path, MAX_NOTE_BYTES as u64)?;
        bytes.map(|bytes| Self::parse(&path, &bytes, key)).transpose()
    }

    /// Whether the log in a folder has what was cosigned.
    pub(super) fn check(&self, disk: &dyn Disk, dir: &Path) -> Result<(), AuditOpenError> {
        let from = self.mark.rows.saturating_sub(1);
        match endless::read(disk, dir, from, Some(self.mark), |_| Ok(())) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(AuditOpenError::NotCosigned { dir: dir.to_path_buf(), rows: self.mark.rows, error })
            }
        }
    }

    /// Who cosigned it, by the names of the policy, and when.
    pub(super) fn believed(&self, policy: &Policy) -> Result<Vec<(String, u64)>, Refused> {
        policy.check(&self.note).map(|accepted| accepted.witnesses)
    }
}

/// A witness saw another history of this log than the one that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fork {
    pub witness: String,
    pub what: String,
}

/// What came of asking all witnesses.
struct Asked {
    note: Note,
    /// Those that did not cosign, and why.
    missing: BTreeMap<String, String>,
    fork: Option<Fork>,
}

/// What the log shares with those who ask.
pub(super) struct Cosigning {
    witnesses: Witnesses,
    policy: Policy,
    kept: Mutex<Option<Kept>>,
    said: Mutex<Option<String>>,
}

impl Cosigning {
    pub(super) fn new(
        witnesses: Witnesses,
        key: &VerifierKey,
        kept: Option<Kept>,
    ) -> Result<Self, AuditOpenError> {
        let policy =
            policy(&witnesses.policy, key).map_err(|error| AuditOpenError::Policy(error.to_string()))?;
        Ok(Self { witnesses, policy, kept: Mutex::new(kept), said: Mutex::default() })
    }

    /// The newest one.
    pub(super) fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks every witness to cosign what is durable now, and keeps that when enough did. Blocks.
    pub(super) fn ask(&self, inner: &Inner) -> Result<(), AuditOpenError> {
        let mark = inner.log.mark();
        let wrong = |what: String| damage(&inner.dir.join(COSIGNED), what);
        let text = signer::sign(&inner.signing.key, mark).map_err(wrong)?;
        let note = Note::parse(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let asked = self.ask_all(inner, mark, note)?;
        if let Some(Fork { witness, what }) = asked.fork {
            return Err(AuditOpenError::Fork { dir: inner.dir.clone(), witness, what });
        }
        match self.policy.check(&asked.note) {
            Ok(_) => {
                let text = asked.note.to_text();
                let new = format!("{COSIGNED}.new");
                write_whole(inner.disk.as_ref(), &inner.dir, &new, COSIGNED, text.as_bytes())?;
                let kept = Some(Kept { mark, note: asked.note });
                *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
                self.say(None);
            }
            Err(error) => {
                let each = asked.missing.iter().map(|(name, why)| format!("`{}`: {why}", one_line(name, 60)));
                let each: Vec<_> = each.collect();
                self.say(Some(format!("the audit log is not cosigned: {error}; {}", each.join("; "))));
            }
        }
        Ok(())
    }

    /// Whether too few answered when they were asked last.
    fn is_silent(&self) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn say(&self, what: Option<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = what.clone().filter(|_| *said != what) {
            (self.witnesses.notice)(text);
        }
        *said = what;
    }

    /// All at one time: one that does not answer holds up no other.
    fn ask_all(&self, inner: &Inner, mark: LogMark, note: Note) -> Result<Asked, RecordError> {
        let mut asked = Asked { note: note.clone(), missing: BTreeMap::new(), fork: None };
        let mut by_url: BTreeMap<&str, Vec<&Party>> = BTreeMap::new();
        for party in self.policy.witnesses() {
            match &party.url {
                Some(url) => by_url.entry(url).or_default().push(party),
                None => {
                    asked.missing.insert(party.name.clone(), "the policy has no URL for it".to_owned());
                }
            }
        }
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = by_url
                .into_iter()
                .map(|(url, parties)| {
                    let note = &note;
                    scope.spawn(move || self.ask_one(inner, mark, note, url, &parties))
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for answer in answers {
            let answer = answer?;
            for line in answer.note.signatures() {
                let full = |error| RecordError::Io {
                    action: "add a cosignature to",
                    path: inner.dir.join(COSIGNED),
                    source: std::io::Error::other(error),
                };
                asked.note.add(line.clone()).map_err(full)?;
            }
            asked.missing.extend(answer.missing);
            asked.fork = asked.fork.or(answer.fork);
        }
        Ok(asked)
    }

    /// One URL; several keys may stand there.
    fn ask_one(
        &self,
        inner: &Inner,
        mark: LogMark,
        note: &Note,
        url: &str,
        parties: &[&Party],
    ) -> Result<Asked, RecordError> {
        let keys: Vec<VerifierKey> = parties.iter().map(|party| party.key.clone()).collect();
        let mut asked = Asked { note: note.clone(), missing: BTreeMap::new(), fork: None };
        let missing = |asked: &mut Asked, why: &str| {
            asked.missing = parties.iter().map(|party| (party.name.clone(), one_line(why, 300))).collect();
        };
        let kept = self.kept().filter(|kept| kept.note.verify(&keys).is_ok());
        let mut old = kept.map_or(0, |kept| kept.mark.rows).min(mark.rows);
        for _ in 0..ROUNDS {
            let proof = endless::continues(inner.disk.as_ref(), &inner.dir, old, mark.rows)?;
            let request = AddCheckpoint::new(proof, note.clone());
            let place = format!("{}/add-checkpoint", url.trim_end_matches('/'));
            let kind = "text/plain; charset=utf-8";
            let body = request.to_body().into_bytes();
            let answer = match self.witnesses.post.post(&place, kind, body, MAX_NOTE_BYTES, PATIENCE) {
                Ok(answer) => answer,
                Err(why) => {
                    missing(&mut asked, &why);
                    return Ok(asked);
                }
            };
            match request.read_answer(answer.status, &answer.body, &keys) {
                Ok(Outcome::AskFrom(known)) => {
                    old = known;
                    missing(&mut asked, "it is asked by others for this log at the same time");
                }
                Ok(Outcome::Cosigned(cosigned)) => {
                    asked.missing.clear();
                    asked.note = cosigned;
                    return Ok(asked);
                }
                Err(error @ (ClientError::Ahead { .. } | ClientError::Refused { status: 422, .. })) => {
                    let witness = parties.first().map(|party| party.name.clone()).unwrap_or_default();
                    asked.fork = Some(Fork { witness, what: error.to_string() });
                    return Ok(asked);
                }
                Err(error) => {
                    missing(&mut asked, &format!("{error}; {}", error.hint()));
                    return Ok(asked);
                }
            }
        }
        Ok(asked)
    }
}

/// The thread that asks.
pub(super) struct Cosigner {
    ends: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Cosigner {
    pub(super) fn start(inner: &Arc<Inner>) -> Result<Option<Self>, RecordError> {
        let Some(cosigning) = &inner.cosigning else { return Ok(None) };
        let (shared, weak, every) =
            (Arc::<(Mutex<bool>, Condvar)>::default(), Arc::downgrade(inner), cosigning.witnesses.every);
        let ends = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("audit-witness".to_owned())
            .spawn(move || run(&shared, &weak, every));
        let failed =
            |source| RecordError::Io { action: "start a thread for", path: inner.dir.clone(), source };
        Ok(Some(Self { ends, thread: Some(thread.map_err(failed)?) }))
    }
}

impl Drop for Cosigner {
    fn drop(&mut self) {
        *self.ends.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ends.1.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, less would be cosigned.
            let _ = thread.join();
        }
    }
}

fn run(ends: &(Mutex<bool>, Condvar), inner: &Weak<Inner>, every: Duration) {
    loop {
        let next = Instant::now() + every;
        let mut ended = ends.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            let Some(left) = next.checked_duration_since(Instant::now()) else { break };
            let waited = ends.1.wait_timeout(ended, left);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let done = *ended;
        drop(ended);
        let Some(inner) = inner.upgrade() else { return };
        let Some(cosigning) = &inner.cosigning else { return };
        // At the end once more, where witnesses answer: what is cosigned cannot be cut off meanwhile.
        if (done && cosigning.is_silent())
            || cosigning.kept().is_some_and(|kept| kept.mark == inner.log.mark())
        {
            if done {
                return;
            }
            continue;
        }
        if let Err(error) = cosigning.ask(&inner) {
            let what = error.to_string();
            (cosigning.witnesses.notice)(what.clone());
            let damage = Damage { file: inner.dir.clone(), offset: None, row: None, what };
            return inner.signing.fail(damage.into());
        }
        if done {
            return;
        }
    }
}
