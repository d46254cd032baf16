//! A small authority that signs what a test needs: a root, licences, standings. The same in every run.

use std::collections::{BTreeMap, BTreeSet};

use loadline_core::model::Basis;
use loadline_core::{Digest, Instant};
use loadline_policy::decide::{Decision, Outcome, PolicyRef};
use loadline_policy::license::{
    Based, DecisionRef, Issuer, License, Limitation, LimitationCode, Limitations, Statement, SubjectModel,
    Validity,
};
use loadline_policy::policy::{LogMode, Marks, Stage};
use loadline_tlog::{Algorithm, SignerKey};
use loadline_trust::root::{ROOT_FORMAT, ROOT_TYPE};
use loadline_trust::standing::STANDING_FORMAT;
use loadline_trust::{
    Envelope, IN_TOTO_TYPE, KeyId, Role, RoleKeys, Root, SecretKey, Standing, StandingEntry, StandingState,
};

/// The keys of a small authority, and when its root was made.
pub struct TestAuthority {
    now: Instant,
    root: SecretKey,
    authority: SecretKey,
    standing: SecretKey,
    others: Vec<(Role, SecretKey)>,
    /// What licences are issued on.
    policy: PolicyRef,
    decision: Digest,
}

/// Marks that allow everything, with a lease of a minute.
pub fn open_marks() -> Marks {
    Marks {
        requests_per_minute: None,
        tokens_per_day: None,
        context_tokens: None,
        tools: true,
        regions: Vec::new(),
        lease_s: 60,
        log: LogMode::Durable,
    }
}

#[expect(clippy::expect_used, reason = "a test cannot go on without its authority")]
impl TestAuthority {
    /// One that begins a day before this moment and counts for a year.
    pub fn new(now: Instant) -> Self {
        let key = |name: &str, number: u8| {
            SecretKey::from_seeds(name, &[number; 32], &[number ^ 0x80; 32]).expect("a test key")
        };
        let others = Vec::new();
        let policy =
            PolicyRef { name: "test".to_owned(), version: "1".to_owned(), digest: Digest::of(b"policy") };
        Self {
            now,
            root: key("root", 1),
            authority: key("authority", 3),
            standing: key("standing", 5),
            others,
            policy,
            decision: Digest::of(b"decision"),
        }
    }

    /// The same with one more key.
    #[must_use]
    pub fn with(mut self, role: Role, key: SecretKey) -> Self {
        self.others.push((role, key));
        self
    }

    /// The same, whose licences are issued on this decision.
    #[must_use]
    pub fn deciding(mut self, decision: &Decision) -> Self {
        self.policy = decision.policy.clone();
        self.decision = Digest::of_json(decision).expect("a decision as JSON");
        self
    }

    fn ago(&self, seconds: u64) -> Instant {
        Instant::from_seconds(self.now.seconds().saturating_sub(seconds)).expect("an earlier moment")
    }

    /// The root, signed.
    pub fn root(&self) -> Vec<u8> {
        let log = SignerKey::from_seed("example.com/log", Algorithm::Ed25519, &[9; 32]).expect("a log key");
        let mut roles: BTreeMap<Role, RoleKeys> = BTreeMap::new();
        let mut keys = BTreeMap::new();
        let own =
            [(Role::Root, &self.root), (Role::Authority, &self.authority), (Role::Standing, &self.standing)];
        for (role, key) in own.into_iter().chain(self.others.iter().map(|(role, key)| (*role, key))) {
            let ids = || RoleKeys { keyids: BTreeSet::<KeyId>::new(), threshold: 1 };
            roles.entry(role).or_insert_with(ids).keyids.insert(key.public().id());
            keys.insert(key.public().id(), key.public().clone());
        }
        let root = Root {
            format: ROOT_FORMAT.to_owned(),
            version: 1,
            previous: None,
            issued: self.ago(86_400),
            expires: self.now.plus_days(365),
            keys,
            roles,
            log_policy: format!("log {}\nquorum none\n", log.verifier().to_vkey()),
        };
        Envelope::sign_json(ROOT_TYPE, &root, &[&self.root]).expect("a signed root").to_bytes()
    }

    /// What a verifier pins.
    pub fn pin(&self) -> Digest {
        Envelope::parse(&self.root()).expect("the root").payload_digest()
    }

    /// A licence for a model of this name, from a day before to 30 days after, signed.
    pub fn license(&self, model: &str, stage: Stage, marks: Option<Marks>) -> Vec<u8> {
        self.license_until(model, stage, marks, self.now.plus_days(30))
    }

    /// The same with another end.
    pub fn license_until(
        &self,
        model: &str,
        stage: Stage,
        marks: Option<Marks>,
        expires: Instant,
    ) -> Vec<u8> {
        self.license_about(model, Digest::of(model.as_bytes()), stage, marks, expires)
    }

    /// The same about a model of this digest.
    pub fn license_about(
        &self,
        model: &str,
        digest: Digest,
        stage: Stage,
        marks: Option<Marks>,
        expires: Instant,
    ) -> Vec<u8> {
        let mut more = vec![Limitation::known(LimitationCode::RemoteIdentity)];
        if stage == Stage::WeightsReleased {
            more.push(Limitation::known(LimitationCode::WeightsPublic));
        }
        let issuer = Issuer { id: "https://example.com".to_owned(), name: "Test authority".to_owned() };
        let license = License {
            issuer: Based::self_reported(issuer),
            subject: Based {
                value: SubjectModel { digest, name: model.to_owned() },
                basis: Basis::SelfReported,
            },
            stage: Based::verified(stage),
            marks: Based::verified(marks),
            conditions: Based::self_reported(Vec::new()),
            policy: Based::verified(self.policy.clone()),
            decision: Based::verified(DecisionRef { digest: self.decision, outcome: Outcome::Allow }),
            evidence: Vec::new(),
            sign_offs: Vec::new(),
            scope: Vec::new(),
            assurance: Based::verified(vec!["loadline/al-0".to_owned()]),
            issued: Based::verified(self.ago(86_400)),
            validity: Based::verified(Validity { not_before: self.ago(86_400), expires }),
            next_survey: Based::verified(expires),
            standing_url: None,
            supersedes: None,
            limitations: Limitations::with(more),
        };
        let statement = Statement::about(model, digest, license);
        Envelope::sign_json(IN_TOTO_TYPE, &statement, &[&self.authority])
            .expect("a signed licence")
            .to_bytes()
    }

    /// The name of a licence in standings and orders.
    pub fn name_of(license: &[u8]) -> Digest {
        Envelope::parse(license).expect("a licence").payload_digest()
    }

    /// A standing from this moment on for so many seconds, signed.
    pub fn standing(
        &self,
        epoch: u64,
        issued: Instant,
        for_s: u64,
        states: &[(Digest, StandingState)],
    ) -> Vec<u8> {
        let mut entries: Vec<_> = states
            .iter()
            .map(|(license, state)| {
                let reason = "a test says so".to_owned();
                StandingEntry { license: *license, state: *state, since: issued, reason }
            })
            .collect();
        entries.sort_by_key(|entry| entry.license);
        let expires = Instant::from_seconds(issued.seconds() + for_s).expect("a later moment");
        let standing = Standing {
            format: STANDING_FORMAT.to_owned(),
            authority: self.pin(),
            epoch,
            issued,
            expires,
            log_size: epoch,
            entries,
        };
        standing.sign(&[&self.standing]).expect("a signed standing").to_bytes()
    }
}
