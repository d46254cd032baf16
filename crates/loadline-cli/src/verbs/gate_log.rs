//! How a gate speaks to its operator, and how it asks witnesses and a collector of traces.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_core::digest::hex;
use loadline_gate::post::{Post, Posted};
use loadline_gate::report::Report;
use loadline_gate::run::Notice;
use loadline_model::{Environment, Web};
use loadline_policy::Named as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::ui::Ui;

/// Lines that wait to be written; what is more is lost, and counted in the next line.
const QUEUE: usize = 8_192;
/// How long the last lines may take at the end. Who does not read standard error must not keep the gate from ending.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How a gate speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// Words, about the gate itself
    #[default]
    Text,
    /// Lines of JSON, about the gate and each request
    Json,
}

/// Says a notice in words.
pub fn tell(ui: &Ui, notice: Notice) {
    match notice {
        Notice::Renewed(epoch) => ui.status("Renewed", format_args!("the standing: epoch {epoch}")),
        Notice::NoStanding(why, hint) | Notice::Unreachable(why, hint) => {
            ui.warning(format_args!("{why} ({hint})"))
        }
        Notice::Reloaded(what) => ui.status("Reloaded", what),
        Notice::NotReloaded(why) => {
            ui.warning(format_args!("not reloaded, the gate goes on as before: {why}"));
        }
        Notice::Trouble(what) | Notice::Warning(what) => ui.warning(what),
    }
}

/// Lines of JSON on standard error, written by a thread of its own: no request waits for them.
pub struct RequestLog {
    sender: Option<SyncSender<String>>,
    lost: AtomicU64,
    /// Breaks when the thread has written everything.
    written: Mutex<Receiver<()>>,
}

impl RequestLog {
    /// Begins.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start() -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let (writing, written) = sync_channel(0);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            let _writing: SyncSender<()> = writing;
            write(&receiver);
        })?;
        Ok(Self { sender: Some(sender), lost: AtomicU64::new(0), written: Mutex::new(written) })
    }

    /// A request that has ended.
    pub fn request(&self, report: &Report) {
        self.line(line_of(report));
    }

    /// Something that the operator should know.
    pub fn notice(&self, notice: &Notice) {
        let (level, event, text, hint) = match notice {
            Notice::Renewed(epoch) => {
                return self.line(json!({
                    "at_ms": now_ms(), "level": "info", "event": "standing_renewed", "epoch": epoch,
                }));
            }
            Notice::NoStanding(why, hint) => ("warning", "no_standing", why, Some(hint)),
            Notice::Reloaded(what) => ("info", "reloaded", what, None),
            Notice::NotReloaded(why) => ("warning", "not_reloaded", why, None),
            Notice::Trouble(what) => ("warning", "trouble", what, None),
            Notice::Warning(what) => ("warning", "warning", what, None),
            Notice::Unreachable(why, hint) => ("warning", "unreachable", why, Some(hint)),
        };
        let mut line = json!({ "at_ms": now_ms(), "level": level, "event": event, "text": text });
        if let Some(hint) = hint {
            line["hint"] = json!(hint);
        }
        self.line(line);
    }

    /// Something that happened to the gate.
    pub fn event(&self, event: &str, text: &str) {
        self.line(json!({ "at_ms": now_ms(), "level": "info", "event": event, "text": text }));
    }

    fn line(&self, mut line: Value) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            line["lost_before"] = json!(lost);
        }
        let Some(sender) = &self.sender else { return };
        if sender.try_send(line.to_string()).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.sender = None;
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What is not written by then is lost, and nothing else.
        let _ = written.recv_timeout(LAST_LINES);
    }
}

fn write(receiver: &Receiver<String>) {
    let mut out = std::io::LineWriter::new(std::io::stderr());
    for line in receiver {
        // A standard error that is closed loses the view only.
        let _lost_view = writeln!(out, "{line}");
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One request. A report holds no content and no key; what is not there is left out.
fn line_of(report: &Report) -> Value {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let times = &report.times;
    let mut line = json!({
        "at_ms": report.at_ms, "level": if report.status >= 500 { "warning" } else { "info" }, "event": "request",
        "request": report.request.to_string(), "method": report.method, "route": report.route,
        "status": report.status, "total_us": micros(times.ended),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            line[name] = value;
        }
    };
    add("code", report.code.map(|code| json!(code.name())));
    add("key", report.key.as_deref().map(|key| json!(key)));
    add("model", report.model.as_deref().map(|model| json!(model)));
    add("stage", report.stage.map(|stage| json!(stage.name())));
    add("intent", report.intent.map(|intent| json!(intent.0)));
    add("ending", report.ending.map(|ending| json!(ending.name())));
    if let Some(used) = report.used {
        add("input_tokens", Some(json!(used.input)));
        add("output_tokens", Some(json!(used.output)));
        add("basis", Some(json!(used.basis.name())));
        add("delivered_bytes", Some(json!(report.delivered_bytes)));
        add("stream", Some(json!(report.is_stream)));
    }
    for (name, time) in [
        ("read_us", times.read),
        ("flush_us", times.flush),
        ("sent_us", times.sent),
        ("first_us", times.first),
    ] {
        add(name, time.map(|time| json!(micros(time))));
    }
    add("trace", report.trace.as_ref().map(|trace| json!(hex(&trace.id))));
    line
}

/// Posts by the client that everything else goes by, on a runtime of its own.
pub struct WebPost {
    runtime: Option<Runtime>,
    known: Mutex<HashMap<String, Arc<Web>>>,
}

impl WebPost {
    /// Prepares. Makes no call.
    ///
    /// # Errors
    /// When there is no runtime to be had.
    pub fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { runtime: Some(runtime), known: Mutex::default() })
    }

    fn web(&self, base: &str) -> std::result::Result<Arc<Web>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(web) = known.get(base) {
            return Ok(Arc::clone(web));
        }
        let web = Web::open(base, &Environment::process()).map_err(|error| error.message)?;
        let web = Arc::new(web);
        known.insert(base.to_owned(), Arc::clone(&web));
        Ok(web)
    }
}

impl Post for WebPost {
    fn post(
        &self,
        url: &str,
        content_type: &'static str,
        body: Vec<u8>,
        most: usize,
        within: Duration,
    ) -> std::result::Result<Posted, String> {
        let at = url.rfind('/').filter(|at| !url[..*at].ends_with('/'));
        let (base, path) = at.map_or((url, "/"), |at| url.split_at(at));
        let (web, runtime) = (self.web(base)?, self.runtime.as_ref().ok_or("the gate is ending")?);
        let asked = async { tokio::time::timeout(within, web.post_as(path, content_type, body, most)).await };
        let reply = runtime.block_on(asked);
        let reply = reply.map_err(|_| format!("no answer from {base} in {} s", within.as_secs()))?;
        let reply = reply.map_err(|error| error.message)?;
        Ok(Posted { status: reply.status, body: reply.body.to_vec() })
    }
}

impl Drop for WebPost {
    fn drop(&mut self) {
        // It may be dropped by a task, which must not wait for one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
