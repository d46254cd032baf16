//! One value, one form: entries, manifests, and what is left out.

use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_core::{Digest, ModelRef};
use loadline_exam::entry::{Entry, PolicyEntry, RootEntry};
use loadline_exam::fixture::{Fixture, Plan, make};
use loadline_exam::{Manifest, StepName};

use crate::support::{check, fails, ok};

#[test]
fn an_entry_has_one_form() {
    let entry = Entry::Root(RootEntry { version: 3, digest: Digest([0xab; 32]) });
    let text = String::from_utf8(entry.to_bytes().unwrap()).unwrap();
    let digest = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(
        text,
        format!(r#"{{"digest":"{digest}","format":"loadline-entry/1","kind":"root","version":3}}"#)
    );
    assert_eq!(Entry::parse(text.as_bytes()).unwrap(), entry);
    for (from, to, word) in [
        (r#""version":3"#, r#""version":3.0"#, "invalid type: floating point"),
        (r#""version":3"#, r#""version":3e0"#, "invalid type: floating point"),
        (r#""version":3"#, r#""version":99999999999999999999999"#, "invalid"),
        (r#""version":3"#, r#""version":9007199254740993"#, "no exact form"),
        (r#""version":3"#, r#""version":-1"#, "invalid"),
        (r#""version":3"#, r#""version":3,"more":1"#, "unknown field `more`"),
        (r#""version":3"#, r#""version":3,"version":3"#, "canonical"),
        (r#""kind":"root""#, r#""kind":"roots""#, "unknown variant `roots`"),
        (r#""kind":"root""#, r#""kind":"r\u006fot""#, "canonical"),
        ("loadline-entry/1", "loadline-entry/2", "`loadline-entry/1`"),
        ("{\"digest\"", "{ \"digest\"", "canonical"),
        ("sha256:ab", "sha256:AB", "is not a digest"),
    ] {
        let error = Entry::parse(text.replace(from, to).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
    let large = "x".repeat(70_000);
    let large = Entry::Policy(PolicyEntry { name: large, version: "1".into(), digest: Digest([0; 32]) });
    assert!(large.to_bytes().unwrap_err().to_string().contains("a log takes 65535"));
    assert!(Entry::parse(&vec![b'['; 65_000]).is_err(), "deep nesting is an error, not an overflow");
}

#[test]
fn a_manifest_follows_the_model_signing_format() {
    // `printf a | sha256sum`, `printf b | sha256sum`; the subject is the SHA-256 of the two raw digests in order.
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let manifest = Manifest::of_files("m", [("w/b.bin".to_owned(), b), ("w/a.bin".to_owned(), a)]).unwrap();
    let text = String::from_utf8(manifest.to_bytes().unwrap()).unwrap();
    let subject = Digest::of(&[a.0, b.0].concat());
    assert!(
        text.contains(&format!(r#""subject":[{{"digest":{{"sha256":"{}"}},"name":"m"}}]"#, subject.hex()))
    );
    assert!(text.contains(r#""predicateType":"https://model_signing/signature/v1.0""#));
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
    for (from, to, word) in [
        ("w/a.bin", "w/c.bin", "not in the order"),
        ("w/a.bin", "../a.bin", "cannot be the name"),
        ("w/a.bin", "w//a.bin", "cannot be the name"),
        (r#""hash_type":"sha256""#, r#""hash_type":"blake2b""#, "`hash_type` is `blake2b`"),
        (&a.hex(), &b.hex(), "what is listed has"),
        ("Statement/v1", "Statement/v2", "`_type`"),
        ("signature/v1.0", "signature/v2.0", "`predicateType`"),
    ] {
        let error = Manifest::parse(text.replace(from, to).as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{to}: {error}");
    }
    assert!(Manifest::of_files("m", []).is_err());
    assert!(Manifest::of_files("m", [("a".to_owned(), a), ("a".to_owned(), a)]).is_err());
}

#[test]
fn a_remote_identity_is_its_own_word() {
    let reference: ModelRef = "openai/some-model".parse().unwrap();
    let manifest = Manifest::of_remote(&reference, Some("https://models.example/v1".to_owned())).unwrap();
    assert_eq!(manifest.basis(), Basis::SelfReported);
    let bytes = manifest.to_bytes().unwrap();
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    let text = String::from_utf8(bytes).unwrap().replace("models.example", "others.example");
    assert!(Manifest::parse(text.as_bytes()).is_err(), "the subject follows from the content");
}

/// Replaces rows of a log by their hashes, as a record's withheld copy has them.
fn withhold(log: &[u8], rows: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, line) in log.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // The first line is the format's; row 0 is the second.
        if !rows.iter().any(|row| row + 1 == number) {
            out.extend_from_slice(line);
            continue;
        }
        let payload = &line[28..line.len() - 1];
        let leaf = Digest(loadline_tlog::leaf_hash(payload)).hex();
        let check = Digest::of(format!("W{leaf}").as_bytes()).hex();
        out.extend_from_slice(format!("W 00000040 {} {leaf}\n", &check[..16]).as_bytes());
    }
    out
}

/// A fixture with these rows of one test withheld.
pub fn withheld(plan: &Plan, test: usize, rows: &[usize]) -> Fixture {
    let mut fixture = make(plan).unwrap();
    let run = fixture.contents.records[test].run;
    let log = fixture.logs.get_mut(&run).unwrap();
    *log = withhold(log, rows);
    fixture
}

#[test]
fn withheld_rows_are_counted_and_named() {
    let fixture = withheld(&Plan::default(), 0, &[4, 9]);
    let report = check(&fixture);
    assert!(report.holds, "{:?}", report.failed());
    assert_eq!(report.withheld.len(), 1);
    assert_eq!((report.withheld[0].test.as_str(), &report.withheld[0].rows[..]), ("written", &[4, 9][..]));
    let counts = &report.step(StepName::Counts).detail;
    assert!(counts.contains("2 rows are withheld") && counts.contains("as the examiner attests"), "{counts}");
    let stopped = check(&withheld(&Plan::default(), 2, &[7]));
    assert!(stopped.holds && ok(&stopped, StepName::Decision), "{:?}", stopped.failed());
}

#[test]
fn withheld_rows_cannot_hide_more_than_they_hold() {
    let more = Plan { exam: Some(|exam| exam.tests[0].counts.successes += 2), ..Plan::default() };
    fails(&check(&withheld(&more, 0, &[2])), StepName::Counts, &["which cannot make that"]);
    let report = check(&withheld(&Plan::default(), 0, &[0]));
    fails(&report, StepName::Records, &["records/1-"]);
}

#[test]
fn a_policy_with_other_fields_or_floats_is_refused() {
    let fixture = make(&Plan::default()).unwrap();
    let text = String::from_utf8(fixture.contents.policy.clone()).unwrap();
    for (from, to, word) in [
        (r#""n":20"#, r#""n":20.5"#, "floating point"),
        (r#""n":20"#, r#""n":1e99"#, "invalid"),
        (r#""n":20"#, r#""n":2000000"#, "too many samples"),
        (r#""name":"fixture""#, r#""more":1,"name":"fixture""#, "unknown field `more`"),
        (r#""name":"fixture""#, r#""name":"fixture","name":"fixture""#, "duplicate field"),
        (r#""confidence":"0.95""#, r#""confidence":0.95"#, "invalid type"),
    ] {
        let mut changed = fixture.clone();
        changed.contents.policy = text.replacen(from, to, 1).into_bytes();
        fails(&check(&changed), StepName::Policy, &["policy.json", word]);
    }
}

#[test]
fn the_seed_and_the_names_of_an_exam_never_change() {
    use loadline_exam::entry::exam_id;
    use loadline_exam::seed::{ExamSecret, ExamSeed, SeedCheckpoint, seed_number};
    let secret = ExamSecret::from_bytes([1; 32]);
    let checkpoint = SeedCheckpoint { origin: "log.example".into(), size: 4, root: Digest([2; 32]) };
    let seed = ExamSeed::derive(&secret, &checkpoint, None, Digest([3; 32]), Digest([4; 32])).unwrap();
    let test = seed.of_test("sums");
    let golden = canonical_json(&serde_json::json!({
        "exam_id": exam_id(Digest([4; 32]), Digest([3; 32]), 2, 3, 1),
        "secret_hash": secret.hash(),
        "test_number": seed_number(&test),
        "test_seed": Digest(*test.as_bytes()),
    }))
    .unwrap();
    assert_eq!(String::from_utf8(golden).unwrap(), include_str!("../golden/seed.json"));
    assert!(!format!("{secret:?} {seed:?}").contains("0101"), "neither shows itself");
}

/// `tests/python/seed.py` made `golden/seed-2.json` from the start in `golden/witnessed.bundle`.
#[test]
fn the_seed_of_what_was_witnessed_never_changes() {
    use loadline_exam::Witnessed;
    use loadline_exam::seed::{ExamSecret, ExamSeed, SeedCheckpoint, seed_number};
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/seed-2.json")).unwrap();
    let text = |name: &str| golden[name].as_str().unwrap();
    let policy = loadline_tlog::Policy::parse(text("log_policy").as_bytes()).unwrap();
    let witnessed = Witnessed::parse(text("note"), &policy).unwrap();
    let seen = witnessed.checkpoint();
    let (origin, size, root) = (seen.origin().to_owned(), seen.size(), Digest(*seen.root()));
    let checkpoint = SeedCheckpoint { origin, size, root };
    let (secret, policy, model) = (ExamSecret::from_bytes([1; 32]), Digest([3; 32]), Digest([4; 32]));
    let seed = ExamSeed::derive(&secret, &checkpoint, Some(&witnessed), policy, model).unwrap();
    let test = seed.of_test("sums");
    assert_eq!(Digest(*test.as_bytes()).to_string(), text("test_seed"));
    assert_eq!(seed_number(&test), golden["test_number"].as_u64().unwrap());
}
