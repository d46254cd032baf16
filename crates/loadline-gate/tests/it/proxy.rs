//! What passes through, and what does not.

use std::io::{BufReader, Write};
use std::time::Duration;

use loadline_gate::ledger::{Ending, UsageBasis};
use loadline_gate::memory::Entries;
use loadline_testkit::endpoint::{FakeEndpoint, Fault};

use crate::support::{ASK, Make, Reply, Rig, STREAM, chunk, open_stream, post, until};

fn settled(rig: &Rig, outcomes: usize) -> Entries {
    until("an outcome", || rig.audit.entries().outcomes.len() == outcomes);
    rig.audit.entries()
}

#[test]
fn chat_completions_pass_with_the_models_own_name_and_the_gates_own_key() {
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().key("upstream-secret"), ..Make::default() });
    let reply = rig.ask_with(
        "/v1/chat/completions",
        "authorization: Bearer alice-key\r\ncookie: a=b\r\nx-forwarded-for: 1.2.3.4\r\n",
        ASK,
    );
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "The answer is 42.");
    assert_eq!(reply.header("loadline-stage"), Some("general"));
    assert_eq!(reply.header("loadline-request-id").unwrap().len(), 32);
    let seen = rig.endpoint.seen();
    assert_eq!(seen[0].json()["model"], "behind/m");
    // Apart from the model's name the body is what came, byte for byte.
    assert_eq!(seen[0].body, ASK.replace(r#""m""#, r#""behind/m""#));
    assert!(!format!("{seen:?}").contains("alice-key"), "the caller's key stays here");
    assert!(seen[0].header("cookie").is_none() && seen[0].header("x-forwarded-for").is_none());

    let entries = settled(&rig, 1);
    let (id, intent) = &entries.intents[0];
    assert_eq!((&*intent.key, &*intent.model, intent.standing_epoch), ("alice", "m", 1));
    assert_eq!((intent.license, intent.content.as_ref()), (Some(rig.license), ASK.as_bytes()));
    let outcome = &entries.outcomes[id];
    assert_eq!(
        (outcome.status, outcome.ending, outcome.used.basis),
        (200, Ending::Complete, UsageBasis::ServerUsage)
    );
    assert_eq!(outcome.delivered_bytes, reply.body.len() as u64);
    assert_eq!(reply.header("loadline-intent").unwrap(), id.0.to_string());
}

#[test]
fn every_route_passes() {
    let rig = Rig::new();
    let text = rig.ask("/v1/completions", "alice-key", r#"{"model":"m","prompt":"hello"}"#);
    assert_eq!(text.json()["choices"][0]["text"], "The answer is 42.");
    let vectors = rig.ask("/v1/embeddings", "alice-key", r#"{"model":"m","input":"hello"}"#);
    assert_eq!(vectors.json()["data"][0]["embedding"][1], -0.25);
    let message = r#"{"model":"c","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
    let headers = "x-api-key: alice-key\r\nanthropic-version: 2023-06-01\r\n";
    let said = rig.ask_with("/v1/messages", headers, message);
    assert_eq!(said.json()["content"][0]["text"], "The answer is 42.", "{said:?}");
    let seen = rig.endpoint.seen();
    assert_eq!(seen[2].header("x-api-key"), Some("upstream-secret"));
    assert_eq!(seen[2].header("anthropic-version"), Some("2023-06-01"));
    let entries = settled(&rig, 3);
    let basis: Vec<_> = entries.outcomes.values().map(|outcome| outcome.used.basis).collect();
    assert_eq!(basis, [UsageBasis::ServerUsage; 3]);

    let mut stream = rig.connect();
    stream
        .write_all(b"GET /v1/models HTTP/1.1\r\nhost: g\r\nauthorization: bearer alice-key\r\n\r\n")
        .unwrap();
    let models = Reply::read(&mut BufReader::new(stream)).json();
    let names: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["c", "m"]);
    assert_eq!(models["data"][0]["loadline"]["stage"], "general");
}

#[test]
fn the_wrong_protocol_path_or_method_is_said() {
    let rig = Rig::new();
    let message = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
    let wrong = rig.ask("/v1/messages", "alice-key", message);
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "wrong_api"));
    assert_eq!(wrong.json()["type"], "error");
    for path in [
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "/v1/%63hat/completions",
        "/v1/../v1/chat/completions",
        "/V1/chat/completions",
        "/",
    ] {
        let lost = rig.ask(path, "alice-key", ASK);
        assert_eq!((lost.status, lost.code().as_str()), (404, "no_such_path"), "{path}");
    }
    assert_eq!(rig.ask("/v1/models", "alice-key", "").code(), "wrong_method");
    assert!(rig.endpoint.seen().is_empty());
}

#[test]
fn a_stream_passes_event_by_event_and_is_charged_what_the_server_says() {
    let rig = Rig::new();
    let body = STREAM.replace(r#""stream":true"#, r#""stream":true,"stream_options":{"include_usage":true}"#);
    let mut stream = open_stream(&rig, "alice-key", &body);
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    assert!(text.ends_with("data: [DONE]\n\n") && text.contains("42"), "{text}");
    let entries = settled(&rig, 1);
    let outcome = entries.outcomes.values().next().unwrap();
    assert_eq!((outcome.ending, outcome.used.basis), (Ending::Complete, UsageBasis::ServerUsage));
}

#[test]
fn a_stream_is_not_held_back() {
    let endless = |_: &_| Some(Fault::Endless(Duration::from_millis(1)));
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(endless), ..Make::default() });
    // It never ends, so nothing of it would come if any part of it were collected.
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    for _ in 0..20 {
        assert!(chunk(&mut stream).unwrap().contains("word "));
    }
}

#[test]
fn when_the_caller_leaves_the_upstream_is_dropped_and_what_came_is_charged() {
    let endless = |_: &_| Some(Fault::Endless(Duration::from_millis(1)));
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(endless), ..Make::default() });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    for _ in 0..5 {
        chunk(&mut stream).unwrap();
    }
    drop(stream);
    rig.endpoint.wait_until(|counters| counters.streams_left == 1 && counters.streams == 0);
    let entries = settled(&rig, 1);
    let outcome = entries.outcomes.values().next().unwrap();
    assert_eq!((outcome.ending, outcome.used.basis), (Ending::CallerLeft, UsageBasis::Estimated));
    assert!(outcome.used.output >= 5 && outcome.used.output <= outcome.delivered_bytes, "{outcome:?}");
}

#[test]
fn a_caller_who_leaves_before_the_first_byte_drops_the_upstream_too() {
    let rig =
        Rig::make(Make { endpoint: FakeEndpoint::builder().fault(|_| Some(Fault::Hang)), ..Make::default() });
    let mut stream = rig.connect();
    stream
        .write_all(post("/v1/chat/completions", "authorization: Bearer alice-key\r\n", ASK).as_bytes())
        .unwrap();
    rig.endpoint.wait_until(|counters| counters.in_flight == 1);
    drop(stream);
    rig.endpoint.wait_until(|counters| counters.in_flight == 0);
    let entries = settled(&rig, 1);
    let outcome = entries.outcomes.values().next().unwrap();
    assert_eq!((outcome.ending, outcome.used.output, outcome.delivered_bytes), (Ending::CallerLeft, 0, 0));
}

#[test]
fn a_lying_upstream_is_not_believed() {
    let lies = |_: &_| Some(Fault::Lies(1_000_000));
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(lies), ..Make::default() });
    assert_eq!(rig.chat(ASK).status, 200);
    let entries = settled(&rig, 1);
    let used = entries.outcomes.values().next().unwrap().used;
    assert_eq!((used.basis, used.output), (UsageBasis::Estimated, 5));
}

#[test]
fn upstream_errors_are_said_without_its_key() {
    for (fault, status, code) in [
        (Fault::Server, 502, "upstream_failed"),
        (Fault::RateLimited(Some("7".to_owned())), 429, "upstream_busy"),
        (Fault::TooLong, 400, "upstream_refused"),
        (Fault::EchoKey, 502, "upstream_failed"),
        (Fault::Html(404), 400, "upstream_refused"),
        (Fault::Redirect("http://127.0.0.1:1/".to_owned()), 502, "upstream_failed"),
        (Fault::Reset, 502, "upstream_failed"),
        (Fault::Close, 502, "upstream_failed"),
    ] {
        let shown = format!("{fault:?}");
        let rig =
            Rig::make(Make { endpoint: FakeEndpoint::builder().script([Some(fault)]), ..Make::default() });
        let reply = rig.chat(ASK);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{shown}: {reply:?}");
        assert!(!reply.body.contains("upstream-secret"), "{reply:?}");
        let entries = settled(&rig, 1);
        let outcome = entries.outcomes.values().next().unwrap();
        assert_eq!((outcome.used.total(), outcome.ending), (0, Ending::UpstreamFailed), "{shown}");
        assert_eq!(reply.header("retry-after").is_some(), status == 429);
        // The next one is served: no connection is left in a bad state.
        assert_eq!(rig.chat(ASK).status, 200, "{shown}");
    }
}

#[test]
fn a_stream_that_breaks_ends_with_an_error_event() {
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().script([Some(Fault::CutBody)]),
        ..Make::default()
    });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(event["error"]["code"], "upstream_failed");
    let entries = settled(&rig, 1);
    assert_eq!(entries.outcomes.values().next().unwrap().ending, Ending::UpstreamFailed);
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up() {
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().script([Some(Fault::Hang)]),
        upstream: "first_byte_ms = 50".to_owned(),
        ..Make::default()
    });
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (504, "upstream_timed_out"));
    let entries = settled(&rig, 1);
    assert_eq!(entries.outcomes.values().next().unwrap().ending, Ending::TimedOut);
    rig.endpoint.wait_until(|counters| counters.in_flight == 0);
}

#[test]
fn a_silent_stream_is_given_up() {
    let endless = |_: &_| Some(Fault::Endless(Duration::from_secs(3_600)));
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().fault(endless),
        upstream: "idle_ms = 50".to_owned(),
        ..Make::default()
    });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    assert!(text.contains("upstream_timed_out"), "{text}");
    rig.endpoint.wait_until(|counters| counters.streams == 0);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let rig = Rig::new();
    let mut stream = rig.connect();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..5 {
        stream.write_all(post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK).as_bytes()).unwrap();
        assert_eq!(Reply::read(&mut answers).status, 200);
    }
    assert_eq!(rig.endpoint.counters().connections, 1);
}

#[test]
fn what_cannot_be_written_down_is_not_forwarded() {
    let rig = Rig::new();
    rig.audit.fail(true);
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (503, "audit_unavailable"));
    assert!(rig.endpoint.seen().is_empty());
    rig.audit.fail(false);
    assert_eq!(rig.chat(ASK).status, 200);
}

#[test]
fn a_good_end_lets_requests_finish_and_takes_no_new_ones() {
    let pause = Duration::from_millis(2);
    let slow = move |_: &_| Some(Fault::SlowBytes(pause));
    let mut rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(slow), ..Make::default() });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    rig.end();
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(std::net::TcpStream::connect(rig.address).is_err());
    assert_eq!(rig.gate.under_way(), 0);
}
