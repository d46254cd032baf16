//! Keys, roots and standings of a small authority, the same in every run.

use std::collections::{BTreeMap, BTreeSet};

use loadline_core::{Digest, Instant};
use loadline_tlog::{Algorithm, SignerKey};
use loadline_trust::root::{ROOT_FORMAT, ROOT_TYPE};
use loadline_trust::standing::STANDING_FORMAT;
use loadline_trust::{
    Envelope, KeyId, Role, RoleKeys, Root, RootChain, SecretKey, Standing, StandingEntry, StandingState,
};

/// 2027-01-15T08:00:00Z.
pub const START: u64 = 1_800_000_000;
/// For how long a test root counts, in seconds.
pub const LIFE: u64 = 86_400;

/// A moment so many seconds after [`START`].
pub fn at(seconds: u64) -> Instant {
    Instant::from_seconds(START + seconds).unwrap()
}

/// A key that follows from a number.
pub fn key(name: &str, number: u8) -> SecretKey {
    SecretKey::from_seeds(name, &[number; 32], &[number ^ 0x80; 32]).unwrap()
}

/// The keys of a small authority: two for the root, one for each other role.
pub struct Keys {
    pub root: [SecretKey; 2],
    pub authority: SecretKey,
    pub examiner: SecretKey,
    pub standing: SecretKey,
}

pub fn keys() -> Keys {
    Keys {
        root: [key("root-a", 1), key("root-b", 2)],
        authority: key("authority", 3),
        examiner: key("examiner", 4),
        standing: key("standing", 5),
    }
}

pub fn holders<'k>(threshold: u32, keys: impl IntoIterator<Item = &'k SecretKey>) -> RoleKeys {
    RoleKeys { keyids: keys.into_iter().map(|key| key.public().id()).collect::<BTreeSet<KeyId>>(), threshold }
}

pub fn log_policy() -> String {
    let log = SignerKey::from_seed("example.com/log", Algorithm::Ed25519, &[9; 32]).unwrap();
    format!("log {}\nquorum none\n", log.verifier().to_vkey())
}

/// Version 1, with a threshold of 2 for its root role.
pub fn root() -> Root {
    let Keys { root, authority, examiner, standing } = keys();
    let roles = BTreeMap::from([
        (Role::Root, holders(2, &root)),
        (Role::Authority, holders(1, [&authority])),
        (Role::Examiner, holders(1, [&examiner])),
        (Role::Standing, holders(1, [&standing])),
    ]);
    let all = root.iter().chain([&authority, &examiner, &standing]);
    Root {
        format: ROOT_FORMAT.to_owned(),
        version: 1,
        previous: None,
        issued: at(0),
        expires: at(LIFE),
        keys: all.map(|key| (key.public().id(), key.public().clone())).collect(),
        roles,
        log_policy: log_policy(),
    }
}

pub fn signed(root: &Root, keys: &[&SecretKey]) -> Vec<u8> {
    Envelope::sign_json(ROOT_TYPE, root, keys).unwrap().to_bytes()
}

/// Version 1, signed by both of its root keys.
pub fn first() -> Vec<u8> {
    let [a, b] = keys().root;
    signed(&root(), &[&a, &b])
}

pub fn chain() -> RootChain {
    RootChain::start(&first(), None).unwrap()
}

/// Version 2: the examiner has another key.
pub fn second(chain: &RootChain) -> Root {
    let examiner = key("examiner-2", 14);
    let mut next = chain.current().clone();
    next.version = 2;
    next.previous = Some(chain.authority());
    next.issued = at(100);
    next.keys.retain(|_, key| key.name() != "examiner");
    next.keys.insert(examiner.public().id(), examiner.public().clone());
    next.roles.insert(Role::Examiner, holders(1, [&examiner]));
    next
}

pub fn license(number: u8) -> Digest {
    Digest([number; 32])
}

/// A standing with one revoked and one suspended licence.
pub fn standing(epoch: u64) -> Standing {
    let entry = |number, state| StandingEntry {
        license: license(number),
        state,
        since: at(0),
        reason: "found to leak".to_owned(),
    };
    Standing {
        format: STANDING_FORMAT.to_owned(),
        authority: chain().authority(),
        epoch,
        issued: at(10),
        expires: at(40),
        log_size: 7,
        entries: vec![entry(1, StandingState::Revoked), entry(2, StandingState::Suspended)],
    }
}
