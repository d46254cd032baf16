//! The root file: which keys hold which role, how many of them must sign, and which log is the log.

use std::collections::{BTreeMap, BTreeSet};

use loadline_core::{Digest, Instant};
use serde::{Deserialize, Serialize};

use crate::CLOCK_SKEW_S;
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::{KeyId, PublicKey};
use crate::role::{Role, RoleKeys};

/// `payloadType` of a root file.
pub const ROOT_TYPE: &str = "application/vnd.loadline.root+json";
/// `format` of a root file.
pub const ROOT_FORMAT: &str = "loadline-root/1";
/// The most keys in a root file.
pub const MAX_KEYS: usize = 64;

/// A root file. Reading one says nothing about who made it: see [`crate::RootChain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// [`ROOT_FORMAT`].
    pub format: String,
    /// 1, 2, 3, …
    pub version: u64,
    /// Payload digest of the version before; none for version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When it was made.
    pub issued: Instant,
    /// The last moment at which it counts as current.
    pub expires: Instant,
    /// Every key, under its id.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// Who holds which role.
    pub roles: BTreeMap<Role, RoleKeys>,
    /// The log and its witnesses (C2SP tlog-policy).
    pub log_policy: String,
}

/// Why a root file contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Another format.
    #[error("`format` is `{0}`, not `{ROOT_FORMAT}`")]
    Format(String),
    /// Version 0, or one that names no predecessor, or version 1 with one.
    #[error("root version {0}: version 1 has no `previous`, every later one has")]
    Version(u64),
    /// It ends before it begins.
    #[error("root version {version} is issued {issued} and expires {expires}: it never counts")]
    Never {
        /// Its version.
        version: u64,
        /// From.
        issued: Instant,
        /// To.
        expires: Instant,
    },
    /// More keys than are read.
    #[error("the root file has {0} keys; at most {MAX_KEYS} are accepted")]
    TooManyKeys(usize),
    /// A key stands under an id that does not follow from it.
    #[error("key `{name}` stands under the id {} and its id is {}", found.short(), id.short())]
    Id {
        /// The key's name.
        name: String,
        /// Where it stands.
        found: KeyId,
        /// Where it should.
        id: KeyId,
    },
    /// Two keys of one name.
    #[error("two keys are named `{0}`")]
    Name(String),
    /// No keys hold the role `root`.
    #[error("nobody holds the role `root`")]
    NoRoot,
    /// A threshold of 0, or more than there are keys.
    #[error("the threshold of role `{role}` is {threshold} of {keys} keys")]
    Threshold {
        /// The role.
        role: Role,
        /// Its threshold.
        threshold: u32,
        /// Its keys.
        keys: usize,
    },
    /// A role names a key that is not there.
    #[error("role `{role}` names key {}, which the root file does not have", id.short())]
    UnknownKey {
        /// The role.
        role: Role,
        /// The id.
        id: KeyId,
    },
    /// A key that no role names.
    #[error("key `{0}` holds no role")]
    Idle(String),
    /// The log policy cannot be read.
    #[error("the log policy cannot be read: {0}")]
    LogPolicy(#[from] loadline_tlog::PolicyError),
}

impl RootError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Format(_) => "this version of loadline reads `loadline-root/1` only",
            Self::Threshold { .. } => "a threshold is 1 to the number of the role's keys",
            Self::LogPolicy(_) => "`docs/formats/tlog.md` says how a log policy is written",
            Self::Never { .. } => "make it expire after it is issued",
            _ => "have the owner of the root make it again",
        }
    }
}

/// Why signatures do not carry what they are under.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The envelope is worthless.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Nobody holds the role.
    #[error("root version {version} gives the role `{role}` to nobody")]
    NoSuchRole {
        /// The role.
        role: Role,
        /// The root's version.
        version: u64,
    },
    /// A key of the root that does not hold the role.
    #[error("key `{name}` signed and does not hold the role `{role}`")]
    WrongRole {
        /// The key's name.
        name: String,
        /// The role that is needed.
        role: Role,
    },
    /// Too few signers.
    #[error("{found} of the role `{role}` signed; {needed} must")]
    TooFew {
        /// The role.
        role: Role,
        /// How many signed.
        found: usize,
        /// How many must.
        needed: u32,
    },
}

impl SignerError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Envelope(error) => error.hint(),
            Self::NoSuchRole { .. } => "add a key of that role with `loadline key rotate`",
            Self::WrongRole { .. } => "have it signed by keys of that role and no others",
            Self::TooFew { .. } => "have it signed by more holders of that role",
        }
    }
}

impl Root {
    /// Checks everything that can be checked without another file.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), RootError> {
        if self.format != ROOT_FORMAT {
            return Err(RootError::Format(loadline_core::untrusted::one_line(&self.format, 40)));
        }
        if self.version == 0 || (self.version == 1) != self.previous.is_none() {
            return Err(RootError::Version(self.version));
        }
        if self.issued > self.expires {
            let Self { version, issued, expires, .. } = *self;
            return Err(RootError::Never { version, issued, expires });
        }
        if self.keys.len() > MAX_KEYS {
            return Err(RootError::TooManyKeys(self.keys.len()));
        }
        self.check_roles()?;
        self.check_keys()?;
        self.parsed_log_policy()?;
        Ok(())
    }

    fn check_keys(&self) -> Result<(), RootError> {
        let mut names = BTreeSet::new();
        for (found, key) in &self.keys {
            let name = key.name().to_owned();
            if *found != key.id() {
                return Err(RootError::Id { name, found: *found, id: key.id() });
            }
            if !self.roles.values().any(|role| role.keyids.contains(found)) {
                return Err(RootError::Idle(name));
            }
            if !names.insert(key.name()) {
                return Err(RootError::Name(name));
            }
        }
        Ok(())
    }

    fn check_roles(&self) -> Result<(), RootError> {
        if !self.roles.contains_key(&Role::Root) {
            return Err(RootError::NoRoot);
        }
        for (role, holders) in &self.roles {
            let (role, threshold, keys) = (*role, holders.threshold, holders.keyids.len());
            if !holders.enough(keys) {
                return Err(RootError::Threshold { role, threshold, keys });
            }
            if let Some(id) = holders.keyids.iter().find(|id| !self.keys.contains_key(*id)) {
                return Err(RootError::UnknownKey { role, id: *id });
            }
        }
        Ok(())
    }

    /// The log and its witnesses.
    ///
    /// # Errors
    /// When the text is no log policy.
    pub fn parsed_log_policy(&self) -> Result<loadline_tlog::Policy, RootError> {
        Ok(loadline_tlog::Policy::parse(self.log_policy.as_bytes())?)
    }

    /// The keys of a role, ascending by id; none when nobody holds it.
    pub fn holders(&self, role: Role) -> impl Iterator<Item = &PublicKey> {
        let ids = self.roles.get(&role).into_iter().flat_map(|role| &role.keyids);
        ids.filter_map(|id| self.keys.get(id))
    }

    /// The roles of a key.
    pub fn roles_of(&self, key: KeyId) -> impl Iterator<Item = Role> {
        self.roles.iter().filter(move |(_, role)| role.keyids.contains(&key)).map(|(role, _)| *role)
    }

    /// Those who signed an envelope, when all of them hold a role, every signature holds, and they are enough.
    ///
    /// # Errors
    /// When one of them does not hold the role, a signature does not hold, or they are too few.
    pub fn verify(&self, envelope: &Envelope, role: Role) -> Result<Vec<&PublicKey>, SignerError> {
        let version = self.version;
        let holders = self.roles.get(&role).ok_or(SignerError::NoSuchRole { role, version })?;
        let mut known = envelope.claimed().filter_map(|id| self.keys.get(&id));
        if let Some(key) = known.find(|key| !holders.keyids.contains(&key.id())) {
            return Err(SignerError::WrongRole { name: key.name().to_owned(), role });
        }
        let signers = envelope.signers(self.holders(role))?;
        self.enough_of(role, &signers)?;
        Ok(signers.iter().filter_map(|id| self.keys.get(id)).collect())
    }

    /// Whether those who signed hold a role in sufficient number. Others may be among them.
    pub(crate) fn enough_of(&self, role: Role, signers: &BTreeSet<KeyId>) -> Result<(), SignerError> {
        let version = self.version;
        let holders = self.roles.get(&role).ok_or(SignerError::NoSuchRole { role, version })?;
        let found = holders.keyids.intersection(signers).count();
        if holders.enough(found) {
            return Ok(());
        }
        Err(SignerError::TooFew { role, found, needed: holders.threshold })
    }

    /// Whether it counts as current at a moment. Both ends are in; it may be issued up to [`CLOCK_SKEW_S`] after it.
    pub fn is_current(&self, now: Instant) -> bool {
        now <= self.expires && self.issued.seconds() <= now.seconds().saturating_add(CLOCK_SKEW_S)
    }
}
