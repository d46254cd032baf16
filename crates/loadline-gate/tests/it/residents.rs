//! Models of the gate's own process: OpenAI's wire format, one computation at a time, ended when nobody waits for it.

use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use loadline_core::model::{Generate, Prompt, Role, StopReason, Usage};
use loadline_core::{ModelError, ModelErrorKind};
use loadline_gate::ledger::{Ending, StopTarget, UsageBasis};
use loadline_gate::upstream::resident::{Resident, Subject, Writer, Writing, Written, Wrong};
use loadline_testkit::endpoint::FakeEndpoint;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Make, Reply, Rig, chunk, head, post, until};

/// The pieces that the model writes, unless it is told to fail.
const PIECES: [&str; 3] = ["Hel", "lo", " world"];
const USED: Usage = Usage { input_tokens: 11, output_tokens: 4 };

/// What the test knows of a fake model.
struct Desk {
    seen: Mutex<Vec<Generate>>,
    /// Each step of a computation takes one.
    pace: Semaphore,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Fails before this piece.
    fault: Option<(usize, ModelErrorKind)>,
    endless: bool,
    /// How often each piece is repeated.
    swell: usize,
}

impl Desk {
    fn free() -> Self {
        Self {
            seen: Mutex::default(),
            pace: Semaphore::new(Semaphore::MAX_PERMITS),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            fault: None,
            endless: false,
            swell: 1,
        }
    }

    /// One whose steps the test gives.
    fn slow() -> Self {
        Self { pace: Semaphore::new(0), ..Self::free() }
    }

    fn is_idle(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }
}

struct Fake(Arc<Desk>);

struct Running(Arc<Desk>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Writer for Fake {
    fn write(&self, request: Generate) -> Writing {
        let desk = Arc::clone(&self.0);
        desk.seen.lock().unwrap().push(request);
        let now = desk.running.fetch_add(1, Ordering::SeqCst) + 1;
        desk.most_running.fetch_max(now, Ordering::SeqCst);
        Box::pin(stream::unfold((0, Running(desk)), async |(at, running)| {
            let desk = Arc::clone(&running.0);
            desk.pace.acquire().await.unwrap().forget();
            let piece = match desk.fault {
                Some((before, kind)) if at == before => Err(ModelError::new(kind, "the fault of a test")),
                _ if desk.endless => Ok(Written::Text("on ".to_owned())),
                _ if at < PIECES.len() => Ok(Written::Text(PIECES[at].repeat(desk.swell))),
                _ if at == PIECES.len() => Ok(Written::End(StopReason::Length, USED)),
                _ => return None,
            };
            Some((piece, (at + 1, running)))
        }))
    }

    fn is(&self, subject: Subject<'_>) -> Result<(), Wrong> {
        match subject.name {
            "m" => Ok(()),
            other => Err(Wrong {
                message: format!("these weights are not `{other}`"),
                hint: "bring them".to_owned(),
            }),
        }
    }
}

const HERE: &str = r#"
[[upstream]]
name = "here"
local = "fake"
queue = 2

[[model]]
name = "h"
upstream = "here"
license = "license.json"

[[model]]
name = "either"
upstreams = ["here", "up"]
license = "license.json"
"#;

fn rig(desk: &Arc<Desk>) -> Rig {
    with_resident(desk).0
}

fn with_resident(desk: &Arc<Desk>) -> (Rig, Arc<Resident>) {
    let resident = Arc::new(Resident::new(Fake(Arc::clone(desk))));
    let make = Make { upstream: HERE.to_owned(), resident: Some(Arc::clone(&resident)), ..Make::default() };
    (Rig::make(make), resident)
}

fn ask(more: &Value) -> String {
    let mut body =
        json!({ "model": "h", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 50 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

fn streamed() -> String {
    ask(&json!({ "stream": true }))
}

/// A request whose answer is not waited for.
fn begun(rig: &Rig, body: &str) -> BufReader<std::net::TcpStream> {
    let mut stream = rig.connect();
    stream.write_all(post("/v1/chat/completions", "x-api-key: alice-key\r\n", body).as_bytes()).unwrap();
    BufReader::new(stream)
}

fn events(text: &str) -> Vec<Value> {
    let data = text.split("data: ").skip(1).map(str::trim).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn an_answer_is_whole_and_its_usage_exact() {
    let desk = Arc::new(Desk::free());
    let rig = rig(&desk);
    let reply =
        rig.chat(&ask(&json!({ "temperature": 0.5, "top_p": 0.9, "seed": -1, "stop": ["a", "b"], "n": 1 })));
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    let id = reply.header("loadline-request-id").unwrap();
    assert_eq!(
        (answer["object"].as_str(), &answer["id"]),
        (Some("chat.completion"), &json!(format!("chatcmpl-{id}")))
    );
    let message = json!({ "role": "assistant", "content": "Hello world", "refusal": null });
    assert_eq!(
        answer["choices"],
        json!([{ "index": 0, "message": message, "logprobs": null, "finish_reason": "length" }])
    );
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15 }));
    assert_eq!(
        (answer["model"].as_str(), answer["created"].as_u64()),
        (Some("h"), Some(crate::support::START))
    );
    let Generate { prompt, sampling } = desk.seen.lock().unwrap()[0].clone();
    let Prompt::Chat(messages) = prompt else { panic!("a conversation") };
    assert_eq!((messages[0].role, messages[0].content.as_str()), (Role::User, "hi"));
    assert_eq!((sampling.max_tokens, sampling.temperature, sampling.top_p), (50, Some(0.5), Some(0.9)));
    assert_eq!((sampling.seed, sampling.stop), (Some(u64::MAX), vec!["a".to_owned(), "b".to_owned()]));

    until("an outcome", || rig.audit.entries().outcomes.len() == 1);
    let outcome = rig.audit.entries().outcomes.into_values().next().unwrap();
    assert_eq!((outcome.ending, outcome.used.basis), (Ending::Complete, UsageBasis::ServerUsage));
    assert_eq!((outcome.used.input, outcome.used.output), (11, 4));
    assert_eq!(outcome.delivered_bytes, reply.body.len() as u64);
}

#[test]
fn a_stream_has_the_form_that_clients_know_and_exact_usage_without_saying_it() {
    let desk = Arc::new(Desk::free());
    let rig = rig(&desk);
    let reply = rig.chat(&streamed());
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert!(reply.body.ends_with("data: [DONE]\n\n"), "{reply:?}");
    let events = events(&reply.body);
    let deltas: Vec<_> = events.iter().map(|event| &event["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({ "role": "assistant", "content": "" }));
    let text: String = deltas.iter().filter_map(|delta| delta["content"].as_str()).collect();
    assert_eq!((text.as_str(), deltas[4]), ("Hello world", &json!({})));
    assert_eq!(events[4]["choices"][0]["finish_reason"], "length");
    assert!(
        events.iter().all(|event| event["object"] == "chat.completion.chunk" && event.get("usage").is_none())
    );
    until("an outcome", || rig.audit.entries().outcomes.len() == 1);
    let used = rig.audit.entries().outcomes.into_values().next().unwrap().used;
    assert_eq!((used.input, used.output, used.basis), (11, 4, UsageBasis::ServerUsage));

    let asked = ask(&json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let reply = rig.chat(&asked);
    let events = self::events(&reply.body);
    assert_eq!(events[5]["choices"], json!([]));
    assert_eq!(events[5]["usage"]["total_tokens"], 15);
    assert!(events[..5].iter().all(|event| event["usage"].is_null()));
}

#[test]
fn completions_are_answered_too() {
    let desk = Arc::new(Desk::free());
    let rig = rig(&desk);
    let answer = rig.ask("/v1/completions", "alice-key", r#"{"model":"h","prompt":"say"}"#).json();
    assert_eq!(
        (answer["object"].as_str(), answer["choices"][0]["text"].as_str()),
        (Some("text_completion"), Some("Hello world"))
    );
    let seen = desk.seen.lock().unwrap()[0].clone();
    assert_eq!((seen.prompt, seen.sampling.max_tokens), (Prompt::Text("say".to_owned()), 16));
    assert_eq!(seen.sampling.temperature, None);
    let reply = rig.ask("/v1/completions", "alice-key", r#"{"model":"h","prompt":["say"],"stream":true}"#);
    let text: String =
        events(&reply.body).iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, "Hello world");
    // Whoever names no seed gets one for each request.
    let seeds: Vec<_> = desk.seen.lock().unwrap().iter().map(|seen| seen.sampling.seed.unwrap()).collect();
    assert_ne!(seeds[0], seeds[1]);
}

#[test]
fn conversations_are_read_whole() {
    let desk = Arc::new(Desk::free());
    let rig = rig(&desk);
    let parts = json!([{ "type": "text", "text": "one " }, { "type": "text", "text": "two" }]);
    let messages = json!([
        { "role": "developer", "content": "be brief" }, { "role": "user", "content": parts },
        { "role": "assistant", "content": null, "tool_calls": [] }, { "role": "user", "content": "go on" },
    ]);
    let quiet = json!({ "messages": messages, "tools": [], "user": "ann", "logprobs": false, "frequency_penalty": 0,
        "response_format": { "type": "text" }, "stop": null, "max_completion_tokens": 60 });
    assert_eq!(rig.chat(&ask(&quiet)).status, 200);
    let seen = desk.seen.lock().unwrap()[0].clone();
    let Prompt::Chat(messages) = seen.prompt else { panic!("a conversation") };
    let said: Vec<_> = messages.iter().map(|message| (message.role, message.content.as_str())).collect();
    assert_eq!(
        said,
        [(Role::System, "be brief"), (Role::User, "one two"), (Role::Assistant, ""), (Role::User, "go on")]
    );
    assert_eq!(seen.sampling.max_tokens, 60);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let desk = Arc::new(Desk::free());
    let rig = rig(&desk);
    let image = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }]);
    for (more, named) in [
        (json!({ "tools": [{ "type": "function" }] }), "`tools`"),
        (json!({ "n": 2 }), "`n`"),
        (json!({ "logprobs": true }), "`logprobs`"),
        (json!({ "logit_bias": { "1": 5 } }), "`logit_bias`"),
        (json!({ "presence_penalty": 0.5 }), "`presence_penalty`"),
        (json!({ "response_format": { "type": "json_object" } }), "`response_format`"),
        (json!({ "reasoning_effort": "low" }), "`reasoning_effort`"),
        (json!({ "temperature": "hot" }), "`temperature` is not a number"),
        (json!({ "stop": vec!["x"; 17] }), "`stop` is not"),
        (json!({ "seed": 1.5 }), "`seed`"),
        (json!({ "messages": [] }), "`messages`"),
        (json!({ "messages": [{ "role": "tool", "content": "x" }] }), "`messages[0].role` is `tool`"),
        (json!({ "messages": image }), "`messages[0].content`"),
    ] {
        let reply = rig.chat(&ask(&more));
        assert_eq!((reply.status, reply.code().as_str()), (400, "upstream_refused"), "{more}: {reply:?}");
        assert!(reply.body.contains(named), "{named}: {reply:?}");
    }
    let vectors = rig.ask("/v1/embeddings", "alice-key", r#"{"model":"h","input":"x"}"#);
    assert_eq!((vectors.status, vectors.code().as_str()), (400, "upstream_refused"));
    assert!(vectors.body.contains("/v1/embeddings"), "{vectors:?}");
    for (body, named) in [
        (r#"{"model":"h","prompt":["a","b"]}"#, "`prompt`"),
        (r#"{"model":"h","prompt":"a","echo":true}"#, "`echo`"),
        (r#"{"model":"h","prompt":"a","suffix":"b"}"#, "`suffix`"),
        (r#"{"model":"h","prompt":"a","messages":[]}"#, "`messages`"),
    ] {
        let reply = rig.ask("/v1/completions", "alice-key", body);
        assert!(reply.status == 400 && reply.body.contains(named), "{reply:?}");
    }
    assert!(desk.seen.lock().unwrap().is_empty());
    let outcomes = rig.audit.entries().outcomes;
    assert!(outcomes.values().all(|outcome| outcome.used.total() == 0));
}

#[test]
fn one_is_worked_on_at_a_time_and_the_queue_has_an_end() {
    let desk = Arc::new(Desk::slow());
    let (rig, resident) = with_resident(&desk);
    let mut first = begun(&rig, &ask(&json!({})));
    until("a computation", || desk.seen.lock().unwrap().len() == 1);
    let mut waiting: Vec<_> = (0..2).map(|_| begun(&rig, &ask(&json!({})))).collect();
    until("a full queue", || resident.waiting() == 2);
    let reply = rig.chat(&ask(&json!({})));
    assert_eq!((reply.status, reply.code().as_str()), (429, "upstream_busy"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("1"));
    // Another upstream is tried where there is one.
    assert_eq!(rig.chat(&ask(&json!({ "model": "either" }))).status, 200);
    assert_eq!(rig.endpoint.counters().answered, 1);
    desk.pace.add_permits(100);
    assert_eq!(Reply::read(&mut first).status, 200);
    waiting.iter_mut().for_each(|reader| assert_eq!(Reply::read(reader).status, 200));
    assert_eq!(desk.most_running.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stop_ends_the_computation() {
    let desk = Arc::new(Desk { endless: true, ..Desk::slow() });
    let (rig, resident) = with_resident(&desk);
    let mut stream = begun(&rig, &streamed());
    until("a computation", || desk.seen.lock().unwrap().len() == 1);
    let waiting = begun(&rig, &streamed());
    until("a place in the queue", || resident.waiting() == 1);
    desk.pace.add_permits(2);
    assert_eq!(head(&mut stream).0, 200);
    assert!(chunk(&mut stream).is_some());
    let order = Bytes::from(serde_json::to_vec(&StopTarget::Model("h".to_owned())).unwrap());
    assert_eq!(rig.runtime.block_on(rig.gate.order(order)).unwrap().cut.told, 2);
    until("the end of the computation", || desk.is_idle());
    let mut text = String::new();
    while let Some(chunk) = chunk(&mut stream) {
        text.push_str(&chunk);
    }
    assert_eq!(events(&text).last().unwrap()["error"]["code"], "stopped", "{text}");
    let reply = Reply::read(&mut { waiting });
    assert_eq!((reply.status, reply.code().as_str()), (403, "stopped"));
    until("nothing is computed", || desk.is_idle());
    let outcomes = rig.audit.entries().outcomes;
    assert!(outcomes.values().all(|outcome| outcome.ending == Ending::Stopped));
}

#[test]
fn a_caller_who_leaves_ends_the_computation_and_gives_up_the_place() {
    let desk = Arc::new(Desk { endless: true, ..Desk::slow() });
    let (rig, resident) = with_resident(&desk);
    for round in 0..3 {
        let mut stream = begun(&rig, &streamed());
        until("a computation", || desk.seen.lock().unwrap().len() == 1 + round);
        let waiting: Vec<_> = (0..2).map(|_| begun(&rig, &ask(&json!({})))).collect();
        until("places in the queue", || resident.waiting() == 2);
        desk.pace.add_permits(1);
        assert_eq!(head(&mut stream).0, 200);
        drop(waiting);
        until("those who waited have left", || rig.gate.under_way() == 1);
        drop(stream);
        until("the end of the computation", || desk.is_idle() && rig.gate.under_way() == 0);
    }
    let outcomes = rig.audit.entries().outcomes;
    assert!(outcomes.values().all(|outcome| outcome.ending == Ending::CallerLeft));
    assert!(
        outcomes
            .values()
            .any(|outcome| outcome.used.output > 0 && outcome.used.basis == UsageBasis::Estimated)
    );
}

#[test]
fn who_reads_slowly_holds_up_nobody() {
    // More than every buffer on the way takes.
    let desk = Arc::new(Desk { swell: 4 << 20, ..Desk::free() });
    let rig = rig(&desk);
    // Nothing of this answer is read before the other one is there.
    let mut unread = begun(&rig, &streamed());
    assert_eq!(rig.chat(&ask(&json!({}))).status, 200);
    assert!(Reply::read(&mut unread).body.ends_with("[DONE]\n\n"));
}

#[test]
fn errors_of_the_model_have_a_status_before_the_first_piece_and_an_event_after_it() {
    for (kind, status, code) in [
        (ModelErrorKind::TooLong, 400, "context_too_long"),
        (ModelErrorKind::Refused, 400, "upstream_refused"),
        (ModelErrorKind::Internal, 502, "upstream_failed"),
    ] {
        for body in [ask(&json!({})), streamed()] {
            let desk = Arc::new(Desk { fault: Some((0, kind)), ..Desk::free() });
            let rig = rig(&desk);
            let reply = rig.chat(&body);
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{reply:?}");
            assert!(reply.body.contains("the fault of a test"));
            assert_eq!(rig.audit.entries().outcomes.into_values().next().unwrap().used.total(), 0);
        }
    }
    let desk = Arc::new(Desk { fault: Some((2, ModelErrorKind::Internal)), ..Desk::free() });
    let rig = rig(&desk);
    let text = rig.chat(&streamed()).body;
    assert_eq!(events(&text).last().unwrap()["error"]["code"], "upstream_failed");
    assert!(!text.contains("[DONE]"));
}

#[test]
fn a_model_that_does_not_begin_is_given_up() {
    let desk = Arc::new(Desk::slow());
    let resident = Some(Arc::new(Resident::new(Fake(Arc::clone(&desk)))));
    let upstream = HERE.replace("queue = 2", "first_byte_ms = 50");
    let rig = Rig::make(Make { upstream, resident, ..Make::default() });
    let reply = rig.chat(&streamed());
    assert_eq!((reply.status, reply.code().as_str()), (504, "upstream_timed_out"));
    until("the end of the computation", || desk.is_idle());
}

#[test]
fn only_the_licensed_model_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let authority = loadline_testkit::authority::TestAuthority::new(crate::support::at(0));
    let endpoint = FakeEndpoint::start();
    let text = crate::support::config_text(&authority, &endpoint.base_url(), "", HERE);
    let marks = Some(loadline_testkit::authority::open_marks());
    let license = authority.license("another", loadline_policy::policy::Stage::General, marks);
    crate::support::write_files(folder.path(), &authority, &license);
    let load = |text: &str| {
        let config = loadline_gate::config::parse(text, folder.path()).unwrap();
        let resident = Arc::new(Resident::new(Fake(Arc::new(Desk::free()))));
        let keys = |_: &[u8]| Ok(Vec::new());
        let open = move |_: &loadline_gate::config::ResidentConfig| Ok(Arc::clone(&resident));
        let key = |_: &str| Some("k".to_owned());
        loadline_gate::config::load(&config, &keys, &key, &open, crate::support::at(0)).unwrap_err()
    };
    let problems = load(&text);
    let said = problems.to_string();
    assert!(said.contains("license.json`: these weights are not `another`"), "{said}");
    assert_eq!(problems.0.len(), 2, "for each model that the resident is behind: {said}");
    assert_eq!(problems.0[0].hint.as_deref(), Some("bring them"));
    // A manifest is for a model of this process only.
    let lost = text.replacen("upstream_model = \"behind/m\"", "manifest = \"none.json\"", 1);
    assert!(load(&lost).to_string().contains("no upstream of this model is a model of this process"));
}
