//! What writing every request down costs: durable intents a second, CPU time, and the wait beside the disk's own flush.
//!
//! `cargo run --release -p loadline-gate --example audit_speed -- FOLDER [SECONDS]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, run by hand")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use loadline_evidence::disk::RealDisk;
use loadline_evidence::endless::prove_rows;
use loadline_gate::audit::{AuditLog, AuditOptions, verify};
use loadline_gate::ledger::{
    Account, Audit, Charge, Ending, Intent, Keep, Limits, Outcome, Quota, RequestId, UsageBasis, Used,
};
use loadline_gate::quota::QuotaLedger;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// CPU seconds of this process, user and system.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn percentiles(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [0.5, 0.99].map(|share| times[((times.len() - 1) as f64 * share) as usize] * 1e3)
}

/// The disk's own flush: an intent's bytes appended, and fdatasync.
fn flush(dir: &Path, time: Duration) -> [f64; 2] {
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join("flush");
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < time {
        let start = Instant::now();
        file.write_all(&[b'x'; 640]).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed().as_secs_f64());
    }
    std::fs::remove_file(path).unwrap();
    percentiles(times)
}

fn intent(number: u64, account: &Account) -> Intent {
    let mut request = [0; 16];
    request[8..].copy_from_slice(&number.to_be_bytes());
    Intent {
        request: RequestId(request),
        at_ms: now_ms(),
        key: "0123456789ab".into(),
        subject: "ada".into(),
        route: "/v1/chat/completions",
        model: "small".into(),
        model_digest: None,
        license: None,
        stage: None,
        standing_epoch: 4,
        charges: vec![Charge { account: account.clone(), limits: Limits::default() }],
        reserved: 100,
        keep: Keep::Digest,
        content: Bytes::from_static(&[b'q'; 500]),
    }
}

async fn request(log: &AuditLog, ledger: &QuotaLedger, account: &Account, number: u64) -> f64 {
    let asked = intent(number, account);
    let held = ledger.reserve(&asked.charges, asked.reserved, asked.at_ms).unwrap();
    let start = Instant::now();
    let mut recorded = log.intent(asked).await.unwrap();
    let waited = start.elapsed().as_secs_f64();
    recorded.content.write(&[b'a'; 500]);
    ledger.settle(held, 60);
    let used = Used { input: 10, output: 50, basis: UsageBasis::ServerUsage };
    let ending = Ending::Complete;
    log.outcome(recorded, Outcome { at_ms: now_ms(), status: 200, ending, used, delivered_bytes: 500 });
    waited
}

fn run(dir: &Path, at_once: u64, time: Duration) {
    let random = Arc::new(|bytes: &mut [u8]| getrandom::fill(bytes).map_err(std::io::Error::other));
    let options = AuditOptions::new(dir, "speed", Arc::new(now_ms), random);
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options).unwrap();
    log.know(["ada"]).unwrap();
    let ledger = Arc::new(QuotaLedger::from_book(&log.book()));
    let log = Arc::new(log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let (begin, cpu, next) = (Instant::now(), cpu_s(), Arc::new(AtomicU64::new(now_ms() << 20)));
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (log, ledger, next) = (Arc::clone(&log), Arc::clone(&ledger), Arc::clone(&next));
            runtime.spawn(async move {
                let account = Account::quota("speed");
                let mut times = Vec::new();
                while begin.elapsed() < time {
                    times.push(request(&log, &ledger, &account, next.fetch_add(1, Ordering::Relaxed)).await);
                }
                times
            })
        })
        .collect();
    let times: Vec<f64> = tasks.into_iter().flat_map(|task| runtime.block_on(task).unwrap()).collect();
    let (elapsed, cpu) = (begin.elapsed().as_secs_f64(), cpu_s() - cpu);
    let count = times.len() as f64;
    let [p50, p99] = percentiles(times);
    println!(
        "{at_once:>5} at once  {:>8.0} intents/s  wait p50 {p50:.2} ms  p99 {p99:.2} ms  {:.3} CPU s per 1,000",
        count / elapsed,
        cpu / count * 1e3
    );
}

/// One request at a time, in turn with the disk's own flush: what the log adds to it, with the disk as it is.
fn in_turn(dir: &Path, time: Duration) {
    let random = Arc::new(|bytes: &mut [u8]| getrandom::fill(bytes).map_err(std::io::Error::other));
    let options = AuditOptions::new(dir.join("log-turn"), "speed", Arc::new(now_ms), random);
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options).unwrap();
    log.know(["ada"]).unwrap();
    let (ledger, account) = (QuotaLedger::default(), Account::quota("speed"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("flush")).unwrap();
    let (mut flushes, mut waits, begin) = (Vec::new(), Vec::new(), Instant::now());
    for number in 0.. {
        if begin.elapsed() > time {
            break;
        }
        let start = Instant::now();
        file.write_all(&[b'x'; 640]).unwrap();
        file.sync_data().unwrap();
        flushes.push(start.elapsed().as_secs_f64());
        waits.push(runtime.block_on(request(&log, &ledger, &account, number)));
    }
    let ([flush, flush_99], [wait, wait_99]) = (percentiles(flushes), percentiles(waits));
    println!(
        "in turn: flush p50 {flush:.3} ms p99 {flush_99:.3}, intent p50 {wait:.3} ms p99 {wait_99:.3}: added {:.3} ms",
        wait - flush
    );
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| "audit-speed".to_owned()));
    let time = Duration::from_secs(args.next().and_then(|text| text.parse().ok()).unwrap_or(5));
    std::fs::create_dir_all(&dir).unwrap();
    in_turn(&dir, time);
    for at_once in [1, 16, 128, 1000] {
        let [p50, p99] = flush(&dir, time / 2);
        println!("the disk's own flush: p50 {p50:.2} ms  p99 {p99:.2} ms");
        run(&dir.join(format!("log-{at_once}")), at_once, time);
        let start = Instant::now();
        let verified = verify(&RealDisk, &dir.join(format!("log-{at_once}")), None).unwrap();
        let rows = verified.mark.rows as f64;
        println!("       verified: {rows} rows, {:.0} rows/s", rows / start.elapsed().as_secs_f64());
        let start = Instant::now();
        let log = dir.join(format!("log-{at_once}"));
        prove_rows(&RealDisk, &log, &[1, 2], verified.mark.rows).unwrap();
        println!(
            "       two of the first rows proved to be in it: {:.1} ms",
            start.elapsed().as_secs_f64() * 1e3
        );
    }
    // A handful of rows, waited for: how long a gate takes to open its log again.
    let random = Arc::new(|bytes: &mut [u8]| getrandom::fill(bytes).map_err(std::io::Error::other));
    let start = Instant::now();
    let options = AuditOptions::new(dir.join("log-1000"), "speed", Arc::new(now_ms), random);
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options).unwrap();
    println!("opened again in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(log);
}
