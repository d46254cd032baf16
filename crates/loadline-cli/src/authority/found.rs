//! Founding an authority: its keys, its log's key, and version 1 of its root.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use loadline_core::Instant;
use loadline_tlog::{Algorithm, Policy, VerifierKey};
use loadline_trust::root::{ROOT_FORMAT, ROOT_TYPE};
use loadline_trust::{Envelope, PublicKey, Role, RoleKeys, Root, RootChain};

use super::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, Keyring};

/// File name of the log's key in the folder of keys.
pub const LOG_KEY: &str = "log";

/// The roles that every authority has a key for.
const FIRST_ROLES: [Role; 4] = [Role::Root, Role::Authority, Role::Examiner, Role::Standing];

/// What a new authority is to be.
#[derive(Clone, Debug)]
pub struct Founding {
    /// The name of its log: a URL without scheme, like `example.com/log`.
    pub origin: String,
    /// How long version 1 of its root counts, in days.
    pub valid_days: u64,
    /// Keys are made for these roles too, on top of root, authority, examiner and standing.
    pub also: Vec<Role>,
    /// Who must have seen the log.
    pub witnesses: Witnesses,
}

/// The witnesses of a log policy.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    /// Each with its key, and where it is, if it is anywhere.
    pub witnesses: Vec<(VerifierKey, Option<String>)>,
    /// How many must have cosigned. None: more than half.
    pub needed: Option<usize>,
}

/// The file name of a role's first key.
pub fn key_name(role: Role) -> String {
    role.name().replace('_', "-")
}

/// A log policy (C2SP tlog-policy) with one log.
pub fn log_policy(log: &VerifierKey, witnesses: &Witnesses) -> String {
    let mut text = format!("log {}\n", log.to_vkey());
    let count = witnesses.witnesses.len();
    for (at, (key, url)) in witnesses.witnesses.iter().enumerate() {
        let url = url.as_ref().map(|url| format!(" {url}")).unwrap_or_default();
        text.push_str(&format!("witness w{} {}{url}\n", at + 1, key.to_vkey()));
    }
    if count == 0 {
        text.push_str("quorum none\n");
        return text;
    }
    let names: Vec<_> = (1..=count).map(|at| format!("w{at}")).collect();
    let needed = witnesses.needed.unwrap_or(count / 2 + 1);
    text.push_str(&format!("group witnesses {needed} {}\nquorum witnesses\n", names.join(" ")));
    text
}

/// Makes keys and version 1 of the root in a folder that holds no authority yet. The log itself is not made: whoever
/// calls this makes it next.
///
/// # Errors
/// When there is an authority in the folder, the options do not make a root, or the disk fails. What is wrong with the
/// options is found before anything is written.
pub fn found(folder: &Path, founding: &Founding, keyring: &Keyring, now: Instant) -> Result<RootChain> {
    let root_path = roots::path(folder, 1);
    if root_path.exists() {
        let message = format!("there is an authority in `{}` already", folder.display());
        return Err(Failure::new(Exit::Usage, message).hint("found another one in another folder"));
    }
    let log_key = keyring::new_note_key(&founding.origin, Algorithm::Ed25519)?;
    let mut roles: Vec<Role> = FIRST_ROLES.into_iter().chain(founding.also.iter().copied()).collect();
    roles.sort();
    roles.dedup();
    let mut secrets = BTreeMap::new();
    for role in roles {
        secrets.insert(role, keyring::new_key(&key_name(role))?);
    }
    let keys: Vec<_> = secrets.iter().map(|(role, key)| (*role, key.public().clone())).collect();
    let text = log_policy(log_key.verifier(), &founding.witnesses);
    let root = first_root(&keys, text, now, founding.valid_days)?;
    let signer = secrets.get(&Role::Root).ok_or_else(|| Failure::new(Exit::Unexpected, "no root key"))?;
    let envelope =
        Envelope::sign_json(ROOT_TYPE, &root, &[signer]).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let bytes = envelope.to_bytes();
    let chain = RootChain::start(&bytes, None).map_err(|error| roots::refused(&root_path, &error))?;
    for key in secrets.values() {
        keyring.save(key)?;
    }
    keyring.save_note(LOG_KEY, &log_key)?;
    let parent = folder.join("root");
    std::fs::create_dir_all(&parent)
        .map_err(|error| Failure::io(format!("cannot make the folder `{}`", parent.display()), &error))?;
    // Last, since an authority is there when its root is.
    keyring::create(&root_path, &bytes, 0o644)?;
    Ok(chain)
}

fn first_root(keys: &[(Role, PublicKey)], log_policy: String, now: Instant, valid_days: u64) -> Result<Root> {
    Policy::parse(log_policy.as_bytes()).map_err(|error| {
        Failure::because(Exit::Usage, "these witnesses make no log policy", &error)
            .hint("give each witness once, with its own key, and no more needed than there are")
    })?;
    let holders = |key: &PublicKey| RoleKeys { keyids: BTreeSet::from([key.id()]), threshold: 1 };
    let root = Root {
        format: ROOT_FORMAT.to_owned(),
        version: 1,
        previous: None,
        issued: now,
        expires: now.plus_days(valid_days),
        keys: keys.iter().map(|(_, key)| (key.id(), key.clone())).collect(),
        roles: keys.iter().map(|(role, key)| (*role, holders(key))).collect(),
        log_policy,
    };
    root.check().map_err(|error| Failure::of(Exit::Usage, &error).hint(error.hint()))?;
    Ok(root)
}
