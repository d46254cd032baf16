//! `loadline gate serve` and a good end, whoever else is stuck.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use loadline_testkit::endpoint::{FakeEndpoint, Fault};

use crate::gate_serves::{Site, Started, ask};

#[test]
fn a_gate_whose_lines_nobody_reads_ends_all_the_same() {
    let site = Site::new(FakeEndpoint::builder(), "");
    let Started { child: mut gate, urls, lines: unread, .. } = site.start("--log json");
    // Each is a line, and together they are more than a pipe and its reader's buffer hold.
    for _ in 0..800 {
        ask(&urls[0], "no-key", "POST", "/v1/chat/completions", "{}");
    }
    let pid = gate.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let deadline = Instant::now() + Duration::from_secs(60);
    while gate.try_wait().unwrap().is_none() {
        let late = Instant::now() > deadline;
        if late {
            gate.kill().unwrap();
        }
        assert!(!late, "it never ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(gate.wait().unwrap().success());
    // What the pipe held: it was full, or this test shows nothing.
    let held: usize = unread.map_while(Result::ok).map(|line| line.len() + 1).sum();
    assert!(held >= 60_000, "{held}");
}

#[test]
fn while_a_gate_ends_it_is_not_ready_and_what_is_under_way_goes_on() {
    let endless = |ask: &loadline_testkit::endpoint::Ask| {
        (ask.body["stream"] == true).then(|| Fault::Endless(Duration::from_millis(5)))
    };
    let site = Site::new(FakeEndpoint::builder().fault(endless), "");
    let manager = UnixDatagram::bind(site.sandbox.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut gate = site.serve("");
    assert_eq!(told(), "READY=1\n");
    let ready = |url: &str| site.sandbox.run_args(["gate", "ready", url]);
    let said = ready(&gate.admin).ok();
    assert!(said.stderr.contains("Ready epoch 1, 1 of 1 models open"), "{}", said.text());
    let mut stream = TcpStream::connect(gate.public.strip_prefix("http://").unwrap()).unwrap();
    let body =
        r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"go"}],"max_tokens":50000}"#;
    let (length, key) = (body.len(), &site.ada);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut piece = [0; 64];
    assert!(stream.read(&mut piece).unwrap() > 0);
    gate.terminate();
    assert_eq!(told(), "STOPPING=1\n");
    let deadline = Instant::now() + Duration::from_secs(60);
    let said = loop {
        let said = ready(&gate.admin);
        if said.code != 0 {
            break said;
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(said.stderr.contains("not ready: the gate is ending (status 503)"), "{}", said.text());
    // The stream goes on, and the operator's door is open.
    for _ in 0..20 {
        assert!(stream.read(&mut piece).unwrap() > 0);
    }
    assert_eq!(ask(&gate.admin, "", "GET", "/stops", "").status, 200);
    drop(stream);
    gate.wait();
    assert_eq!(site.endpoint.counters().requests, 1);
    let gone = ready("http://127.0.0.1:1");
    assert!(gone.code == 50 && gone.stderr.contains("no answer from the gate"), "{}", gone.text());
}
