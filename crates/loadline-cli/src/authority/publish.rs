//! Publishing a log's newest checkpoint: the witnesses of its policy are asked first, over HTTP or in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_core::untrusted::one_line;
use loadline_model::{Environment, Web};
use loadline_tlog::disk::{DiskError, DiskLog, WitnessFolder};
use loadline_tlog::note::MAX_NOTE_BYTES;
use loadline_tlog::policy::{Party, Refused};
use loadline_tlog::witness::{AddCheckpoint, ClientError, Outcome, Witness};
use loadline_tlog::{Note, Policy, VerifierKey};
use tokio::task::JoinSet;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// A witness in this process.
pub type LocalWitness = Witness<WitnessFolder>;

/// How long one exchange with a witness may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often a witness is asked: it may answer that it knows another size, and while it does the log may be asked by
/// another process.
const ROUNDS: usize = 3;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The newest checkpoint with the log's signature and the cosignatures that came.
    pub note: Note,
    /// Whether it is published. It is not when the policy's quorum was not reached: the entries are in the log all the
    /// same, and the next call asks again.
    pub is_published: bool,
    /// The witnesses that cosigned, by their names in the policy.
    pub cosigned: Vec<String>,
    /// The witnesses that did not, and why.
    pub missing: Vec<(String, String)>,
}

/// Asks the witnesses of the policy to cosign the log's newest checkpoint, and publishes it if the quorum is reached.
/// A witness is asked in this process if `local` has its key, else over HTTP if the policy has its URL. When no
/// witness can be asked at all, the checkpoint is published with the log's signature alone.
///
/// Warns on `ui` about every witness that did not cosign. Must not be called inside an async runtime.
///
/// # Errors
/// When the disk fails; and, with [`Exit::EvidenceInvalid`], when a witness knows another history of this log: then
/// nothing was published and nothing may be added.
pub fn publish(log: &mut DiskLog, policy: &Policy, local: &mut [LocalWitness], ui: &Ui) -> Result<Published> {
    let mut asking = Asking::new(log, policy)?;
    let mut left: Vec<&Party> = policy.witnesses().iter().collect();
    for witness in local {
        let keys: Vec<VerifierKey> = witness.verifiers().cloned().collect();
        let (here, others) = left.into_iter().partition(|party| keys.contains(&party.key));
        left = others;
        asking.in_process(witness, here, log)?;
    }
    asking.over_http(left, log)?;
    let published = asking.finish(log, policy)?;
    for (name, why) in &published.missing {
        ui.warning(format_args!("witness `{}` did not cosign: {why}", one_line(name, 60)));
    }
    Ok(published)
}

/// Seconds since 1970.
///
/// # Errors
/// When the clock stands before that.
pub fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|since| since.as_secs())
        .map_err(|_| Failure::new(Exit::Unexpected, "the clock stands before 1970").hint("set the clock"))
}

/// A failure of a log's folder, with its advice.
pub fn disk_failure(error: &DiskError) -> Failure {
    let exit = match error {
        DiskError::Damaged { .. }
        | DiskError::Short(_)
        | DiskError::Note { .. }
        | DiskError::WitnessDamaged { .. } => Exit::EvidenceInvalid,
        DiskError::Missing(_) | DiskError::Exists(_) => Exit::TaskInvalid,
        _ => Exit::Unexpected,
    };
    Failure::of(exit, error).hint(error.hint())
}

/// A witness that is asked: several keys may stand at one place.
struct Remote {
    web: Arc<Web>,
    parties: Vec<(String, VerifierKey)>,
    old_size: u64,
}

struct Asking {
    note: Note,
    /// What is published: a witness that cosigned it knows at least that size.
    before: Option<(Note, u64)>,
    answers: BTreeMap<String, std::result::Result<(), String>>,
    could_ask: bool,
}

impl Asking {
    fn new(log: &DiskLog, policy: &Policy) -> Result<Self> {
        let published = log.published().map_err(|error| disk_failure(&error))?;
        let before = published.and_then(|note| {
            let checkpoint = loadline_tlog::Checkpoint::parse(note.text()).ok()?;
            Some((note, checkpoint.size()))
        });
        let answers = policy.witnesses().iter().map(|party| {
            let why = Err("the policy has no URL for it, and it is not in this process".to_owned());
            (party.name.clone(), why)
        });
        Ok(Self { note: log.head().clone(), before, answers: answers.collect(), could_ask: false })
    }

    /// The size that a witness with this key probably knows.
    fn guess(&self, key: &VerifierKey) -> u64 {
        let cosigned = self.before.as_ref().filter(|(note, _)| note.verify([key]).is_ok());
        cosigned.map_or(0, |(_, size)| *size)
    }

    fn in_process(&mut self, witness: &mut LocalWitness, parties: Vec<&Party>, log: &DiskLog) -> Result<()> {
        let Some(first) = parties.first() else { return Ok(()) };
        self.could_ask = true;
        let (now, mut old_size) = (now()?, self.guess(&first.key));
        let parties: Vec<_> =
            parties.into_iter().map(|party| (party.name.clone(), party.key.clone())).collect();
        for _ in 0..ROUNDS {
            let request = request(log, old_size)?;
            let answer = witness.add_checkpoint(request.to_body().as_bytes(), now);
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.refused(&parties, &error.to_string());
                    break;
                }
            };
            match self.answer(&request, answer.status(), answer.body().as_bytes(), &parties)? {
                Some(known) => old_size = known,
                None => break,
            }
        }
        Ok(())
    }

    fn over_http(&mut self, parties: Vec<&Party>, log: &DiskLog) -> Result<()> {
        let mut left = self.remotes(parties);
        if left.is_empty() {
            return Ok(());
        }
        self.could_ask = true;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
        for _ in 0..ROUNDS {
            let mut tasks = JoinSet::new();
            for remote in left.drain(..) {
                let request = request(log, remote.old_size)?;
                tasks.spawn_on(
                    async move {
                        let body = request.to_body().into_bytes();
                        let reply = remote.web.post("/add-checkpoint", body, MAX_NOTE_BYTES).await;
                        (remote, request, reply)
                    },
                    runtime.handle(),
                );
            }
            while let Some(asked) = runtime.block_on(tasks.join_next()) {
                let Ok((mut remote, request, reply)) = asked else { continue };
                match reply {
                    Err(error) => self.refused(&remote.parties, &error.message),
                    Ok(reply) => {
                        if let Some(known) =
                            self.answer(&request, reply.status, &reply.body, &remote.parties)?
                        {
                            remote.old_size = known;
                            left.push(remote);
                        }
                    }
                }
            }
        }
        // A name that is still being looked up must not hold the command up.
        runtime.shutdown_background();
        Ok(())
    }

    /// One for each URL.
    fn remotes(&mut self, parties: Vec<&Party>) -> Vec<Remote> {
        let mut by_url: BTreeMap<String, Vec<(String, VerifierKey)>> = BTreeMap::new();
        for party in parties {
            if let Some(url) = &party.url {
                by_url.entry(url.clone()).or_default().push((party.name.clone(), party.key.clone()));
            }
        }
        let (environment, mut remotes) = (Environment::process(), Vec::new());
        for (url, parties) in by_url {
            match Web::open(&url, &environment) {
                Ok(web) => {
                    let old_size = parties.first().map_or(0, |(_, key)| self.guess(key));
                    remotes.push(Remote { web: Arc::new(web.within(PATIENCE)), parties, old_size });
                }
                Err(error) => {
                    self.could_ask = true;
                    self.refused(&parties, &error.message);
                }
            }
        }
        remotes
    }

    fn refused(&mut self, parties: &[(String, VerifierKey)], why: &str) {
        for (name, _) in parties {
            self.answers.insert(name.clone(), Err(one_line(why, 300)));
        }
    }

    /// Takes an answer in; gives the size to ask from again.
    fn answer(
        &mut self,
        request: &AddCheckpoint,
        status: u16,
        body: &[u8],
        parties: &[(String, VerifierKey)],
    ) -> Result<Option<u64>> {
        let keys: Vec<VerifierKey> = parties.iter().map(|(_, key)| key.clone()).collect();
        match request.read_answer(status, body, &keys) {
            Ok(Outcome::AskFrom(known)) => {
                self.refused(parties, "it is asked by others for this log at the same time");
                Ok(Some(known))
            }
            Ok(Outcome::Cosigned(note)) => {
                for (name, key) in parties {
                    let answer = match note.verify([key]) {
                        Ok(_) => Ok(()),
                        Err(_) => Err("its answer has no cosignature by this key".to_owned()),
                    };
                    self.answers.insert(name.clone(), answer);
                }
                for line in note.signatures() {
                    self.note.add(line.clone()).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
                }
                Ok(None)
            }
            Err(error @ (ClientError::Ahead { .. } | ClientError::Refused { status: 422, .. })) => {
                Err(Failure::of(Exit::EvidenceInvalid, &error).hint(error.hint()))
            }
            Err(error) => {
                self.refused(parties, &format!("{error}; {}", error.hint()));
                Ok(None)
            }
        }
    }

    /// Whether what is published now has the cosignatures that the policy asks for.
    fn is_believed(&self, policy: &Policy) -> bool {
        self.before.as_ref().is_some_and(|(note, _)| policy.check(note).is_ok())
    }

    fn finish(self, log: &mut DiskLog, policy: &Policy) -> Result<Published> {
        let is_enough = match policy.check(&self.note) {
            Ok(_) => true,
            // Where nobody can be asked it is published as it is, but never in the place of one that others believe.
            Err(Refused::Quorum(_)) => !self.could_ask && !self.is_believed(policy),
            Err(error) => return Err(Failure::of(Exit::TaskInvalid, &error).hint(error.hint())),
        };
        if is_enough {
            log.publish(&self.note).map_err(|error| disk_failure(&error))?;
        }
        let (mut cosigned, mut missing) = (Vec::new(), Vec::new());
        for (name, answer) in self.answers {
            match answer {
                Ok(()) => cosigned.push(name),
                Err(why) => missing.push((name, why)),
            }
        }
        Ok(Published { note: self.note, is_published: is_enough, cosigned, missing })
    }
}

fn request(log: &DiskLog, old_size: u64) -> Result<AddCheckpoint> {
    AddCheckpoint::build(&mut log.reader(), old_size, log.head().clone()).map_err(|error| {
        let failure = Failure::because(Exit::EvidenceInvalid, "the log's tiles do not give a proof", &error);
        failure.hint("run `loadline log fsck` to see what is wrong")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use loadline_tlog::disk::RealDisk;
    use loadline_tlog::witness::KnownLog;
    use loadline_tlog::{Algorithm, Checkpoint, SignerKey};

    use super::*;
    use crate::ui::ColorChoice;

    const ORIGIN: &str = "example.com/log";

    fn key(name: &str, algorithm: Algorithm, seed: u8) -> SignerKey {
        SignerKey::from_seed(name, algorithm, &[seed; 32]).unwrap()
    }

    fn log_key() -> SignerKey {
        key(ORIGIN, Algorithm::Ed25519, 1)
    }

    fn witness_keys() -> [SignerKey; 2] {
        [key("w0", Algorithm::CosignatureEd25519, 2), key("w1", Algorithm::CosignatureMlDsa44, 3)]
    }

    fn sign(checkpoint: &Checkpoint) -> std::result::Result<Note, loadline_tlog::NoteError> {
        let mut note = Note::unsigned(&checkpoint.to_text())?;
        note.sign(&log_key(), 0)?;
        Ok(note)
    }

    fn log(dir: &Path) -> DiskLog {
        let keys = vec![log_key().verifier().clone()];
        DiskLog::create(dir, Arc::new(RealDisk), keys, ORIGIN, sign).unwrap()
    }

    fn local(dir: &Path, number: usize) -> LocalWitness {
        let store = WitnessFolder::open(dir.join(format!("w{number}")), Arc::new(RealDisk)).unwrap();
        let logs = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_key().verifier().clone()] }];
        Witness::new(vec![witness_keys()[number].clone()], logs, store).unwrap()
    }

    fn policy(url: &str, end: &str) -> Policy {
        let [w0, w1] = witness_keys().map(|key| key.verifier().to_vkey());
        let log = log_key().verifier().to_vkey();
        Policy::parse(format!("log {log}\nwitness W0 {w0} {url}\nwitness W1 {w1} {url}\n{end}\n").as_bytes())
            .unwrap()
    }

    fn ui() -> Ui {
        Ui::new(ColorChoice::Never, true)
    }

    fn published_size(log: &DiskLog) -> Option<u64> {
        let note = log.published().unwrap()?;
        Some(Checkpoint::parse(note.text()).unwrap().size())
    }

    #[test]
    fn witnesses_of_this_process_cosign_without_a_network() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(&folder.path().join("log"));
        let policy = policy("", "group both all W0 W1\nquorum both");
        let mut local = [local(folder.path(), 0), local(folder.path(), 1)];
        for size in [1, 300, 300] {
            log.append((log.size()..size).map(|number| number.to_string()), sign).unwrap();
            let published = publish(&mut log, &policy, &mut local, &ui()).unwrap();
            assert!(published.is_published && published.missing.is_empty());
            assert_eq!(published.cosigned, ["W0", "W1"]);
            policy.check(&log.published().unwrap().unwrap()).unwrap();
            assert_eq!(published_size(&log), Some(size));
        }
        // The published checkpoint was lost: they say what they know, and are asked from there.
        std::fs::remove_file(folder.path().join("log/checkpoint")).unwrap();
        log.append(["one more"], sign).unwrap();
        assert_eq!(publish(&mut log, &policy, &mut local, &ui()).unwrap().cosigned.len(), 2);
    }

    #[test]
    fn without_a_quorum_the_old_checkpoint_stays_published() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(&folder.path().join("log"));
        // Nobody listens at port 1.
        let both = policy("http://127.0.0.1:1", "group both all W0 W1\nquorum both");
        log.append(["an entry"], sign).unwrap();
        let published = publish(&mut log, &both, &mut [local(folder.path(), 0)], &ui()).unwrap();
        assert!(!published.is_published && published_size(&log).is_none());
        assert_eq!((published.cosigned.len(), published.missing.len()), (1, 1));
        assert!(published.missing[0].1.contains("no connection"), "{:?}", published.missing);
        let any = policy("http://127.0.0.1:1", "group any any W0 W1\nquorum any");
        assert!(publish(&mut log, &any, &mut [local(folder.path(), 0)], &ui()).unwrap().is_published);
    }

    #[test]
    fn when_nobody_can_be_asked_the_log_publishes_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(&folder.path().join("log"));
        log.append(["an entry"], sign).unwrap();
        let published = publish(&mut log, &policy("", "quorum W0"), &mut [], &ui()).unwrap();
        assert!(published.is_published && published.cosigned.is_empty());
        assert_eq!(published.note.signatures().len(), 1);
        let other = Policy::of_log(key("example.com/other", Algorithm::Ed25519, 9).verifier().clone());
        assert_eq!(publish(&mut log, &other, &mut [], &ui()).unwrap_err().exit, Exit::TaskInvalid);
    }

    #[test]
    fn a_witness_that_knows_another_history_stops_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let policy = policy("", "quorum none");
        let mut local = [local(folder.path(), 0)];
        let mut first = log(&folder.path().join("first"));
        first.append((0..10).map(|number| number.to_string()), sign).unwrap();
        publish(&mut first, &policy, &mut local, &ui()).unwrap();
        for size in [5, 10, 20] {
            let mut other = log(&folder.path().join(format!("other{size}")));
            other.append((0..size).map(|number| format!("other {number}")), sign).unwrap();
            let failure = publish(&mut other, &policy, &mut local, &ui()).unwrap_err();
            assert_eq!(failure.exit, Exit::EvidenceInvalid);
            assert!(failure.hint.is_some() && published_size(&other).is_none());
        }
    }
}
