//! A programme in a folder of its own, people with keys, and a clock that stands where the test puts it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loadline_access::desk::{Reply, Status};
use loadline_access::request::{self, Act, Application, Request, Verdict};
use loadline_access::{Desk, Programme, Refusal, programme};
use loadline_core::{Digest, Instant};
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::Random;
use loadline_trust::{SecretKey, published};
use tempfile::TempDir;

/// A programme, open for business.
pub struct Office {
    pub folder: TempDir,
    pub desk: Option<Desk>,
    pub now: Instant,
    pub random: Random,
}

pub fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

/// The same bytes in the same order, for every test.
pub fn random() -> Random {
    let count = AtomicU64::new(0);
    Arc::new(move |buffer: &mut [u8]| {
        for chunk in buffer.chunks_mut(32) {
            let number = count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&Digest::of(&number).0[..chunk.len()]);
        }
        Ok(())
    })
}

/// A key that follows from its name.
pub fn key(name: &str) -> SecretKey {
    let seed = |half: &str| Digest::of_parts(half, &[name.as_bytes()]).0;
    SecretKey::from_seeds(name, &seed("a"), &seed("b")).unwrap()
}

pub const REVIEWERS: [(&str, &str); 6] = [
    ("rev-a", "a.example"),
    ("rev-b", "b.example"),
    ("rev-c", "c.example"),
    ("rev-d", "d.example"),
    ("rev-e", "e.example"),
    ("rev-f", "f.example"),
];

/// The text of a programme with six reviewers of six institutions.
pub fn text(more: &str) -> String {
    let mut text = r#"format = "loadline-access/1"
name = "example.org/access"
state = "state"
keys = "keys.json"
role = "scientist"
seed = "published on 1 November"
review_days = 14
appeal_days = 10
"#
    .to_owned();
    text.push_str(more);
    text.push_str(
        r#"
[identity]
keys = "any"

[[round]]
name = "2026-1"
opens = "2026-12-01T00:00:00Z"
closes = "2026-12-31T23:59:59Z"
places = 2

[[round]]
name = "2027-1"
opens = "2027-02-01T00:00:00Z"
closes = "2027-02-28T23:59:59Z"
places = 2

[[level]]
name = "study"
stages = ["academic"]
models = ["small"]
days = 180
tokens_per_day = 100000
tokens_per_term = 1000000
"#,
    );
    for (name, domain) in REVIEWERS {
        text.push_str(&format!("\n[[reviewer]]\nkey = \"{name}.pub.json\"\naffiliation = \"{domain}\"\n"));
    }
    text
}

/// Writes the public keys of the reviewers.
pub fn write_keys(folder: &std::path::Path) {
    for (name, _) in REVIEWERS {
        std::fs::write(folder.join(format!("{name}.pub.json")), published::publish(&key(name)).unwrap())
            .unwrap();
    }
}

impl Office {
    /// Founded, in the first round.
    pub fn new() -> Self {
        Self::with("")
    }

    /// The same with more lines in the programme's file.
    pub fn with(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_keys(folder.path());
        let programme = programme::parse(&text(more), folder.path()).unwrap();
        let (now, random) = (at("2026-12-02T10:00:00Z"), random());
        let desk = Desk::found(Arc::new(RealDisk), programme, now, Arc::clone(&random)).unwrap();
        Self { folder, desk: Some(desk), now, random }
    }

    /// One at which ada applied, was accepted and got a place; and her application.
    pub fn admitted() -> (Self, String) {
        let mut office = Self::new();
        let id = office.apply("ada", "uni.example");
        office.decide(&id, Verdict::Accept);
        office.now = at("2027-01-01T00:00:00Z");
        let now = office.now;
        office.desk().draw("2026-1", None, now).unwrap();
        (office, id)
    }

    pub fn desk(&mut self) -> &mut Desk {
        self.desk.as_mut().unwrap()
    }

    pub fn programme(&self) -> Programme {
        self.desk.as_ref().unwrap().programme().clone()
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Ends the process and starts another.
    pub fn reopen(&mut self) {
        let programme = self.programme();
        self.desk = None;
        let opened = Desk::open(Arc::new(RealDisk), programme, self.now, Arc::clone(&self.random));
        self.desk = Some(opened.unwrap().0);
    }

    pub fn days_later(&mut self, days: u64) {
        self.now = self.now.plus_days(days);
    }

    pub fn application(&self, name: &str, domain: &str) -> Application {
        Application {
            affiliation: domain.to_owned(),
            at: self.now,
            days: 90,
            ethics: "IRB 2026-113".to_owned(),
            key: key(name).public().clone(),
            level: "study".to_owned(),
            name: format!("Dr {name}"),
            programme: "example.org/access".to_owned(),
            purpose: "to see whether it is biased".to_owned(),
            id_token: None,
        }
    }

    pub fn send(&mut self, application: &Application, name: &str) -> Result<Status, Refusal> {
        let bytes = request::sign_application(application, &key(name)).unwrap();
        let now = self.now;
        self.desk().take(&bytes, now).map(|reply| status(&reply))
    }

    /// Applies, and gives the id.
    pub fn apply(&mut self, name: &str, domain: &str) -> String {
        let application = self.application(name, domain);
        self.send(&application, name).unwrap().application
    }

    pub fn ask(&mut self, name: &str, id: Option<&str>, act: Act) -> Result<Reply, Refusal> {
        let request = Request {
            act,
            application: id.map(str::to_owned),
            at: self.now,
            programme: "example.org/access".to_owned(),
        };
        let bytes = request::sign_request(&request, &key(name)).unwrap();
        let now = self.now;
        self.desk().take(&bytes, now)
    }

    /// Who is asked for a review and has not said anything.
    pub fn asked(&mut self, id: &str) -> Vec<String> {
        let case = &self.desk().book().cases[id];
        let open = case.panel().iter().filter(|seat| !seat.recused && seat.review.is_none());
        open.map(|seat| seat.reviewer.clone()).collect()
    }

    pub fn review(&mut self, reviewer: &str, id: &str, verdict: Verdict) -> Result<Reply, Refusal> {
        let reason = format!("{reviewer} says {}", verdict.word());
        self.ask(reviewer, Some(id), Act::Review { verdict, reason })
    }

    /// All who are asked say the same.
    pub fn decide(&mut self, id: &str, verdict: Verdict) {
        for reviewer in self.asked(id) {
            self.review(&reviewer, id, verdict).unwrap();
        }
    }

    pub fn status(&mut self, name: &str, id: &str) -> Status {
        status(&self.ask(name, Some(id), Act::Status).unwrap())
    }
}

pub fn status(reply: &Reply) -> Status {
    match reply {
        Reply::Status(status) => (**status).clone(),
        other => panic!("no status: {other:?}"),
    }
}
