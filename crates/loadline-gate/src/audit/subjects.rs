//! The keys under which content is hashed and encrypted: one for each subject, in a file of its own. Taking one out
//! erases what the log says about a person, and not the log.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::digest::hex;
use loadline_evidence::disk::Disk;
use loadline_evidence::{RecordError, write_private};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

use super::error::AuditOpenError;
use super::unhex;

/// The file's name.
pub const SUBJECTS: &str = "subjects";
/// `format` of the file.
pub const SUBJECTS_FORMAT: &str = "loadline-audit-subjects/1";
/// The most subjects.
pub const MAX_SUBJECTS: usize = 100_000;
/// The largest file that is read.
const MAX_FILE_LEN: u64 = 64 << 20;

/// A subject's key. Masked, and wiped when it is dropped.
#[derive(ZeroizeOnDrop)]
pub struct SubjectKey([u8; 32]);

impl SubjectKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A subject, as far as the log knows it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name in the log: 32 hexadecimal digits, random.
    pub pseudonym: Arc<str>,
    /// Its key.
    pub key: Arc<SubjectKey>,
}

/// All subjects, by name.
#[derive(Debug)]
pub struct Subjects {
    dir: PathBuf,
    known: BTreeMap<String, Subject>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    subjects: BTreeMap<String, WireSubject>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSubject {
    pseudonym: String,
    key: String,
}

impl Drop for WireSubject {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Subjects {
    /// Reads the file, or begins without any.
    ///
    /// # Errors
    /// When the file cannot be read or is none.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, AuditOpenError> {
        let path = dir.join(SUBJECTS);
        let mut subjects = Self { dir: dir.to_path_buf(), known: BTreeMap::new() };
        let Some(bytes) = super::read_small(disk, &path, MAX_FILE_LEN)? else { return Ok(subjects) };
        let unread = |what: String| AuditOpenError::Form { path: path.clone(), what };
        let wire: Wire = serde_json::from_slice(&bytes)
            .map_err(|error| unread(format!("line {}: not a file of subjects", error.line())))?;
        if wire.format != SUBJECTS_FORMAT {
            return Err(unread(format!("`format` is not `{SUBJECTS_FORMAT}`")));
        }
        for (name, entry) in &wire.subjects {
            let key = unhex::<32>(&entry.key).filter(|_| unhex::<16>(&entry.pseudonym).is_some());
            let key = key.ok_or_else(|| unread(format!("the key of subject `{name}` is damaged")))?;
            let pseudonym = entry.pseudonym.as_str().into();
            subjects.known.insert(name.clone(), Subject { pseudonym, key: Arc::new(SubjectKey::new(key)) });
        }
        Ok(subjects)
    }

    /// The subject of that name.
    pub fn find(&self, name: &str) -> Option<&Subject> {
        self.known.get(name)
    }

    /// The name behind a pseudonym.
    pub fn name_of(&self, pseudonym: &str) -> Option<&str> {
        self.known.iter().find(|(_, subject)| &*subject.pseudonym == pseudonym).map(|(name, _)| name.as_str())
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// Makes those that are not known yet. Durable when it returns; nothing is changed when it fails.
    ///
    /// # Errors
    /// When the disk refuses, or there are too many.
    pub fn add<'n>(
        &mut self,
        disk: &dyn Disk,
        names: impl IntoIterator<Item = &'n str>,
        random: &dyn Fn(&mut [u8]) -> std::io::Result<()>,
    ) -> Result<(), RecordError> {
        let mut known = self.known.clone();
        for name in names {
            if !known.contains_key(name) {
                let (mut pseudonym, mut key) = ([0; 16], [0; 32]);
                let made = random(&mut pseudonym).and_then(|()| random(&mut key));
                made.map_err(|source| self.io("make a key in", source))?;
                let pseudonym = hex(&pseudonym).into();
                known.insert(name.to_owned(), Subject { pseudonym, key: Arc::new(SubjectKey::new(key)) });
                key.zeroize();
            }
        }
        if known.len() > MAX_SUBJECTS {
            let full = std::io::Error::other(format!("more than {MAX_SUBJECTS} subjects"));
            return Err(self.io("add to", full));
        }
        if known.len() > self.known.len() {
            self.keep(disk, known)?;
        }
        Ok(())
    }

    /// Takes a subject out, and gives its pseudonym. Durable when it returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn erase(&mut self, disk: &dyn Disk, name: &str) -> Result<Option<Arc<str>>, RecordError> {
        let mut known = self.known.clone();
        let Some(subject) = known.remove(name) else { return Ok(None) };
        self.keep(disk, known)?;
        Ok(Some(subject.pseudonym))
    }

    /// Takes out those of these pseudonyms that are still there. Durable when it returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&mut self, disk: &dyn Disk, pseudonyms: &[String]) -> Result<(), RecordError> {
        let mut known = self.known.clone();
        known.retain(|_, subject| !pseudonyms.iter().any(|gone| **gone == *subject.pseudonym));
        if known.len() == self.known.len() { Ok(()) } else { self.keep(disk, known) }
    }

    fn keep(&mut self, disk: &dyn Disk, known: BTreeMap<String, Subject>) -> Result<(), RecordError> {
        let subjects = known.iter().map(|(name, subject)| {
            let (pseudonym, key) = (subject.pseudonym.to_string(), hex(subject.key.bytes()));
            (name.clone(), WireSubject { pseudonym, key })
        });
        let wire = Wire { format: SUBJECTS_FORMAT.to_owned(), subjects: subjects.collect() };
        let mut bytes = serde_json::to_vec_pretty(&wire)?;
        bytes.push(b'\n');
        let written = write_private(disk, &self.dir, SUBJECTS, &bytes);
        bytes.zeroize();
        written?;
        self.known = known;
        Ok(())
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> RecordError {
        RecordError::Io { action, path: self.dir.join(SUBJECTS), source }
    }
}

/// Reads a small file; `None` when it is not there.
pub(crate) fn read_small(
    disk: &dyn Disk,
    path: &Path,
    limit: u64,
) -> Result<Option<Vec<u8>>, AuditOpenError> {
    let io = |action| move |source| RecordError::Io { action, path: path.to_path_buf(), source };
    if !disk.exists(path).map_err(io("look for"))? {
        return Ok(None);
    }
    let (file, length) = disk.read(path).map_err(io("open"))?;
    if length > limit {
        let what = format!("it has {length} bytes; at most {limit} are read");
        return Err(AuditOpenError::Form { path: path.to_path_buf(), what });
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(io("read"))?;
    Ok(Some(bytes))
}
