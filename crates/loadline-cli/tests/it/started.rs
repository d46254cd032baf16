//! `exam start`: the log's witnesses have the last word before the questions exist.

use std::net::TcpListener;

use serde_json::Value;

use crate::licensed::{POLICY, walk};
use crate::logs::{Server, run, witness_key};
use crate::support::{Said, Sandbox};

/// An authority whose log two witnesses must have seen: one here (`first/`), one at a URL that nobody serves yet.
struct Witnessed {
    sandbox: Sandbox,
    port: u16,
}

impl Witnessed {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("policy.toml", POLICY);
        std::fs::create_dir(sandbox.path("first")).unwrap();
        let here = witness_key(&sandbox, "first/witness", "witness");
        let there = witness_key(&sandbox, "second", "witness-ml-dsa44");
        // Free when it is asked for; the witness that listens there later needs the log's key, which names it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let init = format!(
            "authority init authority --work 10 --quorum 2 --witness '{here}' --witness '{there} http://127.0.0.1:{port}'"
        );
        run(&sandbox, &init).ok();
        Self { sandbox, port }
    }

    fn run(&self, line: &str) -> Said {
        run(&self.sandbox, line)
    }

    /// With the witness that is here.
    fn with(&self, line: &str) -> Said {
        self.run(&format!("{line} --witness first"))
    }

    /// The other witness, until it is dropped.
    fn second(&self) -> Server {
        let log = std::fs::read_to_string(self.sandbox.path("authority/keys/log.vkey")).unwrap();
        let listen = format!("--listen 127.0.0.1:{}", self.port);
        let line = format!("log witness --key second.age --store seen --log {} {listen}", log.trim());
        Server::start(&self.sandbox, &line)
    }

    fn register(&self, model: &str) -> u64 {
        self.run("exam commit policy.toml").ok();
        let said = self.run(&format!("model register {model} --json")).ok();
        said.json_lines()[0]["registration"].as_u64().unwrap()
    }

    fn size(&self) -> u64 {
        let head = std::fs::read_to_string(self.sandbox.path("authority/log/head")).unwrap();
        head.lines().nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn without_its_witnesses_no_exam_begins_and_nothing_is_lost() {
    let bench = Witnessed::new();
    let first = bench.register("fake/ability=0.95");
    let before = bench.size();
    for said in [bench.run("exam start"), bench.with("exam start")] {
        assert_eq!((said.code, bench.size()), (1, before), "{}", said.text());
        assert!(
            said.stderr.contains("too few witnesses") && said.stderr.contains("no connection"),
            "{}",
            said.stderr
        );
        assert!(said.stderr.contains("hint: nothing was begun and nothing is lost"), "{}", said.stderr);
    }
    // Another model is registered while this one waits: it must be registered again then.
    let second = bench.register("fake/ability=0.9");
    let _there = bench.second();
    let late = bench.with(&format!("exam start --registration {first}"));
    assert_eq!((late.code, bench.size()), (2, second + 1), "{}", late.text());
    let words = format!("after registration {first} the log has entry {second}, a `registration`");
    assert!(late.stderr.contains(&words), "{}", late.stderr);
    assert!(late.stderr.contains("\nhint: register the model again"), "{}", late.stderr);
    let started = bench.with("exam start --json").ok().json_lines().remove(0);
    let seen = started["start"]["witnessed"].as_str().unwrap();
    let size: u64 = seen.lines().nth(1).unwrap().parse().unwrap();
    assert!(size == second + 1 && started["index"] == size, "the start is the next entry: {started}");
    // Given again, it is the same exam, though the first registration waits still.
    let again = bench.with("exam start --json").ok().json_lines().remove(0);
    assert_eq!((&again, bench.size()), (&started, size + 1));
    let third = bench.register("fake/ability=0.95");
    assert_eq!(seen.lines().filter(|line| line.starts_with('\u{2014}')).count(), 3, "{seen}");
    let other = bench.with("exam start --json").ok().json_lines().remove(0);
    assert_eq!(other["start"]["registration"], third);
    for exam in [&started, &other] {
        let exam = exam["start"]["exam"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        for line in ["exam run", "exam finish"] {
            bench.with(&format!("{line} {exam}")).ok();
        }
        bench.with(&format!("license issue {exam} --stage internal")).ok();
        bench.with(&format!("license bundle --exam {exam} -o {exam}.bundle")).ok();
        let verified = bench
            .sandbox
            .run(&format!("verify {exam}.bundle --witnessed --json"))
            .ok()
            .json_lines()
            .remove(0);
        let seed = verified["steps"].as_array().unwrap().iter().find(|step| step["name"] == "seed").unwrap();
        assert!(seed["detail"].as_str().unwrap().contains("cosigned by w1, w2"), "{seed}");
        let left = verified["cannot_show"].to_string();
        assert!(left.contains("took the first questions it got"), "{left}");
    }
    bench.run("log fsck authority").ok();
}

#[test]
fn a_log_without_witnesses_says_what_that_leaves_open() {
    let bench = crate::licensed::Bench::new();
    bench.examined("fake/ability=0.95");
    bench.ok("license issue --stage internal");
    bench.ok("license bundle -o x.bundle");
    let verified = bench.sandbox.run("verify x.bundle --json").ok().json_lines().remove(0);
    assert!(verified["cannot_show"].to_string().contains("its log asks for no witness"), "{verified}");
    let refused = bench.sandbox.run("verify x.bundle --witnessed");
    assert_eq!(refused.code, 30, "{}", refused.text());
    assert!(refused.stdout.contains("asks for an exam that witnesses cosigned"), "{}", refused.text());
    let start: Vec<Value> = bench.log().into_iter().filter(|entry| entry["kind"] == "start").collect();
    assert!(start[0]["witnessed"].as_str().unwrap().contains("\n4\n"), "{start:?}");
}

/// Two registrations of one model wait; only the newer one can still be examined after the other.
#[test]
fn an_attempt_is_registered_after_the_one_before() {
    let bench = crate::licensed::Bench::new();
    for _ in 0..2 {
        bench.ok("exam commit policy.toml");
        bench.ok("model register fake/ability=0.95");
    }
    bench.ok("exam start");
    let said = bench.run("exam start --registration 3");
    assert_eq!(said.code, 2, "{}", said.text());
    assert!(said.stderr.contains("registration 3 is older than attempt 1, which entry 6"), "{}", said.stderr);
    assert!(said.stderr.contains("\nhint: an attempt is registered after the one before"), "{}", said.stderr);
    // A commitment is for one registration.
    let said = bench.run("model register fake/ability=0.95 --commitment 2");
    assert!(said.stderr.contains("commitment 2 is taken by the registration in entry 3"), "{}", said.stderr);
}

/// Killed as soon as the log has so many entries: registered, started, and in between.
#[test]
fn a_quickstart_that_is_killed_around_its_start_goes_on() {
    let sandbox = Sandbox::new();
    let line = "quickstart license --model fake/ability=0.9,latency=1ms --out q --json";
    for entries in [1, 3, 4, 5] {
        let mut running = sandbox.start(line);
        let head = sandbox.path("q/authority/log/head");
        let size = || {
            let head = std::fs::read_to_string(&head).unwrap_or_default();
            head.lines().nth(1).and_then(|size| size.parse::<u64>().ok()).unwrap_or(0)
        };
        while size() < entries && running.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let said = sandbox.run(line);
    assert_eq!(said.code, 0, "{}", said.text());
    let end = said.json_lines().remove(0);
    assert_eq!(end["report"]["holds"], true, "{}", end["report"]);
    assert!(end["report"]["cannot_show"].to_string().contains("one try for each second"), "{end}");
    sandbox.run("log fsck q/authority").ok();
    let exams = walk(&sandbox.path("q/authority/exams"));
    assert_eq!(exams.iter().filter(|path| path.ends_with("exam.json")).count(), 1, "one exam, one attempt");
}
