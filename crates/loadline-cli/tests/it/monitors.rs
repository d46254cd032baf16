//! `loadline log monitor`, and servers that lie to it or to a log that publishes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use loadline_tlog::{Algorithm, SignerKey};

use crate::logs::{ORIGIN, Server, grow, publish, run, vkey};
use crate::support::Sandbox;

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
