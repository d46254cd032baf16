//! Model, seed and attestation.

use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_core::strict;
use loadline_policy::decide::PolicyRef;
use loadline_policy::license::Statement;
use loadline_policy::{Decimal, Ledger, Policy};
use loadline_trust::{Envelope, Role, RootChain};

use super::list::{Not, wrong};
use super::log::{Logged, Story};
use super::report::Anchor;
use crate::attest::{Exam, TestResult, statement};
use crate::bundle::{PartName, SmallParts};
use crate::case::test_outcomes;
use crate::entry::Registration;
use crate::manifest::Manifest;
use crate::rescore::MAX_SAMPLES;
use crate::seed::{ExamSeed, SeedCheckpoint};
use crate::witnessed::Witnessed;

/// The chain of roots.
pub(super) fn roots(parts: &SmallParts, anchor: &Anchor) -> Result<(RootChain, String), Not> {
    let roots = (1..).map_while(|version| parts.get(&PartName::Root(version)));
    let chain = RootChain::read(roots, anchor.root).map_err(|error| wrong("roots", error))?;
    if let Some(seen) = anchor.root_seen {
        chain.check_seen(seen).map_err(|error| wrong("roots", error))?;
    }
    let pinned =
        if anchor.root.is_some() { "as pinned" } else { "not pinned: any authority could be this one" };
    let detail = format!("version {} of authority {}, {pinned}", chain.current().version, chain.authority());
    Ok((chain, detail))
}

/// A policy that can be read.
pub(super) fn policy(parts: &SmallParts) -> Result<(Policy, Digest), Not> {
    let name = PartName::Policy;
    let bytes = parts.get(&name).unwrap_or_default();
    let policy: Policy = strict::from_canonical_json(bytes).map_err(|error| wrong(&name, error))?;
    if policy.format != loadline_policy::policy::POLICY_FORMAT {
        return Err(wrong(&name, "`format` is not one that is read here"));
    }
    let most = crate::attest::MAX_TESTS;
    if policy.tests.len() > most || policy.tests.iter().any(|test| !(1..=MAX_SAMPLES).contains(&test.n)) {
        return Err(wrong(&name, format!("more than {most} tests, or a test of too many samples")));
    }
    if let Some(what) = nonsense(&policy) {
        return Err(wrong(&name, what));
    }
    Ok((policy, Digest::of(bytes)))
}

/// What no policy may say, however it is signed: with it, anything could be shown.
fn nonsense(policy: &Policy) -> Option<String> {
    let shown = |id: &str| loadline_core::untrusted::one_line(id, 80);
    let half = "0.5".parse::<Decimal>().ok();
    for (at, test) in policy.tests.iter().enumerate() {
        let id = shown(&test.id);
        if half.as_ref().is_none_or(|half| test.confidence < *half) || test.confidence >= Decimal::one() {
            return Some(format!("test `{id}`: {} is no confidence; 0.5 to below 1 is", test.confidence));
        }
        if !test.requirement.bound().is_fraction() {
            return Some(format!("test `{id}`: {} is not a rate", test.requirement.bound()));
        }
        if policy.tests[..at].iter().any(|other| other.id == test.id) {
            return Some(format!("two tests are called `{id}`"));
        }
    }
    None
}

/// A manifest that can be read.
pub(super) fn manifest(parts: &SmallParts) -> Result<(Manifest, Digest), Not> {
    let name = PartName::Manifest;
    let bytes = parts.get(&name).unwrap_or_default();
    Ok((Manifest::parse(bytes).map_err(|error| wrong(name, error))?, Digest::of(bytes)))
}

/// The compute declaration, where there is one.
pub(super) fn ledger(parts: &SmallParts) -> Result<Option<(Ledger, Digest)>, Not> {
    let name = PartName::Compute;
    let Some(bytes) = parts.get(&name) else { return Ok(None) };
    let ledger: Ledger = strict::from_canonical_json(bytes).map_err(|error| wrong(&name, error))?;
    Ok(Some((ledger, Digest::of(bytes))))
}

/// What was registered is what is in the bundle.
pub(super) fn registered(
    registration: &Registration,
    manifest: &Manifest,
    ledger: Option<Digest>,
) -> Result<String, Not> {
    let at = "the registration";
    if registration.name != manifest.name() {
        return Err(wrong(at, format!("it calls the model otherwise than {}", PartName::Manifest)));
    }
    let claimed_more = registration.identity == Basis::Verified && manifest.basis() != Basis::Verified;
    if claimed_more {
        return Err(wrong(at, "a remote model's identity cannot be `verified`"));
    }
    if registration.compute != ledger {
        return Err(wrong(at, format!("its compute declaration is not {}", PartName::Compute)));
    }
    let what = match manifest {
        Manifest::Weights(statement) => match statement.predicate.resources.len() {
            1 => "1 file of weights".to_owned(),
            count => format!("{count} files of weights"),
        },
        Manifest::Remote(_) if manifest.is_simulated() => "a simulated subject, no real model".to_owned(),
        Manifest::Remote(_) => "a remote endpoint, by its own word".to_owned(),
    };
    Ok(format!("`{}`: {what}", manifest.name()))
}

/// What keeps the authority from trying until it likes the questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tries {
    /// Nothing: the start is of the form of before starts were witnessed.
    Older,
    /// Nothing: the log's policy asks for no witness.
    Alone,
    /// So many cosignatures, which it cannot make itself.
    Witnessed(usize),
}

/// The seed, from the secret that was bound and from what the witnesses saw.
pub(super) fn seed(
    story: &Story,
    logged: &Logged,
    chain: &RootChain,
    (policy, model): (Digest, Digest),
    anchor: &Anchor,
) -> Result<((ExamSeed, Tries), String), Not> {
    let secret = &story.finish.1.secret;
    if secret.hash() != story.commitment.1.secret_hash {
        let at = format!("log entry {}", story.finish.0);
        return Err(wrong(at, format!("the secret is not the one that entry {} binds", story.commitment.0)));
    }
    let checkpoint = &logged.consistency.checkpoint;
    let witnessed = witnessed(story, checkpoint, chain)?;
    let (size, place) = match witnessed {
        Some(_) => (Some(story.start.0), "before the start"),
        None => (story.registration.0.checked_add(1), "after the registration"),
    };
    if Some(checkpoint.size) != size {
        let what = format!(
            "the seed's checkpoint has {} entries; right {place} there are {}",
            checkpoint.size,
            size.unwrap_or(u64::MAX)
        );
        return Err(wrong(PartName::Consistency, what));
    }
    let seed = ExamSeed::derive(secret, checkpoint, witnessed.as_ref(), policy, model)
        .map_err(|error| wrong(PartName::Consistency, error))?;
    let (tries, seen) = match &witnessed {
        None => (Tries::Older, "by no witness (an older form)".to_owned()),
        Some(witnessed) if witnessed.witnesses().len() == 0 => (Tries::Alone, "by no witness".to_owned()),
        Some(witnessed) => {
            let names: Vec<_> = witnessed.witnesses().collect();
            (Tries::Witnessed(names.len()), format!("by {}", names.join(", ")))
        }
    };
    if anchor.witnessed && !matches!(tries, Tries::Witnessed(_)) {
        let what =
            format!("it was cosigned {seen}, and the verifier asks for an exam that witnesses cosigned");
        return Err(wrong(format!("log entry {}", story.start.0), what));
    }
    let detail = format!(
        "from the secret, the log at {} entries, cosigned {seen}, the policy and the model",
        checkpoint.size
    );
    Ok(((seed, tries), detail))
}

/// What the start says that the witnesses saw: the seed's checkpoint, by the log policy that was in force, when it began.
fn witnessed(
    story: &Story,
    checkpoint: &SeedCheckpoint,
    chain: &RootChain,
) -> Result<Option<Witnessed>, Not> {
    let (index, start) = &story.start;
    let Some(text) = &start.witnessed else { return Ok(None) };
    let at = format!("log entry {index}, `witnessed`");
    let policy = story.root_at(chain, *index)?.parsed_log_policy();
    let policy = policy.map_err(|error| wrong("the root's log policy", error))?;
    let read = Witnessed::parse(text, &policy).map_err(|error| wrong(&at, error))?;
    let seen = read.checkpoint();
    if (seen.origin(), seen.size(), seen.root())
        != (checkpoint.origin.as_str(), checkpoint.size, &checkpoint.root.0)
    {
        return Err(wrong(at, format!("it is of another state of the log than {}", PartName::Consistency)));
    }
    read.check_times(start.at).map_err(|error| wrong(&at, error))?;
    Ok(Some(read))
}

/// What the attestation must agree with.
pub(super) struct Context<'a> {
    pub chain: &'a RootChain,
    pub story: &'a Story,
    pub logged: &'a Logged,
    pub policy: &'a Policy,
    pub policy_digest: Digest,
    pub model: Digest,
}

/// The attestation and, with the same content, the test result.
pub(super) fn attestation(parts: &SmallParts, context: &Context<'_>) -> Result<(Exam, String), Not> {
    let Context { chain, story, .. } = context;
    let name = PartName::Attestation;
    let root = story.root_at(chain, story.finish.0)?;
    let envelope =
        Envelope::parse(parts.get(&name).unwrap_or_default()).map_err(|error| wrong(&name, error))?;
    let signers = root.verify(&envelope, Role::Examiner).map_err(|error| wrong(&name, error))?;
    let read: Statement<Exam> = statement(&envelope).map_err(|error| wrong(&name, error))?;
    if envelope.payload_digest() != story.finish.1.attestation {
        let what = format!("it is not the one that log entry {} names", story.finish.0);
        return Err(wrong(&name, what));
    }
    agrees(&read, context)
        .map_err(|field| wrong(&name, format!("its `{field}` is not what the log says")))?;
    for test in &read.predicate.tests {
        let at = format!("{name}, test `{}`", loadline_core::untrusted::one_line(&test.test, 80));
        let in_time = story.start.1.at <= test.started
            && test.started <= test.finished
            && test.finished <= story.finish.1.at;
        if !in_time {
            return Err(wrong(at, "it was not asked between the exam's start and its finish"));
        }
        if test.counts.successes > test.counts.scored {
            return Err(wrong(at, "its counts contradict themselves"));
        }
    }
    test_result(parts, context, &read.predicate)?;
    let names: Vec<_> = signers.iter().map(|key| key.name()).collect();
    let detail = format!("{} tests, signed by {}", read.predicate.tests.len(), names.join(", "));
    Ok((read.predicate, detail))
}

fn agrees(read: &Statement<Exam>, context: &Context<'_>) -> Result<(), &'static str> {
    let Context { story, policy, .. } = context;
    let exam = &read.predicate;
    let reference = PolicyRef {
        name: policy.name.clone(),
        version: policy.version.clone(),
        digest: context.policy_digest,
    };
    let roots: Vec<_> = exam.tests.iter().map(|test| (&test.test, test.record)).collect();
    let logged: Vec<_> = story.finish.1.records.iter().map(|record| (&record.test, record.record)).collect();
    let checks = [
        ("subject", read.model() == context.model && read.subject[0].name == story.registration.1.name),
        ("exam", exam.exam == story.start.1.exam),
        ("policy", exam.policy == reference),
        ("commitment", exam.commitment == story.commitment.0),
        ("registration", exam.registration == story.registration.0),
        ("start", exam.start == story.start.0),
        ("attempt", exam.attempt == story.start.1.attempt),
        ("checkpoint", exam.checkpoint == context.logged.consistency.checkpoint),
        ("tests", roots == logged),
    ];
    checks.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(field, _)| Err(*field))
}

fn test_result(parts: &SmallParts, context: &Context<'_>, exam: &Exam) -> Result<(), Not> {
    let Context { chain, story, policy, model, .. } = context;
    let name = PartName::TestResult;
    let root = story.root_at(chain, story.finish.0)?;
    let envelope =
        Envelope::parse(parts.get(&name).unwrap_or_default()).map_err(|error| wrong(&name, error))?;
    root.verify(&envelope, Role::Examiner).map_err(|error| wrong(&name, error))?;
    let read: Statement<TestResult> = statement(&envelope).map_err(|error| wrong(&name, error))?;
    let registration = &story.registration.1;
    let outcomes = test_outcomes(policy, *model, registration.identity, exam)
        .map_err(|error| wrong(PartName::Attestation, error))?;
    let expected = Statement::about(&registration.name, *model, TestResult::of(&exam.policy, &outcomes));
    if canonical_json(&expected).ok().as_deref() == Some(envelope.payload()) && read == expected {
        return Ok(());
    }
    Err(wrong(name, "it is not what follows from the attestation"))
}
