//! Licences: made from a decision only, and refused when anything about their form is off.

use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_policy::decide::Outcome;
use loadline_policy::license::{
    Grant, IssueError, Issuer, License, LicenseError, LimitationCode, Statement, Svr, issue,
};
use loadline_policy::policy::Stage;
use loadline_policy::strict::{self, StrictError};

use crate::support::{digest, good_case, small};

pub fn grant() -> Grant {
    Grant {
        issuer: Issuer { id: "https://authority.example/loadline".into(), name: "Example Authority".into() },
        model_name: "example-model".into(),
        simulated: false,
        compute_basis: Basis::SelfReported,
        conditions: vec!["report incidents within 72 hours".into()],
        standing_url: Some("https://authority.example/standing".into()),
        supersedes: None,
    }
}

pub fn license(stage: Stage) -> License {
    let policy = small();
    issue(&policy, &good_case(&policy, stage), grant()).unwrap().1
}

#[test]
fn a_licence_says_what_it_rests_on() {
    let license = license(Stage::General);
    assert_eq!(license.subject.basis, Basis::Verified);
    assert_eq!(license.evidence.len(), 3);
    assert_eq!(license.evidence[0].value.log_index, Some(7));
    assert_eq!(license.sign_offs.len(), 3);
    assert_eq!(license.scope[0].basis, Basis::SelfReported, "the compute is as declared");
    assert_eq!(license.validity.value.expires.to_string(), "2027-02-21T12:00:00Z");
    assert_eq!(license.next_survey.value.to_string(), "2026-12-23T12:00:00Z");
    for code in [LimitationCode::NotLegalConformity, LimitationCode::ComputeDeclared] {
        assert!(license.limitations.has(code));
    }
    assert!(!license.limitations.has(LimitationCode::RemoteIdentity));
}

#[test]
fn only_an_allow_is_licensed() {
    let policy = small();
    let mut case = good_case(&policy, Stage::General);
    case.evidence[0].successes = 0;
    let error = issue(&policy, &case, grant()).unwrap_err();
    assert_eq!(error.to_string(), "the decision is `deny`: only an allow is licensed");
    assert!(matches!(error, IssueError::NotAllowed(decision) if decision.outcome == Outcome::Deny));
}

#[test]
fn a_licence_of_a_simulated_subject_says_so() {
    let policy = small();
    let case = good_case(&policy, Stage::General);
    let (_, license) = issue(&policy, &case, Grant { simulated: true, ..grant() }).unwrap();
    let said =
        license.limitations.iter().find(|limitation| limitation.code == LimitationCode::SimulatedSubject);
    assert!(said.unwrap().text.contains("no real model"), "{said:?}");
    assert!(!super::license::license(Stage::General).limitations.has(LimitationCode::SimulatedSubject));
}

#[test]
fn public_weights_void_the_kill_switch_and_the_licence_says_so() {
    let license = license(Stage::WeightsReleased);
    assert_eq!(license.marks.value, None);
    let words: Vec<_> = license.limitations.iter().map(|l| l.text.as_str()).collect();
    assert!(words.iter().any(|text| text.contains("the kill switch is void")), "{words:?}");
}

#[test]
fn what_a_remote_model_is_stays_a_claim() {
    let mut policy = small();
    policy.identity.push(Basis::SelfReported);
    let mut case = good_case(&policy, Stage::General);
    case.evidence[1].identity = Basis::SelfReported;
    let (_, license) = issue(&policy, &case, grant()).unwrap();
    assert_eq!(license.subject.basis, Basis::SelfReported, "the weakest of the exams");
    assert!(license.limitations.has(LimitationCode::RemoteIdentity));
}

#[test]
fn a_disclosed_failure_is_a_limitation() {
    let policy = small();
    let mut case = good_case(&policy, Stage::General);
    case.evidence[2].successes = 0;
    let (_, license) = issue(&policy, &case, grant()).unwrap();
    let found = license.limitations.iter().find(|l| l.code == LimitationCode::DisclosedFailure).unwrap();
    assert!(found.text.starts_with("test.chess: not met: 0 of 100"), "{}", found.text);
}

#[test]
fn contradictions_are_named() {
    type Change = fn(&mut License);
    let cases: &[(&str, Change)] = &[
        ("the decision is `undetermined`: only an allow is licensed", |l| {
            l.decision.value.outcome = Outcome::Undetermined;
        }),
        ("it holds from 2026-11-23T12:00:00Z to 1970-01-01T00:00:00Z: nothing", |l| {
            l.validity.value.expires = loadline_policy::Instant::EPOCH;
        }),
        ("the next survey, 1970-01-01T00:00:00Z, is not while it holds", |l| {
            l.next_survey.value = loadline_policy::Instant::EPOCH;
        }),
        ("stage `weights_released`: public weights have no marks, every other stage has", |l| {
            l.stage.value = Stage::WeightsReleased;
        }),
        ("stage `general`: public weights have no marks, every other stage has", |l| l.marks.value = None),
        ("the limitation `remote_identity` follows and is not there", |l| l.subject.basis = Basis::Inferred),
        ("the limitation `weights_public` follows and is not there", |l| {
            l.stage.value = Stage::WeightsReleased;
            l.marks.value = None;
        }),
        ("the assurance level `averi.org/aal-4` is more than this evidence can carry", |l| {
            l.assurance.value.push("averi.org/aal-4".into());
        }),
    ];
    assert_eq!(license(Stage::General).check(), Ok(()));
    for (message, change) in cases {
        let mut license = license(Stage::General);
        change(&mut license);
        let error: LicenseError = license.check().unwrap_err();
        assert_eq!(error.to_string(), *message);
    }
}

fn statement() -> (Statement<License>, String) {
    let statement = Statement::about("example-model", digest("model"), license(Stage::General));
    let json = String::from_utf8(canonical_json(&statement).unwrap()).unwrap();
    (statement, json)
}

#[test]
fn a_statement_reads_back_from_its_own_bytes_only() {
    let (statement, json) = statement();
    assert_eq!(strict::from_canonical_json::<Statement<License>>(json.as_bytes()).unwrap(), statement);
    assert_eq!((statement.check(), statement.model()), (Ok(()), digest("model")));
    let read = |text: &str| strict::from_canonical_json::<Statement<License>>(text.as_bytes());
    for (from, to, expected) in [
        ("{\"_type\"", "{ \"_type\"", "not in canonical form (RFC 8785): it differs from byte 1 on"),
        ("\"general\"", "\"g\\u0065neral\"", "not in canonical form"),
        ("\"attempt\":1", "\"attempt\":1.0", "floating point"),
        ("\"attempt\":1", "\"attempt\":1e0", "floating point"),
        ("\"attempt\":1", "\"attempt\":-1", "invalid value"),
        ("\"attempt\":1", "\"attempt\":99999999999999999999999", "floating point"),
        ("\"attempt\":1", "\"attempt\":1,\"attempt\":1", "duplicate field `attempt`"),
        ("\"attempt\":1", "\"attempt\":1,\"extra\":0", "unknown field `extra`"),
        ("\"threshold_flop\":\"1e25\"", "\"threshold_flop\":1e25", "invalid type"),
        ("\"threshold_flop\":\"1e25\"", "\"threshold_flop\":\"10e24\"", "write `1e25`"),
        ("\"2026-11-23T12:00:00Z\"", "\"2026-11-23T12:00:00+00:00\"", "is not a moment"),
        ("\"basis\":\"verified\"", "\"basis\":\"certain\"", "unknown variant"),
        ("\"subject\":[", "\"subject\":[{\"digest\":{},\"name\":\"x\"},", "missing field"),
    ] {
        assert!(json.contains(from), "{from}");
        let error = read(&json.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
    let large = " ".repeat(strict::MOST_JSON_BYTES + 1);
    assert!(matches!(read(&large), Err(StrictError::TooLarge(_))));
    assert!(read(&"[".repeat(100_000)).is_err());
}

#[test]
fn any_changed_byte_is_refused_or_changes_the_value() {
    let (statement, json) = statement();
    for index in 0..json.len() {
        let mut bytes = json.clone().into_bytes();
        bytes[index] ^= 1;
        if let Ok(read) = strict::from_canonical_json::<Statement<License>>(&bytes) {
            assert_ne!(read, statement, "byte {index}");
        }
    }
}

#[test]
fn another_type_of_statement_is_named() {
    let (mut statement, _) = statement();
    statement.predicate_type = "https://example.com/x".into();
    assert_eq!(
        statement.check().unwrap_err().to_string(),
        "`predicateType` is `https://example.com/x`, not `https://loadline.dev/license/v1`"
    );
    statement.kind = "y".into();
    assert_eq!(
        statement.check().unwrap_err().to_string(),
        "`_type` is `y`, not `https://in-toto.io/Statement/v1`"
    );
}

#[test]
fn those_who_know_only_in_toto_get_properties() {
    let mut license = license(Stage::General);
    let svr = Svr::of(&license);
    assert_eq!(
        svr.properties,
        [
            "LOADLINE_STAGE_GENERAL",
            "LOADLINE_POLICY_SMALL",
            "LOADLINE_EXPIRES_2027_02_21",
            "LOADLINE_ASSURANCE_LOADLINE_AL_0",
            "LOADLINE_ASSURANCE_AVERI_ORG_AAL_1",
            "LOADLINE_NOT_LEGAL_CONFORMITY",
        ]
    );
    license.decision.value.outcome = Outcome::Deny;
    assert!(Svr::of(&license).properties.is_empty());
}
