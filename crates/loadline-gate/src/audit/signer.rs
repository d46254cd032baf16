//! Signed checkpoints: every so many rows, and every so many seconds, the log says in a signed note what it is.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use loadline_core::Digest;
use loadline_evidence::disk::Disk;
use loadline_evidence::endless::LogMark;
use loadline_evidence::{RecordError, write_private, write_whole};
use loadline_tlog::key::SEED_BYTES;
use loadline_tlog::{Algorithm, Checkpoint, Note, SignerKey, VerifierKey};
use zeroize::Zeroize as _;

use super::{AuditOpenError, Inner, Random, damage, read_small};

/// The signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The public key.
pub const SIGNER_VKEY: &str = "signer.vkey";
/// The secret key.
pub const SIGNER_KEY: &str = "signer.key";
/// The largest of these files.
const MAX_FILE_LEN: u64 = 1 << 20;

/// The key that signs, made when there is none, and beside it its public half.
pub(super) fn key(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    may_make: bool,
    random: &Random,
) -> Result<SignerKey, AuditOpenError> {
    let path = dir.join(SIGNER_KEY);
    let key = match read_small(disk, &path, MAX_FILE_LEN)? {
        Some(bytes) => SignerKey::parse(&one_line(&bytes))
            .map_err(|error| AuditOpenError::Form { path, what: error.to_string() })?,
        None if !may_make => {
            return Err(AuditOpenError::Form { path, what: "the key that signs the log is gone".to_owned() });
        }
        None => {
            let mut seed = [0; SEED_BYTES];
            random(&mut seed).map_err(|source| RecordError::Io {
                action: "make",
                path: path.clone(),
                source,
            })?;
            let key = SignerKey::from_seed(name, Algorithm::Ed25519, &seed);
            seed.zeroize();
            let key = key.map_err(|error| AuditOpenError::Form { path, what: error.to_string() })?;
            let mut text = key.expose_skey();
            text.push('\n');
            write_private(disk, dir, SIGNER_KEY, text.as_bytes())?;
            text.zeroize();
            key
        }
    };
    let vkey = format!("{}\n", key.verifier().to_vkey());
    let kept = read_small(disk, &dir.join(SIGNER_VKEY), MAX_FILE_LEN)?;
    if kept.as_deref() != Some(vkey.as_bytes()) {
        write_whole(disk, dir, &format!("{SIGNER_VKEY}.new"), SIGNER_VKEY, vkey.as_bytes())?;
    }
    Ok(key)
}

/// A file of one line, which ends in a line feed and nothing else.
fn one_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or_default()).into_owned()
}

/// The public key in a log's folder.
pub(super) fn vkey(disk: &dyn Disk, dir: &Path) -> Result<VerifierKey, AuditOpenError> {
    let path = dir.join(SIGNER_VKEY);
    let form = |what| AuditOpenError::Form { path: path.clone(), what };
    let bytes =
        read_small(disk, &path, MAX_FILE_LEN)?.ok_or_else(|| form("the public key is gone".to_owned()))?;
    VerifierKey::parse(&one_line(&bytes)).map_err(|error| form(error.to_string()))
}

/// What the signed checkpoint in a log's folder says, and the name of the log; `None` when there is none.
pub(super) fn signed(
    disk: &dyn Disk,
    dir: &Path,
    key: &VerifierKey,
) -> Result<Option<(LogMark, String)>, AuditOpenError> {
    let path = dir.join(CHECKPOINT);
    let Some(bytes) = read_small(disk, &path, MAX_FILE_LEN)? else { return Ok(None) };
    let note = Note::parse(&bytes).map_err(|error| damage(&path, error.to_string()))?;
    note.verify([key]).map_err(|error| damage(&path, error.to_string()))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| damage(&path, error.to_string()))?;
    if checkpoint.origin() != key.name() {
        return Err(damage(&path, format!("the checkpoint is of the log `{}`", checkpoint.origin())));
    }
    let mark = LogMark { rows: checkpoint.size(), root: Digest(*checkpoint.root()) };
    Ok(Some((mark, checkpoint.origin().to_owned())))
}

/// A signed note of what a log is.
pub(super) fn sign(key: &SignerKey, mark: LogMark) -> Result<String, String> {
    let checkpoint =
        Checkpoint::new(key.verifier().name(), mark.rows, mark.root.0).map_err(|e| e.to_string())?;
    let mut note = Note::unsigned(&checkpoint.to_text()).map_err(|error| error.to_string())?;
    note.sign(key, 0).map_err(|error| error.to_string())?;
    Ok(note.to_text())
}

/// What the log and the thread that signs it share.
pub(super) struct Signing {
    pub key: SignerKey,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    every_rows: u64,
    every: Duration,
    state: Mutex<State>,
    due: Condvar,
}

#[derive(Default)]
struct State {
    signed: u64,
    asked: bool,
    ends: bool,
    failed: Option<Arc<RecordError>>,
}

impl Signing {
    pub(super) fn new(
        key: SignerKey,
        disk: Arc<dyn Disk>,
        dir: &Path,
        every_rows: u64,
        every: Duration,
    ) -> Self {
        let state = Mutex::new(State::default());
        Self { key, dir: dir.to_path_buf(), disk, every_rows, every, state, due: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log has so many rows now.
    pub(super) fn rows(&self, rows: u64) {
        // A look at every 64th row is near enough, and costs nothing.
        if rows.is_multiple_of(64) {
            let mut state = self.state();
            if rows.saturating_sub(state.signed) >= self.every_rows && !state.asked {
                state.asked = true;
                drop(state);
                self.due.notify_one();
            }
        }
    }

    /// The error that stopped it, if one did.
    pub(super) fn outcome(&self) -> Result<(), RecordError> {
        self.state().failed.as_ref().map_or(Ok(()), |error| Err(RecordError::Stopped(Arc::clone(error))))
    }

    /// Signs what is durable when nothing is signed yet.
    pub(super) fn sign_first(&self, mark: LogMark) -> Result<(), RecordError> {
        let path = self.dir.join(CHECKPOINT);
        let there = self.disk.exists(&path);
        let there = there.map_err(|source| RecordError::Io { action: "look for", path, source })?;
        if there { Ok(()) } else { self.sign(mark) }
    }

    /// Stops the log: nothing is taken any more.
    pub(super) fn fail(&self, error: RecordError) {
        self.state().failed.get_or_insert_with(|| Arc::new(error));
    }

    /// Signs what is durable, if that is more than was signed.
    pub(super) fn sign(&self, mark: LogMark) -> Result<(), RecordError> {
        if mark.rows <= self.state().signed {
            return Ok(());
        }
        let path = self.dir.join(CHECKPOINT);
        let wrong = |what| RecordError::Io { action: "sign", path, source: std::io::Error::other(what) };
        let note = sign(&self.key, mark).map_err(wrong)?;
        let temporary = format!("{CHECKPOINT}.new");
        write_whole(self.disk.as_ref(), &self.dir, &temporary, CHECKPOINT, note.as_bytes())?;
        let mut state = self.state();
        state.signed = mark.rows;
        state.asked = false;
        Ok(())
    }
}

/// The thread that signs.
pub(super) struct Signer {
    signing: Arc<Signing>,
    thread: Option<JoinHandle<()>>,
    inner: Arc<Inner>,
}

impl Signer {
    pub(super) fn start(signing: &Arc<Signing>, inner: &Arc<Inner>) -> Result<Self, RecordError> {
        let (shared, weak) = (Arc::clone(signing), Arc::downgrade(inner));
        let thread =
            std::thread::Builder::new().name("audit-sign".to_owned()).spawn(move || run(&shared, &weak));
        let failed =
            |source| RecordError::Io { action: "start a thread for", path: signing.dir.clone(), source };
        let thread = Some(thread.map_err(failed)?);
        Ok(Self { signing: Arc::clone(signing), thread, inner: Arc::clone(inner) })
    }

    /// Ends the thread and signs what is durable.
    pub(super) fn end(mut self) -> Result<(), RecordError> {
        self.stop();
        self.signing.outcome()?;
        self.signing.sign(self.inner.log.mark())
    }

    fn stop(&mut self) {
        self.signing.state().ends = true;
        self.signing.due.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the checkpoint would only be older.
            let _ = thread.join();
        }
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(signing: &Signing, inner: &Weak<Inner>) {
    loop {
        let state = signing.state();
        if !state.ends && !state.asked {
            let waited = signing.due.wait_timeout(state, signing.every);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        } else {
            drop(state);
        }
        let ends = signing.state().ends;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = signing.sign(inner.log.mark()) {
            return signing.fail(error);
        }
        if ends {
            return;
        }
        signing.state().asked = false;
    }
}
