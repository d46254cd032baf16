//! `license sign`: one person, in one role, says yes or no about one exam. People sign on machines of their own and send
//! each other files.

use std::path::{Path, PathBuf};

use loadline_core::{Digest, Instant};
use loadline_exam::attest::{self, Exam};
use loadline_exam::signoff::{self, SIGN_OFF_FORMAT, SignOffError, SignOffStatement};
use loadline_policy::decide::SignOff;
use loadline_policy::license::Statement;
use loadline_policy::policy::{Role, Stage};
use loadline_trust::{Envelope, Root, SecretKey};

use super::folder;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The most sign-offs that are looked at.
const MOST_FILES: usize = 10_000;

/// What somebody wants to say.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// In which role.
    pub role: Role,
    /// To which stage.
    pub stage: Stage,
    /// Yes or no.
    pub approves: bool,
    /// When.
    pub at: Instant,
}

/// An attestation, and its digest.
#[derive(Debug)]
pub struct Attested {
    /// What the examiner says.
    pub statement: Statement<Exam>,
    /// Payload digest of the envelope.
    pub digest: Digest,
}

/// Reads an attestation; its signature is checked when the root that was in force is known.
///
/// # Errors
/// When it is none, or not signed by the role `examiner`.
pub fn attestation(path: &Path, root: Option<&Root>) -> Result<Attested> {
    let bytes = folder::read(path)?;
    let envelope = Envelope::parse(&bytes).map_err(|error| folder::changed(path, &error))?;
    if let Some(root) = root {
        let verified = root.verify(&envelope, loadline_trust::Role::Examiner);
        verified.map_err(|error| folder::changed(path, &error))?;
    }
    let statement = attest::statement::<Exam>(&envelope).map_err(|error| folder::changed(path, &error))?;
    Ok(Attested { statement, digest: envelope.payload_digest() })
}

/// Signs.
///
/// # Errors
/// When the key cannot sign.
pub fn sign(attested: &Attested, wish: &Wish, key: &SecretKey) -> Result<Envelope> {
    let statement = SignOffStatement {
        approves: wish.approves,
        at: wish.at,
        attestation: attested.digest,
        format: SIGN_OFF_FORMAT.to_owned(),
        policy: attested.statement.predicate.policy.digest,
        role: wish.role,
        stage: wish.stage,
        subject: attested.statement.model(),
    };
    statement.sign(key).map_err(|error| Failure::of(Exit::Unexpected, &error))
}

/// By what a sign-off is named: see [`signoff::digest`].
///
/// # Errors
/// When it is no sign-off.
pub fn digest(envelope: &Envelope) -> Result<Digest> {
    signoff::digest(envelope).map_err(|error| Failure::of(Exit::Unexpected, &error))
}

/// Where a sign-off is kept among an authority's.
///
/// # Errors
/// When it is no sign-off.
pub fn path(folder: &folder::Folder, envelope: &Envelope) -> Result<PathBuf> {
    Ok(folder.sign_offs().join(format!("{}.json", &digest(envelope)?.hex()[..32])))
}

/// Every sign-off about an exam, with its envelope, in the order of their names.
///
/// # Errors
/// When a file is not what was written, or is no sign-off by a key of its role.
pub fn collect(
    folder: &folder::Folder,
    root: &Root,
    attestation: Digest,
) -> Result<Vec<(SignOff, Envelope)>> {
    let dir = folder.sign_offs();
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let failed = |error: &std::io::Error| Failure::io(format!("cannot read `{}`", dir.display()), error);
    let entries = std::fs::read_dir(&dir).map_err(|error| failed(&error))?;
    let paths = entries.take(MOST_FILES).map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<std::io::Result<Vec<_>>>().map_err(|error| failed(&error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let bytes = folder::read(&path)?;
        let envelope = Envelope::parse(&bytes).map_err(|error| folder::changed(&path, &error))?;
        let statement = SignOffStatement::read(&envelope).map_err(|error| folder::changed(&path, &error))?;
        // Its name is its digest, so that what it is about cannot be changed unseen.
        if self::path(folder, &envelope)? != path {
            return Err(folder::not_as_written(&path).cause("its name is not its digest"));
        }
        if statement.attestation == attestation {
            let sign_off = SignOffStatement::accept(&bytes, root, attestation).map_err(|error| {
                invalid(&path, &error).hint("take it out of the folder, or get it again from who signed it")
            })?;
            found.push((sign_off, envelope));
        }
    }
    Ok(found)
}

/// A sign-off that somebody sent, which is not yet among the authority's.
///
/// # Errors
/// When the file cannot be read, is no sign-off, or is about another exam; when no key of its role signed it.
pub fn sent(path: &Path, root: &Root, attestation: Digest) -> Result<Envelope> {
    let bytes = folder::read(path)?;
    let again = "ask who signed it for the file that `loadline license sign` wrote";
    let read = Envelope::parse(&bytes).map_err(SignOffError::from);
    let read = read.and_then(|envelope| Ok((SignOffStatement::read(&envelope)?, envelope)));
    let (statement, envelope) = read.map_err(|error| {
        let message = format!("`{}` is no sign-off", path.display());
        Failure::because(Exit::TaskInvalid, message, &error).hint(again)
    })?;
    if statement.attestation != attestation {
        return Err(Failure::new(Exit::Usage, format!("`{}` is about another exam", path.display()))
            .hint("ask for a sign-off of this one"));
    }
    SignOffStatement::accept(&bytes, root, attestation).map_err(|error| invalid(path, &error).hint(again))?;
    Ok(envelope)
}

fn invalid(path: &Path, error: &SignOffError) -> Failure {
    Failure::because(Exit::EvidenceInvalid, format!("`{}` is no valid sign-off", path.display()), error)
}
