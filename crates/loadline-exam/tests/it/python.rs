//! The same bundles before two verifiers: this crate's, and one in Python that was written from the documents.

use std::path::{Path, PathBuf};
use std::process::Command;

use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_exam::entry::{Entry, PolicyEntry, Resume, StandingChange, Start};
use loadline_exam::fixture::change::{self, Change};
use loadline_exam::fixture::{Fixture, Plan, at, make};
use loadline_exam::signoff::SIGN_OFF_FORMAT_1;
use loadline_exam::{Anchor, DrillReport, ExamSecret, StepName, verify};
use loadline_policy::decide::Outcome;
use loadline_policy::policy::{Requirement, Role, Severity, Stage};
use loadline_trust::{StandingEntry, StandingMark, StandingState};
use serde_json::{Value, json};

use crate::chain::without;
use crate::forms::withheld;
use crate::good::not_simulated;
use crate::support::logged;
use crate::witnessed::{of_another_state, signed, two_of_three};

/// What the Python verifier leaves out, as its first lines say.
const NOT_IN_PYTHON: [StepName; 3] = [StepName::Items, StepName::Scores, StepName::Scope];

struct Vector {
    name: String,
    bundle: Vec<u8>,
    anchor: Anchor,
}

fn vector(name: impl Into<String>, fixture: &Fixture) -> Vector {
    let anchor = Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) };
    Vector { name: name.into(), bundle: fixture.bundle().unwrap(), anchor }
}

fn planned(name: impl Into<String>, plan: &Plan) -> Vector {
    vector(name, &make(plan).unwrap())
}

/// Bundles in which everything holds, whatever they decide.
fn good() -> Vec<Vector> {
    let plan = Plan::default;
    let mut vectors = vec![
        planned("remote", &Plan { remote: true, ..plan() }),
        planned(
            "sign-off of another stage",
            &Plan { sign_off: Some(|sign| sign.stage = Stage::General), ..plan() },
        ),
        planned("refused", &Plan { sign_off: Some(|sign| sign.approves = false), ..plan() }),
        planned(
            "sign-off that is too old",
            &Plan { sign_off: Some(|sign| sign.at = "2026-01-01T00:00:00Z".parse().unwrap()), ..plan() },
        ),
        vector("rows of written withheld", &withheld(&plan(), 0, &[4, 9])),
        vector("rows of stopped withheld", &withheld(&plan(), 2, &[7])),
        vector("most rows withheld", &withheld(&plan(), 0, &(2..22).collect::<Vec<_>>())),
    ];
    for (name, older, attempts) in [("older", true, 1), ("older, attempt 2", true, 2), ("resumed", false, 2)]
    {
        vectors.push(planned(name, &Plan { older, attempts, resumes: 2, ..plan() }));
    }
    vectors.push(planned("two of three witnesses", &two_of_three()));
    vectors.push(planned("no witness", &Plan { quorum: "quorum none", ..plan() }));
    let mut unlicensed = make(&plan()).unwrap();
    (unlicensed.contents.license, unlicensed.contents.svr) = (None, None);
    unlicensed.contents.entries.pop();
    vectors.push(vector("an allow, and no licence", &unlicensed));
    let mut unheard = plan();
    unheard.policy.scope.laws = vec!["unknown-law".to_owned()];
    unheard.policy.tests[1].light = false;
    vectors.push(planned("a law without a pack", &unheard));
    let mut lawless = plan();
    lawless.policy.scope.laws.clear();
    lawless.policy.tests[1].light = false;
    vectors.push(planned("no law", &lawless));
    vectors.push(planned("simulated", &simulated()));
    vectors.push(planned(
        "sign-off of version 1",
        &Plan { sign_off: Some(|sign| sign.format = SIGN_OFF_FORMAT_1.to_owned()), ..plan() },
    ));
    let mut lenient = plan();
    lenient.policy.blocks_from = Severity::Critical;
    lenient.policy.tests[0].requirement = Requirement::AtLeast("0.99".parse().unwrap());
    vectors.push(planned("disclosed", &lenient));
    for attempts in 1..=4 {
        vectors.push(planned(format!("attempt {attempts}"), &Plan { attempts, ..plan() }));
    }
    for wrong_every in 0..8 {
        vectors.push(planned(format!("one of {wrong_every} wrong"), &Plan { wrong_every, ..plan() }));
    }
    for (number, bound) in
        ["0.05", "0.5", "0.571", "0.572", "0.586", "0.587", "0.7", "0.95", "0.98"].into_iter().enumerate()
    {
        for at_least in [true, false] {
            let mut plan = Plan { wrong_every: if at_least { 7 } else { 2 }, ..plan() };
            for test in &mut plan.policy.tests {
                let bound = bound.parse().unwrap();
                test.requirement =
                    if at_least { Requirement::AtLeast(bound) } else { Requirement::AtMost(bound) };
            }
            plan.policy.attempts.corrected = number % 3 != 2;
            vectors.push(planned(format!("at least ({at_least}) {bound}"), &plan));
        }
    }
    vectors
}

/// A simulated subject that is licensed.
fn simulated() -> Plan {
    let mut plan = Plan { remote: true, ..Plan::default() };
    plan.policy.identity.push(Basis::SelfReported);
    plan
}

/// Bundles that the right keys signed and logged, and that are wrong in one place.
fn planned_attacks() -> Vec<Vector> {
    let of = |name: &str, change: fn(&mut Plan)| {
        let mut plan = Plan::default();
        change(&mut plan);
        planned(name, &plan)
    };
    vec![
        of("attested by the authority", |p| p.examiners = |keys| vec![&keys.authority]),
        of("attested by a stranger", |p| p.examiners = |keys| vec![&keys.stranger]),
        of("attested by two", |p| p.examiners = |keys| vec![&keys.examiner, &keys.stranger]),
        of("licensed by the examiner", |p| p.authorities = |keys| vec![&keys.examiner]),
        of("licensed by two", |p| p.authorities = |keys| vec![&keys.authority, &keys.stranger]),
        of("signed off by the auditor", |p| p.signer = |keys| &keys.auditor),
        of("entries before the registration", |p| p.gap = 1),
        of("entries before the seed's checkpoint", |p| (p.older, p.seed_late) = (true, 1)),
        of("another checkpoint", |p| p.exam = Some(|exam| exam.checkpoint.root = Digest([3; 32]))),
        of("follows another root", |p| p.registration = Some(|e| e.follows.root = Digest([4; 32]))),
        of("another secret", |p| p.finish = Some(|e| e.secret = ExamSecret::from_bytes([8; 32]))),
        of("registered another model", |p| p.registration = Some(|e| e.model = Digest([5; 32]))),
        of("registered another name", |p| p.registration = Some(|e| e.name.push('x'))),
        of("registered another compute", |p| p.registration = Some(|e| e.compute = None)),
        of("registered under another commitment", |p| p.registration = Some(|e| e.commitment = 1)),
        of("started another model", |p| p.start = Some(|start| start.model = Digest([5; 32]))),
        of("started another policy", |p| p.start = Some(|start| start.policy = Digest([5; 32]))),
        of("a remote model that is verified", |p| {
            p.remote = true;
            p.registration = Some(|entry| entry.identity = Basis::Verified);
        }),
        of("an attempt is hidden", |p| {
            p.attempts = 2;
            p.start = Some(|start| start.previous = None);
        }),
        of("first again", |p| {
            p.attempts = 2;
            p.start = Some(|start| (start.previous, start.attempt) = (None, 1));
        }),
        of("an attempt is skipped", |p| {
            p.attempts = 3;
            p.start = Some(|start| start.previous = Some(4));
        }),
        of("finished another exam", |p| p.finish = Some(|entry| entry.exam = Digest([6; 32]))),
        of("finished another start", |p| p.finish = Some(|entry| entry.start = 3)),
        of("finished another attestation", |p| p.finish = Some(|entry| entry.attestation = Digest([6; 32]))),
        of("finished other records", |p| p.finish = Some(|entry| entry.records[0].record = Digest([6; 32]))),
        of("finished fewer records", |p| p.finish = Some(|entry| drop(entry.records.pop()))),
        of("a target", |p| p.row = Some(|row| row.target = vec!["12".to_owned()])),
        of("a sample's id", |p| p.row = Some(|row| row.id = format!("easy-{}", row.index))),
        of("an index", |p| p.row = Some(|row| row.index += 1_000)),
        of("a sample twice", |p| p.row = Some(|row| row.index /= 2)),
        of("a score", |p| p.row = Some(|row| row.scores[0].value = loadline_core::Value::Number(1.0))),
        of("a score of a half", |p| {
            p.row = Some(|row| row.scores[0].value = loadline_core::Value::Number(0.5))
        }),
        of("no score", |p| p.row = Some(|row| row.scores.clear())),
        of("one success more", |p| p.exam = Some(|exam| exam.tests[0].counts.successes += 1)),
        of("one scored more", |p| p.exam = Some(|exam| exam.tests[2].counts.scored += 1)),
        of("one unscored more", |p| p.exam = Some(|exam| exam.tests[1].counts.unscored += 1)),
        of("one row more", |p| p.exam = Some(|exam| exam.tests[1].rows += 1)),
        of("another attempt attested", |p| p.exam = Some(|exam| exam.attempt = 2)),
        of("ends before it begins", |p| {
            p.exam = Some(|exam| exam.tests[0].started = "2026-11-01T23:00:00Z".parse().unwrap());
        }),
        of("finished before it is started", |p| {
            p.exam = Some(|exam| {
                exam.tests[0].started = "2026-10-01T22:00:00Z".parse().unwrap();
                exam.tests[0].finished = "2026-10-01T23:00:00Z".parse().unwrap();
            });
        }),
        of("finished after the exam", |p| {
            p.exam = Some(|exam| exam.tests[0].finished = "2026-11-01T23:59:00Z".parse().unwrap());
        }),
        of("a deny that is an allow", |p| p.decision = Some(|decision| decision.outcome = Outcome::Deny)),
        of("a rule that is undetermined", |p| {
            p.decision = Some(|decision| decision.reasons[1].outcome = Outcome::Undetermined);
        }),
        of("a reason less", |p| p.decision = Some(|decision| drop(decision.reasons.pop()))),
        of("a longer licence", |p| {
            p.license = Some(|license| license.validity.value.expires = at(90_000_000).unwrap());
        }),
        of("a later survey", |p| {
            p.license = Some(|license| license.next_survey.value = at(3_000_000).unwrap());
        }),
        of("a licence for another stage", |p| p.license = Some(|l| l.stage.value = Stage::General)),
        of("evidence less", |p| p.license = Some(|license| drop(license.evidence.pop()))),
        of("a sign-off less", |p| p.license = Some(|license| license.sign_offs.clear())),
        of("no scope", |p| p.license = Some(|license| license.scope.clear())),
        of("another condition", |p| {
            p.license = Some(|license| license.conditions.value.push("none".to_owned()));
        }),
        of("a better subject", |p| p.license = Some(|license| license.subject.basis = Basis::Inferred)),
        of("an svr for more", |p| {
            p.svr = Some(|svr| svr.properties.push("LOADLINE_STAGE_GENERAL".to_owned()))
        }),
        of("a sign-off of no known version", |p| p.sign_off = Some(|sign| sign.format.push('0'))),
        of("a licence that hides a simulation", |p| {
            *p = Plan { license: Some(not_simulated), ..simulated() };
        }),
        of("a sign-off about another exam", |p| p.sign_off = Some(|sign| sign.attestation = Digest([6; 32]))),
        of("a sign-off in another role", |p| p.sign_off = Some(|sign| sign.role = Role::ExternalAuditor)),
    ]
}

/// Attacks on what the witnesses saw, and on the chain of attempts.
fn start_attacks() -> Vec<Vector> {
    let of = |name: &str, change: fn(&mut Plan)| {
        let mut plan = Plan::default();
        change(&mut plan);
        planned(name, &plan)
    };
    let start =
        |name: &str, change: fn(&mut Start)| planned(name, &Plan { start: Some(change), ..Plan::default() });
    let three =
        |name: &str, change: fn(&mut Start)| planned(name, &Plan { start: Some(change), ..two_of_three() });
    let mut vectors = vec![
        of("entries before the start", |p| p.start_late = 1),
        of("entries while it waits", |p| p.seed_late = 2),
        of("not witnessed any more", |p| {
            p.attempts = 2;
            p.start = Some(|start| start.witnessed = None);
        }),
        of("not counted any more", |p| p.finish = Some(|finish| finish.resumes = None)),
        of("questions of another second", |p| p.tried = Some(994)),
        of("the secret of another attempt", |p| (p.attempts, p.secret) = (2, Some(1))),
        of("another id of an earlier attempt", |p| {
            p.attempts = 2;
            p.earlier = Some(|start| start.exam = Digest([7; 32]));
        }),
        of("a resume that is not counted", |p| {
            p.resumes = 1;
            p.finish = Some(|finish| finish.resumes = Some(0));
        }),
        of("the policy by another name", |p| p.published = Some(|policy| policy.name.push('s'))),
        of("the policy of another version", |p| p.published = Some(|policy| policy.version.push('0'))),
        start("nothing witnessed", |s| s.witnessed = None),
        start("no witness", |s| signed(s, &[("log", 0)])),
        start("another witness", |s| signed(s, &[("log", 0), ("stranger", 995)])),
        start("not the log", |s| signed(s, &[("one", 995)])),
        start("the log last", |s| signed(s, &[("one", 995), ("log", 0)])),
        start("the witness twice", |s| signed(s, &[("log", 0), ("one", 995), ("one", 996)])),
        start("a stranger too", |s| signed(s, &[("log", 0), ("one", 995), ("stranger", 995)])),
        start("witnessed too early", |s| signed(s, &[("log", 0), ("one", 879)])),
        start("witnessed too late", |s| signed(s, &[("log", 0), ("one", 1_061)])),
        start("another state witnessed", of_another_state),
        three("one of two", |s| signed(s, &[("log", 0), ("one", 995)])),
        three("three of two", |s| signed(s, &[("log", 0), ("one", 995), ("two", 995), ("three", 995)])),
        three("another order", |s| signed(s, &[("log", 0), ("two", 995), ("one", 995)])),
        three("far apart", |s| signed(s, &[("log", 0), ("one", 980), ("two", 996)])),
    ];
    for (name, plan, entry) in [
        ("an earlier commitment left out", Plan { attempts: 2, ..Plan::default() }, 2),
        ("a resume left out", Plan { resumes: 2, ..Plan::default() }, 6),
    ] {
        let mut fixture = make(&plan).unwrap();
        without(&mut fixture, entry);
        vectors.push(vector(name, &fixture));
    }
    vectors
}

/// Parts that were taken away, exchanged, or are those of another exam.
fn part_attacks() -> Vec<Vector> {
    let good = make(&Plan::default()).unwrap();
    let other = make(&Plan { gap: 0, wrong_every: 6, ..Plan::default() }).unwrap();
    let gap = make(&Plan { gap: 1, ..Plan::default() }).unwrap();
    let mut vectors = Vec::new();
    let mut with = |name: &str, change: &dyn Fn(&mut Fixture)| {
        let mut fixture = good.clone();
        change(&mut fixture);
        vectors.push(vector(name, &fixture));
    };
    with("consistency of another log", &|f| f.contents.consistency = gap.contents.consistency.clone());
    with("another finish", &|f| f.contents.entries[5].entry = other.contents.entries[5].entry.clone());
    with("another finish and its proof", &|f| f.contents.entries[5] = other.contents.entries[5].clone());
    with("records of another exam", &|f| {
        f.contents.records = other.contents.records.clone();
        f.logs = other.logs.clone();
    });
    with("records in another order", &|f| f.contents.records.swap(0, 1));
    with("a record less", &|f| drop(f.contents.records.pop()));
    with("no sign-off", &|f| f.contents.sign_offs.clear());
    with("the sign-off twice", &|f| f.contents.sign_offs.push(f.contents.sign_offs[0].clone()));
    with("no compute", &|f| f.contents.compute = None);
    with("no rules", &|f| f.contents.rules.clear());
    with("no licence", &|f| (f.contents.license, f.contents.svr) = (None, None));
    with("an opened row withheld", &|f| *f = withheld(&Plan::default(), 0, &[1]));
    with("a licence without its svr", &|f| f.contents.svr = None);
    with("another test result", &|f| f.contents.test_result = f.contents.attestation.clone());
    for index in 0..good.contents.entries.len() {
        with(&format!("without entry {index}"), &|f| drop(f.contents.entries.remove(index)));
    }
    with("another policy", &|f| {
        let mut policy = Plan::default().policy;
        policy.tests[0].requirement = Requirement::AtLeast("0.1".parse().unwrap());
        f.contents.policy = canonical_json(&policy).unwrap();
    });
    with("row 0 withheld", &|f| *f = withheld(&Plan::default(), 0, &[0]));
    let more = Plan { exam: Some(|exam| exam.tests[0].counts.successes += 2), ..Plan::default() };
    with("withheld rows that cannot make it", &|f| *f = withheld(&more, 0, &[2]));
    vectors
}

/// The good bundle with more entries in its log.
fn logged_later() -> Vec<Vector> {
    let good = make(&Plan::default()).unwrap();
    let license = good.license.unwrap();
    let change = |license| StandingChange { license, reason: "test".to_owned(), at: good.now };
    let (revoke, suspend) = (Entry::Revoke(change(license)), Entry::Suspend(change(license)));
    let reinstate = Entry::Reinstate(change(license));
    let other = Entry::Suspend(change(Digest([9; 32])));
    let policy = Entry::Policy(PolicyEntry {
        name: "fixture".to_owned(),
        version: "1".to_owned(),
        digest: Digest([9; 32]),
    });
    let resume = |exam, at| Entry::Resume(Resume { exam, at });
    let (late, foreign) = (resume(Digest([9; 32]), good.now), resume(Digest([9; 32]), at(0).unwrap()));
    let cases: [(&str, Vec<Entry>); 9] = [
        ("revoked in the log", vec![revoke.clone()]),
        ("suspended in the log", vec![suspend.clone()]),
        ("suspended and reinstated", vec![suspend.clone(), reinstate.clone()]),
        ("revoked and reinstated", vec![revoke, reinstate.clone()]),
        ("reinstated and suspended", vec![reinstate, suspend]),
        ("a change of another licence", vec![other]),
        ("a second policy", vec![policy]),
        ("resumed when it was over", vec![late]),
        ("resumed, another exam", vec![foreign]),
    ];
    let mut vectors: Vec<_> =
        cases.iter().map(|(name, entries)| vector(*name, &logged(&good, entries))).collect();
    for (name, steps) in crate::stages::ways() {
        let model = good.subject();
        let entries: Vec<_> = steps.iter().map(|step| crate::stages::stage(model, *step)).collect();
        vectors.push(vector(format!("stages: {name}"), &logged(&good, &entries)));
    }
    vectors.extend(drills());
    vectors
}

/// Bundles of a policy that asks for a drill.
fn drills() -> Vec<Vector> {
    let plan = |change: Option<fn(&mut DrillReport)>| Plan { drill: change, ..crate::stages::drill_plan() };
    let mut vectors = vec![
        planned("a drill", &plan(None)),
        planned("a late last byte", &plan(Some(|report| report.last_byte_ms = 101))),
        planned("a byte after", &plan(Some(|report| report.bytes_after = 1))),
        planned("few streams", &plan(Some(|report| report.streams = 99))),
        planned("a drill of another model", &plan(Some(|report| report.model = Digest([1; 32])))),
        planned("a later drill", &plan(Some(|report| report.at = at(90_001).unwrap()))),
    ];
    let mut without = make(&plan(None)).unwrap();
    without.contents.drill = None;
    vectors.push(vector("without the drill", &without));
    vectors
}

/// The good bundle at other moments, under another root, with standings.
fn anchors() -> Vec<Vector> {
    let fixture = make(&Plan::default()).unwrap();
    let (license, now) = (fixture.license.unwrap(), fixture.now);
    let mut vectors = Vec::new();
    let mut own = Vec::new();
    let mut with = |name: &str, anchor: Anchor| vectors.push(Vector { anchor, ..vector(name, &fixture) });
    with("another pinned root", Anchor { root: Some(Digest([1; 32])), ..Anchor::at(now) });
    with("witnesses asked for", Anchor { witnessed: true, ..Anchor::at(now) });
    for (name, plan) in [
        ("older, witnesses asked for", Plan { older: true, ..Plan::default() }),
        ("none, witnesses asked for", Plan { quorum: "quorum none", ..Plan::default() }),
    ] {
        let fixture = make(&plan).unwrap();
        own.push(Vector { anchor: Anchor { witnessed: true, ..Anchor::at(now) }, ..vector(name, &fixture) });
    }
    for seconds in
        [86_400, 90_000, 91_940, 91_939, 92_000, 90_000 + 90 * 86_400, 90_001 + 90 * 86_400, 500 * 86_400]
    {
        with(&format!("at {seconds}"), Anchor::at(at(seconds).unwrap()));
    }
    let since_start = now.seconds() - at(0).unwrap().seconds();
    for (name, issued) in [
        ("now", since_start),
        ("an hour ago", since_start - 3_600),
        ("60 s ago", since_start - 60),
        ("61 s ago", since_start - 61),
        ("in 60 s", since_start + 60),
        ("in 61 s", since_start + 61),
    ] {
        let standing = fixture.standing(3, at(issued).unwrap(), Vec::new()).unwrap();
        with(&format!("standing of {name}"), Anchor { standing: Some(standing), ..Anchor::at(now) });
    }
    let seen = StandingMark { epoch: 4, digest: Digest([7; 32]), log_size: 1 };
    let standing = Some(fixture.standing(3, now, Vec::new()).unwrap());
    with("standing of an older epoch", Anchor { standing, standing_seen: Some(seen), ..Anchor::at(now) });
    for state in [StandingState::Revoked, StandingState::Suspended] {
        for (license, whose) in [(license, "this"), (Digest([9; 32]), "another")] {
            let entry = StandingEntry { license, state, since: now, reason: "test".to_owned() };
            let standing = Some(fixture.standing(4, now, vec![entry]).unwrap());
            with(&format!("{state:?}: {whose}"), Anchor { standing: standing.clone(), ..Anchor::at(now) });
            let mut changed = fixture.clone();
            changed.contents.standing = standing;
            own.push(vector(format!("{state:?} in the bundle: {whose}"), &changed));
        }
    }
    vectors.extend(own);
    vectors
}

/// One byte changed.
fn changed_bytes(count: usize) -> Vec<Vector> {
    let fixture = make(&Plan::default()).unwrap();
    let anchor = Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) };
    let changes = change::changed_bytes(&fixture.bundle().unwrap(), count).unwrap();
    let vector = |Change { name, bundle }| Vector { name, bundle, anchor: anchor.clone() };
    changes.into_iter().map(vector).collect()
}

/// What the Python verifier says of each.
fn by_python(python: &Path, vectors: &[Vector]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-vectors");
    std::fs::create_dir_all(&folder).unwrap();
    let mut jobs = Vec::new();
    for (number, vector) in vectors.iter().enumerate() {
        let file = |kind: &str, bytes: &[u8]| -> PathBuf {
            let path = folder.join(format!("{number}.{kind}"));
            std::fs::write(&path, bytes).unwrap();
            path
        };
        jobs.push(json!({
            "bundle": file("bundle", &vector.bundle),
            "now": vector.anchor.now,
            "root": vector.anchor.root,
            "witnessed": vector.anchor.witnessed,
            "standing": vector.anchor.standing.as_ref().map(|bytes| file("standing", bytes)),
            "epoch": vector.anchor.standing_seen.map_or(1, |seen| seen.epoch),
        }));
    }
    let list = folder.join("jobs.json");
    std::fs::write(&list, serde_json::to_vec(&jobs).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/verify.py");
    let output = Command::new(python).arg("-B").arg(script).arg("--batch").arg(list).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs where `LOADLINE_PYTHON` names a Python with the packages of `tests/python/requirements.txt`.
#[test]
fn a_second_verifier_agrees() {
    let Some(python) = std::env::var_os("LOADLINE_PYTHON") else {
        loadline_testkit::left_out("needs LOADLINE_PYTHON: a Python with tests/python/requirements.txt");
        return;
    };
    let mut vectors = vec![planned("default", &Plan::default())];
    vectors.extend(good());
    let holding = vectors.len();
    vectors.extend(planned_attacks());
    vectors.extend(start_attacks());
    vectors.extend(part_attacks());
    vectors.extend(logged_later());
    vectors.extend(anchors());
    let planned = vectors.len() - holding;
    vectors.extend(changed_bytes(200));
    let theirs = by_python(Path::new(&python), &vectors);
    assert_eq!(theirs.len(), vectors.len());
    let (mut apart, mut beyond) = (Vec::new(), 0);
    for (number, (vector, theirs)) in vectors.iter().zip(&theirs).enumerate() {
        let ours = verify(vector.bundle.as_slice(), &vector.anchor);
        assert!(ours.holds || number >= holding, "{}: {:?}", vector.name, ours.failed());
        let only_ours = ours.failed().is_some_and(|step| NOT_IN_PYTHON.contains(&step.name));
        if theirs["holds"] == ours.holds {
            continue;
        }
        if only_ours && theirs["holds"] == true {
            beyond += 1;
            continue;
        }
        let step = theirs["failed"].as_str().map(|step| theirs["steps"][step].to_string());
        apart.push(format!(
            "{}\n  rust: {:?}\n  python: {} {step:?}",
            vector.name,
            ours.failed(),
            theirs["failed"]
        ));
    }
    assert!(apart.is_empty(), "{} of {} apart:\n{}", apart.len(), vectors.len(), apart.join("\n"));
    assert!(planned >= 100 && beyond <= 5, "{planned} attacks, {beyond} only for a verifier with the suites");
}
