//! Served only as long as the authority speaks.

use std::time::Duration;

use loadline_gate::ledger::Event;
use loadline_gate::standing::StandingKeeper;
use loadline_testkit::endpoint::{FakeEndpoint, Fault};
use loadline_trust::StandingState;

use crate::support::{ASK, Make, Rig, START, STREAM, at, chunk, open_stream};

#[test]
fn without_word_from_the_authority_nothing_is_served() {
    let rig = Rig::make(Make { standing: false, ..Make::default() });
    assert_eq!(rig.chat(ASK).code(), "standing_missing");
    assert!(rig.stand(1, 0, 3_600, &[]).unwrap());
    assert_eq!(rig.chat(ASK).status, 200);
}

#[test]
fn a_silent_authority_closes_the_gate_at_the_end_of_the_lease() {
    // The marks' lease is 60 seconds; the standing itself says an hour.
    let rig = Rig::new();
    rig.clock.pass(60_999);
    assert_eq!(rig.chat(ASK).status, 200);
    rig.clock.pass(1);
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (403, "standing_stale"));
    assert!(rig.stand(2, 61, 3_600, &[]).unwrap());
    assert_eq!(rig.chat(ASK).status, 200);
}

#[test]
fn the_end_of_a_lease_cuts_streams() {
    let endless = |_: &_| Some(Fault::Endless(Duration::from_millis(1)));
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(endless), ..Make::default() });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    chunk(&mut stream).unwrap();
    rig.clock.pass(61_000);
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    assert!(text.contains("standing_stale"), "{text}");
    rig.endpoint.wait_until(|counters| counters.streams == 0);
}

#[test]
fn setting_the_clock_does_not_lengthen_a_lease() {
    let rig = Rig::new();
    rig.clock.pass(59_000);
    // Back by an hour: the wall clock alone would give another hour.
    rig.clock.set_wall((START - 3_600) * 1_000);
    assert_eq!(rig.chat(ASK).status, 200);
    rig.clock.pass(2_000);
    assert_eq!(rig.chat(ASK).code(), "standing_stale");
    // Forward by an hour: closed at once.
    assert!(rig.stand(2, 0, 3_600, &[]).is_err(), "issued in the future of this clock");
    rig.clock.set_wall((START + 100) * 1_000);
    assert!(rig.stand(2, 100, 3_600, &[]).unwrap());
    assert_eq!(rig.chat(ASK).status, 200);
    rig.clock.set_wall((START + 3_700) * 1_000);
    assert_eq!(rig.chat(ASK).code(), "standing_stale");
}

#[test]
fn revoked_and_suspended_licences_are_not_served() {
    let rig = Rig::new();
    assert!(rig.stand(2, 0, 3_600, &[(rig.license, StandingState::Suspended)]).unwrap());
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (403, "license_suspended"));
    assert!(reply.body.contains("a test says so"), "{reply:?}");
    assert!(rig.stand(3, 0, 3_600, &[(rig.license, StandingState::Revoked)]).unwrap());
    assert_eq!(rig.chat(ASK).code(), "license_revoked");
    assert!(rig.stand(4, 0, 3_600, &[]).unwrap());
    assert_eq!(rig.chat(ASK).status, 200);
}

#[test]
fn revoking_a_licence_cuts_its_streams() {
    let endless = |_: &_| Some(Fault::Endless(Duration::from_millis(1)));
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(endless), ..Make::default() });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    chunk(&mut stream).unwrap();
    assert!(rig.stand(2, 0, 3_600, &[(rig.license, StandingState::Revoked)]).unwrap());
    rig.endpoint.wait_until(|counters| counters.streams == 0);
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    assert!(text.contains("license_revoked"), "{text}");
}

#[test]
fn an_older_epoch_is_refused_also_after_a_restart() {
    let rig = Rig::new();
    assert!(rig.stand(7, 0, 3_600, &[(rig.license, StandingState::Revoked)]).unwrap());
    for _ in 0..2 {
        // `stand` opens the state folder anew each time, as a restart does.
        let error = rig.stand(6, 0, 3_600, &[]).unwrap_err();
        assert!(error.contains("epoch 6; epoch 7 was seen before: a rollback"), "{error}");
        let error = rig.stand(7, 0, 3_600, &[]).unwrap_err();
        assert!(error.contains("two standings of epoch 7"), "{error}");
    }
    assert_eq!(rig.chat(ASK).code(), "license_revoked");
    assert!(!rig.stand(7, 0, 3_600, &[(rig.license, StandingState::Revoked)]).unwrap(), "the same again");

    let keeper = StandingKeeper::open(rig.folder.path()).unwrap();
    assert_eq!(keeper.seen().unwrap().epoch, 7);
    assert_eq!(keeper.kept(&rig.loaded.chain, rig.gate.now()).unwrap().standing.epoch, 7);
    rig.clock.pass(3_601_000);
    assert!(keeper.kept(&rig.loaded.chain, rig.gate.now()).is_none(), "what is kept expires as well");
}

#[test]
fn a_damaged_memory_of_epochs_stops_the_gate_from_starting() {
    let rig = Rig::new();
    let path = rig.folder.path().join("standing.json");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, bytes).unwrap();
    let problem = StandingKeeper::open(rig.folder.path()).err().unwrap();
    assert!(problem.to_string().contains("is damaged"), "{problem}");
    assert!(problem.hint().contains("backup"));
}

#[test]
fn a_standing_of_another_authority_is_refused_and_written_down() {
    let rig = Rig::new();
    let other = loadline_testkit::authority::TestAuthority::new(at(50));
    let mut keeper = StandingKeeper::open(rig.folder.path()).unwrap();
    let published = rig.folder.path().join("published.json");
    let renew = |keeper: &mut StandingKeeper| {
        let source = &rig.config.authority.standing;
        rig.runtime.block_on(loadline_gate::standing::renew(&rig.gate, keeper, &rig.loaded.chain, source))
    };
    assert!(renew(&mut keeper).unwrap_err().to_string().contains("there is no such file"));
    std::fs::write(&published, other.standing(9, at(0), 60, &[])).unwrap();
    let error = renew(&mut keeper).unwrap_err().to_string();
    assert!(error.contains("is of authority"), "{error}");
    assert!(rig.audit.entries().events.contains(&Event::StandingRefused(error)));
    // The same once more is no news.
    assert!(!renew(&mut keeper).unwrap_err().is_new);
    std::fs::write(&published, rig.authority.standing(9, at(0), 60, &[])).unwrap();
    assert!(renew(&mut keeper).unwrap());
    assert!(!renew(&mut keeper).unwrap());
    assert_eq!(rig.gate.snapshot().standing.as_ref().unwrap().mark.epoch, 9);
    // A silent authority is one problem, however often the gate looks: one row of the log, one word to the operator.
    let refused = || {
        let events = rig.audit.entries().events;
        events.iter().filter(|event| matches!(event, Event::StandingRefused(_))).count()
    };
    let before = refused();
    let looks: Vec<_> = (0..3)
        .map(|_| {
            rig.clock.pass(70_000);
            renew(&mut keeper).unwrap_err().is_new
        })
        .collect();
    assert_eq!((looks, refused()), (vec![true, false, false], before + 1));
    std::fs::write(&published, rig.authority.standing(10, at(210), 60, &[])).unwrap();
    assert!(renew(&mut keeper).unwrap() && keeper.is_news());
}
