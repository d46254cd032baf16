//! `loadline log serve` and `fsck`, and what the tests of the other verbs of `loadline log` need.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use loadline_tlog::disk::{DiskLog, RealDisk};
use loadline_tlog::{Algorithm, Checkpoint, Note, SignerKey};

use crate::support::{LOADLINE, Said, Sandbox};

pub const ORIGIN: &str = "example.com/log";
pub const PASSPHRASE: &str = "a passphrase for tests";

pub fn log_key() -> SignerKey {
    SignerKey::from_seed(ORIGIN, Algorithm::Ed25519, &[1; 32]).unwrap()
}

pub fn sign(checkpoint: &Checkpoint) -> Result<Note, Infallible> {
    let mut note = Note::unsigned(&checkpoint.to_text()).unwrap();
    note.sign(&log_key(), 0).unwrap();
    Ok(note)
}

/// Adds entries `WORD n` up to a size, to a new log if there is none.
pub fn grow(dir: &Path, to: u64, word: &str) -> DiskLog {
    let keys = vec![log_key().verifier().clone()];
    let disk = || Arc::new(RealDisk);
    let opened = DiskLog::open(dir, disk(), keys.clone());
    let mut log = opened.unwrap_or_else(|_| DiskLog::create(dir, disk(), keys, ORIGIN, sign).unwrap());
    log.append((log.size()..to).map(|number| format!("{word} {number}")), sign).unwrap();
    log
}

/// The same, published without witnesses.
pub fn publish(dir: &Path, to: u64, word: &str) {
    let mut log = grow(dir, to, word);
    let head = log.head().clone();
    log.publish(&head).unwrap();
}

pub fn vkey() -> String {
    log_key().verifier().to_vkey()
}

/// A server that runs until it is dropped.
pub struct Server {
    child: Option<Child>,
    pub url: String,
}

impl Server {
    pub fn start(sandbox: &Sandbox, line: &str) -> Self {
        Self::start_with(sandbox.command(LOADLINE, words(line)), 1).0
    }

    /// The same, of a server that prints so many addresses; gives those after the first.
    pub fn start_with(mut command: Command, addresses: usize) -> (Self, Vec<String>) {
        command.env("LOADLINE_PASSPHRASE", PASSPHRASE).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().take(addresses);
        let mut urls: Vec<String> = lines.map(Result::unwrap).collect();
        let mut words = String::new();
        if urls.len() < addresses {
            child.stderr.as_mut().unwrap().read_to_string(&mut words).unwrap();
        }
        assert!(words.is_empty() && urls.len() == addresses, "it did not start: {words}");
        (Self { child: Some(child), url: urls.remove(0) }, urls)
    }

    /// Sends these bytes; gives everything that comes back.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let length = body.len();
        let answer = self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        assert!(status.is_some(), "{answer}");
        (status.unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    pub fn get(&self, path: &str) -> (u16, String, String) {
        self.ask("GET", path, "")
    }

    /// Ctrl-C.
    pub fn interrupt(mut self) -> Output {
        let child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Words that may hold spaces between single quotes.
pub fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

pub fn run(sandbox: &Sandbox, line: &str) -> Said {
    let mut command = sandbox.command(LOADLINE, words(line));
    sandbox.said(command.env("LOADLINE_PASSPHRASE", PASSPHRASE).output().unwrap())
}

/// A witness's key in `NAME.age`; gives its public half.
pub fn witness_key(sandbox: &Sandbox, name: &str, kind: &str) -> String {
    run(sandbox, &format!("key new {name} -o {name}.age --kind {kind} --origin {name}.example --work 10"))
        .ok();
    std::fs::read_to_string(sandbox.path(&format!("{name}.vkey"))).unwrap().trim().to_owned()
}

#[test]
fn only_what_is_published_is_served_and_no_path_leads_out() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    publish(&dir, 260, "entry");
    drop(grow(&dir, 300, "entry"));
    sandbox.write("secret", "no");
    let server = Server::start(&sandbox, "log serve --log log");
    let (status, head, body) = server.get("/checkpoint");
    assert_eq!((status, body.as_bytes()), (200, &*std::fs::read(dir.join("checkpoint")).unwrap()));
    assert!(
        head.contains("content-type: text/plain; charset=utf-8") && head.contains("cache-control: no-cache")
    );
    let (status, head, _) = server.get("/tile/0/000");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/octet-stream") && head.contains("immutable"), "{head}");
    assert!(head.contains("content-length: 8192") && head.contains("nosniff"), "{head}");
    assert_eq!(server.get("/tile/0/001.p/4").0, 200);
    assert_eq!(server.get("/tile/0/000.p/7").0, 200, "the beginning of a full one");
    assert_eq!(server.get("/tile/entries/001.p/4").2.split("entry ").count(), 5);
    for beyond in ["/tile/0/001.p/44", "/tile/entries/001.p/44", "/tile/0/001", "/tile/2/000.p/1"] {
        assert_eq!(server.get(beyond).0, 404, "{beyond}");
    }
    for trick in [
        "/",
        "/head",
        "/lock",
        "/tmp/head",
        "/tile",
        "/tile/",
        "//checkpoint",
        "/checkpoint/",
        "/Checkpoint",
        "/tile/../head",
        "/tile/0/../../../secret",
        "/tile/%2e%2e/head",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/tile/0/000%00",
        "/tile/0/000/",
        "/tile/00/000",
        "/tile/0/x000/000",
        "/tile/0/000.p/256",
        "/tile/0/18446744073709551616",
        "/tile/0/x999/x999/x999/x999/x999/x999/999",
        "/..\\secret",
        "/tile/entries/..",
        "http://elsewhere.example/../secret",
    ] {
        let (status, _, body) = server.get(trick);
        assert!(matches!(status, 400 | 404) && body != "no", "{trick}: {status}");
    }
    assert_eq!(server.get("/checkpoint?x=/../head").0, 200, "a query changes nothing");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (status, head, _) = server.ask(method, "/checkpoint", "");
        assert!(status == 405 && head.contains("allow: get, head"), "{method}: {head}");
    }
    let (status, head, body) = server.ask("HEAD", "/tile/0/000", "");
    assert!(status == 200 && body.is_empty() && head.contains("content-length: 8192"), "{head}");
    assert_eq!(server.ask("POST", "/checkpoint", &"x".repeat(100)).0, 413, "no body is read here");
    let (status, ..) = server.get(&format!("/{}", "x".repeat(30_000)));
    assert!(matches!(status, 414 | 431), "{status}");
    assert!(server.raw("nonsense\r\n\r\n").contains(" 400 "));
    // A connection that says nothing does not keep it from ending.
    let _idle = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    assert_eq!(server.interrupt().status.code(), Some(0));
}

#[test]
fn what_is_no_log_is_not_served() {
    let sandbox = Sandbox::new();
    let said = sandbox.run("log serve --log nothing");
    assert_eq!(said.code, 40, "{}", said.text());
    assert!(said.stderr.contains("there is no log in nothing\n\nhint: check the folder"), "{}", said.text());
    publish(&sandbox.path("log"), 1, "entry");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = sandbox.run(&format!("log serve --log log --listen {}", taken.local_addr().unwrap()));
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(
        said.stderr.contains("cannot listen on 127.0.0.1:") && said.stderr.contains("hint: another process")
    );
    let said = sandbox.run("log serve --log log --listen nowhere");
    assert_eq!(said.code, 2, "{}", said.text());
}

#[test]
fn a_damaged_log_is_found_and_the_place_named() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    publish(&dir, 300, "entry");
    let check = || run(&sandbox, &format!("log fsck log --vkey {}", vkey()));
    let said = check().ok();
    assert!(
        said.stdout.starts_with("300 ") && said.stderr.contains("Checked 300 entries"),
        "{}",
        said.text()
    );
    let path = dir.join("tile/entries/001.p/44");
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let said = check();
    assert_eq!(said.code, 30, "{}", said.text());
    assert!(
        said.stderr
            .contains("entry 299 in tile/entries/001.p/44 does not have the hash that tile/0/001.p/44 says"),
        "{}",
        said.text()
    );
    assert!(said.stderr.contains("hint: do not sign anything"), "{}", said.text());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(check().code, 30);
    std::fs::write(&path, whole).unwrap();
    check().ok();
    let said = run(&sandbox, &format!("log fsck nothing --vkey {}", vkey()));
    assert!(said.code == 40 && said.stderr.contains("there is no log in nothing"), "{}", said.text());
    let said = run(&sandbox, "log fsck log");
    assert_eq!(said.code, 2, "{}", said.text());
    assert!(said.stderr.contains("hint: give the log's public key with `--vkey VKEY`"), "{}", said.text());
    sandbox.write("policy", "log nonsense\n");
    let said = run(&sandbox, "log fsck log --policy policy");
    assert!(said.code == 40 && said.stderr.contains("policy line 1"), "{}", said.text());
}

#[test]
fn an_authoritys_entries_are_followed() {
    use loadline_core::Digest;
    use loadline_core::model::Basis;
    use loadline_exam::Entry;
    use loadline_exam::entry::{Commitment, LogState, Registration, RootEntry};
    let sandbox = Sandbox::new();
    let digest = |text: &str| Digest::of(text.as_bytes());
    let registration = |root: [u8; 32]| {
        Entry::Registration(Registration {
            model: digest("model"),
            name: "a model".to_owned(),
            identity: Basis::Verified,
            compute: None,
            commitment: 1,
            follows: LogState { size: 2, root: Digest(root) },
            nonce: digest("nonce"),
        })
    };
    let first = [
        Entry::Root(RootEntry { version: 1, digest: digest("root") }),
        Entry::Commitment(Commitment { policy: digest("policy"), secret_hash: digest("secret") }),
    ];
    for (dir, honest) in [("honest", true), ("lying", false)] {
        let mut log = grow(&sandbox.path(dir), 0, "");
        log.append(first.iter().map(|entry| entry.to_bytes().unwrap()), sign).unwrap();
        let root = if honest { *log.checkpoint().root() } else { [7; 32] };
        log.append([registration(root).to_bytes().unwrap()], sign).unwrap();
        let said = run(&sandbox, &format!("log fsck {dir} --vkey {}", vkey()));
        if honest {
            let said = said.ok();
            assert!(said.stderr.contains("Followed 0 exams"), "{}", said.text());
        } else {
            assert_eq!(said.code, 30, "{}", said.text());
            let says = "entry 2 (registration) names another root than the log had there";
            assert!(said.stderr.contains(says) && said.stderr.contains("hint: "), "{}", said.text());
        }
        log.append(["anything"], sign).unwrap();
        let said = run(&sandbox, &format!("log fsck {dir} --vkey {}", vkey()));
        assert!(
            said.code == 30 && said.stderr.contains("entry 3 is none of an authority's"),
            "{}",
            said.text()
        );
    }
}
