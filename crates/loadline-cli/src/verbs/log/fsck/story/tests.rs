//! Honest logs, and each lie in one.

use loadline_core::model::Basis;
use loadline_exam::entry::{DrillEntry, LogState, PolicyEntry, Resume, RootEntry};
use loadline_policy::policy::ModelStage;
use loadline_tlog::{Algorithm, SignerKey};

use super::*;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn at() -> Instant {
    Instant::from_seconds(1_700_000_000).unwrap()
}

fn secret(number: u8) -> loadline_exam::ExamSecret {
    loadline_exam::ExamSecret::from_bytes([number; 32])
}

fn registration(index: u64, commitment: u64) -> Entry {
    Entry::Registration(Registration {
        model: digest("model"),
        name: "a model".to_owned(),
        identity: Basis::Verified,
        compute: None,
        commitment,
        follows: LogState { size: index, root: digest("root") },
        nonce: digest(&format!("nonce {index}")),
    })
}

fn start(registration: u64, commitment: u64, attempt: u64, previous: Option<u64>) -> Start {
    let (model, policy) = (digest("model"), digest("policy"));
    let exam = exam_id(model, policy, commitment, registration, attempt);
    let witnessed = Some(witnessed(registration + 1));
    Start { exam, registration, commitment, model, policy, attempt, previous, witnessed, at: at() }
}

fn witnessed(size: u64) -> String {
    let checkpoint = Checkpoint::new("example.com/log", size, digest("root").0).unwrap();
    let mut note = Note::unsigned(&checkpoint.to_text()).unwrap();
    note.sign(&SignerKey::from_seed("example.com/log", Algorithm::Ed25519, &[1; 32]).unwrap(), 0).unwrap();
    note.to_text()
}

fn commitment(number: u8) -> Entry {
    Entry::Commitment(Commitment { policy: digest("policy"), secret_hash: secret(number).hash() })
}

fn finish(start: u64, of: &Start, number: u8) -> Entry {
    resumed(start, of, number, Some(1))
}

fn resumed(start: u64, of: &Start, number: u8, resumes: Option<u64>) -> Entry {
    let (attestation, records, secret) = (digest("attestation"), Vec::new(), secret(number));
    Entry::Finish(Finish { exam: of.exam, start, attestation, secret, records, resumes, at: at() })
}

fn change() -> StandingChange {
    StandingChange { license: digest("licence"), reason: "a reason".to_owned(), at: at() }
}

fn stage(from: ModelStage, to: ModelStage, license: Option<&str>) -> Entry {
    Entry::Stage(StageEntry {
        model: digest("model"),
        from,
        to,
        license: license.map(digest),
        reason: "a reason".to_owned(),
        transition: digest("transition"),
        at: at(),
    })
}

fn drill() -> Entry {
    drilled("drill")
}

fn drilled(name: &str) -> Entry {
    Entry::Drill(DrillEntry {
        drill: digest(name),
        gate: "gate.example".to_owned(),
        model: digest("model"),
        streams: 100,
        last_byte_ms: 12,
        bytes_after: 0,
        at: at(),
    })
}

#[test]
fn a_model_goes_from_stage_to_stage_and_each_lie_about_it_is_named() {
    use ModelStage::{Draft, Internal, Limited, Suspended, Withdrawn};
    let licence = Some("licence");
    let mut good = honest();
    good.truncate(11);
    good.extend([
        stage(Draft, Internal, licence),
        drill(),
        stage(Internal, Suspended, None),
        stage(Suspended, Internal, licence),
        stage(Internal, Withdrawn, None),
    ]);
    assert_eq!(read(&good).wrong(), None);
    let cases: Vec<(usize, Entry, &str)> = vec![
        (10, stage(Draft, Internal, licence), "no such licence"),
        (11, stage(Internal, Suspended, None), "the model stood at `draft`"),
        (11, stage(Draft, Internal, None), "a promotion names the licence for its stage"),
        (11, stage(Draft, Limited, licence), "another model or stage"),
        (12, stage(Internal, Internal, None), "already"),
        (13, stage(Internal, Suspended, licence), "and nothing else does"),
        (13, drill(), "this drill was logged before"),
        (13, drilled("another"), "is not after the model's last drill"),
        (3, stage(Draft, Suspended, None), "no such model"),
    ];
    for (place, lie, says) in cases {
        let mut entries = good.clone();
        entries[place] = lie;
        let story = read(&entries);
        let wrong = story.wrong().unwrap_or_default();
        assert!(wrong.starts_with(&format!("entry {place} (")) && wrong.contains(says), "{says}: {wrong}");
    }
    good.push(stage(Withdrawn, Internal, licence));
    assert!(read(&good).wrong().unwrap().contains("nothing follows `withdrawn`"));
    let mut revoked = honest();
    revoked.insert(14, stage(Draft, Internal, licence));
    assert!(read(&revoked).wrong().unwrap().contains("its licence is revoked"));
}

/// Two attempts, the second with a licence that is suspended, reinstated and revoked.
fn honest() -> Vec<Entry> {
    let (first, second) = (start(3, 2, 1, None), start(6, 5, 2, Some(4)));
    let license =
        LicenseEntry { license: digest("licence"), model: digest("model"), stage: Stage::Internal, at: at() };
    vec![
        Entry::Root(RootEntry { version: 1, digest: digest("root") }),
        Entry::Policy(PolicyEntry {
            name: "p".to_owned(),
            version: "1".to_owned(),
            digest: digest("policy"),
        }),
        commitment(1),
        registration(3, 2),
        Entry::Start(first.clone()),
        commitment(2),
        registration(6, 5),
        Entry::Start(second.clone()),
        Entry::Resume(Resume { exam: second.exam, at: at() }),
        resumed(7, &second, 2, Some(1)),
        Entry::License(license),
        Entry::Suspend(change()),
        Entry::Reinstate(change()),
        Entry::Revoke(change()),
        resumed(4, &first, 1, Some(0)),
    ]
}

fn read(entries: &[Entry]) -> Story {
    let mut story = Story::default();
    for (index, entry) in (0..).zip(entries) {
        story.read(index, &entry.to_bytes().unwrap());
    }
    story
}

#[test]
fn an_honest_log_has_nothing_wrong() {
    let story = read(&honest());
    assert_eq!((story.wrong(), story.exams()), (None, Some(2)));
    let followed: Vec<_> = story.followed().map(|(kind, size, _)| (kind, size)).collect();
    assert_eq!(followed, [("registration", 3), ("registration", 6), ("start", 4), ("start", 7)]);
}

#[test]
fn each_lie_is_named_with_its_entry() {
    let start_with = |change: &dyn Fn(&mut Start)| {
        let mut start = start(6, 5, 2, Some(4));
        change(&mut start);
        start.exam = exam_id(start.model, start.policy, start.commitment, start.registration, start.attempt);
        Entry::Start(start)
    };
    let cases: Vec<(usize, Entry, &str)> = vec![
        (7, start_with(&|start| start.attempt = 1), "says attempt 1, and attempt 1 was the last"),
        (7, start_with(&|start| start.attempt = 3), "says attempt 3"),
        (7, start_with(&|start| start.previous = None), "previous start is 4, not none"),
        (7, start_with(&|start| start.previous = Some(3)), "previous start is 4, not 3"),
        (7, start_with(&|start| start.registration = 3), "another model or commitment"),
        (7, start_with(&|start| start.registration = 99), "entry 99 is no registration"),
        (7, start_with(&|start| start.commitment = 2), "another model or commitment"),
        (7, Entry::Start(Start { exam: digest("x"), ..start(6, 5, 2, Some(4)) }), "another id"),
        (7, start_with(&|start| start.witnessed = Some(witnessed(6))), "saw a log of 6 entries"),
        (7, start_with(&|start| start.witnessed = None), "no `witnessed`, and the start in entry 4 has"),
        (9, resumed(7, &start(6, 5, 2, Some(4)), 2, None), "its start is of the form whose end counts them"),
        (14, resumed(4, &start(3, 2, 1, None), 1, None), "and the end in entry 9 has"),
        (7, start_with(&|start| start.witnessed = Some("x".to_owned())), "not a signed note"),
        (5, commitment(1), "committed to before"),
        (6, registration(6, 2), "commitment 2 is taken"),
        (6, registration(6, 3), "entry 3 is no commitment"),
        (6, registration(5, 5), "follows a log of 5 entries"),
        (8, Entry::Resume(Resume { exam: digest("x"), at: at() }), "no such exam"),
        (9, finish(7, &start(6, 5, 2, Some(4)), 1), "not the one that was committed to"),
        (9, finish(4, &start(6, 5, 2, Some(4)), 2), "began at entry 7, not 4"),
        (9, resumed(7, &start(6, 5, 2, Some(4)), 2, Some(0)), "does not count 1 entries"),
        (10, finish(7, &start(6, 5, 2, Some(4)), 2), "ended before"),
        (10, Entry::Revoke(change()), "no such licence"),
        (14, Entry::Reinstate(change()), "which is for ever"),
        (14, Entry::Root(RootEntry { version: 1, digest: digest("root") }), "version 1 after 1"),
    ];
    for (at, lie, says) in cases {
        let mut entries = honest();
        entries[at] = lie;
        let story = read(&entries);
        let wrong = story.wrong().unwrap_or_default();
        assert!(wrong.starts_with(&format!("entry {at} (")) && wrong.contains(says), "{says}: {wrong}");
    }
}

#[test]
fn between_a_registration_and_its_witnessed_start_are_only_roots() {
    let late = |between: Entry| {
        let mut late = start(3, 2, 1, None);
        late.witnessed = Some(witnessed(5));
        let mut entries = honest();
        entries.truncate(4);
        entries.extend([between, Entry::Start(late.clone()), resumed(5, &late, 1, Some(0))]);
        read(&entries).wrong().map(str::to_owned)
    };
    assert_eq!(late(Entry::Root(RootEntry { version: 2, digest: digest("next") })), None);
    let wrong = late(commitment(2)).unwrap();
    assert!(wrong.contains("entry 4 is between it and its registration, entry 3"), "{wrong}");
}

#[test]
fn another_log_is_left_alone_and_a_foreign_entry_in_an_authoritys_is_not() {
    let mut story = Story::default();
    story.read(0, b"anything");
    story.read(1, &honest()[7].to_bytes().unwrap());
    assert_eq!((story.wrong(), story.exams()), (None, None));
    let mut story = read(&honest()[..3]);
    story.read(3, b"anything");
    assert!(story.wrong().unwrap().starts_with("entry 3 is none of an authority's"));
}
