//! Standings: the lease a gate lives on, and every way to show it an old or another one.

use loadline_core::{Digest, Instant};
use loadline_trust::standing::{MAX_ENTRIES, STANDING_TYPE};
use loadline_trust::{
    Envelope, EnvelopeError, SignerError, Standing, StandingError, StandingMark, StandingState,
};
use serde_json::{Value, json};

use crate::support::{START, at, chain, keys, license, standing};

fn signed(standing: &Standing) -> Vec<u8> {
    // Signed without its own check: what an attacker who has the key could sign.
    Envelope::sign_json(STANDING_TYPE, standing, &[&keys().standing]).unwrap().to_bytes()
}

fn accept(standing: &Standing, seen: Option<StandingMark>) -> Result<StandingMark, StandingError> {
    Standing::accept(&signed(standing), &chain(), seen, at(20)).map(|(_, mark)| mark)
}

#[test]
fn what_is_signed_is_accepted_and_says_what_became_of_a_licence() {
    let bytes = standing(3).sign(&[&keys().standing]).unwrap().to_bytes();
    let (read, mark) = Standing::accept(&bytes, &chain(), None, at(20)).unwrap();
    assert_eq!((&read, mark.epoch, mark.log_size), (&standing(3), 3, 7));
    assert_eq!(read.of(license(1)).unwrap().state, StandingState::Revoked);
    assert_eq!(read.of(license(2)).unwrap().state, StandingState::Suspended);
    assert_eq!(read.of(license(3)), None);
}

#[test]
fn older_equal_and_newer_epochs() {
    let seen = accept(&standing(3), None).unwrap();
    accept(&standing(3), Some(seen)).unwrap();
    accept(&standing(4), Some(seen)).unwrap();
    let older = accept(&standing(2), Some(seen)).unwrap_err();
    assert!(matches!(older, StandingError::Rollback { found: 2, seen: 3 }), "{older}");
    assert!(older.hint().contains("do not trust it"));
    let mut other = standing(3);
    other.entries.clear();
    assert!(matches!(accept(&other, Some(seen)), Err(StandingError::Forked(3))));
    let mut shrunk = standing(4);
    shrunk.log_size = 6;
    assert!(matches!(accept(&shrunk, Some(seen)), Err(StandingError::LogShrank { found: 6, seen: 7, .. })));
}

#[test]
fn a_clock_an_hour_off() {
    let moment = |seconds: i64| {
        let now = Instant::from_seconds(START.checked_add_signed(seconds).unwrap()).unwrap();
        Standing::accept(&signed(&standing(1)), &chain(), None, now).map(|_| ())
    };
    for within in [-50, 10, 40] {
        moment(within).unwrap();
    }
    assert!(matches!(moment(41), Err(StandingError::Expired { .. })));
    assert!(matches!(moment(3600), Err(StandingError::Expired { .. })));
    assert!(matches!(moment(-51), Err(StandingError::Future { .. })));
    assert!(matches!(moment(-3600), Err(StandingError::Future { .. })));
}

#[test]
fn only_the_role_standing_of_this_authority_signs_it() {
    let keys = keys();
    for wrong in [&keys.authority, &keys.examiner, &keys.root[0]] {
        let bytes = Envelope::sign_json(STANDING_TYPE, &standing(1), &[wrong]).unwrap().to_bytes();
        let error = Standing::accept(&bytes, &chain(), None, at(20)).unwrap_err();
        assert!(matches!(error, StandingError::Signers(SignerError::WrongRole { .. })), "{error}");
    }
    let mut other = standing(1);
    other.authority = Digest([8; 32]);
    assert!(matches!(accept(&other, None), Err(StandingError::Authority { .. })));
    let typed = Envelope::sign_json("application/json", &standing(1), &[&keys.standing]).unwrap();
    let error = Standing::accept(&typed.to_bytes(), &chain(), None, at(20)).unwrap_err();
    assert!(matches!(error, StandingError::Envelope(EnvelopeError::Type { .. })), "{error}");
}

#[test]
fn a_standing_that_contradicts_itself() {
    type Change = fn(&mut Standing);
    let wrong: [(Change, &str); 6] = [
        (|standing| standing.epoch = 0, "has no epoch"),
        (|standing| standing.expires = at(9), "expires before it is issued"),
        (|standing| standing.entries.reverse(), "out of order"),
        (|standing| standing.entries[1] = standing.entries[0].clone(), "twice"),
        (|standing| standing.entries[0].reason = "x".repeat(501), "too long a reason"),
        (|standing| standing.format = "loadline-standing/2".to_owned(), "not `loadline-standing/1`"),
    ];
    for (change, expected) in wrong {
        let mut standing = standing(1);
        change(&mut standing);
        let error = accept(&standing, None).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let refused = standing.sign(&[&keys().standing]).unwrap_err();
        assert_eq!(refused.to_string(), error.to_string(), "it is not even signed");
    }
    let mut long = standing(1);
    long.entries = (0..=MAX_ENTRIES as u32)
        .map(|number| {
            let mut entry = long.entries[0].clone();
            entry.license.0[..4].copy_from_slice(&number.to_be_bytes());
            entry
        })
        .collect();
    assert!(accept(&long, None).unwrap_err().to_string().contains("too many licences"));
    long.entries.pop();
    accept(&long, None).unwrap();
}

#[test]
fn floats_and_unknown_fields_in_a_signed_standing() {
    let wrong: [fn(&mut Value); 6] = [
        |value| value["epoch"] = json!(1.5),
        |value| value["log_size"] = json!(-1),
        |value| value["more"] = json!(1),
        |value| value["entries"][0]["state"] = json!("reinstated"),
        |value| value["entries"][0]["license"] = json!("sha256:00"),
        |value| drop(value["entries"][0].as_object_mut().unwrap().remove("since")),
    ];
    for change in wrong {
        let mut value = serde_json::to_value(standing(1)).unwrap();
        change(&mut value);
        let bytes = Envelope::sign_json(STANDING_TYPE, &value, &[&keys().standing]).unwrap().to_bytes();
        let error = Standing::accept(&bytes, &chain(), None, at(20)).unwrap_err();
        assert!(matches!(error, StandingError::Envelope(EnvelopeError::Payload { .. })), "{error}");
    }
}
