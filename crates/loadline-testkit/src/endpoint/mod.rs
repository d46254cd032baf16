//! An endpoint for tests, in this process: OpenAI chat and completions (with echo and log-probabilities), Anthropic
//! messages, whole and streamed, with scripted faults and a memory of what it was asked.
//!
//! It runs on a thread of its own, so a test may use any runtime or none.

mod anthropic;
mod fault;
mod openai;
mod reply;
mod serve;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Barrier, oneshot};

pub use fault::Fault;

/// Which protocol a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/messages`
    Messages,
    /// `/v1/embeddings`
    Embeddings,
}

/// One request for an answer.
#[derive(Clone, Debug)]
pub struct Ask {
    /// How many requests for answers came before this one.
    pub index: usize,
    /// How often this very body came before.
    pub seen_before: usize,
    /// The protocol.
    pub api: Api,
    /// The model asked for.
    pub model: String,
    /// The last user message, or the text to complete.
    pub prompt: String,
    /// The whole body.
    pub body: Value,
}

/// One HTTP request, whatever its path.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests for answers.
    pub requests: usize,
    /// Requests answered in full.
    pub answered: usize,
    /// Requests that met a fault.
    pub faults: usize,
    /// Requests whose body had come before, answered or not.
    pub duplicates: usize,
    /// Requests whose body had already been answered in full.
    pub paid_twice: usize,
    /// Requests under way now.
    pub in_flight: usize,
    /// Most requests under way at once.
    pub max_concurrent: usize,
    /// TCP connections accepted.
    pub connections: usize,
    /// Endless streams under way now.
    pub streams: usize,
    /// Endless streams that the client left.
    pub streams_left: usize,
}

/// How completions treat `echo` with `logprobs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// As vLLM: a list of prompts, no token written when none is asked for.
    Full,
    /// As llama-cpp-python: one prompt a request, and at least one token written.
    OneByOne,
    /// Logprobs of written tokens only, as llama.cpp's own server where it lets `echo` pass.
    Ignored,
    /// An error: what llama.cpp's own server says to `echo`.
    Rejected,
}

type AnswerFn = dyn Fn(&Ask) -> String + Send + Sync;
type FaultFn = dyn Fn(&Ask) -> Option<Fault> + Send + Sync;
type LogprobFn = dyn Fn(&str, &str) -> f64 + Send + Sync;

/// How a fake endpoint behaves.
pub struct Builder {
    answer: Box<AnswerFn>,
    fault: Box<FaultFn>,
    logprob: Box<LogprobFn>,
    latency: Duration,
    together: Option<Barrier>,
    key: Option<String>,
    models: Vec<String>,
    echo: Echo,
    start_token: Option<String>,
    reasoning: Option<String>,
}

impl Builder {
    /// What the model says; by default `The answer is 42.`
    #[must_use]
    pub fn answer(mut self, answer: impl Fn(&Ask) -> String + Send + Sync + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }

    /// The faults of the first requests for answers, in order; after them, none.
    #[must_use]
    pub fn script(self, faults: impl Into<Vec<Option<Fault>>>) -> Self {
        let faults = faults.into();
        self.fault(move |ask| faults.get(ask.index).cloned().flatten())
    }

    /// Which request meets which fault.
    #[must_use]
    pub fn fault(mut self, fault: impl Fn(&Ask) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.fault = Box::new(fault);
        self
    }

    /// How likely a token is after a text, as a natural logarithm; by default by a hash of both. A token is the
    /// likeliest one when this is at least -1.
    #[must_use]
    pub fn logprob(mut self, logprob: impl Fn(&str, &str) -> f64 + Send + Sync + 'static) -> Self {
        self.logprob = Box::new(logprob);
        self
    }

    /// How long every answer takes.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Holds requests for answers back until this many are under way, then lets them go on together, round after
    /// round: concurrency without a clock. A last round that is not full is held for ever.
    #[must_use]
    pub fn together(mut self, requests: usize) -> Self {
        self.together = Some(Barrier::new(requests));
        self
    }

    /// The key that is asked for; without it any key and none will do.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The models there are; any other is 404. By default every name will do, and `mock` is listed.
    #[must_use]
    pub fn models(mut self, models: &[&str]) -> Self {
        self.models = models.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// How `echo` is treated; by default in full.
    #[must_use]
    pub fn echo(mut self, echo: Echo) -> Self {
        self.echo = echo;
        self
    }

    /// A token that is put before every prompt and shows in the log-probabilities, such as `<s>`; it shifts the text
    /// offsets, as it does with vLLM.
    #[must_use]
    pub fn start_token(mut self, token: &str) -> Self {
        self.start_token = Some(token.to_owned());
        self
    }

    /// What the model thinks before every answer, sent as the protocol's reasoning content.
    #[must_use]
    pub fn reasoning(mut self, text: &str) -> Self {
        self.reasoning = Some(text.to_owned());
        self
    }

    /// Starts it on a free port of the loopback address.
    ///
    /// # Panics
    /// When no socket or thread is to be had.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its endpoint")]
    pub fn start(self) -> FakeEndpoint {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback socket");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared { behaviour: self, memory: Mutex::default() });
        let (stop, stopped) = oneshot::channel();
        let server = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-endpoint".to_owned())
            .spawn(move || serve::run(listener, &server, stopped))
            .expect("a thread for the endpoint");
        FakeEndpoint { address, shared, stop: Some(stop), thread: Some(thread) }
    }
}

/// A running endpoint; it stops when dropped.
pub struct FakeEndpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeEndpoint {
    /// One that behaves well.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// One that behaves as told.
    pub fn builder() -> Builder {
        Builder {
            answer: Box::new(|_| "The answer is 42.".to_owned()),
            fault: Box::new(|_| None),
            logprob: Box::new(tokens::hashed_logprob),
            latency: Duration::ZERO,
            together: None,
            key: None,
            models: Vec::new(),
            echo: Echo::Full,
            start_token: None,
            reasoning: None,
        }
    }

    /// What `--base-url` takes: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.shared.memory().counters
    }

    /// Waits until what happened is as told: without a clock, but for half a minute at most.
    ///
    /// # Panics
    /// When it does not come to that.
    #[expect(clippy::panic, reason = "a test cannot go on without what it waits for")]
    pub fn wait_until(&self, told: impl Fn(&Counters) -> bool) -> Counters {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            let counters = self.counters();
            if told(&counters) {
                return counters;
            }
            if std::time::Instant::now() > deadline {
                panic!("the endpoint never came to what was waited for: {counters:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Every HTTP request so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.memory().seen.clone()
    }

    /// The bodies of the requests for answers so far, in the order of arrival.
    pub fn bodies(&self) -> Vec<Value> {
        self.shared.memory().seen.iter().filter(|seen| seen.method == "POST").map(Seen::json).collect()
    }
}

impl Drop for FakeEndpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic on that thread shows as a failed request; nothing more to say here.
            let _ = thread.join();
        }
    }
}

/// What the endpoint's thread and the test both look at.
struct Shared {
    behaviour: Builder,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    counters: Counters,
    seen: Vec<Seen>,
    asked: HashMap<String, usize>,
    answered: HashSet<String>,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Sends a chat request over a plain socket and gives back everything the endpoint said.
    fn ask(endpoint: &FakeEndpoint, body: &str) -> std::io::Result<String> {
        let mut socket = std::net::TcpStream::connect(endpoint.address())?;
        let length = body.len();
        write!(
            socket,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let mut said = String::new();
        socket.read_to_string(&mut said)?;
        Ok(said)
    }

    #[test]
    fn answers_counts_and_misbehaves_as_scripted() {
        let script = [None, Some(Fault::RateLimited(Some("7".to_owned()))), Some(Fault::Reset)];
        let endpoint =
            FakeEndpoint::builder().answer(|ask| format!("echo {}", ask.prompt)).script(script).start();
        let body = r#"{"model": "m", "messages": [{"role": "user", "content": "hi"}]}"#;
        assert!(ask(&endpoint, body).unwrap().contains(r#""content":"echo hi""#));
        let limited = ask(&endpoint, body).unwrap();
        assert!(limited.starts_with("HTTP/1.1 429 ") && limited.contains("retry-after: 7"), "{limited}");
        assert_eq!(ask(&endpoint, body).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert!(ask(&endpoint, body).unwrap().contains("echo hi"));
        let counters = endpoint.counters();
        assert_eq!((counters.requests, counters.answered, counters.faults), (4, 2, 2));
        assert_eq!((counters.duplicates, counters.paid_twice, counters.in_flight), (3, 3, 0));
    }
}
