//! Roots: who may say what, and every way to make somebody believe another one.

use std::collections::BTreeSet;

use loadline_core::{Digest, Instant};
use loadline_trust::root::{MAX_KEYS, ROOT_TYPE};
use loadline_trust::{
    ChainError, Envelope, EnvelopeError, IN_TOTO_TYPE, Role, Root, RootChain, RootError, RootMark, SecretKey,
    SignerError,
};
use serde_json::{Value, json};

use crate::support::{self, Keys, LIFE, at, chain, first, holders, key, keys, log_policy, root, signed};

/// Version 1, changed, and signed by both of its root keys all the same.
fn start(change: impl FnOnce(&mut Root)) -> Result<RootChain, ChainError> {
    let mut root = root();
    change(&mut root);
    let [a, b] = keys().root;
    RootChain::start(&signed(&root, &[&a, &b]), None)
}

/// Version 2, changed, and signed by these keys.
fn extend(change: impl FnOnce(&mut Root), keys: &[&SecretKey]) -> Result<RootChain, ChainError> {
    let mut chain = chain();
    let mut next = support::second(&chain);
    change(&mut next);
    let before = chain.mark();
    let extended = chain.extend(&signed(&next, keys));
    if extended.is_err() {
        assert_eq!(chain.mark(), before);
    }
    extended.map(|()| chain)
}

#[test]
fn a_chain_of_two() {
    let [a, b] = keys().root;
    let chain = extend(|_| (), &[&a, &b]).unwrap();
    assert_eq!((chain.current().version, chain.mark().version), (2, 2));
    assert_eq!(chain.version(1), Some(&root()));
    assert_eq!(chain.digest(1), Some(chain.authority()));
    assert_eq!((chain.version(0), chain.version(3)), (None, None));
    let second = signed(chain.current(), &[&a, &b]);
    let read = RootChain::read([first(), second], Some(chain.authority())).unwrap();
    assert_eq!(read.mark(), chain.mark());
    assert!(matches!(RootChain::read(Vec::<Vec<u8>>::new(), None), Err(ChainError::First(0))));
}

#[test]
fn a_signature_of_a_role_holds_and_of_another_does_not() {
    let Keys { root: [a, _], examiner, authority, .. } = keys();
    let chain = chain();
    let by = |keys: &[&SecretKey]| Envelope::sign(IN_TOTO_TYPE, b"{}".to_vec(), keys).unwrap();
    let verify = |keys: &[&SecretKey], role| chain.current().verify(&by(keys), role).map(|keys| keys.len());
    assert_eq!(verify(&[&examiner], Role::Examiner).unwrap(), 1);
    let error = verify(&[&examiner], Role::Authority).unwrap_err();
    assert_eq!(error.to_string(), "key `examiner` signed and does not hold the role `authority`");
    assert!(matches!(verify(&[&a], Role::Authority), Err(SignerError::WrongRole { .. })));
    // A right signer does not make up for a wrong one.
    assert!(matches!(verify(&[&authority, &examiner], Role::Authority), Err(SignerError::WrongRole { .. })));
    let stranger = key("authority", 99);
    for keys in [vec![&stranger], vec![&authority, &stranger]] {
        let error = verify(&keys, Role::Authority).unwrap_err();
        assert!(matches!(error, SignerError::Envelope(EnvelopeError::Unknown(_))), "{error}");
    }
    let error = verify(&[&a], Role::Root).unwrap_err();
    assert_eq!(error.to_string(), "1 of the role `root` signed; 2 must");
    assert!(error.hint().contains("more holders"));
    assert!(matches!(verify(&[&a], Role::RedTeam), Err(SignerError::NoSuchRole { version: 1, .. })));
}

#[test]
fn version_1_must_be_signed_by_enough_of_its_own_keys() {
    let Keys { root: [a, b], authority, .. } = keys();
    let by = |keys: &[&SecretKey]| RootChain::start(&signed(&root(), keys), None);
    assert!(by(&[&a, &b]).is_ok());
    for keys in [vec![&a], vec![&authority], vec![&a, &authority], vec![&a, &b, &authority]] {
        assert!(matches!(by(&keys), Err(ChainError::Signers { version: 1, .. })), "{keys:?}");
    }
}

#[test]
fn a_pin_decides_which_authority_it_is() {
    let pin = chain().authority();
    assert!(RootChain::start(&first(), Some(pin)).is_ok());
    let error = RootChain::start(&first(), Some(Digest([0; 32]))).unwrap_err();
    assert!(matches!(error, ChainError::Pin { .. }), "{error}");
}

#[test]
fn a_root_that_contradicts_itself() {
    let is = |change: fn(&mut Root), expected: &str| {
        let error = start(change).unwrap_err();
        assert!(matches!(error, ChainError::Root(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.hint().is_empty());
    };
    is(|root| root.format = "loadline-root/2".to_owned(), "not `loadline-root/1`");
    is(|root| root.version = 0, "version 0");
    is(|root| root.previous = Some(Digest([1; 32])), "version 1 has no `previous`");
    is(|root| root.expires = Instant::EPOCH, "never counts");
    is(|root| drop(root.roles.remove(&Role::Root)), "nobody holds the role `root`");
    is(|root| root.roles.get_mut(&Role::Root).unwrap().threshold = 0, "role `root` is 0 of 2");
    is(|root| root.roles.get_mut(&Role::Root).unwrap().threshold = 3, "role `root` is 3 of 2");
    is(|root| root.roles.get_mut(&Role::Examiner).unwrap().threshold = u32::MAX, "`examiner` is 4294967295");
    is(|root| root.roles.get_mut(&Role::Examiner).unwrap().keyids.clear(), "`examiner` is 1 of 0");
    is(
        |root| drop(root.roles.insert(Role::Scientist, holders(1, [&key("nobody", 50)]))),
        "which the root file does not have",
    );
    is(
        |root| {
            let idle = key("idle", 51);
            root.keys.insert(idle.public().id(), idle.public().clone());
        },
        "key `idle` holds no role",
    );
    is(
        |root| {
            let twin = key("examiner", 52);
            root.keys.insert(twin.public().id(), twin.public().clone());
            root.roles.insert(Role::Scientist, holders(1, [&twin]));
        },
        "two keys are named `examiner`",
    );
    is(
        |root| {
            let other = key("examiner", 52);
            let id = keys().examiner.public().id();
            root.keys.insert(id, other.public().clone());
        },
        "stands under the id",
    );
    is(|root| root.log_policy = "log nonsense\n".to_owned(), "the log policy cannot be read");
    is(|root| root.log_policy = String::new(), "the log policy cannot be read");
    is(
        |root| {
            for number in 0..=MAX_KEYS as u8 {
                let key = key(&format!("k{number}"), number | 0x40);
                root.keys.insert(key.public().id(), key.public().clone());
            }
        },
        "at most 64 are accepted",
    );
}

#[test]
fn one_key_does_not_count_twice() {
    // The same key under two names has one id, so it is one key of the role.
    let twin = key("twin", 1);
    assert_eq!(twin.public().id(), key("root-a", 1).public().id());
    let ids: BTreeSet<_> = [&twin, &key("root-a", 1)].iter().map(|key| key.public().id()).collect();
    assert_eq!(ids.len(), 1);
    // In the file, the id stands twice in the role: that is not its canonical form.
    let mut value = serde_json::to_value(root()).unwrap();
    let ids = value["roles"]["root"]["keyids"].as_array_mut().unwrap();
    ids[1] = ids[0].clone();
    let [a, b] = keys().root;
    let envelope = Envelope::sign_json(ROOT_TYPE, &value, &[&a, &b]).unwrap();
    let error = RootChain::start(&envelope.to_bytes(), None).unwrap_err();
    assert!(matches!(error, ChainError::Envelope(EnvelopeError::Payload { .. })), "{error}");
}

#[test]
fn halves_are_not_mixed_into_a_key_that_nobody_made() {
    // A key of one half of each root key has an id of its own, which the root does not have.
    let mixed = SecretKey::from_seeds("root-a", &[1; 32], &[2 ^ 0x80; 32]).unwrap();
    let [a, b] = keys().root;
    assert!(mixed.public().id() != a.public().id() && mixed.public().id() != b.public().id());
    let error = RootChain::start(&signed(&root(), &[&mixed, &b]), None).unwrap_err();
    let ChainError::Signers { error: SignerError::Envelope(EnvelopeError::Unknown(_)), .. } = error else {
        panic!("{error}");
    };
}

#[test]
fn the_next_version_needs_enough_keys_of_both() {
    let Keys { root: [a, b], authority, .. } = keys();
    let (c, d) = (key("root-c", 6), key("root-d", 7));
    let all_new = |root: &mut Root| {
        root.keys.retain(|_, key| !key.name().starts_with("root-"));
        for key in [&c, &d] {
            root.keys.insert(key.public().id(), key.public().clone());
        }
        root.roles.insert(Role::Root, holders(2, [&c, &d]));
    };
    assert!(extend(all_new, &[&a, &b, &c, &d]).is_ok());
    for (signers, lacking) in [
        (vec![&c, &d], 1),
        (vec![&a, &c, &d], 1),
        (vec![&a, &b], 2),
        (vec![&a, &b, &c], 2),
        (vec![&a, &b, &c, &d, &authority], 2),
    ] {
        let error = extend(all_new, &signers).unwrap_err();
        assert!(matches!(error, ChainError::Signers { version, .. } if version == lacking), "{error}");
    }
    // Lowering the threshold needs the old one.
    let lower = |root: &mut Root| root.roles.get_mut(&Role::Root).unwrap().threshold = 1;
    assert!(matches!(extend(lower, &[&a]), Err(ChainError::Signers { version: 1, .. })));
    assert!(extend(lower, &[&a, &b]).is_ok());
}

#[test]
fn rollback_gap_fork_and_time_going_back() {
    let [a, b] = keys().root;
    let signers = [&a, &b];
    let error = |change: fn(&mut Root)| extend(change, &signers).unwrap_err();
    let rollback = error(|root| {
        root.version = 1;
        root.previous = None;
    });
    assert!(matches!(rollback, ChainError::Rollback { found: 1, current: 1 }), "{rollback}");
    assert!(rollback.hint().contains("do not trust it"));
    assert!(matches!(error(|root| root.version = 3), ChainError::Gap { found: 3, current: 1 }));
    assert!(matches!(error(|root| root.version = 1 << 52), ChainError::Gap { .. }));
    assert!(matches!(error(|root| root.previous = Some(Digest([3; 32]))), ChainError::Previous(2)));
    assert!(matches!(error(|root| root.previous = None), ChainError::Root(RootError::Version(2))));
    assert!(matches!(error(|root| root.issued = at(0).min(Instant::EPOCH)), ChainError::Backwards(2)));
    let mut chain = chain();
    assert!(matches!(chain.extend(&first()), Err(ChainError::Rollback { .. })));
    let second = signed(&support::second(&chain), &signers);
    assert!(matches!(RootChain::start(&second, None), Err(ChainError::First(2))));
}

#[test]
fn what_was_seen_before_is_not_forgotten() {
    let [a, b] = keys().root;
    let newer = extend(|_| (), &[&a, &b]).unwrap();
    let forked = extend(|root| root.expires = at(LIFE + 1), &[&a, &b]).unwrap();
    newer.check_seen(chain().mark()).unwrap();
    newer.check_seen(newer.mark()).unwrap();
    let older = chain().check_seen(newer.mark()).unwrap_err();
    assert!(matches!(older, ChainError::Rollback { found: 1, current: 2 }), "{older}");
    assert!(matches!(forked.check_seen(newer.mark()), Err(ChainError::Forked { version: 2, .. })));
    let none = RootMark { version: 0, digest: chain().authority() };
    assert!(matches!(newer.check_seen(none), Err(ChainError::Forked { .. })));
}

#[test]
fn a_clock_an_hour_off() {
    let chain = chain();
    let moment = |seconds: i64| {
        let now = support::START.checked_add_signed(seconds).unwrap();
        chain.check_at(Instant::from_seconds(now).unwrap())
    };
    for within in [-60, 0, 1, LIFE as i64] {
        moment(within).unwrap();
    }
    assert!(matches!(moment(-61), Err(ChainError::Future { .. })));
    assert!(matches!(moment(-3600), Err(ChainError::Future { .. })));
    assert!(matches!(moment(LIFE as i64 + 1), Err(ChainError::Expired { .. })));
    assert!(matches!(moment(LIFE as i64 + 3600), Err(ChainError::Expired { .. })));
}

#[test]
fn floats_and_unknown_fields_in_a_signed_root() {
    let [a, b] = keys().root;
    let read = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(root()).unwrap();
        change(&mut value);
        let envelope = Envelope::sign_json(ROOT_TYPE, &value, &[&a, &b]).unwrap();
        RootChain::start(&envelope.to_bytes(), None)
    };
    assert!(read(|_| ()).is_ok());
    let wrong: [fn(&mut Value); 10] = [
        |value| value["version"] = json!(1.5),
        |value| value["version"] = json!("1"),
        |value| value["version"] = json!(-1),
        |value| value["previous"] = Value::Null,
        |value| value["more"] = json!(true),
        |value| value["roles"]["root"]["weight"] = json!(1),
        |value| value["roles"]["king"] = value["roles"]["root"].clone(),
        |value| value["issued"] = json!("2027-01-15T08:00:00+00:00"),
        |value| value["issued"] = json!(1_800_000_000),
        |value| value["roles"]["examiner"]["threshold"] = json!(4_294_967_296_u64),
    ];
    for (at, change) in wrong.into_iter().enumerate() {
        let error = read(change).unwrap_err();
        assert!(matches!(error, ChainError::Envelope(EnvelopeError::Payload { .. })), "{at}: {error}");
    }
}

#[test]
fn what_holds_no_root_is_none() {
    let [a, b] = keys().root;
    let typed = Envelope::sign_json(IN_TOTO_TYPE, &root(), &[&a, &b]).unwrap();
    let error = RootChain::start(&typed.to_bytes(), None).unwrap_err();
    assert!(matches!(error, ChainError::Envelope(EnvelopeError::Type { .. })), "{error}");
    assert_eq!(root().log_policy, log_policy());
}
