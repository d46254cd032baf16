//! `loadline stop` as an operator meets it: the real binary, a real gate, an upstream that never ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::Duration;

use loadline_testkit::endpoint::{Ask, FakeEndpoint, Fault};
use serde_json::{Value, json};

use crate::licensed::{Bench, POLICY};
use crate::support::{LOADLINE, Said};

/// A policy whose marks let many streams through, and whose leases are longer than any test.
fn policy() -> String {
    POLICY
        .replace("requests_per_minute = 60", "requests_per_minute = 100000")
        .replace("tokens_per_day = 1000", "tokens_per_day = 1000000000")
        .replace("context_tokens = 1000", "context_tokens = 100000")
        .replace("lease_s = 60", "lease_s = 86400")
}

/// An authority whose stop keys `stop` and `ben` must both sign to start again, a licence, and a gate that serves it.
pub struct Site {
    pub bench: Rc<Bench>,
    /// Digest of the licence for `internal`.
    pub license: String,
    pub endpoint: FakeEndpoint,
    public: u16,
    admin: u16,
    caller: String,
    gate: Option<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Site {
    pub fn new() -> Self {
        let bench = Bench::with(&policy(), "--also red_team --also stop");
        bench.examined("fake/ability=0.95");
        let issued = bench.ok("license issue --stage internal --json").json_lines().remove(0);
        let license = issued["license"].as_str().unwrap().to_owned();
        bench.ok("key new ben -o ben.age --work 10");
        bench.ok("key rotate stop --key ben.pub.json --keep --threshold 2 --authority authority --work 10");
        bench.ok("standing issue --lease 24h");
        let endless =
            |ask: &Ask| (ask.body["stream"] == true).then(|| Fault::Endless(Duration::from_millis(5)));
        let endpoint = FakeEndpoint::builder().fault(endless).start();
        let made = bench.sandbox.run("gate key new keys.json --subject ada --role public").ok();
        let (public, admin, caller) = (free_port(), free_port(), made.stdout.trim().to_owned());
        let shown = bench.sandbox.run("authority show --json").ok().json_lines().remove(0);
        let (pin, name) = (shown["authority"].as_str().unwrap(), &license[7..]);
        let url = endpoint.base_url();
        bench.sandbox.write(
            "gate.toml",
            format!(
                r#"format = "loadline-gate/1"
name = "gate.example/audit"
listen = "127.0.0.1:{public}"
state = "state"
keys = "keys.json"
audit = "audit"
[authority]
roots = "authority/root"
pin = "{pin}"
standing = "authority/standing.json"
every_s = 1
[admin]
listen = "127.0.0.1:{admin}"
key_env = "OPERATOR_KEY"
[limits]
header_ms = 600000
[stages]
internal = ["public"]
[[upstream]]
name = "up"
url = "{url}"
[[model]]
name = "small"
upstream = "up"
license = "authority/licenses/{name}/license.json"
"#
            ),
        );
        let bench = Rc::new(bench);
        let mut site = Self { bench, license, endpoint, public, admin, caller, gate: None };
        site.begin();
        site
    }

    /// Starts the gate, and waits until both doors are open.
    pub fn begin(&mut self) {
        self.gate = Some(self.bench.sandbox.gate(("OPERATOR_KEY", "operator")));
        // The standing is looked for once the doors are open.
        self.until("a standing", |site| !site.get("/ready").contains("holds no standing"));
    }

    /// Kills the gate: nothing in it gets to run any more.
    pub fn end(&mut self) {
        if let Some(mut gate) = self.gate.take() {
            let _ = gate.kill();
            let _ = gate.wait();
        }
    }

    /// Looks again and again until something holds, as long as the gate runs: no clock decides.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        while !holds(self) {
            let gate = self.gate.as_mut().unwrap();
            assert!(gate.try_wait().unwrap().is_none(), "the gate ended before {what} came");
            std::thread::yield_now();
        }
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    /// A connection to the gate.
    pub fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.public)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        BufReader::new(stream)
    }

    /// Sends a request on a connection; gives the head.
    pub fn send(&self, connection: &mut BufReader<TcpStream>, streaming: bool) -> String {
        let body = json!({
            "model": "small", "stream": streaming, "max_tokens": 100,
            "messages": [{ "role": "user", "content": "hello" }],
        })
        .to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.caller,
            body.len()
        );
        connection.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(connection.read_line(&mut head).unwrap() > 0, "{head}");
        }
        head
    }

    /// Asks on a connection that stays open: the status, and the code of a refusal.
    pub fn ask(&self, connection: &mut BufReader<TcpStream>) -> (u16, String) {
        let head = self.send(connection, false);
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        connection.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let code = body["error"]["code"].as_str().unwrap_or_default().to_owned();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), code)
    }

    pub fn asked(&self) -> (u16, String) {
        self.ask(&mut self.connect())
    }

    fn door(&self) -> String {
        format!("--gate http://127.0.0.1:{}", self.admin)
    }

    /// `loadline stop …` at this gate.
    pub fn stop(&self, words: &str) -> Said {
        let line = format!("stop {words} {}", self.door());
        if words.contains("--key") { self.bench.run(&line) } else { self.bench.sandbox.run(&line) }
    }

    pub fn drill(&self, words: &str) -> Said {
        let line = format!(
            "stop drill small --key authority/keys/stop.age {} --serve http://127.0.0.1:{} --passphrase-file pass {words}",
            self.door(),
            self.public
        );
        let mut command: Command = self.bench.sandbox.command(LOADLINE, line.split_whitespace());
        let output = command.env("LOADLINE_CALLER_KEY", &self.caller).output().unwrap();
        self.bench.sandbox.said(output)
    }
}

/// What still comes of a stream.
pub fn rest(stream: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n0\r\n") && stream.read_line(&mut text).unwrap_or(0) > 0 {}
    text
}

const STOP: &str = "small --key authority/keys/stop.age";

#[test]
fn one_stops_and_two_start_again() {
    let mut site = Site::new();
    let mut warm = site.connect();
    assert_eq!(site.ask(&mut warm).0, 200);
    // Somebody without a stop key.
    let wrong = site.stop("small --key authority/keys/authority.age");
    assert_eq!(wrong.code, 30, "{}", wrong.text());
    assert!(
        wrong.stderr.contains("the gate does not follow the order") && wrong.stderr.contains("role `stop`")
    );
    let elsewhere = site.stop(&format!("{STOP} --name other.example"));
    assert_eq!(elsewhere.code, 30, "{}", elsewhere.text());
    assert!(elsewhere.stderr.contains("the order is for the gate `other.example`"), "{}", elsewhere.text());
    for ambiguous in ["all", "0a1b2c3d4e5f"] {
        let said = site.stop(&format!("{ambiguous} --key authority/keys/stop.age"));
        assert_eq!(said.code, 2, "{}", said.text());
        assert!(said.stderr.contains("could be") && said.stderr.contains("`model:"), "{}", said.text());
    }
    assert_eq!(site.ask(&mut warm).0, 200);
    // A stream under way is cut, and what is said of it is what the gate did.
    let mut stream = site.connect();
    assert!(site.send(&mut stream, true).starts_with("HTTP/1.1 200"));
    let stopped = site.stop(&format!("{STOP} --json --reason leak")).ok();
    let said = stopped.json_lines().remove(0);
    assert_eq!((&said["cut"], &said["known"]), (&json!(1), &json!(true)), "{said}");
    assert_eq!(said["covers"][0]["license"], json!(site.license));
    assert!(
        stopped.stderr.contains("Stopped model `small` at `gate.example/audit`, on its disk in"),
        "{}",
        stopped.text()
    );
    let rest = rest(&mut stream);
    assert!(rest.contains("\"stopped\""), "{rest}");
    assert_eq!(site.ask(&mut warm), (403, "stopped".to_owned()));
    // A slip in the name does not look like a stop.
    let unknown = site.stop("model:smal --key authority/keys/stop.age");
    assert_eq!(unknown.code, 2, "{}", unknown.text());
    assert!(
        unknown.stderr.contains("knows no model `smal`: nothing that it serves is stopped"),
        "{}",
        unknown.text()
    );
    assert_eq!(site.stop("show").ok().stdout, "model `smal`\nmodel `small`\n");
    site.end();
    site.begin();
    assert_eq!(site.asked(), (403, "stopped".to_owned()), "a restart does not start it again");
    lifted_by_two(&site);
}

/// One signature is too few; two, from two files, are enough, once.
fn lifted_by_two(site: &Site) {
    let proposed = site.stop("lift small --key authority/keys/stop.age -o lift.json").ok();
    assert!(proposed.stderr.contains("1 of 2 signed; nothing has changed yet"), "{}", proposed.text());
    let few = site.stop("bring lift.json");
    assert_eq!(few.code, 30, "{}", few.text());
    assert!(few.stderr.contains("1 of the role `stop` signed; 2 must"), "{}", few.text());
    let sign = |words: &str| site.bench.run(&format!("stop sign lift.json {words}"));
    let twice = sign("--key authority/keys/stop.age -o twice.json");
    assert_eq!(twice.code, 2, "{}", twice.text());
    assert!(twice.stderr.contains("each holder signs once"), "{}", twice.text());
    sign("--key authority/keys/red-team.age -o red.json").ok();
    let wrong = site.stop("bring red.json");
    assert_eq!(wrong.code, 30, "{}", wrong.text());
    assert!(
        wrong.stderr.contains("key `red-team` signed and does not hold the role `stop`"),
        "{}",
        wrong.text()
    );
    sign("--key ben.age -o ben.json").ok();
    assert_eq!(site.asked().0, 403);
    let lifted = site.stop("bring lift.json ben.json").ok();
    assert!(lifted.stderr.contains("Lifted model `small`"), "{}", lifted.text());
    assert!(lifted.stderr.contains("stopped besides: model `smal`"), "{}", lifted.text());
    assert_eq!(site.asked().0, 200);
    let again = site.stop("bring lift.json ben.json");
    assert_eq!(again.code, 30, "{}", again.text());
    assert!(again.stderr.contains("another state of this gate"), "{}", again.text());
    let nothing = site.stop("lift small --key authority/keys/stop.age");
    assert_eq!(nothing.code, 2, "{}", nothing.text());
}

#[test]
fn an_order_that_nobody_takes_is_kept_and_brought_later() {
    let mut site = Site::new();
    site.end();
    let silent = site.stop(&format!("{STOP} --name gate.example/audit --patience 1s -o kept.json"));
    assert_eq!(silent.code, 50, "{}", silent.text());
    assert!(silent.stderr.contains("NOTHING IS STOPPED") && silent.stderr.contains("loadline stop bring"));
    let nameless = site.stop(&format!("{STOP} --patience 1s"));
    assert_eq!(nameless.code, 50, "{}", nameless.text());
    assert!(nameless.stderr.contains("NOTHING IS STOPPED") && nameless.stderr.contains("--name"));
    let silent = site.stop("bring kept.json --patience 1s");
    assert_eq!(silent.code, 50, "{}", silent.text());
    site.begin();
    assert_eq!(site.asked().0, 200);
    site.stop("bring kept.json").ok();
    assert_eq!(site.asked(), (403, "stopped".to_owned()));
    let replayed = site.stop("bring kept.json");
    assert_eq!(replayed.code, 30, "{}", replayed.text());
    assert!(replayed.stderr.contains("this order was followed already"), "{}", replayed.text());
}

#[test]
fn a_stop_while_the_gate_restarts_waits_for_it() {
    let mut site = Site::new();
    site.end();
    let line = format!("stop {STOP} {} --patience 60s --passphrase-file pass", site.door());
    let waiting = site.bench.sandbox.start(&line);
    site.begin();
    let said = site.bench.sandbox.said(waiting.wait_with_output().unwrap()).ok();
    assert!(said.stderr.contains("Stopped model `small`"), "{}", said.text());
    assert_eq!(site.asked(), (403, "stopped".to_owned()));
    let far = site.bench.run(&format!("stop {STOP} --gate http://gate.example.org"));
    assert_eq!(far.code, 2, "{}", far.text());
    assert!(far.stderr.contains("plain HTTP to another machine"), "{}", far.text());
}
