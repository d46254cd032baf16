//! Sign-offs: each is one person's, whoever else signs the same words in the same second.

use std::collections::BTreeSet;

use loadline_core::Digest;
use loadline_exam::fixture::{Plan, at, keys, make, policy};
use loadline_exam::signoff::{SIGN_OFF_FORMAT, SIGN_OFF_FORMAT_1, SignOffStatement};
use loadline_policy::Policy;
use loadline_policy::decide::{Case, Decision, Outcome, decide};
use loadline_policy::policy::{Role, SignOffRule, Stage};
use loadline_trust::{Root, RootChain};

/// The fixture's root, where two more keys hold the role `authority`.
fn root() -> Root {
    let roots = make(&Plan::default()).unwrap().contents.roots;
    let mut root = RootChain::read(roots, None).unwrap().current().clone();
    let keys = keys().unwrap();
    let three = [&keys.authority, &keys.auditor, &keys.stranger];
    for key in three {
        root.keys.insert(key.public().id(), key.public().clone());
    }
    let held = root.roles.get_mut(&loadline_trust::Role::Authority).unwrap();
    held.keyids = three.iter().map(|key| key.public().id()).collect::<BTreeSet<_>>();
    root
}

/// The fixture's policy, with two of three signatures.
fn two_of_three() -> Policy {
    let mut policy = policy();
    let rule = SignOffRule { role: Role::Authority, needed: 2, of: 3 };
    policy.stages[0].sign_off = vec![rule.clone()];
    policy.stages[0].light_sign_off = vec![rule];
    policy
}

/// What is decided when two people sign the same statement: no evidence, so that only their reasons count.
fn decided(format: &str) -> (Vec<String>, Decision) {
    let (root, policy) = (root(), two_of_three());
    let (attestation, subject) = (Digest([7; 32]), Digest([8; 32]));
    let statement = SignOffStatement {
        approves: true,
        at: at(10).unwrap(),
        attestation,
        format: format.to_owned(),
        policy: policy.digest().unwrap(),
        role: Role::Authority,
        stage: Stage::Limited,
        subject,
    };
    let keys = keys().unwrap();
    let sign_offs: Vec<_> = [&keys.authority, &keys.auditor]
        .into_iter()
        .map(|key| statement.sign(key).unwrap().to_bytes())
        .map(|bytes| SignOffStatement::accept(&bytes, &root, attestation).unwrap())
        .collect();
    let ids = sign_offs.iter().map(|sign_off| sign_off.id.clone()).collect();
    let (stage, now) = (Stage::Limited, at(20).unwrap());
    let case = Case { subject, stage, now, scope: Vec::new(), evidence: Vec::new(), sign_offs, drill: None };
    (ids, decide(&policy, &case).unwrap())
}

#[test]
fn two_people_may_sign_in_the_same_second() {
    let (ids, decision) = decided(SIGN_OFF_FORMAT);
    assert_ne!(ids[0], ids[1]);
    assert!(decision.reasons.iter().all(|reason| reason.rule != "evidence"), "{:?}", decision.reasons);
    let counted = decision.reasons.iter().find(|reason| reason.rule == "sign_off.authority").unwrap();
    assert_eq!(
        (counted.outcome, counted.text.as_str()),
        (Outcome::Allow, "2 of 2 needed signed as authority")
    );
    let cited: BTreeSet<_> = counted.evidence.iter().collect();
    assert_eq!(cited, ids.iter().collect());
}

/// Version 1 is named by its payload alone. What was decided by it is decided again in the same words.
#[test]
fn version_1_is_read_as_it_was() {
    let golden = include_bytes!("../golden/sign-off-1.json");
    let attestation =
        SignOffStatement::read(&loadline_trust::Envelope::parse(golden).unwrap()).unwrap().attestation;
    let accepted = SignOffStatement::accept(golden, &root(), attestation).unwrap();
    assert_eq!(accepted.id, "sign-off-f20c05f39035");
    let (ids, decision) = decided(SIGN_OFF_FORMAT_1);
    assert_eq!(ids[0], ids[1]);
    assert!(decision.reasons.iter().any(|reason| reason.rule == "evidence"));
    let other = make(&Plan {
        sign_off: Some(|sign| sign.format = "loadline-sign-off/3".to_owned()),
        ..Plan::default()
    });
    let envelope = other.unwrap().contents.sign_offs.remove(0);
    let error = SignOffStatement::accept(&envelope, &root(), attestation).unwrap_err().to_string();
    assert_eq!(
        error,
        "`format` is `loadline-sign-off/3`, not `loadline-sign-off/2` or `loadline-sign-off/1`"
    );
}
