//! Whole courses of applications.

use loadline_access::book::State;
use loadline_access::desk::Reply;
use loadline_access::refusal::Code;
use loadline_access::request::{self, Act, Verdict};
use loadline_access::rows::Basis;
use loadline_core::Instant;
use loadline_evidence::disk::RealDisk;
use loadline_gate::keys::{KeyFile, KeyState};
use loadline_policy::policy::Stage;

use crate::support::{Office, at, key};

#[test]
fn from_an_application_to_a_key_and_to_its_end() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let asked = office.asked(&id);
    assert_eq!(asked.len(), 2);
    office.review(&asked[0], &id, Verdict::Accept).unwrap();
    assert_eq!(office.status("ada", &id).state, State::InReview);
    office.review(&asked[1], &id, Verdict::Accept).unwrap();
    let status = office.status("ada", &id);
    assert_eq!((status.state, status.basis), (State::Accepted, Basis::Key));
    assert_eq!(status.reasons, [format!("{} says accept", asked[0]), format!("{} says accept", asked[1])]);
    let early = office.ask("ada", Some(&id), Act::Claim).unwrap_err();
    assert!(early.message.contains("not given yet"), "{early}");

    office.now = at("2027-01-01T00:00:00Z");
    let now = office.now;
    office.desk().draw("2026-1", None, now).unwrap();
    assert_eq!(office.status("ada", &id).state, State::Admitted);
    let Reply::Key(granted) = office.ask("ada", Some(&id), Act::Claim).unwrap() else { panic!("no key") };
    assert_eq!(granted.expires, office.now.plus_days(90));
    let file = KeyFile::read(&RealDisk, &office.programme().keys).unwrap();
    let made = &file.keys()[0];
    assert_eq!(made.hash, loadline_core::Digest::of(granted.secret.expose().as_bytes()));
    assert_eq!(
        (made.stages.as_slice(), made.models.as_slice()),
        ([Stage::Academic].as_slice(), ["small".to_owned()].as_slice())
    );
    assert_eq!((made.role.as_str(), made.limits.tokens_per_term), ("scientist", Some(1_000_000)));
    assert_eq!((made.expires, made.quota.as_str()), (Some(granted.expires), format!("access/{id}").as_str()));
    let again = office.ask("ada", Some(&id), Act::Claim).unwrap_err();
    assert!(again.message.contains("shown once") && again.hint.contains("gate key rotate"), "{again}");

    let report = Act::Report("two papers".to_owned());
    office.ask("ada", Some(&id), report.clone()).unwrap();
    let replayed = office.ask("ada", Some(&id), report.clone()).unwrap_err();
    assert!(replayed.message.contains("taken already"), "{replayed}");
    office.reopen();
    assert!(office.ask("ada", Some(&id), report).is_err(), "also after a restart");
    office.days_later(91);
    assert_eq!(office.status("ada", &id).state, State::Ended);
    let figures = office.desk().figures(at("2027-06-01T00:00:00Z"));
    assert_eq!((figures.total.granted, figures.total.ended, figures.total.reported), (1, 1, 1));
}

#[test]
fn two_who_disagree_get_a_third_and_the_majority_decides() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let asked = office.asked(&id);
    office.review(&asked[0], &id, Verdict::Accept).unwrap();
    office.review(&asked[1], &id, Verdict::Reject).unwrap();
    let third = office.asked(&id);
    assert!(third.len() == 1 && !asked.contains(&third[0]));
    office.review(&third[0], &id, Verdict::Reject).unwrap();
    let status = office.status("ada", &id);
    assert_eq!((status.state, status.reasons.len()), (State::Rejected, 2));
    assert_eq!(status.appeal_until, Some(office.now.plus_days(10)));
}

#[test]
fn an_appeal_goes_to_others_once_and_in_time() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let first = office.asked(&id);
    let appeal = || Act::Appeal("you misread it".to_owned());
    assert_eq!(office.ask("ada", Some(&id), appeal()).unwrap_err().code, Code::WrongMoment);
    office.decide(&id, Verdict::Reject);
    office.days_later(10);
    office.ask("ada", Some(&id), appeal()).unwrap();
    let second = office.asked(&id);
    assert!(second.len() == 2 && second.iter().all(|name| !first.contains(name)));
    let Reply::Queue(queue) = office.ask(&second[0], None, Act::Queue).unwrap() else { panic!("no queue") };
    assert_eq!(queue.waiting[0].appeal.as_deref(), Some("you misread it"));
    office.decide(&id, Verdict::Accept);
    assert_eq!(office.status("ada", &id).state, State::Accepted);
    let figures = office.desk().figures(at("2026-12-20T00:00:00Z")).total;
    assert_eq!((figures.appeals, figures.overturned, figures.accepted, figures.rejected), (1, 1, 1, 0));

    let late = office.apply("bob", "other.example");
    office.decide(&late, Verdict::Reject);
    office.days_later(11);
    assert!(office.ask("bob", Some(&late), appeal()).unwrap_err().message.contains("are over"));
}

#[test]
fn nobody_reviews_a_colleague_and_who_steps_back_is_replaced() {
    let mut office = Office::new();
    // Below and above the domain of a reviewer's institution counts as the same.
    for (name, domain, reviewer) in [("ada", "a.example", "rev-a"), ("bob", "cs.b.example", "rev-b")] {
        let id = office.apply(name, domain);
        assert_eq!(office.desk().book().cases[&id].applied.conflicts, [reviewer]);
        let mut seen = Vec::new();
        // All others may step back; the colleague is never asked.
        while let Some(next) = office.asked(&id).first().cloned() {
            assert_ne!(next, reviewer);
            office.ask(&next, Some(&id), Act::Recuse("we publish together".to_owned())).unwrap();
            seen.push(next);
        }
        assert_eq!(seen.len(), 5);
        let error = office.review(&seen[0], &id, Verdict::Accept).unwrap_err();
        assert!(error.message.contains("not asked") && error.hint.contains("access queue"), "{error}");
        assert!(office.status(name, &id).overdue, "nobody is left, and it says so");
    }
    // A reviewer's own application, with another domain.
    let id = office.apply("rev-c", "elsewhere.example");
    assert_eq!(office.desk().book().cases[&id].applied.conflicts, ["rev-c"]);
}

#[test]
fn the_order_of_reviewers_follows_from_the_seed_and_differs_between_applications() {
    let mut panels = std::collections::BTreeSet::new();
    let mut office = Office::new();
    for at in 0..12 {
        let id = office.apply(&format!("p{at}"), "uni.example");
        panels.insert(office.asked(&id));
    }
    assert!(panels.len() > 3, "{panels:?}");
    let mut again = Office::new();
    let id = again.apply("p0", "uni.example");
    assert!(panels.contains(&again.asked(&id)));
}

#[test]
fn one_person_applies_once_in_a_round_and_the_same_again_gets_the_same_answer() {
    let mut office = Office::new();
    let application = office.application("ada", "uni.example");
    let first = office.send(&application, "ada").unwrap();
    assert_eq!(office.send(&application, "ada").unwrap().application, first.application);
    let mut other = application.clone();
    other.purpose = "something else".to_owned();
    let error = office.send(&other, "ada").unwrap_err();
    assert_eq!(error.code, Code::AlreadyApplied);
    office.reopen();
    assert_eq!(office.send(&other, "ada").unwrap_err().code, Code::AlreadyApplied);
    office.now = at("2027-02-02T00:00:00Z");
    assert_ne!(office.apply("ada", "uni.example"), first.application);
}

#[test]
fn one_person_holds_one_key_at_a_time() {
    let mut office = Office::new();
    let first = office.apply("ada", "uni.example");
    office.decide(&first, Verdict::Accept);
    office.now = at("2027-02-02T00:00:00Z");
    let now = office.now;
    office.desk().draw("2026-1", None, now).unwrap();
    office.ask("ada", Some(&first), Act::Claim).unwrap();
    let second = office.apply("ada", "uni.example");
    office.decide(&second, Verdict::Accept);
    office.now = at("2027-03-01T00:00:00Z");
    let now = office.now;
    office.desk().draw("2027-1", None, now).unwrap();
    let error = office.ask("ada", Some(&second), Act::Claim).unwrap_err();
    assert!(error.message.contains("you hold a key"), "{error}");
    office.desk().revoke(&first, now).unwrap();
    office.ask("ada", Some(&second), Act::Claim).unwrap();
    let file = KeyFile::read(&RealDisk, &office.programme().keys).unwrap();
    let states: Vec<_> = file.keys().iter().map(|key| key.state(now)).collect();
    assert_eq!(states, [KeyState::Revoked, KeyState::Works]);
}

#[test]
fn nobody_acts_for_somebody_else() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let asked = office.asked(&id);
    let stranger = office.ask("eve", Some(&id), Act::Status).unwrap_err();
    let nothing = office.ask("eve", Some("00"), Act::Status).unwrap_err();
    assert_eq!((&stranger, stranger.code), (&nothing, Code::Unknown), "the two are not told apart");
    assert_eq!(office.ask("eve", Some(&id), Act::Withdraw).unwrap_err().code, Code::Unknown);
    assert_eq!(office.review("eve", &id, Verdict::Accept).unwrap_err().code, Code::NotSigned);
    assert_eq!(office.review("ada", &id, Verdict::Accept).unwrap_err().code, Code::NotSigned);
    office.review(&asked[0], &id, Verdict::Accept).unwrap();
    assert_eq!(office.review(&asked[0], &id, Verdict::Accept).unwrap_err().code, Code::WrongMoment, "twice");
    // Somebody else's key in an application.
    let mut forged = office.application("eve", "uni.example");
    forged.key = key("ada").public().clone();
    assert_eq!(office.send(&forged, "eve").unwrap_err().code, Code::NotSigned);
    // A byte changed after signing.
    let application = office.application("eve", "uni.example");
    let bytes = request::sign_application(&application, &key("eve")).unwrap();
    let at = bytes.len() / 2;
    for changed in [at, 20, bytes.len() - 20] {
        let mut bytes = bytes.clone();
        bytes[changed] = if bytes[changed] == b'A' { b'B' } else { b'A' };
        let now = office.now;
        assert_eq!(office.desk().take(&bytes, now).unwrap_err().code, Code::NotSigned);
    }
}

#[test]
fn a_request_that_is_old_for_another_programme_or_too_large_is_refused() {
    let mut office = Office::new();
    let mut application = office.application("ada", "uni.example");
    application.at = Instant::from_seconds(office.now.seconds() - 301).unwrap();
    let error = office.send(&application, "ada").unwrap_err();
    assert!(error.code == Code::NotFresh && error.hint.contains("clock"), "{error}");
    application.at = Instant::from_seconds(office.now.seconds() + 61).unwrap();
    assert_eq!(office.send(&application, "ada").unwrap_err().code, Code::NotFresh, "from ahead");
    application.at = office.now;
    application.programme = "example.org/other".to_owned();
    assert!(office.send(&application, "ada").unwrap_err().message.contains("example.org/access"));
    application = office.application("ada", "uni.example");
    application.level = "everything".to_owned();
    assert!(office.send(&application, "ada").unwrap_err().hint.contains("study"));
    application = office.application("ada", "uni.example");
    application.days = 181;
    assert!(office.send(&application, "ada").unwrap_err().message.contains("1 to 180"));
    application = office.application("ada", "Uni");
    assert!(office.send(&application, "ada").unwrap_err().hint.contains("uni.example"));
    application = office.application("ada", "uni.example");
    application.purpose = "x".repeat(8_001);
    assert!(office.send(&application, "ada").unwrap_err().message.contains("purpose"));
    application.purpose = "x".repeat(70_000);
    assert!(office.send(&application, "ada").unwrap_err().message.contains("at most"));
    application = office.application("ada", "uni.example");
    application.id_token = Some("a.b.c".to_owned());
    assert_eq!(office.send(&application, "ada").unwrap_err().code, Code::IdentityRefused);
    office.now = at("2027-01-05T00:00:00Z");
    let application = office.application("ada", "uni.example");
    let error = office.send(&application, "ada").unwrap_err();
    assert!(error.code == Code::RoundClosed && error.hint.contains("2027-1"), "{error}");
    assert!(office.desk().book().cases.is_empty());
}

#[test]
fn an_overdue_review_shows_and_one_who_left_is_replaced() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    let asked = office.asked(&id);
    assert_eq!(office.desk().figures(at("2026-12-16T10:00:00Z")).total.overdue, 0);
    assert_eq!(office.desk().figures(at("2026-12-16T10:00:01Z")).total.overdue, 1);
    let mut programme = office.programme();
    programme.reviewers.retain(|reviewer| reviewer.name() != asked[0]);
    office.desk = None;
    let disk = std::sync::Arc::new(RealDisk);
    let random = std::sync::Arc::clone(&office.random);
    office.desk = Some(loadline_access::Desk::open(disk, programme, office.now, random).unwrap().0);
    let now = office.asked(&id);
    assert_eq!(now.len(), 3, "the one who left keeps the seat in the log, and another was asked");
    office.review(&now[1], &id, Verdict::Accept).unwrap();
    office.review(&now[2], &id, Verdict::Accept).unwrap();
    assert_eq!(office.status("ada", &id).state, State::Accepted);
}

#[test]
fn what_was_taken_back_is_over_and_texts_can_be_erased() {
    let mut office = Office::new();
    let id = office.apply("ada", "uni.example");
    office.ask("ada", Some(&id), Act::Withdraw).unwrap();
    assert_eq!(office.status("ada", &id).state, State::Withdrawn);
    assert!(office.ask("ada", Some(&id), Act::Withdraw).is_err());

    let other = office.apply("bob", "uni.example");
    let asked = office.asked(&other);
    office.review(&asked[0], &other, Verdict::Accept).unwrap();
    let now = office.now;
    office.desk().erase(&other, now).unwrap();
    assert_eq!(office.ask("bob", Some(&other), Act::Status).unwrap_err().code, Code::Unknown);
    assert_eq!(office.review(&asked[1], &other, Verdict::Accept).unwrap_err().code, Code::WrongMoment);
    assert_eq!(office.desk().status(&other, now).unwrap().state, State::Withdrawn);
    office.reopen();
    let figures = office.desk().figures(now).total;
    assert_eq!((figures.applied, figures.withdrawn), (2, 2));
    // No text of a person is in any file, erased or not.
    for entry in std::fs::read_dir(office.state()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for text in ["Dr bob", "biased", "IRB 2026", "uni.example"] {
            assert!(!String::from_utf8_lossy(&bytes).contains(text), "{text}");
        }
    }
}
