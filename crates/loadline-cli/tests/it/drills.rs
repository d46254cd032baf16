//! `loadline stop drill`: at a real gate, and at one that is made to misbehave.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::licensed::{Bench, POLICY};
use crate::stopping::Site;
use crate::support::LOADLINE;

#[test]
fn a_drill_measures_a_stop_and_the_authority_logs_it() {
    let site = Site::new();
    let few = site.drill("--streams 5");
    assert_eq!(few.code, 2, "{}", few.text());
    assert!(few.stderr.contains("starting again takes 2 stop keys, and 1 are given"), "{}", few.text());
    let drill = "--streams 20 --last-byte-ms 60000 --lift-key ben.age --json";
    site.drill(drill).ok();
    site.endpoint.wait_until(|counters| counters.streams == 0);
    let old = std::fs::read(site.bench.sandbox.path("drill.json")).unwrap();
    site.bench.sandbox.write("old.json", old);
    let drilled = site.drill(drill).ok();
    let said = drilled.json_lines().remove(0);
    let report = &said["report"];
    assert_eq!((&report["streams"], &report["asked"], &report["cut"]), (&json!(20), &json!(20), &json!(20)));
    assert_eq!((&report["bytes_after"], &report["lifted"]), (&json!(0), &json!(true)), "{report}");
    assert_eq!((&report["license"], &report["stage"]), (&json!(site.license), &json!("internal")));
    assert!(report["last_byte_ms"].as_u64() >= report["last_byte_median_ms"].as_u64());
    assert_eq!(site.asked().0, 200, "it was started again");
    site.endpoint.wait_until(|counters| counters.streams == 0);
    let logged = site.bench.ok("stop drill --log drill.json");
    assert!(logged.stderr.contains("Logged drill sha256:"), "{}", logged.text());
    let entry = site.bench.log().into_iter().find(|entry| entry["kind"] == "drill").unwrap();
    assert_eq!((&entry["drill"], &entry["last_byte_ms"]), (&said["digest"], &report["last_byte_ms"]));
    site.bench.sandbox.run("log fsck authority").ok();
    // The newest one counts: an older one does not come after it.
    let older = site.bench.run("stop drill --log old.json");
    assert_eq!(older.code, 2, "{}", older.text());
    assert!(older.stderr.contains("which is not after the model's last one: entry"), "{}", older.text());
    let twice = site.bench.run("stop drill --log drill.json");
    assert_eq!(twice.code, 2, "{}", twice.text());
    let mut forged = std::fs::read(site.bench.sandbox.path("drill.json")).unwrap();
    forged[40] ^= 1;
    site.bench.sandbox.write("forged.json", forged);
    let forged = site.bench.run("stop drill --log forged.json");
    assert_eq!(forged.code, 30, "{}", forged.text());
    let left = site.drill("--streams 5 --last-byte-ms 60000 --leave-stopped").ok();
    assert!(left.stderr.contains("stays stopped"), "{}", left.text());
    assert_eq!(site.asked(), (403, "stopped".to_owned()));
}

#[test]
fn a_drill_whose_keys_cannot_start_the_model_again_is_not_begun() {
    let site = Site::new();
    for (keys, words) in [
        ("", "starting again takes 2 stop keys, and 1 are given"),
        ("--lift-key authority/keys/stop.age", "is given twice"),
        (
            "--lift-key authority/keys/red-team.age",
            "`authority/keys/red-team.age` is the key `red-team`, which is no stop key of the gate's root",
        ),
        (
            "--lift-key ben.age --lift-key authority/keys/red-team.age",
            "`authority/keys/red-team.age` is the key `red-team`, which is no stop key of the gate's root",
        ),
    ] {
        let refused = site.drill(&format!("--streams 2 {keys}"));
        assert_eq!(refused.code, 2, "{keys}: {}", refused.text());
        assert!(refused.stderr.contains(words), "{keys}: {}", refused.text());
        assert!(!refused.stderr.contains("Opening"), "{keys}: {}", refused.text());
    }
    assert_eq!(site.endpoint.counters().requests, 0, "nobody was asked");
    assert!(site.get("/stops").contains(r#""last":null"#), "nothing was stopped");
    assert_eq!(site.asked().0, 200);
}

/// This gate does not say whose keys start again, and starts nothing again.
#[test]
fn a_drill_that_cannot_start_the_model_again_says_so_and_keeps_its_report() {
    let bench = Bench::with(POLICY, "--also stop");
    let (address, _) = slow_gate();
    let line = format!(
        "stop drill small --key authority/keys/stop.age --gate http://{address} --serve http://{address} --streams 2 \
         --last-byte-ms 60000 --passphrase-file pass"
    );
    let mut command = bench.sandbox.command(LOADLINE, line.split_whitespace());
    let failed = bench.sandbox.said(command.env("LOADLINE_CALLER_KEY", "llk_x").output().unwrap());
    assert_eq!(failed.code, 1, "{}", failed.text());
    assert!(failed.stderr.contains("model `small` IS STOPPED for everybody"), "{}", failed.text());
    let (why, what_to_do) = ("model `small` is still stopped", "`loadline stop lift`");
    assert!(failed.stderr.contains(why) && failed.stderr.contains(what_to_do), "{}", failed.text());
    bench.ok("stop drill --log drill.json");
    assert_eq!(bench.log().last().unwrap()["kind"], "drill");
}

#[test]
fn a_gauge_that_is_none_keeps_a_drill_from_beginning_and_one_that_breaks_is_no_zero() {
    let bench = Bench::with(POLICY, "--also stop");
    let (address, answered) = slow_gate();
    let drill = |metric: &str| {
        let line = format!(
            "stop drill small --key authority/keys/stop.age --gate http://{address} --serve http://{address} --streams 2 \
             --last-byte-ms 60000 --leave-stopped --json --passphrase-file pass --upstream-metric {metric}"
        );
        let mut command = bench.sandbox.command(LOADLINE, line.split_whitespace());
        bench.sandbox.said(command.env("LOADLINE_CALLER_KEY", "llk_x").output().unwrap())
    };
    for (metric, code, words) in [
        (format!("http://{address}/metrics"), 2, "names no metric"),
        (format!("http://{address}/metrics#other"), 2, "has no metric `other`"),
        (format!("http://{address}/metrics#never"), 50, "metric `never` is no number: NaN"),
    ] {
        let said = drill(&metric);
        assert_eq!(said.code, code, "{}", said.text());
        assert!(said.stderr.contains(words), "{}", said.text());
        assert!(!answered.load(Ordering::SeqCst), "nothing was stopped");
    }
    let said = drill(&format!("http://{address}/metrics#breaks"));
    assert_eq!(said.code, 50, "{}", said.text());
    assert!(said.stderr.contains("metric `breaks` is no number: NaN"), "{}", said.text());
    let report = said.json_lines().remove(0);
    assert!(report["report"]["upstream_alive"].is_null(), "{report}");
}

/// A gate that answers an order at once and goes on sending; and whether it answered one.
fn slow_gate() -> (SocketAddr, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answered = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&answered);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answered = Arc::clone(&shared);
            std::thread::spawn(move || slow_answer(stream.unwrap(), &answered));
        }
    });
    (address, answered)
}

fn slow_answer(stream: TcpStream, answered: &AtomicBool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut stream, mut head) = (stream, String::new());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let digest = format!("sha256:{}", "ab".repeat(32));
    let target = json!({ "kind": "model", "name": "small" });
    let json = |stream: &mut TcpStream, value: Value| {
        let text = value.to_string();
        let length = text.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}")
            .unwrap();
    };
    if head.starts_with("GET /stops") {
        json(&mut stream, json!({ "gate": "slow.example", "stopped": [], "last": null, "start_needs": 1 }));
    } else if head.starts_with("POST /orders") {
        let covered = json!({ "name": "small", "model": digest, "license": digest, "stage": "internal" });
        let said = json!({
            "gate": "slow.example", "known": true, "covers": [covered], "stopped": [target], "last": digest,
            "cut": 3, "reset": 0, "kept_in_us": 900, "cut_in_us": 1000,
        });
        json(&mut stream, said);
        answered.store(true, Ordering::SeqCst);
    } else if head.starts_with("GET /metrics") {
        let breaks = if answered.load(Ordering::SeqCst) { "NaN" } else { "2" };
        let text = format!("never NaN\nbreaks {breaks}\n");
        let length = text.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}")
            .unwrap();
    } else {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
        let mut after = 0;
        // What is sent after the answer is sent after it, however slow this machine is.
        while after < 20 && stream.write_all(b"data: {}\n\n").is_ok() {
            after += usize::from(answered.load(Ordering::SeqCst));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_drill_at_a_gate_that_goes_on_sending_fails_and_says_so() {
    let bench = Bench::with(POLICY, "--also stop");
    let (address, _) = slow_gate();
    let line = format!(
        "stop drill small --key authority/keys/stop.age --gate http://{address} --serve http://{address} --streams 3 \
         --last-byte-ms 60000 --leave-stopped --json --passphrase-file pass"
    );
    let mut command = bench.sandbox.command(LOADLINE, line.split_whitespace());
    let said = bench.sandbox.said(command.env("LOADLINE_CALLER_KEY", "llk_x").output().unwrap());
    assert_eq!(said.code, 20, "{}", said.text());
    let report = said.json_lines().remove(0);
    assert!(report["report"]["bytes_after"].as_u64().unwrap() >= 3 * 19 * 10, "{report}");
    assert!(report["wrong"].as_str().unwrap().contains("bytes came after the gate had answered"), "{report}");
    assert!(said.stderr.contains("the drill failed"), "{}", said.text());
    // The report says what was measured, and can be logged as it is.
    bench.ok("stop drill --log drill.json");
    assert_eq!(bench.log().last().unwrap()["bytes_after"], report["report"]["bytes_after"]);
    let line = line.replace("LOADLINE_CALLER_KEY", "");
    let keyless = bench.sandbox.run(&line);
    assert_eq!(keyless.code, 2, "{}", keyless.text());
    assert!(keyless.stderr.contains("LOADLINE_CALLER_KEY is not set"), "{}", keyless.text());
}
