//! `standing issue`: what is revoked and suspended, signed with the next epoch. A gate that hears nothing fresh closes.

use std::time::Duration;

use loadline_core::Instant;
use loadline_trust::standing::{STANDING_FORMAT, STANDING_TYPE};
use loadline_trust::{Envelope, Role, RootChain, Standing};

use super::folder::{self, Folder};
use super::office::Office;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The standing in an authority's folder; whether it is still current is not asked.
///
/// # Errors
/// When it is not what the authority signed.
pub fn read(folder: &Folder, chain: &RootChain) -> Result<Option<(Standing, Vec<u8>)>> {
    let path = folder.standing();
    let Some(bytes) = folder::read_if(&path)? else { return Ok(None) };
    let envelope = Envelope::parse(&bytes).map_err(|error| folder::changed(&path, &error))?;
    let standing: Standing = envelope.json(STANDING_TYPE).map_err(|error| folder::changed(&path, &error))?;
    // At the moment it was issued it counted, if it is whole.
    Standing::accept(&bytes, chain, None, standing.issued).map_err(|error| folder::changed(&path, &error))?;
    Ok(Some((standing, bytes)))
}

/// Signs the next one, from what the log says, and puts it in the place of the last.
///
/// # Errors
/// When the last one is damaged, the key cannot be opened, or the disk refuses.
pub fn issue(office: &Office, lease: Duration) -> Result<Standing> {
    sign(office, lease, false)
}

/// The same, and it ends no earlier than the last: what is signed on the way to something else must close no gate.
///
/// # Errors
/// As [`issue`].
pub fn prolong(office: &Office, lease: Duration) -> Result<Standing> {
    sign(office, lease, true)
}

fn sign(office: &Office, lease: Duration, keeps_end: bool) -> Result<Standing> {
    let last = read(&office.folder, &office.chain)?;
    let epoch = last.as_ref().map_or(0, |(standing, _)| standing.epoch) + 1;
    let end = last.as_ref().filter(|_| keeps_end).map(|(standing, _)| standing.expires);
    // A clock that went back must not make a standing that ends before the last one began.
    let issued = last.map_or(office.now, |(standing, _)| standing.issued.max(office.now));
    let expires = Instant::from_seconds(issued.seconds().saturating_add(lease.as_secs()))
        .map_err(|error| Failure::of(Exit::Usage, &error))?;
    let expires = end.map_or(expires, |end| end.max(expires));
    let standing = Standing {
        format: STANDING_FORMAT.to_owned(),
        authority: office.chain.authority(),
        epoch,
        issued,
        expires,
        log_size: office.journal.state().size,
        entries: office.history.standing().into_values().collect(),
    };
    let envelope = standing
        .sign(&[&office.key(Role::Standing)?])
        .map_err(|error| Failure::of(Exit::Unexpected, &error).hint(error.hint()))?;
    folder::write(&office.folder.standing(), &envelope.to_bytes(), folder::PUBLIC)?;
    Ok(standing)
}
