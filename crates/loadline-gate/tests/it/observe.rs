//! What can be seen of a gate from outside: figures, traces, readiness. And what cannot.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use loadline_gate::caller::Caller;
use loadline_gate::config::TraceConfig;
use loadline_gate::ledger::{Ending, StopTarget};
use loadline_gate::post::{Post, Posted};
use loadline_gate::report::{Observers, Report};
use loadline_gate::trace::Exporter;
use loadline_gate::{Code, Gate};
use loadline_testkit::endpoint::{FakeEndpoint, Fault};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::{ASK, Make, Rig, STREAM, open_stream, until};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that takes bodies, or none before it is let go.
#[derive(Default)]
struct Collector {
    bodies: Mutex<Vec<Vec<u8>>>,
    held: Mutex<bool>,
    let_go: Condvar,
    asked: AtomicUsize,
}

impl Post for Collector {
    fn post(
        &self,
        url: &str,
        content_type: &'static str,
        body: Vec<u8>,
        _: usize,
        _: Duration,
    ) -> Result<Posted, String> {
        assert_eq!((url, content_type), ("http://127.0.0.1:4318/v1/traces", "application/x-protobuf"));
        self.asked.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().unwrap();
        drop(self.let_go.wait_while(held, |held| *held).unwrap());
        self.bodies.lock().unwrap().push(body);
        Ok(Posted { status: 200, body: Vec::new() })
    }
}

impl Collector {
    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        let decoded = bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).unwrap());
        let resources = decoded.flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

type Reports = Arc<Mutex<Vec<Report>>>;

fn watch(rig: &Rig, queue: usize) -> (Arc<Collector>, Reports) {
    let (collector, reports) = (Arc::<Collector>::default(), Reports::default());
    let config = TraceConfig { url: "http://127.0.0.1:4318/v1/traces".to_owned(), one_in: 1, queue };
    let lost = rig.gate.metrics.traces_lost.clone();
    let traces =
        Exporter::start(&config, "example.com/gate", collector.clone(), lost, Arc::new(drop)).unwrap();
    let kept = Arc::clone(&reports);
    let log = Arc::new(move |report: &Report| kept.lock().unwrap().push(report.clone()));
    rig.gate.observe(Observers { traces: Some(traces), log: Some(log) });
    (collector, reports)
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_is_part_of_its_caller_s_trace_and_its_upstream_of_that() {
    let rig = Rig::new();
    let (collector, reports) = watch(&rig, 64);
    let headers = format!("authorization: Bearer alice-key\r\ntraceparent: {PARENT}\r\n");
    let reply = rig.ask_with("/v1/chat/completions", &headers, ASK);
    assert_eq!(reply.status, 200);
    until("the export", || !collector.bodies.lock().unwrap().is_empty());
    let spans = collector.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (whole, upstream, audit) = (named("POST /v1/chat/completions"), named("upstream"), named("audit"));
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == PARENT[3..35]));
    assert_eq!(hex(&whole.parent_span_id), PARENT[36..52]);
    assert!([upstream, audit].iter().all(|span| span.parent_span_id == whole.span_id));
    assert!(whole.start_time_unix_nano <= audit.start_time_unix_nano);
    assert!(audit.end_time_unix_nano <= upstream.start_time_unix_nano);
    assert!(upstream.end_time_unix_nano <= whole.end_time_unix_nano);
    assert_eq!(attribute(whole, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(attribute(whole, "gen_ai.request.model").as_deref(), Some("m"));
    assert_eq!(attribute(whole, "loadline.request_id").as_deref(), reply.header("loadline-request-id"));
    assert_eq!(attribute(whole, "loadline.intent").as_deref(), reply.header("loadline-intent"));
    let sent = rig.endpoint.seen();
    let sent = sent.iter().find_map(|seen| seen.header("traceparent")).unwrap();
    assert_eq!(sent, format!("00-{}-{}-01", &PARENT[3..35], hex(&upstream.span_id)));
    // The log of requests has the same.
    until("the report", || !reports.lock().unwrap().is_empty());
    let report = reports.lock().unwrap()[0].clone();
    let times = report.times;
    assert_eq!((report.status, report.ending, report.code), (200, Some(Ending::Complete), None));
    assert_eq!((report.key.as_deref(), report.model.as_deref()), (Some("alice"), Some("m")));
    assert!(times.read.unwrap() <= times.sent.unwrap() && times.sent.unwrap() <= times.first.unwrap());
    assert!(times.first.unwrap() <= times.ended && times.flush.unwrap() <= times.sent.unwrap());
}

#[test]
fn without_traces_nothing_of_a_trace_is_passed_on() {
    let rig = Rig::new();
    let headers = format!("authorization: Bearer alice-key\r\ntraceparent: {PARENT}\r\ntracestate: a=b\r\n");
    assert_eq!(rig.ask_with("/v1/chat/completions", &headers, ASK).status, 200);
    let seen = rig.endpoint.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|s| s.header("traceparent").or(s.header("tracestate")).is_none())
    );
}

#[test]
fn a_collector_that_hangs_holds_no_request_up() {
    let rig = Rig::new();
    let (collector, reports) = watch(&rig, 2);
    *collector.held.lock().unwrap() = true;
    assert_eq!(rig.chat(ASK).status, 200);
    until("the collector is asked", || collector.asked.load(Ordering::SeqCst) == 1);
    for _ in 0..10 {
        assert_eq!(rig.chat(ASK).status, 200);
    }
    until("all have ended", || reports.lock().unwrap().len() == 11);
    // Two wait; the others are counted.
    assert_eq!(rig.gate.metrics.traces_lost.get(), 8);
    *collector.held.lock().unwrap() = false;
    collector.let_go.notify_all();
    until("what waits is exported", || collector.spans().len() == 9);
}

#[test]
fn neither_keys_nor_content_are_in_traces_reports_or_figures() {
    let repeats_the_key = |ask: &loadline_testkit::endpoint::Ask| {
        let error = serde_json::json!({ "error": { "message": "wrong key upstream-secret" } });
        ask.prompt.contains("fail").then(|| Fault::json(401, &error))
    };
    let endpoint = FakeEndpoint::builder().fault(repeats_the_key).answer(|_| "canary-answer".to_owned());
    let rig = Rig::make(Make { endpoint, ..Make::default() });
    let (collector, reports) = watch(&rig, 64);
    let ask = ASK.replace("hello there", "canary-question");
    assert_eq!(rig.chat(&ask).status, 200);
    assert_eq!(rig.chat(&ask.replace("question", "fail")).status, 502);
    assert_eq!(rig.ask("/v1/chat/completions", "canary-key", &ask).status, 401);
    assert_eq!(rig.ask("/v1/canary-path", "alice-key", &ask).status, 404);
    assert_eq!(rig.chat(&ask.replace(r#""m""#, r#""canary-model""#)).status, 404);
    assert_eq!(rig.chat("canary-body").status, 400);
    // Six requests; the two that were forwarded have two spans more.
    until("all are exported", || collector.spans().len() == 6 + 2 * 2);
    let said = format!("{:?} {}", reports.lock().unwrap(), rig.gate.metrics.text(&rig.gate));
    let bodies = collector.bodies.lock().unwrap().concat();
    for secret in ["canary", "alice-key", "upstream-secret", "behind/m"] {
        assert!(!said.contains(secret), "{secret}: {said}");
        assert!(!bodies.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
}

/// The lines of the figures, without their values.
fn series(gate: &Gate) -> Vec<String> {
    let text = gate.metrics.text(gate);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn figures_count_what_happened_and_no_caller_can_add_a_series() {
    let rig = Rig::new();
    let before = series(&rig.gate);
    assert_eq!(rig.chat(ASK).status, 200);
    assert_eq!(rig.ask("/v1/chat/completions", "nobody", ASK).status, 401);
    for number in 0..20 {
        assert_eq!(rig.chat(&ASK.replace(r#""m""#, &format!("\"x{number}\""))).status, 404);
        assert_eq!(rig.ask(&format!("/v1/{number}"), "alice-key", ASK).status, 404);
    }
    until("all have ended", || rig.gate.under_way() == 0);
    assert_eq!(series(&rig.gate), before);
    let text = rig.gate.metrics.text(&rig.gate);
    for line in [
        "loadline_gate_requests_total 42",
        "loadline_gate_forwarded_total 1",
        "loadline_gate_refused_total{code=\"model_unknown\"} 20",
        "loadline_gate_refused_total{code=\"key_unknown\"} 1",
        "loadline_gate_ended_total{ending=\"complete\"} 1",
        "loadline_gate_added_seconds_count 1",
        "loadline_gate_audit_flush_seconds_count 1",
        "loadline_gate_first_piece_seconds_count{answer=\"whole\"} 1",
        "loadline_gate_first_piece_seconds_count{answer=\"stream\"} 0",
        "loadline_gate_standing_epoch 1",
        "loadline_gate_standing_age_seconds 0",
        "loadline_gate_models_open 2",
        "loadline_gate_ready 1",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("loadline_gate_tokens_total{basis=\"server_usage\",kind=\"output\"}"), "{text}");
    assert_eq!(rig.gate.metrics.refusals(Code::ModelUnknown), 20);
}

#[test]
fn a_caller_who_leaves_is_reported_once_with_what_was_delivered() {
    let endless = |_: &loadline_testkit::endpoint::Ask| Some(Fault::Endless(Duration::from_millis(1)));
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().fault(endless), ..Make::default() });
    let (_, reports) = watch(&rig, 64);
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    assert!(crate::support::chunk(&mut stream).is_some());
    drop(stream);
    until("it ended", || !reports.lock().unwrap().is_empty());
    let reports = reports.lock().unwrap();
    assert_eq!((reports.len(), reports[0].ending), (1, Some(Ending::CallerLeft)));
    assert!(reports[0].is_stream && reports[0].delivered_bytes > 0);
}

#[test]
fn a_gate_is_ready_only_while_it_can_serve_something() {
    let why = |rig: &Rig| rig.gate.readiness().refusal.map(|refusal| refusal.code);
    let rig = Rig::make(Make { standing: false, ..Make::default() });
    assert_eq!(why(&rig), Some(Code::StandingMissing));
    rig.stand(1, 0, 3_600, &[]).unwrap();
    assert_eq!((why(&rig), rig.gate.readiness().models_open), (None, 2));
    // The lease is a minute; the authority is silent.
    rig.clock.pass(62_000);
    assert_eq!(why(&rig), Some(Code::StandingStale));
    rig.stand(2, 62, 3_600, &[]).unwrap();
    assert_eq!(why(&rig), None);
    rig.audit.fail(true);
    assert_eq!(why(&rig), Some(Code::AuditUnavailable));
    rig.audit.fail(false);
    let order = serde_json::to_vec(&StopTarget::Model("m".to_owned())).unwrap();
    rig.runtime.block_on(rig.gate.order(order.into())).unwrap();
    assert_eq!((why(&rig), rig.gate.readiness().models_open), (None, 1), "another model is served");
    let order = serde_json::to_vec(&StopTarget::All).unwrap();
    rig.runtime.block_on(rig.gate.order(order.into())).unwrap();
    assert_eq!(why(&rig), Some(Code::Stopped));
    rig.stops.clear();
    rig.gate.drain();
    assert_eq!(why(&rig), Some(Code::Draining));
}

#[test]
fn a_receipt_is_asked_for_with_get_and_by_a_number_in_its_one_form() {
    let callers = vec![("alice-key", Caller::new("alice", "alice", "public"))];
    let rig = Rig::make(Make { callers, ..Make::default() });
    for (path, code) in [
        ("/v1/receipts/07", "no_such_path"),
        ("/v1/receipts/+7", "no_such_path"),
        ("/v1/receipts/", "no_such_path"),
        ("/v1/receipts/7/", "no_such_path"),
        ("/v1/receipts/18446744073709551616", "no_such_path"),
        ("/v1/receipts/7", "wrong_method"),
    ] {
        assert_eq!(rig.ask(path, "alice-key", ASK).code(), code, "{path}");
    }
    let get = |key: &str| {
        use std::io::Write as _;
        let mut stream = rig.connect();
        let head =
            format!("GET /v1/receipts/7 HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        crate::support::Reply::read(&mut std::io::BufReader::new(stream))
    };
    assert_eq!(get("nobody").code(), "key_unknown");
    // The log in memory makes none.
    assert_eq!(get("alice-key").code(), "audit_unavailable");
}
