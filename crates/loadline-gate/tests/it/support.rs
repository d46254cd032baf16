//! A gate in this process with a fake upstream behind it, a small authority above it, and a clock that tests set.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadline_core::{Digest, Instant};
use loadline_gate::caller::{self, Caller};
use loadline_gate::clock::{Clock, Moment};
use loadline_gate::config::{self, Config, Loaded, ResidentConfig};
use loadline_gate::memory::{MemoryAudit, MemoryQuota, MemoryStops};
use loadline_gate::standing::StandingKeeper;
use loadline_gate::upstream::{Plain, Resident, resident};
use loadline_gate::{Foundations, Gate};
use loadline_policy::Decision;
use loadline_policy::policy::{Marks, Stage};
use loadline_testkit::authority::{TestAuthority, open_marks};
use loadline_testkit::endpoint::{Builder, FakeEndpoint};
use loadline_trust::StandingState;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// 2027-01-15T08:00:00Z.
pub const START: u64 = 1_800_000_000;

pub fn at(seconds: u64) -> Instant {
    Instant::from_seconds(START + seconds).unwrap()
}

/// A clock that stands still until it is set. Both of its hands are set apart from each other.
#[derive(Default)]
pub struct TestClock {
    wall_ms: AtomicU64,
    passed_ms: AtomicU64,
}

impl TestClock {
    pub fn at_start() -> Self {
        let clock = Self::default();
        clock.wall_ms.store(START * 1_000, Ordering::SeqCst);
        clock
    }

    /// Time passes.
    pub fn pass(&self, ms: u64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall(&self, ms: u64) {
        self.wall_ms.store(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Moment {
        let (wall_ms, passed_ms) =
            (self.wall_ms.load(Ordering::SeqCst), self.passed_ms.load(Ordering::SeqCst));
        Moment { wall_ms, passed_ms }
    }
}

/// How a rig is made.
pub struct Make {
    pub endpoint: Builder,
    pub stage: Stage,
    pub marks: Option<Marks>,
    pub callers: Vec<(&'static str, Caller)>,
    /// More lines for the configuration.
    pub limits: String,
    pub upstream: String,
    /// Tables at the end of the configuration.
    pub tables: String,
    pub standing: bool,
    /// Files of the folder besides its own.
    pub files: Vec<(&'static str, String)>,
    /// What a `local` upstream is.
    pub resident: Option<Arc<Resident>>,
    /// What the licences are issued on.
    pub decision: Option<Decision>,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            endpoint: FakeEndpoint::builder(),
            stage: Stage::General,
            marks: Some(open_marks()),
            callers: vec![("alice-key", Caller::new("alice", "alice", "public"))],
            limits: String::new(),
            upstream: String::new(),
            tables: String::new(),
            standing: true,
            files: Vec::new(),
            resident: None,
            decision: None,
        }
    }
}

type Keys = Arc<Mutex<Vec<(Digest, Caller)>>>;

/// A gate that runs.
pub struct Rig {
    pub endpoint: FakeEndpoint,
    pub gate: Arc<Gate>,
    pub address: SocketAddr,
    pub audit: Arc<MemoryAudit>,
    pub quota: Arc<MemoryQuota>,
    pub stops: Arc<MemoryStops>,
    pub clock: Arc<TestClock>,
    pub authority: TestAuthority,
    pub license: Digest,
    pub loaded: Loaded,
    pub config: Config,
    pub folder: TempDir,
    keys: Keys,
    resident: Option<Arc<Resident>>,
    pub runtime: Runtime,
    ending: watch::Sender<bool>,
    served: Option<tokio::task::JoinHandle<()>>,
}

pub fn hashed(callers: &[(&str, Caller)]) -> Vec<(Digest, Caller)> {
    callers.iter().map(|(key, caller)| (caller::hash(key), caller.clone())).collect()
}

impl Rig {
    pub fn new() -> Self {
        Self::make(Make::default())
    }

    pub fn make(make: Make) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = make.endpoint.start();
        let authority = TestAuthority::new(at(0));
        let authority = make.decision.iter().fold(authority, TestAuthority::deciding);
        let text = config_text(&authority, &endpoint.base_url(), &make.limits, &make.upstream)
            + &make.tables.replace("JUDGES", &endpoint.base_url());
        let license = authority.license("m", make.stage, make.marks);
        write_files(folder.path(), &authority, &license);
        make.files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
        let config = config::parse(&text, folder.path()).unwrap();
        let keys: Keys = Arc::new(Mutex::new(hashed(&make.callers)));
        let loaded = load(&config, &keys, make.resident.as_ref()).unwrap();
        let (audit, quota) = (Arc::new(MemoryAudit::keeping()), Arc::<MemoryQuota>::default());
        let (stops, clock) = (Arc::<MemoryStops>::default(), Arc::new(TestClock::at_start()));
        let foundations = Foundations {
            audit: audit.clone(),
            quota: quota.clone(),
            stops: stops.clone(),
            clock: clock.clone(),
            dial: Arc::new(Plain),
            nonce: [1; 8],
        };
        let gate = Gate::new(&loaded, config.limits.clone(), foundations);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (ending, ended) = watch::channel(false);
        let listener = loadline_gate::serve::bind(config.listen).unwrap();
        let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener) }).unwrap();
        let address = listener.local_addr().unwrap();
        let served = runtime.spawn(loadline_gate::serve::serve(Arc::clone(&gate), listener, ended));
        let rig = Self {
            license: TestAuthority::name_of(&license),
            endpoint,
            gate,
            address,
            audit,
            quota,
            stops,
            clock,
            authority,
            loaded,
            config,
            folder,
            keys,
            resident: make.resident,
            runtime,
            ending,
            served: Some(served),
        };
        if make.standing {
            rig.stand(1, 0, 3_600, &[]).unwrap();
        }
        rig
    }

    /// Offers a standing as its source would.
    pub fn stand(
        &self,
        epoch: u64,
        issued: u64,
        for_s: u64,
        states: &[(Digest, StandingState)],
    ) -> Result<bool, String> {
        let bytes = self.authority.standing(epoch, at(issued), for_s, states);
        let mut keeper = StandingKeeper::open(self.folder.path()).map_err(|error| error.to_string())?;
        let fresh =
            keeper.offer(&bytes, &self.loaded.chain, self.gate.now()).map_err(|error| error.to_string())?;
        let is_new = fresh.is_some();
        if let Some(fresh) = fresh {
            self.runtime.block_on(self.gate.renew(fresh));
        }
        Ok(is_new)
    }

    /// The keys' file changes, and the gate reads it.
    pub fn rekey(&self, callers: &[(&str, Caller)]) -> loadline_gate::gate::Cut {
        *self.keys.lock().unwrap() = hashed(callers);
        let loaded = load(&self.config, &self.keys, self.resident.as_ref()).unwrap();
        self.runtime.block_on(self.gate.reload(&loaded))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// One request on a connection of its own.
    pub fn ask(&self, path: &str, key: &str, body: &str) -> Reply {
        self.ask_with(path, &format!("authorization: Bearer {key}\r\n"), body)
    }

    pub fn ask_with(&self, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = self.connect();
        stream.write_all(post(path, headers, body).as_bytes()).unwrap();
        Reply::read(&mut BufReader::new(stream))
    }

    pub fn chat(&self, body: &str) -> Reply {
        self.ask("/v1/chat/completions", "alice-key", body)
    }

    /// Ends the gate in good order.
    pub fn end(&mut self) {
        let _ = self.ending.send(true);
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap();
        }
    }
}

pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

fn load(
    config: &Config,
    keys: &Keys,
    resident: Option<&Arc<Resident>>,
) -> Result<Loaded, loadline_policy::Problems> {
    let (keys, resident) = (Arc::clone(keys), resident.cloned());
    let read_keys = move |_: &[u8]| Ok(keys.lock().unwrap().clone());
    let open = move |config: &ResidentConfig| resident.clone().map_or_else(|| resident::none(config), Ok);
    config::load(
        config,
        &read_keys,
        &|name| (name == "UPSTREAM_KEY").then(|| "upstream-secret".to_owned()),
        &open,
        at(0),
    )
}

pub fn write_files(folder: &std::path::Path, authority: &TestAuthority, license: &[u8]) {
    std::fs::create_dir_all(folder.join("roots")).unwrap();
    std::fs::write(folder.join("roots/1.json"), authority.root()).unwrap();
    std::fs::write(folder.join("license.json"), license).unwrap();
    std::fs::write(folder.join("keys.json"), "{}").unwrap();
}

pub fn config_text(authority: &TestAuthority, url: &str, limits: &str, upstream: &str) -> String {
    let pin = authority.pin();
    format!(
        r#"format = "loadline-gate/1"
name = "example.com/gate"
listen = "127.0.0.1:0"
state = "."
keys = "keys.json"
audit = "audit"

[authority]
roots = "roots"
pin = "{pin}"
standing = "published.json"

[limits]
{limits}

[stages]
academic = ["scientist"]
general = ["public", "scientist"]
weights_released = ["public"]

[[upstream]]
name = "up"
url = "{url}"
key_env = "UPSTREAM_KEY"
{upstream}

[[upstream]]
name = "claude"
url = "{url}"
api = "anthropic"
key_env = "UPSTREAM_KEY"

[[model]]
name = "m"
upstream = "up"
upstream_model = "behind/m"
license = "license.json"

[[model]]
name = "c"
upstream = "claude"
license = "license.json"
"#
    )
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// Reads a head, and the body by its length or chunks; what is there when the connection ends.
    pub fn read(stream: &mut impl BufRead) -> Self {
        let (status, head) = head(stream);
        let mut reply = Self { status, head, body: String::new() };
        if let Some(length) = reply.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            if stream.read_exact(&mut body).is_err() {
                body.clear();
            }
            reply.body = String::from_utf8(body).unwrap();
        } else {
            while let Some(chunk) = chunk(stream) {
                reply.body.push_str(&chunk);
            }
        }
        reply
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A head: its status, and its lines. Status 0 when the connection ends before it.
pub fn head(stream: &mut impl BufRead) -> (u16, String) {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return (0, head);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head)
}

/// The next chunk of a chunked body; none after the last, and none when the connection ends.
pub fn chunk(stream: &mut impl BufRead) -> Option<String> {
    let mut size = String::new();
    stream.read_line(&mut size).ok()?;
    let size = usize::from_str_radix(size.trim(), 16).ok()?;
    let mut bytes = vec![0; size + 2];
    stream.read_exact(&mut bytes).ok()?;
    bytes.truncate(size);
    (size > 0).then(|| String::from_utf8(bytes).unwrap())
}

/// A stream that is open: its head was read.
pub fn open_stream(rig: &Rig, key: &str, body: &str) -> BufReader<TcpStream> {
    let mut stream = rig.connect();
    let headers = format!("authorization: Bearer {key}\r\n");
    stream.write_all(post("/v1/chat/completions", &headers, body).as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let (status, head) = head(&mut stream);
    assert_eq!(status, 200, "{head}");
    stream
}

/// Everything that still comes.
pub fn rest(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

pub const ASK: &str =
    r#"{"model":"m","messages":[{"role":"user","content":"hello there"}],"max_tokens":100}"#;
pub const STREAM: &str =
    r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello there"}],"max_tokens":100000}"#;

/// Waits until something holds, for half a minute at most.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
