//! Guards between real sockets.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use loadline_gate::guard::{Did, Side};
use loadline_gate::ledger::{Ending, Event, StopTarget, UsageBasis};
use loadline_testkit::endpoint::{Api, Ask, FakeEndpoint, Fault};
use serde_json::json;

use crate::support::{ASK, Make, Reply, Rig, STREAM, chunk, open_stream, post, until};

const REFUSE: &str = r#"
[[guard]]
name = "bombs"
on = "input"
action = "refuse"
pattern = '(?i)\bbomb\b'
measured = "none"
"#;

fn rig(tables: &str, answer: &'static str) -> Rig {
    Rig::make(Make {
        endpoint: FakeEndpoint::builder().answer(move |_| answer.to_owned()),
        tables: tables.to_owned(),
        ..Make::default()
    })
}

fn output(action: &str) -> String {
    format!(
        "[[guard]]\nname = \"out\"\non = \"output\"\naction = \"{action}\"\npattern = '\\bforbidden\\b'\nmeasured = \"none\"\nwindow_bytes = 32\n"
    )
}

/// What guards did, as it was written down.
fn did(rig: &Rig) -> Vec<(String, Side, Did)> {
    let events = rig.audit.entries().events;
    let of = |event: &Event| match event {
        Event::Guard { guard, side, did, .. } => Some((guard.to_string(), *side, *did)),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn streamed(rig: &Rig) -> String {
    let mut stream = open_stream(rig, "alice-key", STREAM);
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    text
}

/// What the model wrote, of a stream.
fn written(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let jsons = events.filter_map(|event| serde_json::from_str::<serde_json::Value>(event).ok());
    jsons.filter_map(|json| json["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_request_that_matches_never_reaches_the_model_however_it_is_spelt() {
    let rig = rig(REFUSE, "fine");
    for content in [
        r#""how to build a BOMB?""#,
        r#""a \u0062omb""#,
        r#"[{"type":"text","text":"a bo"},{"type":"text","text":"mb"}]"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        let reply = rig.chat(&body);
        assert_eq!((reply.status, reply.code().as_str()), (403, "guard_refused"), "{content}");
        assert!(reply.body.contains("guard `bombs` does not let this request pass"), "{reply:?}");
    }
    let twice = r#"{"model":"m","messages":[{"role":"user","content":"bomb","content":"fine"}]}"#;
    assert_eq!(rig.chat(twice).code(), "guard_refused");
    let tool = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a bomb":{}}}}}]}"#;
    assert_eq!(rig.chat(tool).code(), "guard_refused");
    let tokens = rig.ask("/v1/completions", "alice-key", r#"{"model":"m","prompt":[104,105]}"#);
    assert!(tokens.body.contains("numbers of tokens"), "{tokens:?}");
    for prompt in ["[104.0,105.0]", "[1e2,98]", "[-1]"] {
        let body = format!(r#"{{"model":"m","prompt":{prompt}}}"#);
        let tokens = rig.ask("/v1/completions", "alice-key", &body);
        assert!(tokens.body.contains("numbers of tokens"), "{tokens:?}");
    }
    let call = r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"q\":\"a \\u0062omb\"}"}}]}]}"#;
    assert_eq!(rig.chat(call).code(), "guard_refused");
    assert!(rig.endpoint.seen().is_empty());
    let metrics = rig.gate.metrics.text(&rig.gate);
    assert!(metrics.contains("loadline_gate_forwarded_total 0"), "{metrics}");
    assert_eq!(rig.chat(&ASK.replace("hello there", "a bombastic poem")).status, 200);

    until("outcomes", || rig.audit.entries().outcomes.len() == 11);
    let entries = rig.audit.entries();
    let refused: Vec<_> =
        entries.outcomes.values().filter(|outcome| outcome.ending == Ending::GuardRefused).collect();
    assert!(refused.len() == 10 && refused.iter().all(|outcome| outcome.used.total() == 0), "{refused:?}");
    assert_eq!(did(&rig), vec![("bombs".to_owned(), Side::Input, Did::Refused); 6]);
}

/// What a model gives to a tool is all its own: no key and no word of it is the protocol's.
#[test]
fn what_a_model_gives_to_a_tool_is_looked_at_in_every_form() {
    let input = |input: serde_json::Value| json!({ "type": "message", "content": [{ "type": "tool_use", "id": "forbidden", "name": "f", "input": input }] });
    let arguments = |json: &str| {
        let call = json!({ "id": "forbidden", "function": { "name": "f", "arguments": json } });
        json!({ "choices": [{ "index": 0, "message": { "tool_calls": [call] } }] })
    };
    let answers = [
        ("guard_refused", input(json!({ "id": "forbidden" }))),
        ("guard_refused", input(json!({ "deep": [{ "type": "forbidden" }] }))),
        ("guard_refused", input(json!({ "forbidden": 1 }))),
        ("guard_refused", arguments(r#"{"q":"\u0066orbidden"}"#)),
        ("guard_refused", arguments(r#"{"forbi\u0064den":1}"#)),
        ("guard_refused", arguments(r#"{"q":"\u0066orbidden"#)),
        ("", input(json!({ "id": "for", "bidden": "x" }))),
        ("", arguments(r#"{"q":"\u0067orbidden"}"#)),
    ];
    let script: Vec<_> = answers.iter().map(|(_, answer)| Some(Fault::json(200, answer))).collect();
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().script(script),
        tables: output("refuse"),
        ..Make::default()
    });
    for (code, answer) in &answers {
        assert_eq!(rig.chat(ASK).code(), *code, "{answer}");
    }
    // A stream, whose pieces end in the middle of an escape.
    let event = |piece: &str| {
        let delta = json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] });
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] }))
    };
    let body = [event(r#"{"q":"\u0066or\u00"#), event("62idden"), event("\"}")].concat() + "data: [DONE]\n\n";
    let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
    let stream = Rig::make(Make {
        endpoint: FakeEndpoint::builder().script([Some(Fault::Raw { status: 200, headers, body })]),
        tables: output("refuse"),
        ..Make::default()
    });
    let text = streamed(&stream);
    assert!(text.contains("guard_refused") && !text.contains("idden"), "{text}");
}

#[test]
fn a_guard_looks_at_its_models_and_stages_only() {
    let others = REFUSE.replace("\non = ", "\nmodels = [\"c\"]\non = ");
    let stages = REFUSE.replace("bombs", "two").replace("\non = ", "\nstages = [\"academic\"]\non = ");
    let rig = rig(&(others + &stages), "fine");
    assert_eq!(rig.chat(&ASK.replace("hello there", "a bomb")).status, 200);
    let message =
        r#"{"model":"c","max_tokens":9,"system":"a bomb","messages":[{"role":"user","content":"x"}]}"#;
    let reply = rig.ask("/v1/messages", "alice-key", message);
    assert_eq!((reply.status, reply.json()["type"].as_str()), (403, Some("error")));
}

#[test]
fn a_whole_answer_that_matches_is_kept_back_and_charged() {
    let rig = rig(&output("refuse"), "this is forbidden knowledge, at some length");
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (403, "guard_refused"));
    assert!(!reply.body.contains("knowledge"), "{reply:?}");
    until("an outcome", || rig.audit.entries().outcomes.len() == 1);
    let entries = rig.audit.entries();
    let outcome = entries.outcomes.values().next().unwrap();
    assert_eq!(
        (outcome.ending, outcome.used.basis, outcome.delivered_bytes),
        (Ending::GuardRefused, UsageBasis::Estimated, 0)
    );
    assert!(outcome.used.output >= 10 && outcome.used.input > 0, "{outcome:?}");
    assert_eq!(did(&rig), [("out".to_owned(), Side::Output, Did::Refused)]);
}

#[test]
fn a_good_answer_passes_unchanged_whole_and_streamed() {
    let answer = "nothing here is forbiddenish, and it goes on for more than the window is long";
    let (with, without) = (rig(&output("refuse"), answer), rig("", answer));
    assert_eq!(with.chat(ASK).json()["choices"], without.chat(ASK).json()["choices"]);
    let (guarded, plain) = (streamed(&with), streamed(&without));
    assert_eq!(written(&guarded), answer);
    assert_eq!(guarded.matches("data: ").count(), plain.matches("data: ").count());
    assert!(guarded.ends_with("data: [DONE]\n\n"), "{guarded}");
    until("outcomes", || with.audit.entries().outcomes.len() == 2);
    let entries = with.audit.entries();
    assert!(entries.outcomes.values().all(|outcome| outcome.ending == Ending::Complete), "{entries:?}");
    assert_eq!(with.endpoint.counters().connections, 1, "the connection is kept");
}

#[test]
fn a_stream_that_matches_ends_with_an_error_event_and_nothing_of_the_match_has_left() {
    let answer = "a long and harmless beginning that is longer than the window, then forbidden words";
    let rig = rig(&output("refuse"), answer);
    let text = streamed(&rig);
    let seen = written(&text);
    assert!(answer.starts_with(&seen) && !seen.is_empty() && !seen.contains("forb"), "{seen}");
    let last = text.trim_end().rsplit("data: ").next().unwrap();
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(event["error"]["code"], "guard_refused");
    until("an outcome", || rig.audit.entries().outcomes.len() == 1);
    let entries = rig.audit.entries();
    let outcome = entries.outcomes.values().next().unwrap();
    assert_eq!((outcome.ending, outcome.status), (Ending::GuardRefused, 200));
    // What was held back was written too.
    assert!(outcome.used.output as usize >= (answer.len() - 8) / 4, "{outcome:?}");
}

#[test]
fn a_cut_lets_the_beginning_pass_and_a_flag_everything() {
    let answer = "see: forbidden words";
    let cut = rig(&output("cut"), answer);
    let text = streamed(&cut);
    assert!(written(&text).starts_with("see:") && text.contains("guard_refused"), "{text}");
    assert!(!text.contains("words"), "{text}");
    let flag = rig(&output("flag"), answer);
    assert_eq!(written(&streamed(&flag)), answer);
    assert_eq!(flag.chat(ASK).status, 200);
    assert_eq!(did(&flag), vec![("out".to_owned(), Side::Output, Did::Flagged); 2]);
    assert!(flag.gate.metrics.text(&flag.gate).contains("loadline_gate_guard_matches_total 2"));
}

#[test]
fn a_caller_who_leaves_drops_the_upstream_while_a_guard_holds() {
    let pause = std::time::Duration::from_millis(1);
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().fault(move |_| Some(Fault::Endless(pause))),
        tables: output("refuse"),
        ..Make::default()
    });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    for _ in 0..5 {
        chunk(&mut stream).unwrap();
    }
    drop(stream);
    rig.endpoint.wait_until(|counters| counters.streams_left == 1 && counters.streams == 0);
    until("an outcome", || rig.audit.entries().outcomes.len() == 1);
    let entries = rig.audit.entries();
    let outcome = entries.outcomes.values().next().unwrap();
    assert_eq!(outcome.ending, Ending::CallerLeft);
    assert!(outcome.used.output > 0 && outcome.used.output <= outcome.delivered_bytes, "{outcome:?}");
}

#[test]
fn tokens_are_limited_both_ways() {
    let limit = |on: &str, most: u32| {
        format!(
            "[[guard]]\nname = \"long-{on}\"\non = \"{on}\"\naction = \"refuse\"\nmax_tokens = {most}\nmeasured = \"none\"\n"
        )
    };
    let rig = rig(&(limit("input", 20) + &limit("output", 4)), "0123456789abcdefXYZ");
    assert_eq!(rig.chat(&ASK.replace("hello there", &"word ".repeat(20))).code(), "guard_refused");
    assert!(rig.endpoint.seen().is_empty());
    // The form without anything between the parts does not count twice.
    let parts = r#"[{"type":"text","text":"01234567890123456789012345678901"},{"type":"text","text":"01234567890123456789012345678901"}]"#;
    let twice = rig.chat(&ASK.replace("\"hello there\"", parts));
    assert!(twice.body.contains("`long-output`"), "{twice:?}");
    assert_eq!(rig.chat(ASK).code(), "guard_refused");
    let text = streamed(&rig);
    assert!(!written(&text).contains("XYZ") && text.contains("guard_refused"), "{text}");
}

/// A classifier and a judge behind an endpoint of their own: the text decides what they say.
fn outsiders() -> FakeEndpoint {
    FakeEndpoint::builder()
        .answer(|ask| if ask.prompt.contains("evil") { "Yes.".to_owned() } else { "no".to_owned() })
        .fault(|ask| {
            let text = ask.body["input"].as_str().unwrap_or_default().to_owned();
            match ask.api {
                Api::Embeddings if text.contains("broken") => Some(Fault::Server),
                Api::Embeddings => {
                    let score = if text.contains("evil") { 0.8 } else { 0.1 };
                    Some(Fault::json(200, &json!({ "results": [{ "score": score }] })))
                }
                _ => None,
            }
        })
        .start()
}

fn asking(url: &str, on: &str, more: &str) -> String {
    format!(
        r#"
[[upstream]]
name = "classifier"
url = "{url}/embeddings"

[[upstream]]
name = "judges"
url = "{url}"

[[guard]]
name = "class"
on = "{on}"
action = "refuse"
classifier = {{ upstream = "classifier", field = "/results/0/score", threshold = 0.5 }}
measured = "none"
{more}

[[guard]]
name = "judge"
on = "{on}"
action = "flag"
judge = {{ upstream = "judges", model = "j", prompt = "Is this harmful?" }}
measured = "none"
"#
    )
}

#[test]
fn a_classifier_and_a_judge_are_asked() {
    let outside = outsiders();
    let rig = rig(&asking(&outside.base_url(), "input", ""), "fine");
    assert_eq!(rig.chat(&ASK.replace("hello there", "an evil plan")).code(), "guard_refused");
    assert!(rig.endpoint.seen().is_empty());
    assert_eq!(rig.chat(ASK).status, 200);
    assert_eq!(outside.counters().requests, 3, "a refusal ends the asking");
    let failed = rig.chat(&ASK.replace("hello there", "broken"));
    assert_eq!((failed.status, failed.code().as_str()), (503, "guard_failed"));
    let found: Vec<_> = did(&rig).into_iter().map(|(name, _, did)| (name, did)).collect();
    assert_eq!(found, [("class".to_owned(), Did::Refused), ("class".to_owned(), Did::FailedClosed)]);
}

#[test]
fn a_failing_guard_that_is_open_lets_pass_and_says_so() {
    let outside = outsiders();
    let rig = rig(&asking(&outside.base_url(), "input", "on_failure = \"open\""), "fine");
    assert_eq!(rig.chat(&ASK.replace("hello there", "broken and evil")).status, 200);
    let found: Vec<_> = did(&rig).into_iter().map(|(name, _, did)| (name, did)).collect();
    assert_eq!(found, [("class".to_owned(), Did::FailedOpen), ("judge".to_owned(), Did::Flagged)]);
}

#[test]
fn a_classifier_of_answers_sees_a_stream_whole_before_anything_leaves() {
    let outside = outsiders();
    let tables = asking(&outside.base_url(), "output", "");
    let rig = rig(&tables, "the evil answer");
    let reply = rig.chat(STREAM);
    assert_eq!((reply.status, reply.code().as_str()), (403, "guard_refused"), "{reply:?}");
    let good = self::rig(&tables, "a good answer");
    assert_eq!(written(&streamed(&good)), "a good answer");
    assert!(outside.seen().iter().any(|seen| seen.json()["input"] == "a good answer"));
}

/// A judge that never answers.
fn judged(on: &str, url: &str) -> String {
    format!(
        r#"
[[upstream]]
name = "judges"
url = "{url}"

[[guard]]
name = "judge"
on = "{on}"
action = "refuse"
judge = {{ upstream = "judges", model = "j", prompt = "Is this harmful?" }}
measured = "none"
"#
    )
}

fn stop(rig: &Rig, model: &str) {
    let order = serde_json::to_vec(&StopTarget::Model(model.to_owned())).unwrap();
    rig.runtime.block_on(rig.gate.order(order.into())).unwrap();
}

fn begin(rig: &Rig) -> BufReader<TcpStream> {
    let mut stream = rig.connect();
    let request = post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK);
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

#[test]
fn a_stop_is_heard_while_a_judge_is_asked_about_an_answer() {
    let judges = FakeEndpoint::builder().fault(|_| Some(Fault::Hang)).start();
    let rig = rig(&judged("output", &judges.base_url()), "fine");
    let mut stream = begin(&rig);
    judges.wait_until(|counters| counters.in_flight == 1);
    stop(&rig, "m");
    let reply = Reply::read(&mut stream);
    assert_eq!((reply.status, reply.code().as_str()), (403, "stopped"));
    judges.wait_until(|counters| counters.in_flight == 0);
    let outcome = rig.audit.entries().outcomes.into_values().next().unwrap();
    assert_eq!(outcome.ending, Ending::Stopped);
    assert!(outcome.used.output > 0, "the model has worked: {outcome:?}");
}

/// An error that never ends is an answer that a stop must reach as well.
#[test]
fn a_stop_is_heard_while_an_error_is_read() {
    let headers = vec![("content-length".to_owned(), "1000000".to_owned())];
    let fault = Fault::Raw { status: 500, headers, body: "{\"error\":".to_owned() };
    let endpoint = FakeEndpoint::builder().script([Some(fault)]);
    let rig = Rig::make(Make { endpoint, ..Make::default() });
    let mut stream = begin(&rig);
    until("it is sent", || rig.endpoint.seen().len() == 1 && rig.gate.under_way() == 1);
    stop(&rig, "m");
    assert_eq!(Reply::read(&mut stream).code(), "stopped");
    let outcome = rig.audit.entries().outcomes.into_values().next().unwrap();
    assert_eq!(outcome.ending, Ending::Stopped);
}

#[test]
fn a_judge_whose_upstream_serves_a_stopped_model_is_not_asked() {
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().answer(|ask| match ask.prompt.contains("one word") {
            true => "no".to_owned(),
            false => "fine".to_owned(),
        }),
        tables: judged("input", "JUDGES"),
        ..Make::default()
    });
    assert_eq!(rig.chat(ASK).status, 200);
    let asked = rig.endpoint.seen().len();
    assert_eq!(asked, 2);
    // `c` is served where the judge is.
    stop(&rig, "c");
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (503, "guard_failed"));
    assert_eq!(rig.endpoint.seen().len(), asked);
    assert_eq!(did(&rig), [("judge".to_owned(), Side::Input, Did::FailedClosed)]);
}

/// Callers who do not read make the gate hold their answers: all of them together have one limit.
#[test]
fn the_answers_that_guards_hold_have_one_limit_over_all_requests() {
    const SIZE: usize = 31 << 20;
    let body = "x".repeat(SIZE);
    let plain = move |_: &Ask| {
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        Some(Fault::Raw { status: 200, headers, body: body.clone() })
    };
    let tables = "[[guard]]\nname = \"long\"\non = \"output\"\naction = \"refuse\"\nmax_tokens = 100000000\nmeasured = \"none\"\n";
    let rig = Rig::make(Make {
        endpoint: FakeEndpoint::builder().fault(plain),
        tables: tables.to_owned(),
        ..Make::default()
    });
    let mut held: Vec<_> = (0..4).map(|_| open_stream(&rig, "alice-key", ASK)).collect();
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (429, "guards_busy"));
    let mut read = held.remove(0);
    std::io::Read::read_exact(&mut read, &mut vec![0; SIZE]).unwrap();
    until("room", || rig.chat(ASK).status == 200);
}

#[test]
fn what_is_wrong_with_a_guard_is_said_at_its_place() {
    use loadline_gate::config;
    let authority = loadline_testkit::authority::TestAuthority::new(crate::support::at(0));
    let base = crate::support::config_text(&authority, "http://127.0.0.1:9/v1", "", "");
    let said = |tables: &str| {
        let parsed = config::parse(&format!("{base}{tables}"), std::path::Path::new("/etc/gate"));
        parsed.map(|_| ()).unwrap_err().to_string()
    };
    for (change, to, expected) in [
        ("measured = \"none\"", "", "`guard[1].measured`: is missing"),
        ("\"none\"", "\"often\"", "neither a table nor `none`"),
        ("(?i)\\bbomb\\b", "(bomb", "unclosed group"),
        ("(?i)\\bbomb\\b", "a*", "matches the empty text"),
        ("(?i)\\bbomb\\b", "(?:\\w{1000}){1000}", "exceeds size limit"),
        ("(?i)\\bbomb\\b", "(?=x)y", "look-around"),
        ("action = \"refuse\"", "action = \"cut\"", "cuts a stream"),
        ("pattern = '(?i)\\bbomb\\b'", "", "has not exactly one rule"),
        ("action", "max_tokens = 4\naction", "has not exactly one rule"),
        ("action", "models = [\"z\"]\naction", "no model is named `z`"),
        ("action", "on_failure = \"open\"\naction", "is for a classifier or a judge"),
        (
            "pattern = '(?i)\\bbomb\\b'",
            "judge = { upstream = \"no\", model = \"j\", prompt = \"p\" }",
            "no upstream is named `no`",
        ),
        (
            "\"none\"",
            "{ false_refusal = { k = 3, n = 2 }, miss = { k = 0, n = 5 }, on = \"x\", date = \"2027-01-15\", guard = \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }",
            "is 3 of 2",
        ),
        (
            "\"none\"",
            "{ false_refusal = { k = 0, n = 2 }, miss = { k = 0, n = 5 }, on = \"x\", date = \"yesterday\" }",
            "is no day",
        ),
    ] {
        assert!(REFUSE.contains(change), "{change}");
        let problem = said(&REFUSE.replacen(change, to, 1));
        assert!(problem.contains(expected), "{to}: {problem}");
    }
}
