//! One folder: the append-only log, its signed checkpoint, the keys of the texts, and the key under which identities are
//! digested. Nothing is answered before it is durable here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use loadline_core::digest::hex;
use loadline_core::{Digest, Instant};
use loadline_evidence::disk::Disk;
use loadline_evidence::endless::{self, Cut, EndlessLog, LogMark};
use loadline_evidence::{RecordError, write_private, write_whole};
use loadline_gate::audit::content::{Digester, Part};
use loadline_gate::audit::subjects::{Subject, Subjects};
use loadline_gate::audit::{AuditOpenError, CHECKPOINT, Random, signer};
use loadline_tlog::SignerKey;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::book::Book;
use crate::rows::{Row, Sealed};

/// The file of the key under which identities are digested.
pub const IDENTITY_KEY: &str = "identity.key";
/// The file of the key that signs anonymous tokens (PKCS #8, DER).
pub const TOKEN_KEY: &str = "token.key";

/// Why a programme's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no programme.
    #[error("there is no programme in {}", .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a programme in {} already", .0.display())]
    Exists(PathBuf),
    /// Of another programme.
    #[error("{} is of the programme `{found}`, not `{expected}`", dir.display())]
    Name {
        /// The folder.
        dir: PathBuf,
        /// Of which it is.
        found: String,
        /// Of which it should be.
        expected: String,
    },
    /// The log or a file beside it is damaged, or the disk refuses.
    #[error(transparent)]
    Log(#[from] AuditOpenError),
    /// The key of anonymous tokens.
    #[error("the key of anonymous tokens: {0}")]
    TokenKey(String),
    /// No randomness.
    #[error("no random bytes: {0}")]
    Random(#[source] std::io::Error),
    /// A row that cannot stand where it was put: a fault of this program.
    #[error("the log would contradict itself: {0}")]
    Contradiction(String),
    /// An earlier error stopped it.
    #[error("the programme's log stopped at an earlier error")]
    Stopped,
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        Self::Log(error.into())
    }
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing(_) => "`loadline access init PROGRAMME` begins it".to_owned(),
            Self::Exists(_) => "it goes on as it is; another programme needs another `state`".to_owned(),
            Self::Name { .. } => "give the programme's own file, or another `state`".to_owned(),
            error if error.is_locked() => {
                "`loadline access serve` may be running: send requests to its URL, or end it first".to_owned()
            }
            Self::Log(error) => error.hint(),
            Self::TokenKey(_) => {
                "restore `token.key` from a copy: what was issued is worth nothing without it".to_owned()
            }
            Self::Random(_) => "the system must give random bytes: try again".to_owned(),
            Self::Contradiction(_) => "nothing was written; report this with the command".to_owned(),
            Self::Stopped => "see that the disk has room and is whole, and start again".to_owned(),
        }
    }

    /// Whether another process has the folder.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Log(AuditOpenError::Log(RecordError::Locked { .. })))
    }

    /// Whether what was durable has changed.
    pub fn is_tampered(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_tampered())
    }
}

/// The folder of one programme; its only writer.
pub struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    random: Random,
    log: EndlessLog,
    key: SignerKey,
    subjects: Subjects,
    identity_key: Zeroizing<Vec<u8>>,
    book: Book,
    stopped: bool,
}

impl Store {
    /// Begins a programme.
    ///
    /// # Errors
    /// When there is one, or the disk refuses.
    pub fn found(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: &str,
        digest: Digest,
        at: Instant,
        random: Random,
    ) -> Result<Self, StoreError> {
        let lock = endless::lock(disk.as_ref(), dir)?;
        if endless::has_log(disk.as_ref(), dir)? {
            return Err(StoreError::Exists(dir.to_path_buf()));
        }
        let key = signer::key(disk.as_ref(), dir, name, true, &random)?;
        let identity_key = identity_key(disk.as_ref(), dir, Some(&random))?;
        let subjects = Subjects::read(disk.as_ref(), dir)?;
        let row = Row::Founded { at, digest, programme: name.to_owned() };
        let mut book = Book::default();
        book.apply(&row).map_err(StoreError::Contradiction)?;
        let bytes = serde_json::to_vec(&row).map_err(RecordError::from)?;
        let log = EndlessLog::begin(Arc::clone(&disk), dir, name, &bytes, lock)?;
        let dir = dir.to_path_buf();
        let mut store = Self { disk, dir, random, log, key, subjects, identity_key, book, stopped: false };
        store.sign()?;
        Ok(store)
    }

    /// Opens a programme, and checks every byte of its log. A torn tail is cut and written down.
    ///
    /// # Errors
    /// When there is none, another process has it, it has changed, or the disk refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        name: &str,
        at: Instant,
        random: Random,
    ) -> Result<(Self, Option<Cut>), StoreError> {
        if !has_programme(disk.as_ref(), dir)? {
            return Err(StoreError::Missing(dir.to_path_buf()));
        }
        let lock = endless::lock(disk.as_ref(), dir)?;
        let key = signer::key(disk.as_ref(), dir, name, false, &random)?;
        let known = known(disk.as_ref(), dir, &key)?;
        let mut book = Book::default();
        let visit = |row: endless::LogRow<'_>| book.apply(&Row::parse(row.payload)?);
        let (opened, log) = EndlessLog::open(Arc::clone(&disk), dir, known, visit, lock)?;
        if opened.name != name {
            let (dir, expected) = (dir.to_path_buf(), name.to_owned());
            return Err(StoreError::Name { dir, found: opened.name, expected });
        }
        let identity_key = identity_key(disk.as_ref(), dir, None)?;
        let mut subjects = Subjects::read(disk.as_ref(), dir)?;
        let erased = book.cases.iter().filter(|(_, case)| case.erased).map(|(id, _)| id.clone());
        subjects.forget(disk.as_ref(), &erased.collect::<Vec<_>>())?;
        let dir = dir.to_path_buf();
        let mut store = Self { disk, dir, random, log, key, subjects, identity_key, book, stopped: false };
        if let Some(cut) = opened.cut {
            store.add(&[Row::Recovered { at, bytes_cut: cut.bytes, cut: cut.digest }])?;
        }
        Ok((store, opened.cut))
    }

    /// What the log comes to.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Where randomness comes from.
    pub fn random(&self) -> &Random {
        &self.random
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Adds rows. They are durable when this returns.
    ///
    /// # Errors
    /// When a row cannot stand there, or the disk refuses; nothing can be added after that.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.stopped, true) {
            return Err(StoreError::Stopped);
        }
        let mut payloads = Vec::with_capacity(rows.len());
        for row in rows {
            self.book.apply(row).map_err(StoreError::Contradiction)?;
            payloads.push(serde_json::to_vec(row).map_err(RecordError::from)?);
        }
        for payload in &payloads {
            self.log.append(payload, true)?;
        }
        self.log.flush()?;
        self.sign()?;
        self.stopped = false;
        Ok(())
    }

    fn sign(&mut self) -> Result<(), StoreError> {
        let note = self.checkpoint()?;
        let (dir, name) = (&self.dir, format!("{CHECKPOINT}.new"));
        Ok(write_whole(self.disk.as_ref(), dir, &name, CHECKPOINT, note.as_bytes())?)
    }

    /// The signed checkpoint over all rows.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn checkpoint(&self) -> Result<String, StoreError> {
        signer::sign(&self.key, self.log.mark()).map_err(StoreError::Contradiction)
    }

    /// The key of anonymous tokens, where there is one.
    pub(crate) fn read_token_key(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.dir.join(TOKEN_KEY);
        let read = loadline_gate::disk::read(&path, 8 << 10);
        let read = read.map_err(|source| RecordError::Io { action: "read", path, source })?;
        Ok(read.map(Zeroizing::new))
    }

    /// Keeps it, durable, for this user only to read.
    pub(crate) fn write_token_key(&self, der: &[u8]) -> Result<(), StoreError> {
        Ok(write_private(self.disk.as_ref(), &self.dir, TOKEN_KEY, der)?)
    }

    /// Who somebody is, as the log has it: a digest that says nothing without the key in this folder.
    pub fn identity(&self, parts: &[&str]) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104)")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.identity_key).expect("a key of any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        hex(&mac.finalize().into_bytes())
    }

    /// The subject of that name, made durable if it is new. Its pseudonym is the id of the application.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn subject(&mut self, name: &str) -> Result<Subject, StoreError> {
        self.subjects.add(self.disk.as_ref(), [name], self.random.as_ref())?;
        self.subjects.find(name).cloned().ok_or(StoreError::Stopped)
    }

    /// Encrypts a text for its place: an application, and what it is there.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(&self, subject: &Subject, what: &str, text: &[u8]) -> Result<Sealed, StoreError> {
        let mut nonce = [0; 24];
        (self.random)(&mut nonce).map_err(StoreError::Random)?;
        let mut digester = Digester::new(&subject.key, Part::Request, true);
        digester.update(text);
        Ok(digester.finish(&subject.key, &place(&subject.pseudonym, what), || Some(nonce)))
    }

    /// The subject of an application, by its id; none when it was erased.
    pub fn subject_of(&self, application: &str) -> Option<Subject> {
        self.subjects.find(self.subjects.name_of(application)?).cloned()
    }

    /// Decrypts a text; none when its key was erased.
    pub fn open_text(&self, application: &str, what: &str, content: &Sealed) -> Option<Vec<u8>> {
        let subject = self.subject_of(application)?;
        content.open(&subject.key, Part::Request, &place(application, what))
    }

    /// Writes down that an application's texts are erased, where that is not written yet, and removes their key. A crash in
    /// between is finished at the next start.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn erase(&mut self, application: &str, at: Instant) -> Result<(), StoreError> {
        if self.book.cases.get(application).is_none_or(|case| !case.erased) {
            self.add(&[Row::Erased { at, application: application.to_owned() }])?;
        }
        Ok(self.subjects.forget(self.disk.as_ref(), &[application.to_owned()])?)
    }
}

/// Whether a folder has a programme.
fn has_programme(disk: &dyn Disk, dir: &Path) -> Result<bool, StoreError> {
    let there = disk.exists(dir).map_err(|source| RecordError::Io {
        action: "look for",
        path: dir.to_path_buf(),
        source,
    })?;
    Ok(there && endless::has_log(disk, dir)?)
}

/// What the signed checkpoint says. Only a log of one row may be without: it was not signed yet.
fn known(disk: &dyn Disk, dir: &Path, key: &SignerKey) -> Result<Option<LogMark>, StoreError> {
    if let Some((mark, _)) = signer::signed(disk, dir, key.verifier())? {
        return Ok(Some(mark));
    }
    let rows = endless::read(disk, dir, 0, None, |_| Ok(()))?.mark.rows;
    if rows > 1 {
        return Err(AuditOpenError::NoCheckpoint { path: dir.join(CHECKPOINT), rows }.into());
    }
    Ok(None)
}

fn place(application: &str, what: &str) -> [u8; 16] {
    let parts = [application.as_bytes(), what.as_bytes()];
    let digest = Digest::of_parts("loadline/access/text/1", &parts);
    let mut place = [0; 16];
    place.copy_from_slice(&digest.0[..16]);
    place
}

/// The key under which identities are digested; made where `random` is given and there is none.
fn identity_key(
    disk: &dyn Disk,
    dir: &Path,
    random: Option<&Random>,
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let path = dir.join(IDENTITY_KEY);
    let io = |source| RecordError::Io { action: "read", path: path.clone(), source };
    let read = loadline_gate::disk::read(&path, 64).map_err(io)?.map(Zeroizing::new);
    match (read, random) {
        (Some(key), _) if key.len() == 32 => Ok(key),
        (None, Some(random)) => {
            let mut key = Zeroizing::new(vec![0; 32]);
            random(&mut key).map_err(StoreError::Random)?;
            write_private(disk, dir, IDENTITY_KEY, &key)?;
            Ok(key)
        }
        _ => {
            let what = "the key under which identities are digested is gone or damaged".to_owned();
            Err(AuditOpenError::Form { path, what }.into())
        }
    }
}
