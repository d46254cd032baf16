//! Everything that can go wrong, and what the runner and the user are told.

use std::io::{Read, Write};
use std::time::Duration;

use loadline_core::{ModelError, ModelErrorKind};
use loadline_model::Environment;
use loadline_testkit::endpoint::{FakeEndpoint, Fault};
use serde_json::json;

use crate::{ask, call, model, model_at, run};

/// The error that a fault leads to, whole or streamed.
fn error_of(fault: Fault, pairs: &[&str]) -> ModelError {
    let endpoint = FakeEndpoint::builder().fault(move |_| Some(fault.clone())).start();
    run(call(&*model("openai/m", &endpoint, pairs), &ask("q"))).unwrap_err()
}

fn raw(status: u16, headers: &[(&str, &str)], body: &str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Raw { status, headers, body: body.to_owned() }
}

#[test]
fn every_fault_has_its_kind_and_says_what_happened() {
    use ModelErrorKind::{
        Connection, Malformed, NotFound, RateLimited, Refused, Server, TooLong, Unsupported,
    };
    let cases = [
        (Fault::RateLimited(None), RateLimited, "429 Too Many Requests: too many requests"),
        (Fault::Overloaded, RateLimited, "529: Overloaded"),
        (Fault::Server, Server, "500 Internal Server Error: it broke"),
        (Fault::TruncatedJson, Malformed, "cut short or broken"),
        (Fault::CutBody, Malformed, "cut short"),
        (Fault::Reset, Connection, "broke"),
        (Fault::Close, Connection, "broke"),
        (Fault::WrongShape, Malformed, "missing field `choices`"),
        (Fault::TooLong, TooLong, "maximum context length"),
        (Fault::Html(200), NotFound, "a web page titled \"Welcome\""),
        (Fault::Html(503), Server, "a web page titled \"Welcome\""),
        (Fault::Html(404), NotFound, "a web page titled \"Welcome\""),
        (
            Fault::Redirect("https://elsewhere.example/v1".to_owned()),
            NotFound,
            "to https://elsewhere.example/v1",
        ),
        (Fault::HugeBody(65 << 20), Refused, "more than 64 MiB"),
        (raw(200, &[], ""), Malformed, "cut short"),
        (raw(200, &[], "[]"), Malformed, "not an answer"),
        (raw(200, &[], r#"{"choices": []}"#), Malformed, "no choices"),
        (raw(200, &[], r#"{"choices": [{}]}"#), Malformed, "neither message nor text"),
        (raw(200, &[], r#"{"error": {"type": "server_error", "message": "no GPU"}}"#), Server, "no GPU"),
        (raw(501, &[], "not built in"), Unsupported, "not built in"),
        (raw(418, &[], ""), Refused, "418"),
    ];
    for (fault, kind, words) in cases {
        let error = error_of(fault.clone(), &[]);
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert!(error.message.contains(words), "{fault:?}: {error}");
    }
}

#[test]
fn broken_streams_are_malformed_and_errors_in_them_keep_their_kind() {
    let stream = [("content-type", "text/event-stream")];
    let cut =
        "data: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"a\"}, \"finish_reason\": \"stop\"}]";
    let cases = [
        (Fault::TruncatedStream, ModelErrorKind::Malformed, "ended before the answer did"),
        (Fault::ErrorMidStream, ModelErrorKind::RateLimited, "Overloaded"),
        (raw(200, &stream, ""), ModelErrorKind::Malformed, "ended before"),
        (raw(200, &stream, cut), ModelErrorKind::Malformed, "ended before"),
        (raw(200, &stream, &format!("{cut}\n\n")), ModelErrorKind::Malformed, "cut short or broken"),
        (raw(200, &stream, "data: [DONE]\n\n"), ModelErrorKind::Malformed, "ended before"),
        (
            raw(200, &stream, "data: {\"error\": \"context size\"}\n\n"),
            ModelErrorKind::TooLong,
            "context size",
        ),
    ];
    for (fault, kind, words) in cases {
        let error = error_of(fault.clone(), &["stream=true"]);
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert!(error.message.contains(words), "{fault:?}: {error}");
    }
    // The end may come without [DONE], without usage and in any kind of line.
    let odd = ": hello\r\n\r\ndata: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"ok\"}}]}\r\n\r\n\
        data: {\"choices\":\r\ndata: [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}]}\r\n\r\n";
    let endpoint = FakeEndpoint::builder().script([Some(raw(200, &stream, odd))]).start();
    assert_eq!(
        run(call(&*model("openai/m", &endpoint, &["stream=true"]), &ask("q"))).unwrap().completion,
        "ok"
    );
}

#[test]
fn the_servers_wish_to_wait_is_passed_on() {
    let waits = [
        (Fault::RateLimited(Some("7".to_owned())), Some(Duration::from_secs(7))),
        (
            raw(429, &[("retry-after", "90"), ("retry-after-ms", "1500")], ""),
            Some(Duration::from_millis(1500)),
        ),
        (raw(503, &[("retry-after", "2")], ""), Some(Duration::from_secs(2))),
        (
            raw(
                429,
                &[
                    ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
                    ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"),
                ],
                "",
            ),
            Some(Duration::from_secs(60)),
        ),
        (Fault::RateLimited(None), None),
    ];
    for (fault, wait) in waits {
        let error = error_of(fault.clone(), &[]);
        assert_eq!(error.retry_after, wait, "{fault:?}");
        assert!(error.is_retryable());
    }
}

#[test]
fn a_web_page_or_foreign_json_ends_the_run_only_where_nothing_good_ever_came() {
    // From an endpoint that has answered, both are hiccups.
    let script = [
        None,
        Some(Fault::Html(200)),
        Some(Fault::WrongShape),
        Some(Fault::WrongShape),
        Some(Fault::WrongShape),
    ];
    let endpoint = FakeEndpoint::builder().script(script).start();
    let good = model("openai/m", &endpoint, &[]);
    run(async {
        call(&*good, &ask("q")).await.unwrap();
        for _ in 0..4 {
            assert_eq!(call(&*good, &ask("q")).await.unwrap_err().kind, ModelErrorKind::Malformed);
        }
        assert!(call(&*good, &ask("q")).await.is_ok());
    });
    // From one that never has, foreign JSON is forgiven twice.
    let endpoint = FakeEndpoint::builder().fault(|_| Some(Fault::WrongShape)).start();
    let stranger = model("openai/m", &endpoint, &[]);
    let kinds = run(async {
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(call(&*stranger, &ask("q")).await.unwrap_err().kind);
        }
        kinds
    });
    assert_eq!(kinds, [ModelErrorKind::Malformed, ModelErrorKind::Malformed, ModelErrorKind::NotFound]);
    let page = error_of(Fault::Html(200), &[]);
    assert!(page.is_fatal() && page.hint.unwrap().contains("/v1"));
}

#[test]
fn a_wrong_key_is_named_and_never_shown() {
    let endpoint = FakeEndpoint::builder().fault(|_| Some(Fault::EchoKey)).start();
    let environment = Environment::of([("MY_KEY", "sk-verysecret-123"), ("TEAM", "team-secret")]);
    for (provider, pairs) in
        [("openai", ["key_env=MY_KEY", "stream=true"]), ("anthropic", ["key_env=MY_KEY", "stream=false"])]
    {
        let model = model_at(&format!("{provider}/m"), &endpoint.base_url(), &pairs, &environment);
        let error = run(call(&*model, &ask("q"))).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unauthorized);
        assert!(error.message.contains("Incorrect API key") && error.message.contains("***"), "{error}");
        assert!(!format!("{error} {error:?}").contains("verysecret"), "{error:?}");
        assert!(error.hint.unwrap().contains("MY_KEY"));
    }
    // Also in the value of an extra header, in a redirect and in JSON sent with a 200.
    for fault in [
        raw(401, &[], "who is team-secret?"),
        raw(302, &[("location", "https://x.example/?key=team-secret")], ""),
        raw(200, &[], r#"{"you": "team-secret"}"#),
        raw(200, &[], r#"{"error": "team-secret"}"#),
        // Where the quotation is cut, half a key must not be left.
        raw(401, &[], &format!("{}team-secret", "x".repeat(294))),
        raw(200, &[], &format!(r#"{{"{}": "team-secret"}}"#, "x".repeat(89))),
        raw(
            200,
            &[("content-type", "text/html")],
            &format!("<html><title>{}team-secret</title>", "x".repeat(75)),
        ),
    ] {
        let endpoint = FakeEndpoint::builder().script([Some(fault.clone())]).start();
        let pairs = ["header=x-team:TEAM"];
        let error = run(call(&*model_at("openai/m", &endpoint.base_url(), &pairs, &environment), &ask("q")))
            .unwrap_err();
        assert!(!format!("{error:?}").contains("team-"), "{fault:?}: {error:?}");
    }
}

#[test]
fn a_missing_key_says_which_variable_to_set() {
    let endpoint = FakeEndpoint::builder().key("sk-1").start();
    let error = run(call(&*model("openai/m", &endpoint, &[]), &ask("q"))).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Unauthorized);
    assert!(error.hint.unwrap().contains("no key was sent: set OPENAI_API_KEY"));
}

#[test]
fn a_model_that_is_not_there_gets_the_list_of_those_that_are() {
    let endpoint = FakeEndpoint::builder().models(&["small", "large"]).start();
    let missing = model("openai/medium", &endpoint, &[]);
    run(async {
        for _ in 0..3 {
            let error = call(&*missing, &ask("q")).await.unwrap_err();
            assert_eq!(error.kind, ModelErrorKind::NotFound);
            assert!(error.message.contains("the model `medium` does not exist"), "{error}");
            assert_eq!(error.hint.as_deref(), Some("it offers: small, large"));
        }
    });
    // The list is asked for once.
    assert_eq!(endpoint.seen().iter().filter(|seen| seen.path == "/v1/models").count(), 1);
    let wrong_path =
        model_at("openai/small", &endpoint.base_url().replace("/v1", "/v2"), &[], &Environment::default());
    let error = run(call(&*wrong_path, &ask("q"))).unwrap_err();
    assert!(error.is_fatal() && error.hint.unwrap().contains("usually ends in /v1"));
}

#[test]
fn an_answer_that_cannot_be_one_says_what_it_is() {
    let many: Vec<(String, &str)> = (0..200).map(|i| (format!("x-{i}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let long = "x".repeat(600 << 10);
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let cases = [
        (raw(204, &[], ""), ModelErrorKind::Malformed, "answered 204 No Content", "speak the protocol"),
        (raw(200, &gzip, "\u{1f}\u{8b}"), ModelErrorKind::NotFound, "encoded as `gzip`", "proxy"),
        (raw(200, &many, "{}"), ModelErrorKind::Malformed, "more than 128 headers", "--base-url"),
        (raw(200, &[("x-long", &long)], "{}"), ModelErrorKind::Malformed, "256 KiB of them", "--base-url"),
    ];
    for (fault, kind, words, advice) in cases {
        let error = error_of(fault, &[]);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains(advice)), "{error:?}");
    }
    // What an error body says cannot be read either, but its status stands.
    let error = error_of(raw(503, &gzip, "\u{1f}\u{8b}garbage"), &[]);
    assert!(error.kind == ModelErrorKind::Server && !error.message.contains("garbage"), "{error}");
}

#[test]
fn no_content_coding_is_asked_for() {
    let endpoint = FakeEndpoint::builder().start();
    run(call(&*model("openai/m", &endpoint, &[]), &ask("q"))).unwrap();
    assert_eq!(endpoint.seen()[0].header("accept-encoding"), Some("identity"));
}

#[test]
fn a_spent_account_ends_the_run() {
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Spending limit",
        "details":{"error_code":"enforced_spend_limit_reached"}}}"#;
    let endpoint =
        FakeEndpoint::builder().fault(move |_| Some(raw(429, &[("retry-after", "5")], body))).start();
    let error = run(call(&*model("anthropic/m", &endpoint, &[]), &ask("q"))).unwrap_err();
    assert!(error.is_fatal() && !error.is_retryable(), "{error:?}");
    assert!(error.hint.unwrap().contains("raise the account's limit"));
}

#[test]
fn advice_follows_from_the_servers_words() {
    let complaint = "Unsupported value: 'temperature' does not support 0 with this model.";
    let error = error_of(Fault::json(400, &json!({ "error": { "message": complaint } })), &[]);
    assert_eq!(error.kind, ModelErrorKind::Refused);
    assert!(error.hint.unwrap().contains("omit=temperature"));
}

#[test]
fn control_characters_of_a_server_never_reach_a_terminal() {
    let error = error_of(raw(400, &[], "\u{1b}]0;owned\u{7}\u{202e}gnp\n\n\nline"), &[]);
    assert!(!error.message.chars().any(|c| c.is_control() || c == '\u{202e}'), "{:?}", error.message);
}

#[test]
fn nobody_listening_is_a_connection_error_with_advice() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let model = model_at("openai/m", &format!("http://{address}/v1"), &[], &Environment::default());
    let error = run(call(&*model, &ask("q"))).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Connection);
    assert!(
        error.message.contains("refused") && error.hint.unwrap().contains("running"),
        "{}",
        error.message
    );
}

/// A server that says one thing to every connection.
fn speaker(words: &'static [u8]) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(words);
        }
    });
    address
}

#[test]
fn what_is_not_http_is_the_wrong_place() {
    let address = speaker(b"220 mail.example ESMTP\r\n");
    let model = model_at("openai/m", &format!("http://{address}/v1"), &[], &Environment::default());
    let error = run(call(&*model, &ask("q"))).unwrap_err();
    assert!(error.is_fatal() && error.message.contains("does not speak HTTP"), "{error}");
}

#[test]
fn plain_http_behind_an_https_url_is_told_apart() {
    let address = speaker(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let model = model_at("openai/m", &format!("https://{address}/v1"), &[], &Environment::default());
    let error = run(call(&*model, &ask("q"))).unwrap_err();
    assert!(error.is_fatal() && error.hint.as_deref().unwrap_or_default().contains("http://"), "{error:?}");
}

#[test]
fn a_dropped_call_frees_its_place() {
    let endpoint = FakeEndpoint::builder().script([Some(Fault::Hang)]).start();
    let model = model("openai/m", &endpoint, &[]);
    let until = async |done: fn(&FakeEndpoint) -> bool| {
        while !done(&endpoint) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    run(async {
        let request = ask("q");
        tokio::select! {
            answer = call(&*model, &request) => panic!("an answer from an endpoint that hangs: {answer:?}"),
            () = until(|endpoint| endpoint.counters().in_flight == 1) => {}
        }
        until(|endpoint| endpoint.counters().in_flight == 0).await;
        assert_eq!(call(&*model, &request).await.unwrap().completion, "The answer is 42.");
    });
    assert_eq!(endpoint.counters().requests, 2);
}

#[test]
fn a_connection_that_the_server_closed_while_idle_is_replaced_unseen() {
    // Each connection serves one request and is then closed without saying so beforehand.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, was_closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            let body = r#"{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}"#;
            let _ = write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            drop(socket);
            let _ = closed.send(());
        }
    });
    let model = model_at("openai/m", &format!("http://{address}/v1"), &[], &Environment::default());
    run(async {
        for _ in 0..20 {
            assert_eq!(call(&*model, &ask("q")).await.unwrap().completion, "ok");
            was_closed.recv().unwrap();
            // One turn of the runtime, in which it can notice.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
