//! `loadline gate serve`, from the outside of the process: receipts, witnesses, logs, and a good end.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_core::Instant;
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{AuditLog, AuditOptions};
use loadline_policy::policy::Stage;
use loadline_testkit::authority::{TestAuthority, open_marks};
use loadline_testkit::endpoint::{Builder, FakeEndpoint, Fault};
use loadline_tlog::witness::origin_hash;
use serde_json::Value;

use crate::logs::{Server, witness_key};
use crate::support::{LOADLINE, Said, Sandbox};

const NAME: &str = "example.com/gate";
const ADMIN_KEY: &str = "canary-operator-key";
const UPSTREAM_KEY: &str = "canary-upstream-key";

/// An operator's folder with everything that a gate needs, and an upstream.
pub struct Site {
    pub sandbox: Sandbox,
    pub endpoint: FakeEndpoint,
    pub ada: String,
    ben: String,
}

impl Site {
    pub fn new(endpoint: Builder, more: &str) -> Self {
        let (sandbox, endpoint) = (Sandbox::new(), endpoint.start());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = Instant::from_seconds(since - 1).unwrap();
        let authority = TestAuthority::new(now);
        let mut marks = open_marks();
        marks.lease_s = 3_000;
        sandbox.write("roots/1.json", authority.root());
        sandbox.write("license.json", authority.license("m", Stage::General, Some(marks)));
        sandbox.write("published.json", authority.standing(1, now, 3_600, &[]));
        let (pin, url) = (authority.pin(), endpoint.base_url());
        sandbox.write(
            "gate.toml",
            format!(
                r#"format = "loadline-gate/1"
name = "{NAME}"
listen = "127.0.0.1:0"
state = "state"
keys = "keys.json"
audit = "audit"
[authority]
roots = "roots"
pin = "{pin}"
standing = "published.json"
[admin]
listen = "127.0.0.1:0"
key_env = "ADMIN_KEY"
[stages]
general = ["public"]
[[upstream]]
name = "up"
url = "{url}"
key_env = "UPSTREAM_KEY"
[[model]]
name = "m"
upstream = "up"
license = "license.json"
keep = "full"
{more}
"#
            ),
        );
        let key = |subject: &str| {
            let made = sandbox.run(&format!("gate key new keys.json --subject {subject} --role public")).ok();
            made.stdout.trim().to_owned()
        };
        let (ada, ben) = (key("ada"), key("ben"));
        Self { sandbox, endpoint, ada, ben }
    }

    /// Starts a gate, and reads on until both doors are open.
    pub fn start(&self, more: &str) -> Started {
        let mut command =
            self.sandbox.command(LOADLINE, format!("gate serve gate.toml {more}").split_whitespace());
        command.env("ADMIN_KEY", ADMIN_KEY).env("UPSTREAM_KEY", UPSTREAM_KEY);
        command.env("NOTIFY_SOCKET", self.sandbox.path("notify"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut urls, mut said) = (Vec::new(), String::new());
        while urls.len() < 2 {
            let line = lines.next();
            assert!(line.is_some(), "it did not start: {said}");
            let line = line.unwrap().unwrap();
            let url = line.split("on ").nth(1).filter(|url| url.starts_with("http://"));
            urls.extend(url.and_then(|url| url.split([' ', '"']).next()).map(str::to_owned));
            said.push_str(&line);
            said.push('\n');
        }
        Started { child, urls, said, lines }
    }

    pub fn serve(&self, more: &str) -> Gate {
        let Started { child, urls, said, lines } = self.start(more);
        let rest = std::thread::spawn(move || {
            lines.map_while(Result::ok).fold(said, |said, line| format!("{said}{line}\n"))
        });
        let gate =
            Gate { child: Some(child), public: urls[0].clone(), admin: urls[1].clone(), rest: Some(rest) };
        // The first standing comes a moment after the doors open.
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while ask(&gate.admin, "", "GET", "/ready", "").status != 200 {
            assert!(std::time::Instant::now() < deadline, "it is never ready");
        }
        gate
    }

    /// A gate that is not to start.
    fn refused(&self) -> Said {
        let mut command = self.sandbox.command(LOADLINE, ["gate", "serve", "gate.toml"]);
        command.env("ADMIN_KEY", ADMIN_KEY).env("UPSTREAM_KEY", UPSTREAM_KEY);
        self.sandbox.said(command.output().unwrap())
    }
}

pub struct Started {
    pub child: Child,
    pub urls: Vec<String>,
    said: String,
    /// What it says from then on.
    pub lines: Lines<BufReader<ChildStderr>>,
}

pub struct Gate {
    child: Option<Child>,
    pub public: String,
    pub admin: String,
    rest: Option<JoinHandle<String>>,
}

pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

pub fn ask(url: &str, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

impl Gate {
    fn chat(&self, key: &str, text: &str) -> Answer {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}],"max_tokens":50}}"#);
        ask(&self.public, key, "POST", "/v1/chat/completions", &body)
    }

    /// The receipt, when it is there.
    fn receipt(&self, key: &str, intent: &str) -> Answer {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let answer = ask(&self.public, key, "GET", &format!("/v1/receipts/{intent}"), "");
            if answer.status != 202 {
                return answer;
            }
            assert_eq!(answer.header("retry-after"), Some("2"));
            assert!(answer.body.contains("\"pending\"") && std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn terminate(&self) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// What it said, after a good end.
    fn end(mut self) -> String {
        self.terminate();
        self.wait()
    }

    pub fn wait(&mut self) -> String {
        let mut child = self.child.take().unwrap();
        let said = self.rest.take().unwrap().join().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// A collector of traces: keeps every body that is posted.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, got) = (format!("http://{}/v1/traces", listener.local_addr().unwrap()), Arc::default());
    let kept: Arc<Mutex<Vec<u8>>> = Arc::clone(&got);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let (mut head, mut line) = (String::new(), String::new());
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                head.push_str(&std::mem::take(&mut line));
            }
            let length =
                head.to_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _cut_off = stream.read_exact(&mut body);
            kept.lock().unwrap().extend_from_slice(head.as_bytes());
            kept.lock().unwrap().extend_from_slice(&body);
            let _gone = stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (url, got)
}

fn has(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
}

#[test]
fn no_output_of_a_gate_has_a_key_or_content_and_kept_content_goes_to_who_may_have_it() {
    let (url, traces) = collector();
    let repeats_the_key = |ask: &loadline_testkit::endpoint::Ask| {
        let error = serde_json::json!({ "error": { "message": format!("no such key {UPSTREAM_KEY}") } });
        ask.prompt.contains("fail").then(|| Fault::json(400, &error))
    };
    let endpoint = FakeEndpoint::builder().fault(repeats_the_key).answer(|_| "canary-answer".to_owned());
    let site = Site::new(endpoint, &format!("[traces]\nurl = \"{url}\"\none_in = 1\n"));
    let gate = site.serve("--log json");
    let mut answers = String::new();
    let mut add = |answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.body);
        answers.push_str(&format!("{}\n{}\n", answer.head, answer.body));
    };
    add(gate.chat(&site.ada, "canary-question"), 200);
    add(gate.chat(&site.ben, "canary-other"), 200);
    add(gate.chat(&site.ada, "canary-fail"), 400);
    add(gate.chat("canary-wrong-key", "canary-question"), 401);
    add(ask(&gate.public, &site.ada, "POST", "/v1/chat/completions", "canary-no-json"), 400);
    add(ask(&gate.admin, "canary-wrong-operator", "GET", "/metrics", ""), 401);
    let metrics = ask(&gate.admin, ADMIN_KEY, "GET", "/metrics", "");
    assert!(metrics.body.contains("loadline_gate_forwarded_total 3"), "{}", metrics.body);
    let said = gate.end();
    let traces = traces.lock().unwrap().clone();
    assert!(has(&traces, "application/x-protobuf") && has(&traces, "POST /v1/chat/completions"));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["event"] == "request").collect();
    assert_eq!(requests.len(), 5, "{said}");
    assert_eq!((&requests[0]["status"], &requests[0]["ending"]), (&200.into(), &"complete".into()));
    assert!(
        requests[0]["flush_us"].is_u64()
            && requests[0]["trace"].is_string()
            && requests[0]["key"].is_string()
    );
    assert_eq!(requests[3]["code"], "key_unknown");
    assert_eq!(lines.last().unwrap()["event"], "ended");
    let exported = site.sandbox.run("gate audit export audit").ok().stdout;
    let outputs: [(&str, &[u8]); 5] = [
        ("what it said", said.as_bytes()),
        ("figures", metrics.body.as_bytes()),
        ("traces", &traces),
        ("the audit log", exported.as_bytes()),
        ("its files", &files(&site.sandbox, &["audit", "state"])),
    ];
    for (what, output) in outputs {
        for secret in ["canary", &site.ada, &site.ben] {
            assert!(!has(output, secret), "{what}: {secret}");
        }
    }
    // Answers have the model's words, and no key.
    for secret in ["canary-wrong", UPSTREAM_KEY, ADMIN_KEY, &site.ada, "canary-question", "canary-no-json"] {
        assert!(!answers.contains(secret), "{secret}: {answers}");
    }
    kept_in_full(&site.sandbox);
}

fn files(sandbox: &Sandbox, folders: &[&str]) -> Vec<u8> {
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(sandbox.path(folder)).unwrap());
    entries.flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// Content that was kept is exported with the subject's key, as a digest without, and erased for good.
fn kept_in_full(sandbox: &Sandbox) {
    let bodies = |line: &str| -> Vec<Option<String>> {
        let rows = sandbox.run(line).ok().json_lines();
        let rows = rows.into_iter().filter(|row| {
            let entry = &row["entry"];
            let content = if entry["intent"].is_object() { &entry["intent"] } else { &entry["outcome"] };
            content["content"]["hmac"].is_string()
        });
        rows.map(|row| row["body"].as_str().map(decoded)).collect()
    };
    let of = |subject: &str| format!("gate audit export audit --content --subject {subject}");
    let ada = bodies(&of("ada"));
    assert_eq!(ada.len(), 4);
    assert!(ada[0].as_ref().unwrap().contains("canary-question"), "{ada:?}");
    assert!(ada[1].as_ref().unwrap().contains("canary-answer"), "{ada:?}");
    let ben = bodies(&of("ben"));
    assert!(ben.iter().flatten().all(|body| body.contains("canary-other") || body.contains("canary-answer")));
    sandbox.run("gate audit erase audit ada").ok();
    let gone = sandbox.run(&of("ada"));
    assert_eq!(gone.code, 2, "{}", gone.text());
    let all = bodies("gate audit export audit --content");
    assert_eq!((all.len(), all.iter().flatten().count()), (6, 2));
    assert_eq!(bodies(&of("ben")), ben);
    sandbox.run("gate audit verify audit").ok();
}

/// Base64 by a tool that is not this project's.
fn decoded(text: &str) -> String {
    let mut child = std::process::Command::new("base64");
    let mut child = child.arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_caller_gets_a_receipt_that_others_can_check_and_a_log_behind_its_witness_is_refused() {
    let more = "[witnesses]\npolicy = \"witnesses.policy\"\nevery_s = 1\n";
    let site = Site::new(FakeEndpoint::builder(), more);
    let sandbox = &site.sandbox;
    // The log is begun, so that the witness can be told its key.
    let random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other);
    let options = AuditOptions::new(sandbox.path("audit"), NAME, Arc::new(|| 7), Arc::new(random));
    AuditLog::open(Arc::new(RealDisk), options).unwrap().0.close().unwrap();
    let vkey = std::fs::read_to_string(sandbox.path("audit/signer.vkey")).unwrap().trim().to_owned();
    let cosigner = witness_key(sandbox, "w", "witness");
    let witness = Server::start(sandbox, &format!("log witness --key w.age --store seen --log {vkey}"));
    sandbox.write("witnesses.policy", format!("witness W {cosigner} {}\nquorum W\n", witness.url));

    let gate = site.serve("");
    let answer = gate.chat(&site.ada, "hello");
    assert_eq!(answer.status, 200);
    let (intent, request) =
        (answer.header("loadline-intent").unwrap(), answer.header("loadline-request-id").unwrap());
    let receipt = gate.receipt(&site.ada, intent);
    assert_eq!(receipt.status, 200, "{}", receipt.body);
    let foreign = gate.receipt(&site.ben, intent);
    assert!(foreign.status == 404 && foreign.body.contains("receipt_unknown"), "{}", foreign.body);
    assert_eq!(gate.receipt("nobody", intent).status, 401);
    assert!(gate.end().contains("Ended every request came to its end"));
    checked(sandbox, &receipt.body, &vkey, request);

    // A copy of that day; then more is asked, and the copy put in the place of the log.
    copy(sandbox, "audit", "old");
    let gate = site.serve("");
    let intent = gate.chat(&site.ada, "again").header("loadline-intent").unwrap().to_owned();
    assert_eq!(gate.receipt(&site.ada, &intent).status, 200);
    gate.end();
    let verified = sandbox.run("gate audit verify audit --policy witnesses.policy").ok();
    assert!(verified.stdout.contains(" by W\n"), "{}", verified.text());
    copy(sandbox, "audit", "true");
    copy(sandbox, "old", "audit");
    let refused = site.refused();
    assert_eq!(refused.code, 30, "{}", refused.text());
    assert!(refused.stderr.contains("is not the one that witness `W` cosigned"), "{}", refused.text());
    assert!(
        refused.stderr.contains("hint: somebody put an older or another log there"),
        "{}",
        refused.text()
    );
    // Offline, with what the witness shows everybody.
    sandbox.run("gate audit verify audit").ok();
    let (status, _, note) = witness.get(&format!("/{}/checkpoint", origin_hash(NAME)));
    assert_eq!(status, 200);
    sandbox.write("cosigned", note);
    let said = sandbox.run("gate audit verify audit --cosigned cosigned");
    assert!(said.code == 30 && said.stderr.contains("cut short"), "{}", said.text());
    // A fork, by somebody with the log's key: longer than the true one.
    let random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other);
    let mut options = AuditOptions::new(sandbox.path("audit"), NAME, Arc::new(|| 7), Arc::new(random));
    options.program = "another".to_owned();
    for _ in 0..30 {
        AuditLog::open(Arc::new(RealDisk), options.clone()).unwrap().0.close().unwrap();
    }
    let refused = site.refused();
    assert!(refused.code == 30 && refused.stderr.contains("422"), "{}", refused.text());
    copy(sandbox, "true", "audit");
    site.serve("").end();
}

fn checked(sandbox: &Sandbox, receipt: &str, vkey: &str, request: &str) {
    sandbox.write("receipt.json", receipt);
    let verify =
        |file: &str, more: &[&str]| sandbox.run_args([&["gate", "receipt", "verify", file], more].concat());
    let both = ["--vkey", vkey, "--policy", "witnesses.policy"];
    let good = verify("receipt.json", &both).ok();
    assert!(good.stdout.contains(request) && good.stdout.contains("cosigned   W"), "{}", good.text());
    let json = verify("receipt.json", &[&both[..], &["--json"]].concat()).ok();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&json["intent"]["request"], &json["outcome"]["status"]), (&request.into(), &200.into()));
    verify("receipt.json", &both[..2]).ok();
    let usage = verify("receipt.json", &[]);
    assert!(usage.code == 2 && usage.stderr.contains("whose signatures count"), "{}", usage.text());
    let no_log = verify("receipt.json", &both[2..]);
    assert_eq!(no_log.code, 2, "{}", no_log.text());
    sandbox.write("changed.json", receipt.replace("\\\"status\\\":200", "\\\"status\\\":500"));
    let changed = verify("changed.json", &both);
    assert!(changed.code == 30 && changed.stderr.contains("leads to another root"), "{}", changed.text());
    let other = crate::logs::vkey();
    let wrong = verify("receipt.json", &["--vkey", &other]);
    assert!(wrong.code == 30 && wrong.stderr.contains("does not hold"), "{}", wrong.text());
    let none = verify("gate.toml", &both);
    assert!(none.code == 40 && none.stderr.contains("not a receipt"), "{}", none.text());
    assert_eq!(verify("nowhere", &both).code, 40);
}

fn copy(sandbox: &Sandbox, from: &str, to: &str) {
    let (from, to) = (sandbox.path(from), sandbox.path(to));
    let _was_not_there = std::fs::remove_dir_all(&to);
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
