//! Bad input and attacks on the callers' door.

use std::io::{BufReader, Read, Write};

use loadline_gate::caller::Caller;
use loadline_gate::ledger::Limits;
use loadline_testkit::endpoint::{FakeEndpoint, Fault};

use crate::support::{ASK, Make, Reply, Rig, head, post, rest};

/// What the gate says to raw bytes.
fn said(rig: &Rig, bytes: &[u8]) -> Reply {
    let mut stream = rig.connect();
    let _ = stream.write_all(bytes);
    Reply::read(&mut BufReader::new(stream))
}

#[test]
fn keys_that_are_none() {
    let rig = Rig::new();
    let long = "k".repeat(300);
    for (headers, code) in [
        (String::new(), "key_missing"),
        ("x-api-key: \r\n".to_owned(), "key_missing"),
        ("authorization: Bearer \r\n".to_owned(), "key_unclear"),
        ("authorization: Bearer bob-key\r\n".to_owned(), "key_unknown"),
        ("authorization: Bearer alice-key \u{e9}\r\n".to_owned(), "key_unclear"),
        ("authorization: Basic YWxpY2U6a2V5\r\n".to_owned(), "key_unclear"),
        ("authorization: alice-key\r\n".to_owned(), "key_unclear"),
        (format!("x-api-key: {long}\r\n"), "key_unclear"),
        ("authorization: Bearer alice-key\r\nx-api-key: bob-key\r\n".to_owned(), "key_unclear"),
        ("authorization: Bearer alice-key\r\nauthorization: Bearer bob-key\r\n".to_owned(), "key_unclear"),
        ("x-api-key: ALICE-KEY\r\n".to_owned(), "key_unknown"),
    ] {
        let reply = rig.ask_with("/v1/chat/completions", &headers, ASK);
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "{headers}");
        assert!(
            !reply.body.contains("bob-key") && !reply.body.contains(&long),
            "no key is repeated: {reply:?}"
        );
        let mut models = rig.connect();
        write!(models, "GET /v1/models HTTP/1.1\r\nhost: g\r\n{headers}\r\n").unwrap();
        assert_eq!(Reply::read(&mut BufReader::new(models)).code(), code, "{headers}");
    }
    // Both headers with one key are one key.
    let same = "authorization: Bearer alice-key\r\nx-api-key: alice-key\r\n";
    assert_eq!(rig.ask_with("/v1/chat/completions", same, ASK).status, 200);
    assert_eq!(rig.endpoint.seen().len(), 1);
}

#[test]
fn keys_expire_and_do_not_begin_early() {
    let start = crate::support::at(0);
    let later = crate::support::at(10);
    let callers = vec![
        ("old", Caller { expires: Some(start), ..Caller::new("old", "s", "public") }),
        ("new", Caller { not_before: later, ..Caller::new("new", "s", "public") }),
    ];
    let rig = Rig::make(Make { callers, ..Make::default() });
    let code = |key: &str| {
        let reply = rig.ask("/v1/chat/completions", key, ASK);
        if reply.status == 200 { "served".to_owned() } else { reply.code() }
    };
    assert_eq!((code("old").as_str(), code("new").as_str()), ("served", "key_expired"));
    rig.clock.pass(10_000);
    assert_eq!((code("old").as_str(), code("new").as_str()), ("key_expired", "served"));
}

#[test]
fn two_lengths_and_other_smuggling() {
    let rig = Rig::new();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\n";
    let smuggled = format!("{ASK}GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\n\r\n");
    for (name, request) in [
        ("two lengths", format!("{head}content-length: 5\r\ncontent-length: {}\r\n\r\n{ASK}", ASK.len())),
        ("a list of lengths", format!("{head}content-length: 5, {}\r\n\r\n{ASK}", ASK.len())),
        ("a signed length", format!("{head}content-length: +{}\r\n\r\n{ASK}", ASK.len())),
        ("a hexadecimal length", format!("{head}content-length: 0x10\r\n\r\n{ASK}")),
        ("another coding last", format!("{head}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n")),
        ("a coding of its own", format!("{head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n")),
        (
            "chunked in HTTP/1.0",
            format!("{}transfer-encoding: chunked\r\n\r\n0\r\n\r\n", head.replace("1.1", "1.0")),
        ),
        ("a space before the colon", format!("{head}content-length : {}\r\n\r\n{ASK}", ASK.len())),
        ("a folded header", format!("{head}x-a: b\r\n c\r\ncontent-length: {}\r\n\r\n{ASK}", ASK.len())),
        ("a bare CR", format!("{head}x-a: b\rx-api-key: bob\r\ncontent-length: {}\r\n\r\n{ASK}", ASK.len())),
        ("a null byte", format!("{head}x-a: \0\r\ncontent-length: {}\r\n\r\n{ASK}", ASK.len())),
        ("no version", format!("POST /v1/chat/completions\r\n\r\n{smuggled}")),
    ] {
        let reply = said(&rig, request.as_bytes());
        assert_eq!(reply.status, 400, "{name}: {reply:?}");
        assert!(rig.endpoint.seen().is_empty(), "{name}");
    }
}

#[test]
fn chunks_beat_a_length_and_the_connection_ends() {
    let rig = Rig::new();
    let size = ASK.len();
    let smuggled =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\ncontent-length: 0\r\n\r\n";
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n{ASK}\r\n0\r\n\r\n{smuggled}",
        size + 20
    );
    let mut stream = rig.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answers = BufReader::new(stream);
    let reply = Reply::read(&mut answers);
    // Either it is refused outright, or read by its chunks; what follows is never taken for its body.
    assert!(matches!(reply.status, 200 | 400), "{reply:?}");
    for seen in rig.endpoint.seen() {
        assert_eq!(seen.body, ASK.replace(r#""m""#, r#""behind/m""#));
        assert!(seen.header("transfer-encoding").is_none(), "the upstream sees one length");
    }
}

#[test]
fn large_bodies_are_refused_before_they_are_read() {
    let rig = Rig::make(Make { limits: "request_bytes = 2000".to_owned(), ..Make::default() });
    let headers = "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\n";
    // 100 MB are announced and none is sent: the answer comes all the same.
    let reply = said(&rig, format!("{headers}content-length: 104857600\r\n\r\n").as_bytes());
    assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"));
    let piece = "x".repeat(1_500);
    let chunked = format!("{headers}transfer-encoding: chunked\r\n\r\n5dc\r\n{piece}\r\n5dc\r\n{piece}\r\n");
    let reply = said(&rig, chunked.as_bytes());
    assert_eq!((reply.status, reply.code().as_str()), (413, "too_large"));
    // Without a key not even its beginning is waited for.
    let none = headers.replace("alice", "no");
    let reply = said(&rig, format!("{none}content-length: 104857600\r\n\r\n").as_bytes());
    assert_eq!(reply.code(), "key_unknown");
    let waits = format!("{headers}expect: 100-continue\r\ncontent-length: 104857600\r\n\r\n");
    assert_eq!(said(&rig, waits.as_bytes()).status, 413, "nobody is asked to go on");
}

#[test]
fn slow_bodies_and_slow_heads_are_given_up() {
    let rig = Rig::make(Make { limits: "body_ms = 50\nheader_ms = 50".to_owned(), ..Make::default() });
    let body = "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\ncontent-length: 99\r\n\r\n{";
    let reply = said(&rig, body.as_bytes());
    assert_eq!((reply.status, reply.code().as_str()), (408, "too_slow"));
    let mut stream = rig.connect();
    stream.write_all(b"POST /v1/chat/comp").unwrap();
    // Nothing more is sent, and the gate closes.
    let _ = rest(&mut stream);
    assert!(rig.endpoint.seen().is_empty());
}

#[test]
fn huge_heads_are_refused() {
    let rig = Rig::make(Make { limits: "header_bytes = 8192".to_owned(), ..Make::default() });
    let large = format!("x-large: {}\r\n", "a".repeat(9_000));
    let reply =
        said(&rig, post("/v1/chat/completions", &(large + "x-api-key: alice-key\r\n"), ASK).as_bytes());
    assert_eq!(reply.status, 431, "{reply:?}");
    let many: String = (0..500).map(|n| format!("x-{n}: a\r\n")).collect();
    let reply =
        said(&rig, post("/v1/chat/completions", &(many + "x-api-key: alice-key\r\n"), ASK).as_bytes());
    assert_eq!(reply.status, 431, "{reply:?}");
}

#[test]
fn bodies_that_are_no_requests() {
    let rig = Rig::new();
    let deep = format!(r#"{{"model":"m","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let names = ["../m", "m\\u0000", "m\\n", " m", "M", "ｍ", "m\\u200b", "%6d", "m/", ""];
    let mut bodies: Vec<(String, &str)> = names
        .iter()
        .map(|name| {
            (
                format!(r#"{{"model":"{name}","messages":[]}}"#),
                if matches!(*name, "../m" | "M" | "%6d" | "m/") { "model_unknown" } else { "bad_request" },
            )
        })
        .collect();
    bodies.push((deep, "bad_request"));
    bodies.push((r#"{"model":"m","model":"c"}"#.to_owned(), "bad_request"));
    bodies.push((format!(r#"{{"model":"{}"}}"#, "m".repeat(100_000)), "bad_request"));
    bodies.push((r#"{"model":"m","max_tokens":1e400}"#.to_owned(), "bad_request"));
    bodies.push((r#"{"model":"m"} trailing"#.to_owned(), "bad_request"));
    bodies.push(("null".to_owned(), "bad_request"));
    bodies.push((String::new(), "bad_request"));
    for (body, code) in bodies {
        let reply = rig.chat(&body);
        assert_eq!(reply.code(), code, "{}", &body[..body.len().min(80)]);
        assert!(reply.body.len() < 2_000, "an answer does not repeat what it was sent");
    }
    let mut request = post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK).into_bytes();
    let at = request.len() - 20;
    request[at] = 0xff;
    let reply = said(&rig, &request);
    assert_eq!(reply.code(), "bad_request");
    assert!(reply.body.contains("not UTF-8"), "{reply:?}");
    let zipped = "x-api-key: alice-key\r\ncontent-encoding: gzip\r\n";
    assert!(rig.ask_with("/v1/chat/completions", zipped, ASK).body.contains("compressed"));
    assert!(rig.endpoint.seen().is_empty());
}

#[test]
fn an_answer_that_never_ends_is_cut_at_its_limit() {
    let flood = |_: &_| Some(Fault::Endless(std::time::Duration::ZERO));
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().fault(flood),
        limits: "response_bytes = 20000".to_owned(),
        ..Make::default()
    });
    let reply = rig.chat(crate::support::STREAM);
    assert!(reply.body.len() < 21_000 && reply.body.contains("response_too_large"), "{}", reply.body.len());
    rig.endpoint.wait_until(|counters| counters.streams == 0);
}

#[test]
fn an_answer_that_is_too_large_breaks_off() {
    let huge = |_: &_| Some(Fault::HugeBody(100_000));
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().fault(huge),
        limits: "response_bytes = 20000".to_owned(),
        ..Make::default()
    });
    let mut stream = rig.connect();
    stream.write_all(post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK).as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let (_, _) = head(&mut stream);
    let mut body = Vec::new();
    let _ = stream.read_to_end(&mut body);
    assert!(body.len() <= 20_000, "{}", body.len());
}

#[test]
fn quotas_are_reserved_before_and_settled_after() {
    let limits = Limits { tokens_per_term: Some(125), ..Limits::default() };
    let callers = vec![("alice-key", Caller { limits, ..Caller::new("alice", "alice", "public") })];
    let rig = Rig::make(Make { callers, ..Make::default() });
    let body = ASK.replace("100", "90");
    assert_eq!(rig.chat(&body).status, 200);
    let account = loadline_gate::ledger::Account::quota("alice");
    crate::support::until("a settlement", || rig.quota.charged(&account).1 < 30);
    let reply = rig.chat(&body.replace("90", "120"));
    assert_eq!((reply.status, reply.code().as_str()), (429, "quota_exceeded"));
    assert!(reply.body.contains("`tokens_per_term` is 125"), "{reply:?}");
    assert_eq!(rig.endpoint.seen().len(), 1);
    // What the audit log cannot take is given back.
    let before = rig.quota.charged(&account);
    rig.audit.fail(true);
    rig.chat(&body);
    rig.audit.fail(false);
    assert_eq!(rig.quota.charged(&account).1, before.1);
}
