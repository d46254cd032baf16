//! `loadline log witness` and `publish`.

use std::io::Write as _;
use std::net::TcpStream;

use loadline_tlog::disk::DiskLog;
use loadline_tlog::witness::{AddCheckpoint, origin_hash};
use loadline_tlog::{Algorithm, SignerKey};

use crate::logs::{ORIGIN, Server, grow, publish, run, vkey, witness_key};
use crate::support::Sandbox;

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
