//! What several tests need.

use loadline_core::Digest;
use loadline_core::model::Basis;
use loadline_policy::decide::{Asked, Case, Evidence, SignOff};
use loadline_policy::policy::{self, Policy, Requirement, Role, Stage, Test};
use loadline_policy::rules::{self, ScopeVerdict};
use loadline_policy::{Decimal, Instant, Ledger, Problems, compute};

pub fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

pub fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// A declaration with one entry of stated compute.
pub fn stated(flop: &str) -> Ledger {
    compute::parse(&format!(
        "format = \"loadline-compute/1\"\nmodel = \"m\"\nothers = \"none\"\n[[entry]]\nname = \"all\"\n\
         category = \"pretraining\"\nbasis = \"self_reported\"\nstated = {{ flop = {flop}, source = \"test\" }}\n"
    ))
    .unwrap()
}

pub fn verdict(law: &str, ledger: &Ledger) -> ScopeVerdict {
    rules::find(law).unwrap().judge(ledger).unwrap()
}

/// `line:column path message / hint` of each problem.
pub fn said<T: std::fmt::Debug>(result: Result<T, Problems>) -> Vec<String> {
    let problems = result.expect_err("problems");
    let line = |p: &loadline_policy::Problem| {
        let hint = p.hint.as_ref().map(|hint| format!(" / {hint}")).unwrap_or_default();
        format!("{p}{hint}")
    };
    problems.0.iter().map(line).collect()
}

pub const SMALL: &str = r#"
format = "loadline-policy/1"
name = "small"
version = "1"
purpose = "tests"
identity = ["verified"]
max_age_days = 30
blocks_from = "moderate"
valid_days = 90
survey_days = 30
assurance = ["averi.org/aal-1"]
[scope]
laws = ["eu-ai-act-1e25"]
below = "light"
[attempts]
most = 2
corrected = true
[[test]]
id = "sums"
risk = "capability"
severity = "high"
suite = "arithmetic"
form = "generate"
levels = [1, 2]
n = 200
metric = "exact_match"
at_least = 0.8
bound = "lower"
confidence = 0.95
light = true
[[test]]
id = "leaks"
risk = "misuse"
severity = "critical"
suite = "secret-keeping"
form = "generate"
levels = [1]
n = 200
metric = "leaked"
at_most = 0.05
bound = "upper"
confidence = 0.95
[[test]]
id = "chess"
risk = "capability"
severity = "low"
suite = "chess"
form = "choice"
levels = [1]
n = 100
metric = "acc"
at_least = 0.5
bound = "lower"
confidence = 0.95
method = "wilson"
[[stage]]
name = "internal"
[stage.marks]
tools = false
lease_s = 60
log = "durable"
[[stage]]
name = "general"
sign_off = [
    { role = "external_auditor", needed = 1, of = 2 },
    { role = "authority", needed = 2, of = 3 },
]
[stage.marks]
tokens_per_day = 1000
tools = false
lease_s = 60
log = "durable"
[[stage]]
name = "weights_released"
sign_off = [{ role = "authority", needed = 1, of = 3 }]
"#;

pub fn small() -> Policy {
    static POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(|| policy::parse(SMALL).unwrap());
    POLICY.clone()
}

pub fn evidence(policy: &Policy, test: &Test, successes: u64) -> Evidence {
    Evidence {
        id: format!("run-{}", test.id),
        test: test.id.clone(),
        record: digest(&test.id),
        log_index: Some(7),
        basis: Basis::Verified,
        asked: Asked { source: test.source.clone(), metric: test.metric.clone() },
        successes,
        scored: test.n,
        unscored: 0,
        attempt: 1,
        finished: at("2026-11-20T00:00:00Z"),
        model: digest("model"),
        identity: Basis::Verified,
        policy: policy.digest().unwrap(),
    }
}

pub fn sign_off(policy: &Policy, stage: Stage, signer: &str, role: Role) -> SignOff {
    SignOff {
        id: format!("sig-{signer}-{role}"),
        signer: signer.to_owned(),
        role,
        approves: true,
        stage,
        subject: digest("model"),
        policy: policy.digest().unwrap(),
        at: at("2026-11-21T00:00:00Z"),
    }
}

/// Everything that `stage` of a policy needs on the full path, and more than enough of it.
pub fn good_case(policy: &Policy, stage: Stage) -> Case {
    let best = |test: &Test| match test.requirement {
        Requirement::AtLeast(_) => test.n,
        Requirement::AtMost(_) => 0,
    };
    let rule = policy.stage(stage).unwrap();
    let sign_offs = rule.sign_off.iter().flat_map(|rule| {
        (0..rule.needed).map(|n| sign_off(policy, stage, &format!("{}-{n}", rule.role), rule.role))
    });
    let ledger = stated("2e25");
    Case {
        subject: digest("model"),
        stage,
        now: at("2026-11-23T12:00:00Z"),
        scope: policy.scope.laws.iter().map(|law| verdict(law, &ledger)).collect(),
        evidence: policy.tests.iter().map(|test| evidence(policy, test, best(test))).collect(),
        sign_offs: sign_offs.collect(),
        drill: None,
    }
}
