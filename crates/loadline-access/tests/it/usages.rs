//! What grants have used, from a gate's audit log.

use std::sync::Arc;

use loadline_access::request::Act;
use loadline_access::usage;
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{AuditLog, AuditOptions};
use loadline_gate::keys::KeyFile;
use loadline_gate::ledger::{
    Account, Audit as _, Charge, Ending, Intent, Keep, Outcome, RequestId, UsageBasis, Used,
};

use crate::support::Office;

#[test]
fn what_a_grant_has_used_is_what_the_gate_wrote_down() {
    let (mut office, id) = Office::admitted();
    let now = office.now;
    office.ask("ada", Some(&id), Act::Claim).unwrap();
    office.ask("ada", Some(&id), Act::Report("a paper".to_owned())).unwrap();
    let file = KeyFile::read(&RealDisk, &office.programme().keys).unwrap();
    let key = file.keys()[0].clone();

    let audit = office.folder.path().join("audit");
    let options = AuditOptions::new(
        &audit,
        "gate.example.org",
        Arc::new(|| 1_700_000_000_000),
        Arc::clone(&office.random),
    );
    let log = AuditLog::open(Arc::new(RealDisk), options).unwrap().0;
    let intent = |number: u8, quota: &str| Intent {
        request: RequestId([number; 16]),
        at_ms: 1_700_000_000_000,
        key: key.id.as_str().into(),
        subject: key.subject.as_str().into(),
        route: "/v1/chat/completions",
        model: "small".into(),
        model_digest: None,
        license: None,
        stage: None,
        standing_epoch: 0,
        charges: vec![Charge { account: Account::quota(quota), limits: key.limits }],
        reserved: 100,
        keep: Keep::Digest,
        content: b"question".to_vec().into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let settled = runtime.block_on(log.intent(intent(1, &key.quota))).unwrap();
    log.outcome(
        settled,
        Outcome {
            at_ms: 1_700_000_000_500,
            status: 200,
            ending: Ending::Complete,
            used: Used { input: 10, output: 7, basis: UsageBasis::ServerUsage },
            delivered_bytes: 6,
        },
    );
    let open = runtime.block_on(log.intent(intent(2, &key.quota))).unwrap();
    let other = runtime.block_on(log.intent(intent(3, "somebody else"))).unwrap();
    let used = usage::of(&usage::read(&RealDisk, &audit).unwrap(), office.desk().book(), now);
    let expected = usage::Used {
        grant: format!("access/{id}"),
        key: key.id.clone(),
        works: true,
        tokens: 117,
        reports: 1,
    };
    assert_eq!(used, [expected], "17 that were settled, and 100 that are reserved");
    drop((open, other));
    let elsewhere = office.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let missing = usage::read(&RealDisk, &elsewhere).map(|_| ()).unwrap_err();
    assert!(missing.to_string().contains("no audit log"), "{missing}");
}
