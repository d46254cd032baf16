//! The load, and what it finds.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use loadline_gate::ledger::StopTarget;
use loadline_gate::stops::{Action, ORDER_FORMAT, ORDER_TYPE, StopOrder};
use loadline_trust::Envelope;
use serde_json::Value;
use tokio::net::TcpStream;

use super::mock::now_us;
use super::subject::{now, stop_key};

pub type Sender = SendRequest<Full<Bytes>>;

/// A process that is ended with this program.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn start(args: &[&str]) -> (Process, String) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program).args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Process(child), line.trim().to_owned())
}

/// Where requests go: straight to the upstream, or through the gate.
#[derive(Clone)]
pub struct Target {
    pub address: String,
    pub key: String,
}

impl Target {
    pub async fn connect(&self) -> Sender {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub fn request(&self, method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap()
    }

    pub async fn send(&self, sender: &mut Sender, body: &str) -> Response<Incoming> {
        sender.ready().await.unwrap();
        sender.send_request(self.request("POST", "/v1/chat/completions", body)).await.unwrap()
    }

    async fn whole(&self, sender: &mut Sender, body: &str) -> Duration {
        let begun = Instant::now();
        let response = self.send(sender, body).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, 200, "{body:?}");
        begun.elapsed()
    }
}

const PROMPT: &str = r#""messages":[{"role":"user","content":"How many legs do seven spiders and two ants have together?"}],"max_tokens":64"#;

pub fn ask(latency_ms: u64) -> String {
    format!(r#"{{"model":"m",{PROMPT},"mock":{{"latency_ms":{latency_ms}}}}}"#)
}

/// The same with a name of its own, which the upstream remembers.
pub fn ask_named(latency_ms: u64, name: u64) -> String {
    format!(r#"{{"model":"m",{PROMPT},"mock":{{"latency_ms":{latency_ms},"name":{name}}}}}"#)
}

fn stream(chunks: u64, pause_ms: u64) -> String {
    format!(r#"{{"model":"m","stream":true,{PROMPT},"mock":{{"chunks":{chunks},"pause_ms":{pause_ms}}}}}"#)
}

/// A quantile of times, in milliseconds.
fn quantile(times: &mut [Duration], of: f64) -> f64 {
    times.sort();
    let at = ((times.len() as f64 - 1.0) * of).round() as usize;
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1_000.0)
}

/// CPU seconds of a process so far.
fn cpu_s(process: &Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn status(process: &Process, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split(':').nth(1).unwrap_or_default().trim().to_owned()
}

/// The disk's own flush: what one intent costs without a gate.
fn flush(file: &mut File) -> Duration {
    let begun = Instant::now();
    file.write_all(&[7; 700]).unwrap();
    file.sync_data().unwrap();
    begun.elapsed()
}

fn flushes(folder: &Path) {
    let mut file = File::create(folder.join("flush")).unwrap();
    let mut times: Vec<_> = (0..500).map(|_| flush(&mut file)).collect();
    println!(
        "disk flush of 700 bytes          p50 {:.3} ms, p99 {:.3} ms",
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    );
}

async fn latency(direct: &Target, gate: &Target) {
    let (mut to_mock, mut to_gate) = (direct.connect().await, gate.connect().await);
    for _ in 0..3 {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..1_000 {
            without.push(direct.whole(&mut to_mock, &ask(0)).await);
            with.push(gate.whole(&mut to_gate, &ask(0)).await);
        }
        let added =
            |with: &mut [Duration], without: &mut [Duration], of| quantile(with, of) - quantile(without, of);
        let (p50, p99) = (added(&mut with, &mut without, 0.5), added(&mut with, &mut without, 0.99));
        println!(
            "added latency, c=1, 0 ms         p50 {p50:.3} ms, p99 {p99:.3} ms (direct p50 {:.3})",
            quantile(&mut without, 0.5)
        );
    }
}

/// Closed loop: so many connections, each asking again as soon as it is answered.
async fn throughput(gate: &Target, process: &Process, connections: usize, latency_ms: u64) {
    let end = Instant::now() + Duration::from_secs(4);
    let (before, begun) = (cpu_s(process), Instant::now());
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let (mut sender, body) = (gate.connect().await, ask(latency_ms));
                let mut times = Vec::new();
                while Instant::now() < end {
                    times.push(gate.whole(&mut sender, &body).await);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (n, took) = (times.len() as f64, begun.elapsed().as_secs_f64());
    let cpu = (cpu_s(process) - before) / n * 1_000.0;
    println!(
        "closed loop, c={connections:<4} {latency_ms} ms        {:.0} req/s, p50 {:.1} ms, p99 {:.1} ms, {cpu:.3} CPU s per 1,000",
        n / took,
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    );
}

/// Open loop: requests begin when they are due, whether the earlier ones are answered or not, and their times count from
/// then. A quarter of a second of requests can be under way at once.
async fn open_loop(gate: &Target, per_s: u64, latency_ms: u64) {
    let connections = per_s / 4;
    let begin = Instant::now() + Duration::from_millis(500);
    let tasks: Vec<_> = (0..connections)
        .map(|at| {
            let gate = gate.clone();
            tokio::spawn(async move {
                let (mut sender, body) = (gate.connect().await, ask(latency_ms));
                let due = (at..per_s * 3).step_by(connections as usize);
                let mut times = Vec::new();
                for number in due {
                    let due = begin + Duration::from_secs(number) / per_s as u32;
                    tokio::time::sleep_until(due.into()).await;
                    gate.whole(&mut sender, &body).await;
                    times.push(due.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    println!(
        "open loop, {per_s} req/s, {latency_ms} ms      {} answered, p50 {:.1} ms, p99 {:.1} ms, from when each was due",
        times.len(),
        quantile(&mut times, 0.5),
        quantile(&mut times, 0.99)
    );
}

/// One stream to its end, or to so many events: time to the first event, delays of events, whether it was whole.
async fn one_stream(target: &Target, body: &str, most: usize) -> (Duration, Vec<Duration>, bool) {
    let mut sender = target.connect().await;
    let begun = Instant::now();
    let mut response = target.send(&mut sender, body).await.into_body();
    let (mut first, mut delays, mut whole) = (Duration::ZERO, Vec::new(), true);
    while let Some(frame) = response.frame().await {
        let Ok(frame) = frame else {
            whole = false;
            break;
        };
        let bytes = frame.into_data().unwrap_or_default();
        if delays.is_empty() {
            first = begun.elapsed();
        }
        let text = String::from_utf8_lossy(&bytes);
        for event in text.split("data: ").filter(|event| event.starts_with("{\"t\":")) {
            let event: Value = serde_json::from_str(event.trim()).unwrap();
            delays.push(Duration::from_micros(now_us().saturating_sub(event["t"].as_u64().unwrap())));
        }
        if delays.len() >= most {
            break;
        }
    }
    (first, delays, whole)
}

async fn streaming(direct: &Target, gate: &Target, folder: &Path) {
    let mut file = File::create(folder.join("flush")).unwrap();
    for _ in 0..3 {
        let (mut without, mut with, mut delays) = (Vec::new(), Vec::new(), Vec::new());
        // A disk that has rested flushes slower than one that is busy.
        let mut rested = Vec::new();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            rested.push(flush(&mut file));
            tokio::time::sleep(Duration::from_millis(200)).await;
            without.push(one_stream(direct, &stream(20, 10), usize::MAX).await.0);
            let (first, late, whole) = one_stream(gate, &stream(20, 10), usize::MAX).await;
            assert!(whole && late.len() == 20);
            with.push(first);
            delays.extend(late);
        }
        let p50 = quantile(&mut with, 0.5) - quantile(&mut without, 0.5);
        let p99 = quantile(&mut with, 0.99) - quantile(&mut without, 0.99);
        println!(
            "added time to first event        p50 {p50:.3} ms, p99 {p99:.3} ms (direct p50 {:.3}, a flush in this rhythm p50 {:.3}, p99 {:.3}); delay of events p50 {:.3}, p99 {:.3} ms",
            quantile(&mut without, 0.5),
            quantile(&mut rested, 0.5),
            quantile(&mut rested, 0.99),
            quantile(&mut delays, 0.5),
            quantile(&mut delays, 0.99)
        );
    }
}

async fn many_streams(what: &str, gate: &Target, process: &Process, streams: usize) {
    let (before, begun) = (cpu_s(process), Instant::now());
    let tasks: Vec<_> = (0..streams)
        .map(|_| {
            let gate = gate.clone();
            tokio::spawn(async move { one_stream(&gate, &stream(100, 50), usize::MAX).await })
        })
        .collect();
    let (mut firsts, mut delays, mut complete, mut events) = (Vec::new(), Vec::new(), 0, 0);
    for task in tasks {
        let (first, late, whole) = task.await.unwrap();
        firsts.push(first);
        events += late.len();
        complete += usize::from(whole && late.len() == 100);
        delays.extend(late);
    }
    let cpu = (cpu_s(process) - before) / events as f64 * 1_000.0;
    println!(
        "{streams} streams at once{what:<13} {complete} complete in {:.1} s (ideal 5.0), first event p50 {:.1} ms, p99 {:.1} ms; delay p99 {:.1} ms; {cpu:.3} CPU s per 1,000 events; peak {}",
        begun.elapsed().as_secs_f64(),
        quantile(&mut firsts, 0.5),
        quantile(&mut firsts, 0.99),
        quantile(&mut delays, 0.99),
        status(process, "VmHWM")
    );
}

pub async fn stats(direct: &Target) -> Value {
    look(direct, "/stats").await
}

/// What the upstream says of itself.
pub async fn look(direct: &Target, path: &str) -> Value {
    let mut sender = direct.connect().await;
    let response = sender.send_request(direct.request("GET", path, "")).await.unwrap();
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn leaving(direct: &Target, gate: &Target) {
    let mut times = Vec::new();
    let mut cancelled = 0;
    for _ in 0..100 {
        let before = stats(direct).await["left"].as_u64().unwrap();
        one_stream(gate, &stream(200, 20), 5).await;
        let left_us = now_us();
        for _ in 0..500 {
            let now = stats(direct).await;
            if now["left"].as_u64().unwrap() > before {
                cancelled += 1;
                times.push(Duration::from_micros(
                    now["last_left_us"].as_u64().unwrap().saturating_sub(left_us),
                ));
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    println!(
        "caller leaves mid-stream         upstream cancelled {cancelled} of 100, p50 {:.1} ms, max {:.1} ms",
        quantile(&mut times, 0.5),
        quantile(&mut times, 1.0)
    );
}

/// A signed order to stop.
pub fn order(target: StopTarget) -> String {
    let order = StopOrder {
        format: ORDER_FORMAT.to_owned(),
        gate: "example.com/gate".to_owned(),
        action: Action::Stop,
        target,
        previous: None,
        issued: now(),
        reason: "a drill".to_owned(),
    };
    let envelope = Envelope::sign_json(ORDER_TYPE, &order, &[&stop_key()]).unwrap();
    String::from_utf8(envelope.to_bytes()).unwrap()
}

async fn stopping(direct: &Target, gate: &Target, admin: &Target, streams: usize) {
    let last_us = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..streams)
        .map(|_| {
            let (gate, last_us, ended) = (gate.clone(), last_us.clone(), ended.clone());
            tokio::spawn(async move {
                let mut sender = gate.connect().await;
                let mut body = gate.send(&mut sender, &stream(10_000, 20)).await.into_body();
                let mut text = Vec::new();
                while let Some(Ok(frame)) = body.frame().await {
                    last_us.fetch_max(now_us(), Ordering::SeqCst);
                    text.extend_from_slice(&frame.into_data().unwrap_or_default());
                    let old = text.len().saturating_sub(600);
                    text.drain(..old);
                }
                ended.fetch_add(
                    u64::from(String::from_utf8_lossy(&text).contains("stopped")),
                    Ordering::SeqCst,
                );
            })
        })
        .collect();
    while stats(direct).await["open"].as_u64() != Some(streams as u64) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let envelope = order(StopTarget::Model("m".to_owned()));
    let mut sender = admin.connect().await;
    let request = admin.request("POST", "/orders", &envelope);
    let ordered_us = now_us();
    let response = sender.send_request(request).await.unwrap();
    let said = response.into_body().collect().await.unwrap().to_bytes();
    let answered_us = now_us();
    for task in tasks {
        task.await.unwrap();
    }
    let last = last_us.load(Ordering::SeqCst);
    println!(
        "stop with {streams} live streams       answered after {:.1} ms, last byte read {:.1} ms after the order ({:+.1} ms from the answer); {} ended with the event; {}",
        (answered_us - ordered_us) as f64 / 1e3,
        (last as f64 - ordered_us as f64) / 1e3,
        (last as f64 - answered_us as f64) / 1e3,
        ended.load(Ordering::SeqCst),
        String::from_utf8_lossy(&said)
    );
    let mut sender = gate.connect().await;
    println!("a request after it               {}", gate.send(&mut sender, &ask(0)).await.status());
}

/// Measures everything, or the stop only.
pub fn run(folder: &Path, only_stop: bool) {
    let folder = folder.join("gate-bench");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    flushes(&folder);
    let (_mock, upstream) = start(&["mock"]);
    let begun = Instant::now();
    let (process, line) = start(&["gate", folder.to_str().unwrap(), &upstream]);
    let [public, admin, key] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("the gate said `{line}`")
    };
    let target = |address: &str, key: &str| Target { address: address.to_owned(), key: key.to_owned() };
    let (direct, gate) = (target(&upstream[7..upstream.len() - 3], "k"), target(public, key));
    let admin = target(admin, "operator");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut sender = gate.connect().await;
        while gate
            .send(&mut sender, &ask(0))
            .await
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .starts_with(b"{\"error")
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!(
            "start to first answer            {:.0} ms, with the making of its keys",
            begun.elapsed().as_secs_f64() * 1e3
        );
        if only_stop {
            return stopping(&direct, &gate, &admin, 1_000).await;
        }
        latency(&direct, &gate).await;
        for connections in [50, 200, 400, 400, 400] {
            throughput(&gate, &process, connections, 20).await;
        }
        for _ in 0..3 {
            open_loop(&gate, 8_000, 20).await;
        }
        streaming(&direct, &gate, &folder).await;
        many_streams("", &gate, &process, 200).await;
        // The first finds no connection to the upstream open but those of the rounds before.
        for _ in 0..3 {
            many_streams("", &gate, &process, 1_000).await;
        }
        many_streams(", no gate", &direct, &process, 1_000).await;
        leaving(&direct, &gate).await;
        stopping(&direct, &gate, &admin, 1_000).await;
    });
    println!("gate: peak {}, {:.2} CPU s in all", status(&process, "VmHWM"), cpu_s(&process));
}
