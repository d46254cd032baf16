//! `loadline log`: a log that is served, witnessed, checked and watched; and those who lie.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;

use loadline_tlog::disk::{DiskLog, RealDisk};
use loadline_tlog::witness::{AddCheckpoint, origin_hash};
use loadline_tlog::{Algorithm, Checkpoint, Note, SignerKey};

use crate::support::{LOADLINE, Said, Sandbox};

const ORIGIN: &str = "example.com/log";
const PASSPHRASE: &str = "a passphrase for tests";

fn log_key() -> SignerKey {
    SignerKey::from_seed(ORIGIN, Algorithm::Ed25519, &[1; 32]).unwrap()
}

fn sign(checkpoint: &Checkpoint) -> Result<Note, Infallible> {
    let mut note = Note::unsigned(&checkpoint.to_text()).unwrap();
    note.sign(&log_key(), 0).unwrap();
    Ok(note)
}

/// Adds entries `WORD n` up to a size, to a new log if there is none.
fn grow(dir: &Path, to: u64, word: &str) -> DiskLog {
    let keys = vec![log_key().verifier().clone()];
    let disk = || Arc::new(RealDisk);
    let opened = DiskLog::open(dir, disk(), keys.clone());
    let mut log = opened.unwrap_or_else(|_| DiskLog::create(dir, disk(), keys, ORIGIN, sign).unwrap());
    log.append((log.size()..to).map(|number| format!("{word} {number}")), sign).unwrap();
    log
}

/// The same, published without witnesses.
fn publish(dir: &Path, to: u64, word: &str) {
    let mut log = grow(dir, to, word);
    let head = log.head().clone();
    log.publish(&head).unwrap();
}

fn vkey() -> String {
    log_key().verifier().to_vkey()
}

/// A server that runs until it is dropped.
struct Server {
    child: Option<Child>,
    url: String,
}

impl Server {
    fn start(sandbox: &Sandbox, line: &str) -> Self {
        let mut command = sandbox.command(LOADLINE, words(line));
        command.env("LOADLINE_PASSPHRASE", PASSPHRASE).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut url).unwrap();
        let mut words = String::new();
        if url.is_empty() {
            child.stderr.as_mut().unwrap().read_to_string(&mut words).unwrap();
        }
        assert!(words.is_empty() && !url.is_empty(), "it did not start: {words}");
        Self { child: Some(child), url: url.trim().to_owned() }
    }

    /// Sends these bytes; gives everything that comes back.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let length = body.len();
        let answer = self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        assert!(status.is_some(), "{answer}");
        (status.unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.ask("GET", path, "")
    }

    /// Ctrl-C.
    fn interrupt(mut self) -> Output {
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
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

fn run(sandbox: &Sandbox, line: &str) -> Said {
    let mut command = sandbox.command(LOADLINE, words(line));
    sandbox.said(command.env("LOADLINE_PASSPHRASE", PASSPHRASE).output().unwrap())
}

/// A witness's key in `NAME.age`; gives its public half.
fn witness_key(sandbox: &Sandbox, name: &str, kind: &str) -> String {
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
fn a_log_is_witnessed_published_and_checked_over_http() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    let (w1, w2) = (witness_key(&sandbox, "w1", "witness"), witness_key(&sandbox, "w2", "witness-ml-dsa44"));
    let start = || {
        Server::start(
            &sandbox,
            &format!("log witness --key w1.age --key w2.age --store seen --log {}", vkey()),
        )
    };
    let witness = start();
    let policy = |url: &str| {
        format!(
            "log {}\nwitness W1 {w1} {url}\nwitness W2 {w2} {url}\nwitness Gone {} http://127.0.0.1:1/\n\
             group two 2 W1 W2 Gone\nquorum two\n",
            vkey(),
            SignerKey::from_seed("gone.example", Algorithm::CosignatureEd25519, &[9; 32])
                .unwrap()
                .verifier()
                .to_vkey(),
        )
    };
    sandbox.write("policy", policy(&witness.url));
    for size in [1, 300, 301] {
        drop(grow(&dir, size, "entry"));
        let said = run(&sandbox, "log publish --log log --policy policy").ok();
        assert!(said.stderr.contains("cosigned by 2 witnesses"), "{}", said.text());
        assert!(
            said.stderr.contains("warning: witness `Gone` did not cosign: no connection"),
            "{}",
            said.text()
        );
    }
    // The same again is fine, and so is a log that the witness saw further than the published checkpoint says.
    run(&sandbox, "log publish --log log --policy policy").ok();
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    run(&sandbox, "log publish --log log --policy policy").ok();
    let said = run(&sandbox, "log fsck log --policy policy --json").ok();
    let json: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (&json["size"], &json["published"], &json["origin"]),
        (&301.into(), &301.into(), &ORIGIN.into())
    );
    // Killed and started again it remembers, and serves what it cosigned.
    drop(witness);
    let witness = start();
    let (status, _, note) = witness.get(&format!("/{}/checkpoint", origin_hash(ORIGIN)));
    assert!(status == 200 && note.contains("\n301\n") && note.contains("w1.example"), "{note}");
    sandbox.write("policy", policy(&witness.url));
    // A log that was restored from an old copy is told, and not published.
    let old = sandbox.path("old");
    publish(&old, 20, "entry");
    let said = run(&sandbox, "log publish --log old --policy policy");
    assert_eq!(said.code, 30, "{}", said.text());
    assert!(said.stderr.contains("knows 301 entries of this log, which has 20 here"), "{}", said.text());
    // And one that forked.
    publish(&sandbox.path("fork"), 400, "fork");
    let said = run(&sandbox, "log publish --log fork --policy policy");
    assert_eq!(said.code, 30, "{}", said.text());
    assert!(said.stderr.contains("do not publish: the witness saw another history"), "{}", said.text());
    let said = String::from_utf8(witness.interrupt().stderr).unwrap();
    assert!(said.contains("may tell two stories") && !said.contains("PRIVATE"), "{said}");
}

#[test]
fn a_witness_answers_as_the_specification_says() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    witness_key(&sandbox, "w", "witness");
    let witness = Server::start(&sandbox, &format!("log witness --key w.age --store seen --log {}", vkey()));
    let body = |log: &DiskLog, old| {
        AddCheckpoint::build(&mut log.reader(), old, log.head().clone()).unwrap().to_body()
    };
    let log = grow(&dir, 5, "entry");
    let first = body(&log, 0);
    let post = |body: &str| witness.ask("POST", "/add-checkpoint", body);
    let stranger = first.replace(ORIGIN, "example.com/other");
    let unsigned = first.replace("\n5\n", "\n6\n");
    for (body, status) in [
        ("", 400),
        ("old 0\n", 400),
        (&first.replace("old 0", "old 00"), 400),
        (&first.replace("old 0", "old 99999999999999999999"), 400),
        (&first.replace("old 0", "old 6"), 400),
        (&first.replace("old 0\n", "old 0\r\n"), 400),
        (&first.replace("old 0\n", &format!("old 0\n{}", format!("{}=\n", "A".repeat(43)).repeat(64))), 400),
        (&first.replace("old 0\n", &format!("old 0\n{}=\n", "A".repeat(43))), 422),
        (&format!("{first}{first}"), 400),
        (&stranger, 404),
        (&unsigned, 403),
        (&first.replace("old 0", "old 1"), 409),
    ] {
        let (found, ..) = post(body);
        assert_eq!(found, status, "{body}");
    }
    assert_eq!(
        witness.get(&format!("/{}/checkpoint", origin_hash(ORIGIN))).0,
        404,
        "nothing is cosigned yet"
    );
    let (status, _, lines) = post(&first);
    assert!(status == 200 && lines.starts_with("\u{2014} w.example "), "{lines}");
    let (status, head, size) = post(&first);
    assert_eq!((status, size.as_str()), (409, "5\n"));
    assert!(head.contains("content-type: text/x.tlog.size"), "{head}");
    let fork = grow(&sandbox.path("fork"), 9, "fork");
    assert_eq!(post(&body(&fork, 5)).0, 422);
    // Tricks of the body and the way.
    assert_eq!(
        witness
            .raw("POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\nold")
            .split(' ')
            .nth(1),
        Some("413")
    );
    assert_eq!(witness.ask("GET", "/add-checkpoint", "").0, 405);
    assert_eq!(witness.ask("POST", "/add-checkpoint/", &first).0, 404);
    assert_eq!(witness.ask("POST", "//add-checkpoint", &first).0, 404);
    for path in ["/", "/checkpoint", "/../checkpoint", "/seen/checkpoint", "/%2e%2e/checkpoint"] {
        assert_eq!(witness.get(path).0, 404, "{path}");
    }
    // A body that never ends is cut off where the limit is, however it is sent.
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut stream = TcpStream::connect(witness.url.strip_prefix("http://").unwrap()).unwrap();
    stream
        .write_all(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let sent = (0..1000).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 900, "{sent} chunks of 64 KiB were taken");
    drop(log);
    let after = grow(&dir, 9, "entry");
    assert_eq!(post(&body(&after, 5)).0, 200, "and it still works");
}

#[test]
fn a_witness_needs_a_key_that_cosigns_and_a_folder_of_its_own() {
    let sandbox = Sandbox::new();
    witness_key(&sandbox, "w", "witness");
    run(&sandbox, "key new l -o l.age --kind log --origin example.com/log --work 10").ok();
    run(&sandbox, "key new h -o h.age --work 10").ok();
    for key in ["l.age", "h.age"] {
        let said = run(&sandbox, &format!("log witness --key {key} --store seen --log {}", vkey()));
        assert_eq!(said.code, 2, "{}", said.text());
        assert!(
            said.stderr.contains("hint: make one with `loadline key new --kind witness`"),
            "{}",
            said.text()
        );
    }
    let _first = Server::start(&sandbox, &format!("log witness --key w.age --store seen --log {}", vkey()));
    let said = run(&sandbox, &format!("log witness --key w.age --store seen --log {}", vkey()));
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(said.stderr.contains("is being written by another process"), "{}", said.text());
    let said = run(&sandbox, "log witness --key w.age --store other --log nonsense");
    assert!(said.code == 2 && said.stderr.contains("copy the whole key again"), "{}", said.text());
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

#[test]
fn a_monitor_keeps_what_it_saw_and_is_loud_about_forks_and_rollbacks() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    publish(&dir, 10, "entry");
    let server = Server::start(&sandbox, "log serve --log log");
    let places = ["log".to_owned(), server.url.clone()];
    let look = |place: &str, state: &str| {
        run(&sandbox, &format!("log monitor {place} --state {state} --vkey {}", vkey()))
    };
    for (number, place) in places.iter().enumerate() {
        let said = look(place, &format!("seen{number}")).ok();
        assert!(said.stderr.contains("10 entries for the first time"), "{}", said.text());
        assert!(look(place, &format!("seen{number}")).ok().stderr.contains("Same 10 entries"));
    }
    publish(&dir, 700, "entry");
    for (number, place) in places.iter().enumerate() {
        let said = look(place, &format!("seen{number}")).ok();
        assert!(said.stderr.contains("from 10 to 700 entries"), "{}", said.text());
    }
    let kept = std::fs::read(sandbox.path("seen0")).unwrap();
    // Each lie in the place of the honest log: a fork that grew, a fork of the same size, a log that went back.
    std::fs::rename(&dir, sandbox.path("honest")).unwrap();
    for (size, word, says) in [
        (900, "fork", "the log tells two stories: what it shows does not continue what was seen"),
        (700, "fork", "the log tells two stories: it signed two checkpoints of the same size that differ"),
        (300, "entry", "the log went back: 700 entries were seen, it shows 300"),
        (300, "fork", "the log went back: 700 entries were seen, it shows 300, and proves no relation"),
    ] {
        publish(&dir, size, word);
        for (number, place) in places.iter().enumerate() {
            let said = look(place, &format!("seen{number}"));
            assert_eq!(said.code, 30, "{}", said.text());
            assert!(said.stderr.contains(says), "{says}: {}", said.text());
            let named: Vec<&str> = said.stderr.split('`').filter(|word| word.starts_with("seen")).collect();
            assert_eq!(named.len(), 2, "{}", said.text());
            let [known, shown] = [named[0], named[1]];
            assert_eq!(std::fs::read(sandbox.path(known)).unwrap(), kept, "{known}");
            let shown = std::fs::read(sandbox.path(shown)).unwrap();
            assert_eq!(shown, std::fs::read(dir.join("checkpoint")).unwrap());
            assert_eq!(
                std::fs::read(sandbox.path(&format!("seen{number}"))).unwrap(),
                kept,
                "the state stays"
            );
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
    std::fs::rename(sandbox.path("honest"), &dir).unwrap();
    look("log", "seen0").ok();
}

#[test]
fn a_monitor_that_cannot_tell_says_so() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    publish(&dir, 300, "entry");
    let look = |place: &str, more: &str| {
        run(&sandbox, &format!("log monitor {place} --state seen --vkey {} {more}", vkey()))
    };
    let said = look("http://127.0.0.1:1", "--once");
    assert_eq!(said.code, 50, "{}", said.text());
    assert!(
        said.stderr.contains("the log shows no checkpoint") && said.stderr.contains("hint: check the URL")
    );
    assert!(!sandbox.path("seen").exists());
    look("log", "").ok();
    // Growth without the tiles that prove it is not believed, and not a fork either.
    publish(&dir, 600, "entry");
    std::fs::rename(dir.join("tile/0/001"), sandbox.path("away")).unwrap();
    let said = look("log", "");
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(said.stderr.contains("gives no proof that it continues what was seen"), "{}", said.text());
    std::fs::rename(sandbox.path("away"), dir.join("tile/0/001")).unwrap();
    assert!(look("log", "").ok().stderr.contains("from 300 to 600"));
    // A forged checkpoint, a state that is none, another key.
    let honest = std::fs::read_to_string(dir.join("checkpoint")).unwrap();
    std::fs::write(dir.join("checkpoint"), honest.replace("\n600\n", "\n601\n")).unwrap();
    let said = look("log", "");
    assert!(said.code == 30 && said.stderr.contains("not to be believed"), "{}", said.text());
    std::fs::write(dir.join("checkpoint"), "<html>").unwrap();
    assert_eq!(look("log", "").code, 50);
    std::fs::write(dir.join("checkpoint"), honest).unwrap();
    let state = std::fs::read(sandbox.path("seen")).unwrap();
    std::fs::write(sandbox.path("seen"), &state[..state.len() - 1]).unwrap();
    let said = look("log", "");
    assert!(said.code == 30 && said.stderr.contains("hint: restore it from a copy"), "{}", said.text());
    std::fs::write(sandbox.path("seen"), state).unwrap();
    let other = SignerKey::from_seed(ORIGIN, Algorithm::Ed25519, &[2; 32]).unwrap().verifier().to_vkey();
    let said = run(&sandbox, &format!("log monitor log --state seen --vkey {other}"));
    assert!(said.code == 30 && said.stderr.contains("is not what the policy accepts"), "{}", said.text());
    assert_eq!(look("log", "--every 0s").code, 2);
}

#[test]
fn a_monitor_that_runs_on_ends_when_the_log_forks() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    publish(&dir, 10, "entry");
    let mut child = sandbox.start(&format!("log monitor log --state seen --every 1s --vkey {}", vkey()));
    let mut words = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    assert!(line.contains("for the first time"), "{line}");
    let locked = run(&sandbox, &format!("log monitor log --state seen --vkey {}", vkey()));
    assert!(locked.code == 1 && locked.stderr.contains("another monitor uses `seen`"), "{}", locked.text());
    publish(&sandbox.path("fork"), 20, "fork");
    std::fs::rename(&dir, sandbox.path("honest")).unwrap();
    std::fs::rename(sandbox.path("fork"), &dir).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(30));
    let mut rest = String::new();
    words.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("tells two stories"), "{rest}");
    let mut child = sandbox.start(&format!("log monitor honest --state seen --every 1h --vkey {}", vkey()));
    let mut words = BufReader::new(child.stderr.take().unwrap());
    line.clear();
    words.read_line(&mut line).unwrap();
    assert!(line.contains("Same 10 entries"), "{line}");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A server that answers every request with these bytes, then with `x` for as long as anybody listens.
fn flood(answer: &str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request);
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            if stream.write_all(answer.as_bytes()).is_ok() && answer.contains("chunked") {
                while stream.write_all(chunk.as_bytes()).is_ok() {}
            }
            // Not closed over what was not read: that would cut off the answer.
            let _ended = stream.shutdown(std::net::Shutdown::Write);
            let _rest = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    url
}

#[test]
fn a_server_that_lies_or_floods_is_refused() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path("log");
    drop(grow(&dir, 5, "entry"));
    let witness = SignerKey::from_seed("w.example", Algorithm::CosignatureEd25519, &[9; 32]).unwrap();
    for (answer, says) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\nx", "more than 1 MiB"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "more than 1 MiB"),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "status 302"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\x1b[2J<>", "byte"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "signed note"),
        ("HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n0\n", "not in form"),
        ("HTTP/1.1 500 No\r\nContent-Length: 8\r\n\r\n\u{1b}]0;x\u{7}ab", "byte"),
        ("SSH-2.0-OpenSSH\r\n", "HTTP"),
    ] {
        let url = flood(answer);
        sandbox.write(
            "policy",
            format!("log {}\nwitness W {} {url}\nquorum W\n", vkey(), witness.verifier().to_vkey()),
        );
        let said = run(&sandbox, "log publish --log log --policy policy");
        assert_eq!(said.code, 1, "{}", said.text());
        assert!(
            said.stderr.contains(says) && said.stderr.contains("hint: nothing is lost"),
            "{says}: {}",
            said.text()
        );
        let watched = run(&sandbox, &format!("log monitor {url} --state seen --vkey {}", vkey()));
        assert_eq!(watched.code, 50, "{}", watched.text());
        assert!(watched.stderr.contains("hint: check the URL"), "{}", watched.text());
        assert!(
            !format!("{}{}", said.stderr, watched.stderr).contains('\u{1b}'),
            "nothing foreign reaches a terminal"
        );
        assert!(!dir.join("checkpoint").exists() && !sandbox.path("seen").exists());
    }
}
