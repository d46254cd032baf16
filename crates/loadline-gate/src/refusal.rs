//! Why a request is not served, in words for its caller. Codes are stable: programs read them.

use std::fmt;

use serde_json::json;

use crate::ledger::{Exceeded, RequestId};

/// Which protocol's error form an answer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{…}}`
    #[default]
    OpenAi,
    /// `{"type":"error","error":{…}}`
    Anthropic,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $kind:literal, $hint:literal;)+) => {
        /// Why, as one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in answers and logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The `type` that clients of both protocols know.
            pub fn kind(self) -> &'static str {
                match self { $(Self::$variant => $kind,)+ }
            }

            /// What to do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)+ }
            }
        }
    };
}

codes! {
    /// No key came along.
    KeyMissing = "key_missing", 401, "authentication_error", "send `Authorization: Bearer KEY` or `x-api-key: KEY`";
    /// Two different keys came along, or one that cannot be a key.
    KeyUnclear = "key_unclear", 401, "authentication_error", "send one key, in one header";
    /// Not a key of this gate.
    KeyUnknown = "key_unknown", 401, "authentication_error", "check the key; ask the operator for a new one";
    /// The key was revoked.
    KeyRevoked = "key_revoked", 401, "authentication_error", "ask the operator for a new key";
    /// The key's time is over, or has not begun.
    KeyExpired = "key_expired", 401, "authentication_error", "ask the operator for a new key";
    /// Not at this hour.
    OutOfHours = "out_of_hours", 403, "permission_error", "the key works in the hours that it was made for";
    /// The operator or the authority stopped it.
    Stopped = "stopped", 403, "permission_error", "it was stopped on purpose; ask the operator";
    /// An alarm has suspended the model here.
    DriftAlarm = "drift_alarm", 403, "permission_error", "the operator looks into it; use another model";
    /// No model of that name.
    ModelUnknown = "model_unknown", 404, "not_found_error", "`GET /v1/models` lists the models of this key";
    /// The model is there and not for this key.
    ModelNotAllowed = "model_not_allowed", 403, "permission_error", "`GET /v1/models` lists the models of this key";
    /// The gate has never had word from the authority.
    StandingMissing = "standing_missing", 403, "permission_error", "the gate waits for word from the authority; try again later";
    /// The gate has had no word from the authority for too long.
    StandingStale = "standing_stale", 403, "permission_error", "the gate has lost the authority; try again later";
    /// The licence was revoked.
    LicenseRevoked = "license_revoked", 403, "permission_error", "the authority withdrew the licence of this model";
    /// The licence is suspended.
    LicenseSuspended = "license_suspended", 403, "permission_error", "the authority suspended the licence of this model";
    /// The licence holds at another time.
    LicenseExpired = "license_expired", 403, "permission_error", "the operator must get the licence renewed";
    /// The stage is not open to this caller.
    StageNotAllowed = "stage_not_allowed", 403, "permission_error", "the model is not open to your role at this stage";
    /// The model may not be served here.
    RegionNotAllowed = "region_not_allowed", 403, "permission_error", "the licence does not cover the region of this gate";
    /// Less open than the caller asked for.
    BelowMinStage = "below_min_stage", 412, "permission_error", "lower `Loadline-Min-Stage`, or use another model";
    /// Less assured than the caller asked for.
    BelowMinAssurance = "below_min_assurance", 412, "permission_error", "lower `Loadline-Min-Assurance`, or use another model";
    /// The licence does not allow tools.
    ToolsNotAllowed = "tools_not_allowed", 403, "permission_error", "leave out `tools` and `functions`";
    /// Longer than the licence allows.
    ContextTooLong = "context_too_long", 400, "invalid_request_error", "shorten the messages or lower `max_tokens`";
    /// A quota is used up.
    QuotaExceeded = "quota_exceeded", 429, "rate_limit_error", "wait, or ask the operator for a larger quota";
    /// No such receipt for this key.
    ReceiptUnknown = "receipt_unknown", 404, "not_found_error", "`loadline-intent` of an answer to the same subject's key names its receipt";
    /// Others are being made.
    ReceiptsBusy = "receipts_busy", 429, "rate_limit_error", "ask again in a moment";
    /// The request is not one.
    BadRequest = "bad_request", 400, "invalid_request_error", "see the message";
    /// The body is larger than is read.
    TooLarge = "too_large", 413, "invalid_request_error", "send less at once";
    /// The body did not come in time.
    TooSlow = "too_slow", 408, "invalid_request_error", "send the body faster";
    /// No such path.
    NoSuchPath = "no_such_path", 404, "not_found_error", "paths: /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/messages, /v1/models, /v1/receipts/INTENT";
    /// Not by this method.
    WrongMethod = "wrong_method", 405, "invalid_request_error", "POST, or GET for /v1/models and /v1/receipts/INTENT";
    /// The protocol is not the upstream's.
    WrongApi = "wrong_api", 400, "invalid_request_error", "use the path of the model's own protocol";
    /// A guard matched.
    GuardRefused = "guard_refused", 403, "permission_error", "the operator's rules do not let it pass; the message names the rule";
    /// A guard could not be asked, and nothing passes without it.
    GuardFailed = "guard_failed", 503, "api_error", "try again later";
    /// Guards hold as much as there is room for.
    GuardsBusy = "guards_busy", 429, "rate_limit_error", "wait and try again";
    /// Nothing new is written down, so nothing is served.
    AuditUnavailable = "audit_unavailable", 503, "api_error", "the gate serves nothing that it cannot write down; ask the operator";
    /// The upstream cannot be reached.
    UpstreamUnreachable = "upstream_unreachable", 502, "api_error", "try again later";
    /// The upstream broke off.
    UpstreamFailed = "upstream_failed", 502, "api_error", "try again later";
    /// The upstream does not take this request.
    UpstreamRefused = "upstream_refused", 400, "invalid_request_error", "the message is the upstream's";
    /// The upstream has too much to do.
    UpstreamBusy = "upstream_busy", 429, "rate_limit_error", "wait and try again";
    /// The upstream took too long.
    UpstreamTimedOut = "upstream_timed_out", 504, "api_error", "try again later, or ask for less";
    /// The upstream sent more than is passed on.
    ResponseTooLarge = "response_too_large", 502, "api_error", "ask for less";
    /// The gate is ending.
    Draining = "draining", 503, "api_error", "try again in a moment";
}

/// A request that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// In words. Holds no secret, and text from outside only on one line.
    pub message: String,
    /// When to come again, in whole seconds.
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    /// A refusal in words.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_s: None }
    }

    /// The body of the answer.
    pub fn body(&self, dialect: Dialect, request: RequestId) -> String {
        let code = self.code;
        let (kind, name, hint, id) = (code.kind(), code.name(), code.hint(), request.to_string());
        let error = json!({
            "message": self.message, "type": kind, "code": name, "param": null, "hint": hint, "request_id": id,
        });
        match dialect {
            Dialect::OpenAi => json!({ "error": error }),
            Dialect::Anthropic => json!({ "type": "error", "error": error, "request_id": id }),
        }
        .to_string()
    }

    /// The last event of a stream that is cut.
    pub fn event(&self, dialect: Dialect, request: RequestId) -> String {
        let data = self.body(dialect, request);
        match dialect {
            Dialect::OpenAi => format!("data: {data}\n\n"),
            Dialect::Anthropic => format!("event: error\ndata: {data}\n\n"),
        }
    }
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        let Exceeded { account, limit, most, used, asked, retry_after_ms } = exceeded;
        let account = account.name().split('/').next().unwrap_or_default().to_owned();
        let message = format!(
            "{account} limit `{limit}` is {most}; {used} are used or set aside, and {asked} are asked for"
        );
        let retry_after_s = retry_after_ms.map(|wait| wait.div_ceil(1_000).max(1));
        Self { code: Code::QuotaExceeded, message, retry_after_s }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_its_own_name_and_an_error_status() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status()) && !code.hint().is_empty()));
    }

    #[test]
    fn both_protocols_find_their_error() {
        let refusal = Refusal::new(Code::KeyUnknown, "this is \"no\" key");
        let id = RequestId([7; 16]);
        let open: serde_json::Value = serde_json::from_str(&refusal.body(Dialect::OpenAi, id)).unwrap();
        assert_eq!(open["error"]["code"], "key_unknown");
        assert_eq!(open["error"]["request_id"], "07".repeat(16));
        let event = refusal.event(Dialect::Anthropic, id);
        let data = event.strip_prefix("event: error\ndata: ").unwrap().trim_end();
        let other: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&other["type"], &other["error"]["type"]),
            (&json!("error"), &json!("authentication_error"))
        );
    }
}
