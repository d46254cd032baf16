//! Spans as a collector reads them: OTLP, in protobuf.

use loadline_policy::Named as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use std::time::Duration;

use crate::report::Report;
use crate::trace::Trace;

/// The `Content-Type` of an export.
pub(crate) const CONTENT_TYPE: &str = "application/x-protobuf";

/// The spans of requests, as the body of an export.
pub(crate) fn encode(gate_name: &str, reports: &[Report]) -> Vec<u8> {
    let spans = reports.iter().flat_map(|report| report.trace.as_ref().map(|trace| spans(report, trace)));
    let scope = InstrumentationScope {
        name: "loadline-gate".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", "loadline-gate"), text("service.instance.id", gate_name)],
        ..Resource::default()
    };
    let scope_spans =
        ScopeSpans { scope: Some(scope), spans: spans.flatten().collect(), ..ScopeSpans::default() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

/// The request, the wait for the audit log, and what the upstream did.
fn spans(report: &Report, trace: &Trace) -> Vec<Span> {
    let begun = report.at_ms.saturating_mul(1_000_000);
    let at = |passed: Duration| begun.saturating_add(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
    let times = &report.times;
    let whole = Span {
        trace_id: trace.id.to_vec(),
        span_id: trace.span.to_vec(),
        parent_span_id: trace.parent.map(|span| span.to_vec()).unwrap_or_default(),
        name: format!("{} {}", report.method, report.route),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: begun,
        end_time_unix_nano: at(times.ended),
        attributes: attributes(report),
        status: failed(report).then(|| Status { message: String::new(), code: StatusCode::Error.into() }),
        ..Span::default()
    };
    let inside = |id: [u8; 8], name: &str, kind: SpanKind, from: Duration, to: Duration| Span {
        trace_id: trace.id.to_vec(),
        span_id: id.to_vec(),
        parent_span_id: trace.span.to_vec(),
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: at(from),
        end_time_unix_nano: at(to),
        ..Span::default()
    };
    let mut all = vec![whole];
    if let (Some(flush), Some(sent)) = (times.flush, times.sent) {
        // Another span than the request's and the upstream's: every bit turned.
        let id = trace.span.map(|byte| !byte);
        all.push(inside(id, "audit", SpanKind::Internal, sent.saturating_sub(flush), sent));
    }
    if let Some(sent) = times.sent {
        all.push(inside(trace.upstream_span, "upstream", SpanKind::Client, sent, times.ended));
    }
    all
}

/// An error of the gate or of an upstream; a refusal is none.
fn failed(report: &Report) -> bool {
    report.status >= 500
}

fn attributes(report: &Report) -> Vec<KeyValue> {
    let mut all = vec![
        text("http.request.method", report.method),
        text("http.route", report.route),
        number("http.response.status_code", report.status.into()),
        text("loadline.request_id", &report.request.to_string()),
    ];
    all.extend(report.model.as_ref().map(|model| text("gen_ai.request.model", model)));
    all.extend(report.stage.map(|stage| text("loadline.stage", stage.name())));
    all.extend(report.intent.map(|intent| number("loadline.intent", intent.0)));
    all.extend(report.code.map(|code| text("loadline.code", code.name())));
    all.extend(report.ending.map(|ending| text("loadline.ending", ending.name())));
    if let Some(used) = report.used {
        all.push(number("gen_ai.usage.input_tokens", used.input));
        all.push(number("gen_ai.usage.output_tokens", used.output));
        all.push(text("loadline.usage_basis", used.basis.name()));
    }
    if let (Some(read), Some(first)) = (report.times.read, report.times.first) {
        let micros = first.saturating_sub(read).as_micros();
        all.push(number("loadline.first_piece_us", u64::try_from(micros).unwrap_or(u64::MAX)));
    }
    all
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
