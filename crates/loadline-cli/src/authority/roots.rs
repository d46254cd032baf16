//! The roots of an authority: `root/1.json`, `root/2.json`, … in its folder.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::{Digest, Instant};
use loadline_trust::chain::MAX_VERSIONS;
use loadline_trust::{ChainError, Envelope, RootChain};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring;

/// The largest root that is read, in bytes.
const MAX_ROOT_BYTES: u64 = 1 << 20;

/// The folder of an authority's keys.
pub fn keys(authority: &Path) -> PathBuf {
    authority.join("keys")
}

/// Where a version of the root is.
pub fn path(authority: &Path, version: u64) -> PathBuf {
    authority.join("root").join(format!("{version}.json"))
}

/// Every root of an authority, oldest first, as bytes.
///
/// # Errors
/// When there is none, one is missing between others, or one cannot be read.
pub fn bytes(authority: &Path) -> Result<Vec<Vec<u8>>> {
    let newest = newest(authority);
    if newest == 0 {
        let message = format!("there is no authority in `{}`: no `root/1.json`", authority.display());
        return Err(Failure::new(Exit::Usage, message)
            .hint("make one with `loadline authority init DIR`, or name its folder with `--authority DIR`"));
    }
    if newest > MAX_VERSIONS as u64 {
        return Err(Failure::of(Exit::EvidenceInvalid, &ChainError::TooLong));
    }
    (1..=newest).map(|version| read(&path(authority, version))).collect()
}

/// The highest version of which there is a file. Versions are not counted up to the first that is missing: a root that
/// somebody deletes must not bring an older one back.
fn newest(authority: &Path) -> u64 {
    let Ok(folder) = std::fs::read_dir(authority.join("root")) else { return 0 };
    let names = folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).max().unwrap_or_default()
}

/// A root as bytes, not checked.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_ROOT_BYTES).read_to_end(&mut bytes)).map_err(|error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{}`", path.display()), &error)
            .hint("every version of the root is needed: restore it from a copy")
    })?;
    Ok(bytes)
}

/// The roots of an authority, each checked against the one before.
///
/// # Errors
/// When there is none, or one of them does not hold.
pub fn chain(authority: &Path, pinned: Option<Digest>) -> Result<RootChain> {
    let mut chain: Option<RootChain> = None;
    for (at, bytes) in bytes(authority)?.iter().enumerate() {
        let wrong = |error: ChainError| refused(&path(authority, at as u64 + 1), &error);
        match &mut chain {
            None => chain = Some(RootChain::start(bytes, pinned).map_err(wrong)?),
            Some(chain) => chain.extend(bytes).map_err(wrong)?,
        }
    }
    chain.ok_or_else(|| Failure::new(Exit::Unexpected, "an authority without roots"))
}

/// A root that does not hold.
pub fn refused(path: &Path, error: &ChainError) -> Failure {
    Failure::because(Exit::EvidenceInvalid, format!("`{}` is not trusted", path.display()), error)
        .hint(error.hint())
}

/// The chain, when its newest root counts at this moment.
///
/// # Errors
/// As [`chain`], and when it expired.
pub fn current(authority: &Path, now: Instant) -> Result<RootChain> {
    let chain = chain(authority, None)?;
    chain.check_at(now).map_err(|error| refused(&path(authority, chain.current().version), &error))?;
    Ok(chain)
}

/// Keeps the next version of the root, after checking it. The folder `root` must be there.
///
/// # Errors
/// When the chain does not take it, or it cannot be written.
pub fn keep(authority: &Path, chain: &mut RootChain, root: &Envelope) -> Result<PathBuf> {
    let path = path(authority, chain.current().version + 1);
    let bytes = root.to_bytes();
    chain.extend(&bytes).map_err(|error| refused(&path, &error))?;
    keyring::create(&path, &bytes, 0o644)?;
    Ok(path)
}

/// Now, in whole seconds.
///
/// # Errors
/// When the clock stands before 1970 or after 9999.
pub fn now() -> Result<Instant> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Instant::from_seconds(since)
        .ok()
        .filter(|_| since > 0)
        .ok_or_else(|| Failure::new(Exit::Unexpected, "the clock is wrong").hint("set the clock"))
}
