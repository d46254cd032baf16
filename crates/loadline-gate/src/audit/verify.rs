//! Checking a whole log, and giving rows of it away. Both work while a gate writes it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loadline_evidence::RecordError;
use loadline_evidence::disk::Disk;
use loadline_evidence::endless::{self, LogMark, LogRow};
use loadline_tlog::{Refused, VerifierKey};

use super::book::Book;
use super::content::{Content, Part};
use super::cosign::{Kept, policy};
use super::open::fold;
use super::rows::Row;
use super::signer::{self, CHECKPOINT};
use super::subjects::Subjects;
use super::{AuditOpenError, unhex};

/// What a log that verifies holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// All rows, and the root over them.
    pub mark: LogMark,
    /// How many segments.
    pub segments: u64,
    /// How many intents.
    pub intents: u64,
    /// How many have an outcome.
    pub outcomes: u64,
    /// How many were left by a process that ended, or given up.
    pub unsettled: u64,
    /// How many have neither: under way, or left by a process after which none has opened the log.
    pub open: u64,
    /// Rows that the signed checkpoint counts.
    pub signed: Option<u64>,
    /// Rows that witnesses cosigned.
    pub cosigned: Option<u64>,
    /// Those that the policy believes, and when they cosigned (seconds since 1970).
    pub witnesses: Vec<(String, u64)>,
    /// Bytes at the end that are no whole row.
    pub torn_bytes: u64,
}

/// Checks every byte of a log, what its rows come to, and that it has what its signed checkpoint says. The key is the
/// one in the folder, unless another is given: only one that was kept elsewhere says anything about somebody who can write
/// to the folder.
///
/// # Errors
/// When anything differs, with its place; when there is no log or it cannot be read.
pub fn verify(disk: &dyn Disk, dir: &Path, key: Option<&VerifierKey>) -> Result<Verified, AuditOpenError> {
    verify_with(disk, dir, &Believed { key: key.cloned(), ..Believed::default() })
}

/// Whose word counts besides what is in the folder.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    /// The log's key; the one in the folder without one.
    pub key: Option<VerifierKey>,
    /// A policy (C2SP tlog-policy) that what is cosigned must satisfy.
    pub policy: Option<Vec<u8>>,
    /// A cosigned checkpoint from elsewhere, such as a witness, and where it came from. The one in the folder without.
    pub cosigned: Option<(std::path::PathBuf, Vec<u8>)>,
}

/// As [`verify`], and checks what witnesses cosigned: the log must have it, and the policy must believe it.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(disk: &dyn Disk, dir: &Path, believed: &Believed) -> Result<Verified, AuditOpenError> {
    if !endless::has_log(disk, dir)? {
        return Err(AuditOpenError::Missing(dir.to_path_buf()));
    }
    let in_folder = signer::vkey(disk, dir)?;
    // Read before the log: the log only grows.
    let key = believed.key.as_ref().unwrap_or(&in_folder);
    let cosigned = match &believed.cosigned {
        Some((path, bytes)) => Some(Kept::parse(path, bytes, key)?),
        None => Kept::read(disk, dir, key)?,
    };
    let witnesses = witnesses(dir, believed, key, cosigned.as_ref())?;
    let signed = signer::signed(disk, dir, key)?;
    let (mut book, mut counts) = (Book::default(), [0_u64; 3]);
    let known = signed.as_ref().map(|(mark, _)| *mark);
    let read = endless::read(disk, dir, 0, known, |row| {
        fold(&mut book, &row, false)?;
        match Row::parse(row.payload)? {
            Row::Intent(_) => counts[0] += 1,
            Row::Outcome(_) => counts[1] += 1,
            Row::Unsettled { .. } => counts[2] += 1,
            _ => {}
        }
        Ok(())
    })?;
    if signed.is_none() && read.mark.rows > 1 {
        return Err(AuditOpenError::NoCheckpoint { path: dir.join(CHECKPOINT), rows: read.mark.rows });
    }
    if let Some((_, origin)) = signed.as_ref().filter(|(_, origin)| *origin != read.name) {
        let (dir, found, expected) = (dir.to_path_buf(), read.name, origin.clone());
        return Err(AuditOpenError::Name { dir, found, expected });
    }
    if let Some(cosigned) = &cosigned {
        cosigned.check(disk, dir)?;
    }
    Ok(Verified {
        cosigned: cosigned.map(|kept| kept.mark.rows),
        witnesses,
        name: read.name,
        mark: read.mark,
        segments: read.segments,
        intents: counts[0],
        outcomes: counts[1],
        unsettled: counts[2],
        open: book.open.len() as u64,
        signed: signed.map(|(mark, _)| mark.rows),
        torn_bytes: read.torn_bytes,
    })
}

/// Who cosigned, as far as the policy believes it.
fn witnesses(
    dir: &Path,
    believed: &Believed,
    key: &VerifierKey,
    cosigned: Option<&Kept>,
) -> Result<Vec<(String, u64)>, AuditOpenError> {
    let Some(text) = &believed.policy else { return Ok(Vec::new()) };
    let dir = dir.to_path_buf();
    let policy = policy(text, key).map_err(|error| AuditOpenError::Policy(error.to_string()))?;
    let nobody = || AuditOpenError::Unwitnessed { dir: dir.clone(), error: Refused::Quorum(Vec::new()) };
    let kept = cosigned.ok_or_else(nobody)?;
    kept.believed(&policy).map_err(|error| AuditOpenError::Unwitnessed { dir: dir.clone(), error })
}

/// Which rows are given away.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    /// Only what belongs to this subject: its intents, and what became of them.
    pub subject: Option<String>,
    /// Only from this moment on, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Only before this moment.
    pub until_ms: Option<u64>,
    /// With the bodies that are kept, where the subject's key is still there.
    pub content: bool,
}

/// Writes rows as JSON lines: `{"row":N,"leaf":"sha256:…","entry":{…}}`, and with the bodies `"body":"<base64>"`. The
/// entry has the bytes that the leaf is the hash of. Gives how many.
///
/// # Errors
/// As [`verify`]; when there is no such subject, or `out` refuses.
pub fn export(
    disk: &dyn Disk,
    dir: &Path,
    filter: &ExportFilter,
    out: &mut dyn Write,
) -> Result<u64, AuditOpenError> {
    if !endless::has_log(disk, dir)? {
        return Err(AuditOpenError::Missing(dir.to_path_buf()));
    }
    let subjects = Subjects::read(disk, dir)?;
    if let Some(name) = filter.subject.as_ref().filter(|name| subjects.find(name).is_none()) {
        return Err(AuditOpenError::NoSubject(loadline_core::untrusted::one_line(name, 80)));
    }
    let mut export = Export { subjects, filter, intents: BTreeSet::new(), requests: Default::default() };
    let (mut count, mut failed) = (0, None);
    let read = endless::read(disk, dir, 0, None, |row| {
        let Some(line) = export.line(&row)? else { return Ok(()) };
        count += 1;
        out.write_all(&line).map_err(|error| {
            failed = Some(error);
            String::new()
        })
    });
    match (failed, read) {
        (Some(error), _) => Err(AuditOpenError::Write(error)),
        (None, Err(error)) => Err(RecordError::into(error)),
        (None, Ok(_)) => Ok(count),
    }
}

struct Export<'f> {
    subjects: Subjects,
    filter: &'f ExportFilter,
    /// Intents of the subject that are not settled yet.
    intents: BTreeSet<u64>,
    /// Whose an intent is, and its request's id: what opens its response.
    requests: std::collections::BTreeMap<u64, (String, [u8; 16])>,
}

impl Export<'_> {
    fn line(&mut self, row: &LogRow<'_>) -> Result<Option<Vec<u8>>, String> {
        let parsed = Row::parse(row.payload)?;
        let (ours, at_ms) = self.belongs(row.number, &parsed);
        let body = self.body(row.number, &parsed).filter(|_| self.filter.content);
        let late = at_ms.zip(self.filter.until_ms).is_some_and(|(at, until)| at >= until);
        let early = at_ms.zip(self.filter.from_ms).is_some_and(|(at, from)| at < from);
        if !ours || late || early {
            return Ok(None);
        }
        let mut line = format!("{{\"row\":{},\"leaf\":\"{}\",\"entry\":", row.number, row.leaf).into_bytes();
        line.extend_from_slice(row.payload);
        if let Some(body) = body {
            line.extend_from_slice(format!(",\"body\":\"{}\"", STANDARD.encode(body)).as_bytes());
        }
        line.extend_from_slice(b"}\n");
        Ok(Some(line))
    }

    /// Whether a row is asked for, and its moment.
    fn belongs(&mut self, number: u64, row: &Row<'_>) -> (bool, Option<u64>) {
        let wanted = self.filter.subject.as_ref().and_then(|name| self.subjects.find(name));
        let all = self.filter.subject.is_none();
        match row {
            Row::Intent(intent) => {
                let ours = all || wanted.is_some_and(|subject| *subject.pseudonym == *intent.subject);
                if ours {
                    self.intents.insert(number);
                }
                (ours, Some(intent.at_ms))
            }
            Row::Outcome(outcome) => (self.intents.remove(&outcome.intent), Some(outcome.at_ms)),
            Row::Unsettled { intent, at_ms } => (self.intents.remove(intent), Some(*at_ms)),
            Row::Opened { at_ms, .. }
            | Row::Refused { at_ms, .. }
            | Row::Event { at_ms, .. }
            | Row::Erased { at_ms, .. }
            | Row::Recovered { at_ms, .. } => (all, Some(*at_ms)),
            Row::Carried(_) => (all, None),
        }
    }

    /// The body in a row, where it is kept and the key is there.
    fn body(&mut self, number: u64, row: &Row<'_>) -> Option<Vec<u8>> {
        if !self.filter.content {
            return None;
        }
        match row {
            Row::Intent(intent) => {
                let (subject, request) = (intent.subject.to_string(), unhex(&intent.request)?);
                let body = self.open(&subject, &request, Part::Request, &intent.content);
                self.requests.insert(number, (subject, request));
                body
            }
            Row::Outcome(outcome) => {
                let (subject, request) = self.requests.remove(&outcome.intent)?;
                self.open(&subject, &request, Part::Response, &outcome.content)
            }
            _ => None,
        }
    }

    fn open(
        &self,
        pseudonym: &str,
        request: &[u8; 16],
        part: Part,
        content: &Content<'_>,
    ) -> Option<Vec<u8>> {
        let subject = self.subjects.find(self.subjects.name_of(pseudonym)?)?;
        content.open(&subject.key, part, request)
    }
}
