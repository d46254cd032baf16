//! Changing who may sign what: the next version of the root.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_trust::root::ROOT_TYPE;
use loadline_trust::{ChainError, Envelope, PublicKey, Role, RoleKeys, Root, RootChain, RootMark, SecretKey};

use super::{found, roots};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, Keyring};

/// What is to change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The role that gets a key. None: only the expiry changes.
    pub role: Option<Role>,
    /// Its new key. None: one is made.
    pub key: Option<PublicKey>,
    /// Retire no key.
    pub keep: bool,
    /// The keys of the role to retire. None named, and not `keep`: its only key.
    pub retire: Vec<String>,
    /// The role's new threshold. None: as before.
    pub threshold: Option<u32>,
    /// How long the new version counts, in days.
    pub valid_days: u64,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// There is a new version.
    Rotated {
        /// Where it is.
        path: PathBuf,
        /// Its version and digest.
        mark: RootMark,
        /// The key that was made, if one was.
        made: Option<String>,
    },
    /// More signatures are needed.
    Proposed {
        /// Where the proposal is.
        path: PathBuf,
        /// The key that was made, if one was.
        made: Option<String>,
        /// What is missing.
        missing: String,
    },
}

/// Where a proposal for the version after this chain is.
fn proposal(authority: &Path, chain: &RootChain) -> PathBuf {
    authority.join("root").join(format!("{}.proposed.json", chain.current().version + 1))
}

fn usage(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Exit::Usage, message).hint(hint)
}

/// Makes the next version, signs it with every root key that is here, and keeps it, or proposes it when others must
/// sign too.
///
/// # Errors
/// When the change makes no sound root, there is a proposal already, no root key is here, or the disk fails.
pub fn rotate(
    authority: &Path,
    chain: &mut RootChain,
    change: &Change,
    keyring: &Keyring,
    now: Instant,
) -> Result<Outcome> {
    let proposed = proposal(authority, chain);
    if proposed.exists() {
        return Err(usage(
            format!("there is a proposal already: `{}`", proposed.display()),
            "countersign it with `loadline key countersign`, or delete it",
        ));
    }
    let mut made = None;
    let mut next = next_root(chain, now, change.valid_days);
    if let Some(role) = change.role {
        let key = match &change.key {
            Some(key) => key.clone(),
            None => {
                let name = format!("{}-{}", found::key_name(role), next.version);
                made.insert(keyring::new_key(&name)?).public().clone()
            }
        };
        give(&mut next, role, key, change)?;
    }
    next.check().map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))?;
    let envelope = sign_here(chain, &next, made.as_ref(), keyring)?;
    if let Some(key) = &made {
        keyring.save(key)?;
    }
    let made = made.map(|key| key.public().name().to_owned());
    finish(authority, chain, &envelope, made)
}

/// The next version, as it is but for its number and its time.
fn next_root(chain: &RootChain, now: Instant, valid_days: u64) -> Root {
    let mut next = chain.current().clone();
    next.version += 1;
    next.previous = Some(chain.mark().digest);
    // A clock that went back a little does not stop a rotation.
    next.issued = now.max(next.issued);
    next.expires = next.issued.plus_days(valid_days);
    next
}

/// Gives a role a key, and retires what is to be retired.
fn give(root: &mut Root, role: Role, key: PublicKey, change: &Change) -> Result<()> {
    let before = root.roles.get(&role).cloned();
    let mut holders = before.unwrap_or(RoleKeys { keyids: BTreeSet::new(), threshold: 1 });
    let names: Vec<(String, _)> = root.holders(role).map(|key| (key.name().to_owned(), key.id())).collect();
    for name in &change.retire {
        let (_, id) = names.iter().find(|(known, _)| known == name).ok_or_else(|| {
            let known: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
            usage(
                format!("role `{role}` has no key `{}`", one_line(name, 80)),
                &format!("its keys: {}", known.join(", ")),
            )
        })?;
        holders.keyids.remove(id);
    }
    if change.retire.is_empty() && !change.keep {
        if names.len() > 1 {
            return Err(usage(
                format!("role `{role}` has {} keys", names.len()),
                "say which one to retire with `--retire NAME`, or `--keep` all",
            ));
        }
        holders.keyids.clear();
    }
    if !holders.keyids.insert(key.id()) {
        return Err(usage(format!("key `{}` holds the role already", key.name()), "give another key"));
    }
    holders.threshold = change.threshold.unwrap_or(holders.threshold);
    root.keys.insert(key.id(), key);
    root.roles.insert(role, holders);
    // A key without any role is not kept.
    let held: BTreeSet<_> = root.roles.values().flat_map(|role| role.keyids.iter().copied()).collect();
    root.keys.retain(|id, _| held.contains(id));
    Ok(())
}

/// Signs with every root key of both versions whose secret is here.
fn sign_here(
    chain: &RootChain,
    next: &Root,
    made: Option<&SecretKey>,
    keyring: &Keyring,
) -> Result<Envelope> {
    let mut signers = Vec::new();
    let holders: Vec<&PublicKey> =
        chain.current().holders(Role::Root).chain(next.holders(Role::Root)).collect();
    for key in holders {
        if signers.iter().any(|signer: &SecretKey| signer.public().id() == key.id()) {
            continue;
        }
        if let Some(made) = made.filter(|made| made.public().id() == key.id()) {
            signers.push(made.clone());
        } else if keyring.path(key.name()).exists() {
            let secret = keyring.open(key.name())?;
            if secret.public().id() == key.id() {
                signers.push(secret);
            }
        }
    }
    let signers: Vec<&SecretKey> = signers.iter().collect();
    if signers.is_empty() {
        return Err(usage("no root key is here", "run this where a root key of the authority is kept"));
    }
    Envelope::sign_json(ROOT_TYPE, next, &signers)
        .map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))
}

/// Keeps the next version if the chain takes it, or the proposal if only signatures are missing.
fn finish(
    authority: &Path,
    chain: &mut RootChain,
    envelope: &Envelope,
    made: Option<String>,
) -> Result<Outcome> {
    use loadline_trust::SignerError::TooFew;
    let path = roots::path(authority, chain.current().version + 1);
    let proposed = proposal(authority, chain);
    match chain.clone().extend(&envelope.to_bytes()) {
        Err(error @ ChainError::Signers { error: TooFew { .. }, .. }) => {
            replace(&proposed, &envelope.to_bytes())?;
            return Ok(Outcome::Proposed { path: proposed, made, missing: error.to_string() });
        }
        Err(error) => return Err(roots::refused(&path, &error)),
        Ok(()) => {}
    }
    roots::keep(authority, chain, envelope)?;
    if proposed.exists() {
        std::fs::remove_file(&proposed)
            .map_err(|error| Failure::io(format!("cannot delete `{}`", proposed.display()), &error))?;
    }
    Ok(Outcome::Rotated { path, mark: chain.mark(), made })
}

/// Puts a file in the place of another, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let failed = |error: std::io::Error| Failure::io(format!("cannot write `{}`", path.display()), &error);
    std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path)).map_err(failed)
}

/// Adds a signature to the proposal, and keeps the new version when enough have signed.
///
/// # Errors
/// When there is no proposal, the key may not sign it, or has, or the disk fails.
pub fn countersign(authority: &Path, chain: &mut RootChain, key: &SecretKey) -> Result<Outcome> {
    let path = proposal(authority, chain);
    if !path.exists() {
        return Err(usage(
            format!("there is no proposal `{}`", path.display()),
            "propose a new version with `loadline key rotate`",
        ));
    }
    let wrong = |error: loadline_trust::EnvelopeError| {
        Failure::because(Exit::EvidenceInvalid, format!("`{}` is not sound", path.display()), &error)
            .hint(error.hint())
    };
    let envelope = Envelope::parse(&roots::read(&path)?).map_err(wrong)?;
    let next: Root = envelope.json(ROOT_TYPE).map_err(wrong)?;
    let id = key.public().id();
    let may = [chain.current(), &next].iter().any(|root| root.holders(Role::Root).any(|key| key.id() == id));
    if !may {
        let message = format!("key `{}` holds the role `root` in neither version", key.public().name());
        return Err(usage(message, "sign with a root key"));
    }
    finish(authority, chain, &envelope.cosign(key).map_err(wrong)?, None)
}
