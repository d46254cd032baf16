//! Licences: issued from a decision that allows, logged, and later revoked, suspended or reinstated.

use std::path::Path;

use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_exam::entry::{LicenseEntry, StandingChange};
use loadline_exam::{Entry, attest, case};
use loadline_policy::License;
use loadline_policy::license::{Grant, IssueError, Issuer, Statement, Svr, issue as issue_license};
use loadline_policy::policy::Stage;
use loadline_trust::standing::{MAX_REASON_BYTES, StandingState};
use loadline_trust::{Envelope, Role, Root};

use super::decide::{self, Decided};
use super::exams::Sitting;
use super::folder::{self, Folder};
use super::history::{History, LicenseHistory};
use super::office::Office;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// A licence in an authority's folder.
#[derive(Debug)]
pub struct Kept {
    /// What was signed.
    pub statement: Statement<License>,
    /// Its envelope.
    pub bytes: Vec<u8>,
    /// The envelope of its Simple Verification Result.
    pub svr: Vec<u8>,
}

/// What a licence says beyond its decision.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The issuer's name, for people.
    pub issuer: Option<String>,
    /// What the licensee must do.
    pub conditions: Vec<String>,
    /// Where the standing is published.
    pub standing_url: Option<String>,
    /// The licence that it replaces.
    pub supersedes: Option<Digest>,
}

/// What came of it.
#[derive(Debug)]
pub struct Issued {
    /// The decision, with the licence where there is one.
    pub decided: Decided,
    /// Where the decision is.
    pub decision: std::path::PathBuf,
    /// Whether this process issued a licence: otherwise it was there before, or there is none.
    pub is_new: bool,
}

/// Decides about an exam and a stage, writes the decision down, and issues the licence if it is an allow. When a licence
/// of this exam for this stage was issued before, it is given again: one exam carries one licence for a stage.
///
/// # Errors
/// When something it rests on is not what was written, the disk refuses, or a key cannot be opened.
pub fn issue(office: &mut Office, sitting: &Sitting, stage: Stage, terms: &Terms) -> Result<Issued> {
    if let Some(decided) = decide::kept(office, sitting, stage)?
        && let Some(digest) = decided.license
    {
        // A process that was killed right before the log, or right after it, is finished by this one.
        let is_new = log(office, sitting, stage, digest, decided.decision.now)?;
        let decision = decide::keep(sitting, &decided)?;
        return Ok(Issued { decided, decision, is_new });
    }
    let mut decided = decide::decide(office, sitting, stage)?;
    let allowed = match issue_license(&sitting.policy, &decided.case, grant(office, sitting, terms)) {
        Ok((_, license)) => Some(license),
        Err(IssueError::NotAllowed(_)) => None,
        Err(error) => return Err(Failure::of(Exit::Unexpected, &error)),
    };
    let Some(license) = allowed else {
        let decision = decide::keep(sitting, &decided)?;
        return Ok(Issued { decided, decision, is_new: false });
    };
    let digest = write(office, sitting, &decided, license)?;
    decided.license = Some(digest);
    let decision = decide::keep(sitting, &decided)?;
    log(office, sitting, stage, digest, decided.decision.now)?;
    Ok(Issued { decided, decision, is_new: true })
}

fn grant(office: &Office, sitting: &Sitting, terms: &Terms) -> Grant {
    let origin = office.journal.origin();
    Grant {
        issuer: Issuer {
            id: format!("https://{origin}"),
            name: terms.issuer.clone().unwrap_or_else(|| origin.to_owned()),
        },
        model_name: sitting.registration.name.clone(),
        simulated: sitting.kept.manifest.is_simulated(),
        compute_basis: case::compute_basis(sitting.kept.compute.as_ref()),
        conditions: terms.conditions.clone(),
        standing_url: terms.standing_url.clone(),
        supersedes: terms.supersedes,
    }
}

/// Signs a licence and its Simple Verification Result, and writes both and the decision, where nobody takes it for one that
/// is logged: a process that is killed before the log leaves nothing else, and the next licence goes in its place.
fn write(office: &Office, sitting: &Sitting, decided: &Decided, license: License) -> Result<Digest> {
    let key = office.key(Role::Authority)?;
    let (name, model) = (sitting.registration.name.clone(), decided.decision.subject);
    let unsigned = |error: loadline_trust::EnvelopeError| Failure::of(Exit::Unexpected, &error);
    let svr = Statement::about(name.clone(), model, Svr::of(&license));
    let svr = attest::sign(&svr, &[&key]).map_err(unsigned)?;
    let envelope = attest::sign(&Statement::about(name, model, license), &[&key]).map_err(unsigned)?;
    let digest = envelope.payload_digest();
    let dir = office.folder.unlogged_license();
    let decision =
        canonical_json(&decided.decision).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    begin(&dir)?;
    folder::write(&dir.join("decision.json"), &decision, folder::PUBLIC)?;
    folder::write(&dir.join("svr.json"), &svr.to_bytes(), folder::PUBLIC)?;
    folder::write(&dir.join("license.json"), &envelope.to_bytes(), folder::PUBLIC)?;
    Ok(digest)
}

/// Makes room for a licence. What is there counts as whole for its `license.json`, so that goes first.
fn begin(dir: &Path) -> Result<()> {
    let path = dir.join("license.json");
    match std::fs::remove_file(&path).and_then(|()| folder::sync(dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(format!("cannot remove `{}`", path.display()), &error))
        }
        _ => Ok(()),
    }
}

/// The licence that is signed and not logged yet, if there is one.
///
/// # Errors
/// When it is not what was written.
pub fn unlogged(folder: &Folder) -> Result<Option<Digest>> {
    let path = folder.unlogged_license().join("license.json");
    let Some(bytes) = folder::read_if(&path)? else { return Ok(None) };
    let envelope = Envelope::parse(&bytes).map_err(|error| folder::changed(&path, &error))?;
    Ok(Some(envelope.payload_digest()))
}

/// Gives a licence that was logged its name. A process may have been killed before it did.
fn settle(folder: &Folder, history: &History) -> Result<()> {
    let Some(digest) = unlogged(folder)?.filter(|digest| history.logged(*digest).is_some()) else {
        return Ok(());
    };
    let (from, to) = (folder.unlogged_license(), folder.license(digest));
    let moved = std::fs::rename(&from, &to).and_then(|()| folder::sync(to.parent().unwrap_or(&to)));
    moved.map_err(|error| {
        Failure::io(format!("cannot move `{}` to `{}`", from.display(), to.display()), &error)
    })
}

/// Logs a licence, unless it is logged. Gives whether it was not.
fn log(
    office: &mut Office,
    sitting: &Sitting,
    stage: Stage,
    license: Digest,
    at: loadline_core::Instant,
) -> Result<bool> {
    if office.history.logged(license).is_some() {
        settle(&office.folder, &office.history)?;
        return Ok(false);
    }
    let entry = LicenseEntry { license, model: sitting.history.start.model, stage, at };
    office.log(vec![Entry::License(entry)])?;
    settle(&office.folder, &office.history)?;
    Ok(true)
}

/// A licence, checked: signed by the authority, with the digest that the log has.
///
/// # Errors
/// When it is not here, or is not what was signed.
pub fn read(office: &Office, digest: Digest) -> Result<Kept> {
    let Some(index) = office.history.logged(digest) else {
        let message = format!("licence {digest} was signed and never logged: it counts for nobody");
        return Err(Failure::new(Exit::Usage, message)
            .hint("`loadline license issue`, given again for its exam and stage, logs it"));
    };
    settle(&office.folder, &office.history)?;
    let dir = office.folder.license(digest);
    let path = dir.join("license.json");
    let root = office.root_at(Some(index))?;
    let (bytes, envelope) = signed(root, &path)?;
    if envelope.payload_digest() != digest {
        return Err(folder::not_as_written(&path).cause("it is another licence than the log names"));
    }
    let statement =
        attest::statement::<License>(&envelope).map_err(|error| folder::changed(&path, &error))?;
    let license = &statement.predicate;
    license.check().map_err(|error| folder::changed(&path, &error))?;
    folder::read_addressed(&dir.join("decision.json"), license.decision.value.digest)?;
    let path = dir.join("svr.json");
    let (svr, envelope) = signed(root, &path)?;
    let said = attest::statement::<Svr>(&envelope).map_err(|error| folder::changed(&path, &error))?;
    if said.model() != statement.model() || said.predicate != Svr::of(license) {
        return Err(folder::not_as_written(&path).cause("it does not say what the licence says"));
    }
    Ok(Kept { statement, bytes, svr })
}

fn signed(root: &Root, path: &Path) -> Result<(Vec<u8>, Envelope)> {
    let bytes = folder::read(path)?;
    let envelope = Envelope::parse(&bytes).map_err(|error| folder::changed(path, &error))?;
    let verified = root.verify(&envelope, Role::Authority);
    verified.map_err(|error| folder::changed(path, &error))?;
    Ok((bytes, envelope))
}

/// What can be done to a licence that was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// For ever.
    Revoke,
    /// Until it is reinstated.
    Suspend,
    /// It holds again.
    Reinstate,
}

/// Logs a change of a licence's standing, and gives its log index. The same change for the same reason is logged once:
/// whoever made it may have been killed before the standing was signed.
///
/// # Errors
/// When the change makes no sense, the reason is too long, the disk refuses, or a key cannot be opened.
pub fn change(office: &mut Office, license: &LicenseHistory, change: Change, reason: &str) -> Result<u64> {
    if let Some((index, last)) = office.history.last_change(license.entry.license)
        && last.reason == reason
        && matches!(
            (change, office.history.at(index)),
            (Change::Revoke, Some(Entry::Revoke(_)))
                | (Change::Suspend, Some(Entry::Suspend(_)))
                | (Change::Reinstate, Some(Entry::Reinstate(_)))
        )
    {
        return Ok(index);
    }
    let usage = |message: String, hint: &str| Err(Failure::new(Exit::Usage, message).hint(hint));
    let shown = license.entry.license;
    if reason.is_empty() || reason.len() > MAX_REASON_BYTES || reason.chars().any(char::is_control) {
        return usage(
            format!("the reason has {} bytes", reason.len()),
            "give one line of 1 to 500 bytes: everybody will read it",
        );
    }
    // A licence that only its model's stage holds back was not suspended, and is not reinstated.
    let state = office.history.changes().get(&shown).map(|standing| standing.state);
    match (change, state) {
        (_, Some(StandingState::Revoked)) => {
            return usage(
                format!("licence {shown} is revoked, which is for ever"),
                "issue a new one after a new exam",
            );
        }
        (Change::Suspend, Some(StandingState::Suspended)) => {
            return usage(format!("licence {shown} is suspended already"), "reinstate or revoke it");
        }
        (Change::Reinstate, None) => {
            return usage(format!("licence {shown} is not suspended"), "there is nothing to reinstate");
        }
        _ => {}
    }
    let entry = StandingChange { license: license.entry.license, reason: reason.to_owned(), at: office.now };
    office.log(vec![match change {
        Change::Revoke => Entry::Revoke(entry),
        Change::Suspend => Entry::Suspend(entry),
        Change::Reinstate => Entry::Reinstate(entry),
    }])
}
