//! What an HTTP status and an error body mean for the runner.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use hyper::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use hyper::{HeaderMap as Headers, StatusCode};
use loadline_core::untrusted::one_line;
use loadline_core::{ModelError, ModelErrorKind};
use serde::Deserialize;

/// Longest quotation of what a server said, in characters.
const QUOTE: usize = 300;

/// The parts of an error body that decide what it means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// In the server's words; may be empty.
    pub(crate) message: String,
    /// `type`, `code` and `details.error_code`, joined by spaces; may be empty.
    pub(crate) code: String,
}

impl Complaint {
    /// Reads any of the shapes in use: `{"error": {"message", "type", "code"}}`, `{"error": "…"}`,
    /// `{"message": "…"}`, `{"detail": …}`; otherwise the body itself is the message.
    pub(crate) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<serde_json::Value>(body) {
            Ok(value) => Self::from_json(&value).unwrap_or_else(|| Self::quoting(&value.to_string())),
            Err(_) if looks_like_html(body) => Self { message: html_title(body), code: String::new() },
            Err(_) => Self::quoting(&String::from_utf8_lossy(&body[..body.len().min(4 * QUOTE)])),
        }
    }

    /// The complaint in a JSON body, when it is one.
    pub(crate) fn from_json(value: &serde_json::Value) -> Option<Self> {
        let error = match &value["error"] {
            serde_json::Value::Null => value,
            error => error,
        };
        let message = [error, &error["message"], &error["detail"], &error["error"]];
        let message = message.into_iter().find_map(|text| match text {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Array(list) if !list.is_empty() => Some(list[0].to_string()),
            _ => None,
        })?;
        let code = [&error["type"], &error["code"], &error["details"]["error_code"]].into_iter().filter_map(
            |code| match code {
                serde_json::Value::String(code) => Some(Cow::from(code)),
                serde_json::Value::Number(code) => Some(code.to_string().into()),
                _ => None,
            },
        );
        Some(Self { code: code.collect::<Vec<_>>().join(" "), ..Self::quoting(&message) })
    }

    fn quoting(text: &str) -> Self {
        Self { message: one_line(text, QUOTE), code: String::new() }
    }

    /// Whether a quota or a spending limit is used up: it does not come back within a run. `billing` in the words
    /// alone is also said of a passing rate limit.
    fn says_spent(&self) -> bool {
        let code = self.code.to_ascii_lowercase();
        code.contains("billing")
            || self.says(&[
                "insufficient_quota",
                "spend_limit",
                "spend limit",
                "credit balance is too low",
                "specified api usage limits",
            ])
    }

    fn says(&self, words: &[&str]) -> bool {
        let (message, code) = (self.message.to_ascii_lowercase(), self.code.to_ascii_lowercase());
        words.iter().any(|word| message.contains(word) || code.contains(word))
    }
}

/// Whether a body is a web page rather than an answer.
pub(crate) fn looks_like_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let start = start.get(..14).unwrap_or(start).to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

fn html_title(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(16 * 1024)]);
    let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    match title {
        Some((title, _)) => format!("a web page titled \"{}\"", one_line(title, 80)),
        None => "a web page".to_owned(),
    }
}

/// Words by which servers say that a prompt does not fit.
const TOO_LONG: [&str; 9] = [
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "maximum model length",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "request_too_large",
];

/// The kind of failure behind a status that is not 2xx, or behind an error object sent with a 200 or in a stream
/// (`status` 200).
pub(crate) fn kind(status: StatusCode, complaint: &Complaint) -> ModelErrorKind {
    use ModelErrorKind::{
        Malformed, NotFound, RateLimited, Refused, Server, Timeout, TooLong, Unauthorized, Unsupported,
    };
    match status.as_u16() {
        400 | 429 if complaint.says_spent() => Unauthorized,
        429 | 529 => RateLimited,
        200..=299 | 503 if complaint.says(&["overloaded", "rate_limit"]) => RateLimited,
        200..=299 if complaint.says(&["server_error", "internal", "api_error", "timeout"]) => Server,
        200..=299 if complaint.says(&TOO_LONG) => TooLong,
        200..=299 if complaint.says(&["invalid_request"]) => Refused,
        200..=299 => Malformed,
        300..=399 | 404 | 410 => NotFound,
        400 | 422 | 500 if complaint.says(&TOO_LONG) => TooLong,
        413 => TooLong,
        400 | 422 if complaint.says(&["model_not_found", "does not exist"]) => NotFound,
        401..=403 | 407 => Unauthorized,
        408 => Timeout,
        409 | 425 => Server,
        501 => Unsupported,
        500..=599 => Server,
        _ => Refused,
    }
}

/// The error for a reply that is not 2xx. `place` is where it was sent, as the user knows it; `mask` hides secrets,
/// before anything is cut to a quotation.
pub(crate) fn reply(
    status: StatusCode,
    headers: &Headers,
    body: &[u8],
    place: &str,
    mask: &dyn Fn(&str) -> String,
) -> ModelError {
    let complaint = Complaint::read(mask(&String::from_utf8_lossy(body)).as_bytes());
    let kind = kind(status, &complaint);
    if let (300..=399, Some(to)) = (status.as_u16(), headers.get(LOCATION)) {
        let to = one_line(&mask(&String::from_utf8_lossy(to.as_bytes())), QUOTE);
        return ModelError::new(kind, format!("{place} redirects ({}) to {to}", status.as_u16())).with_hint(
            "redirects are not followed, since they carry the key elsewhere; name that place in --base-url",
        );
    }
    let mut message = format!("{place} answered {}", status.as_u16());
    if let Some(reason) = status.canonical_reason() {
        message = format!("{message} {reason}");
    }
    if !complaint.message.is_empty() {
        message = format!("{message}: {}", complaint.message);
    }
    let mut error = ModelError::new(kind, message);
    error.retry_after = retry_after(headers, SystemTime::now());
    error.hint = hint(&complaint);
    error
}

/// Advice that the server's words call for, whatever the status.
fn hint(complaint: &Complaint) -> Option<String> {
    if complaint.says_spent() {
        return Some(
            "raise the account's limit or wait until it is renewed; the same command then resumes".to_owned(),
        );
    }
    if complaint.says(&["max_completion_tokens"]) {
        return Some("try --model-arg max_tokens_field=max_completion_tokens".to_owned());
    }
    if complaint.says(&["chat template"]) {
        return Some(
            "a model without a chat template continues text: try --model-arg api=completions".to_owned(),
        );
    }
    let unsupported = complaint.says(&["unsupported", "not supported", "does not support", "deprecated"]);
    let field = ["temperature", "top_p", "seed", "stop"].into_iter().find(|field| complaint.says(&[field]));
    field.filter(|_| unsupported).map(|field| format!("leave it out with --model-arg omit={field}"))
}

/// How long the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date. A date counts from
/// the server's own `Date`, so a clock that is off does no harm.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let ms = text("retry-after-ms").and_then(number);
    if let Some(wait) = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()) {
        return Some(wait);
    }
    let wait = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(wait) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = httpdate::parse_http_date(wait).ok()?;
    let now = text(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

/// The names that `/v1/models` lists, for a hint; empty when the body is not such a list.
pub(crate) fn model_names(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Name>,
    }
    #[derive(Deserialize)]
    struct Name {
        id: String,
    }
    let models = serde_json::from_slice::<Models>(body).map_or_else(|_| Vec::new(), |models| models.data);
    models.into_iter().map(|model| one_line(&model.id, 80)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ModelErrorKind::{
        Malformed, NotFound, RateLimited, Refused, Server, Timeout, TooLong, Unauthorized, Unsupported,
    };

    #[test]
    fn statuses_mean_what_the_runner_must_do() {
        let cases: &[(u16, &str, ModelErrorKind)] = &[
            (400, r#"{"error": {"message": "bad temperature"}}"#, Refused),
            (400, r#"{"error": {"message": "m", "code": "context_length_exceeded"}}"#, TooLong),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}"#,
                TooLong,
            ),
            (
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
                TooLong,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens"}"#,
                TooLong,
            ),
            (413, "", TooLong),
            (401, "", Unauthorized),
            (403, "<html><title>No</title></html>", Unauthorized),
            (404, r#"{"error": "model 'x' not found"}"#, NotFound),
            (400, r#"{"error": {"message": "m", "code": "model_not_found"}}"#, NotFound),
            (408, "", Timeout),
            (409, "", Server),
            (422, r#"{"detail": [{"loc": ["body"], "msg": "field required"}]}"#, Refused),
            (429, r#"{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}"#, RateLimited),
            (429, r#"{"error": {"message": "m", "code": "insufficient_quota"}}"#, Unauthorized),
            (
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
                Unauthorized,
            ),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
                Unauthorized,
            ),
            (
                429,
                r#"{"error": {"message": "Slow down; see your billing page", "code": "rate_limit_exceeded"}}"#,
                RateLimited,
            ),
            (500, "oops", Server),
            (501, "This server does not support completions", Unsupported),
            (503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, Server),
            (
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                RateLimited,
            ),
            (301, "", NotFound),
            (200, r#"{"error": {"type": "overloaded_error", "message": "m"}}"#, RateLimited),
            (200, r#"{"error": {"type": "server_error", "message": "m"}}"#, Server),
            (200, r#"{"error": "what?"}"#, Malformed),
        ];
        for (status, body, expected) in cases {
            let complaint = Complaint::read(body.as_bytes());
            assert_eq!(
                kind(StatusCode::from_u16(*status).unwrap(), &complaint),
                *expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn every_shape_of_error_body_is_quoted() {
        for (body, message) in [
            (r#"{"error": {"message": "a"}}"#, "a"),
            (r#"{"error": "b"}"#, "b"),
            (r#"{"detail": "c"}"#, "c"),
            (r#"{"message": "d"}"#, "d"),
            (r#"{"detail": [{"msg": "e"}]}"#, r#"{"msg":"e"}"#),
            (r#"{"x": 1}"#, r#"{"x":1}"#),
            ("plain\n text\u{1b}[31m", "plain text\\u{1b}[31m"),
            ("<!DOCTYPE html><title>Hi\nthere</title>", "a web page titled \"Hi there\""),
            ("", ""),
        ] {
            assert_eq!(Complaint::read(body.as_bytes()).message, message, "{body}");
        }
    }

    #[test]
    fn the_wait_is_read_in_every_form() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
            retry_after(&headers.collect(), now)
        };
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", "0.25")]), Some(Duration::from_millis(250)));
        assert_eq!(wait(&[("retry-after", "9"), ("retry-after-ms", "20")]), Some(Duration::from_millis(20)));
        let date = "Sun, 06 Nov 1994 08:50:07 GMT";
        assert_eq!(wait(&[("retry-after", date)]), Some(Duration::from_secs(30)));
        let server = ("date", "Sun, 06 Nov 1994 08:50:00 GMT");
        assert_eq!(wait(&[("retry-after", date), server]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
        assert_eq!(wait(&[("retry-after", "1e15")]), Some(Duration::from_secs(1_000_000_000_000_000)));
        for out_of_range in ["-1", "1e30", "99999999999999999999999", "soon"] {
            let fallback = wait(&[("retry-after-ms", out_of_range), ("retry-after", "9")]);
            assert_eq!(fallback, Some(Duration::from_secs(9)), "{out_of_range}");
        }
        for nonsense in ["soon", "-3", "NaN", "1e400", "", "99999999999999999999"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn the_servers_words_give_advice() {
        let advice = |message: &str| hint(&Complaint { message: message.to_owned(), code: String::new() });
        let renamed =
            advice("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.").unwrap();
        assert!(renamed.contains("max_tokens_field=max_completion_tokens"));
        let refused = advice("Unsupported value: 'temperature' does not support 0 with this model.").unwrap();
        assert!(refused.contains("omit=temperature"));
        assert_eq!(advice("no"), None);
    }
}
