//! Who watches the gate: witnesses of its audit log, a collector of traces.

use std::path::Path;
use std::time::Duration;

use loadline_policy::document::Reader;

use super::FileRef;
use crate::upstream::Address;

/// Who cosigns the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessConfig {
    /// The file of the policy (C2SP tlog-policy).
    pub policy: FileRef,
    /// How often they are asked.
    pub every: Duration,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// Where spans are posted (OTLP over HTTP).
    pub url: String,
    /// One request in so many is traced.
    pub one_in: u64,
    /// The most requests that wait to be exported; what is more is not traced.
    pub queue: usize,
}

pub(super) fn witnesses(table: &Reader<'_, '_>, folder: &Path) -> WitnessConfig {
    let every = table.count_if("every_s", 1, 3_600).unwrap_or(60);
    let path = folder.join(table.text("policy"));
    let policy = FileRef { path, place: table.place("policy"), key: "witnesses.policy".to_owned() };
    WitnessConfig { policy, every: Duration::from_secs(every) }
}

pub(super) fn traces(table: &Reader<'_, '_>) -> TraceConfig {
    let url = table.text("url");
    match Address::parse(&url) {
        Err(why) if !url.is_empty() => {
            table.problem("url", why, "for example `http://127.0.0.1:4318/v1/traces`");
        }
        Ok(address) if !address.is_private() => {
            let message = "traces would go over an unencrypted connection to another machine";
            table.problem("url", message, "use `https://`, or a collector on this machine");
        }
        _ => {}
    }
    let queue = table.count_if("queue", 1, 1_000_000).unwrap_or(2_048);
    TraceConfig {
        url,
        one_in: table.count_if("one_in", 1, 1_000_000_000).unwrap_or(100),
        queue: usize::try_from(queue).unwrap_or(usize::MAX),
    }
}
