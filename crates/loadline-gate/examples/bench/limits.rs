//! What must hold under pressure: no quota is overrun by callers who all ask at once, every request that was forwarded
//! before a kill has its intent, and a gate whose authority is silent closes.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use loadline_core::Instant as Moment;
use loadline_trust::Envelope;
use serde_json::Value;
use tokio::sync::Barrier;

use super::kills::{gate, ready};
use super::load::{Target, ask, ask_named, look, start, stats};
use super::mock::now_us;
use super::subject::{LEASE, SMALL, SMALL_TERM};

const CALLERS: usize = 500;
const KILLS: u64 = 100;
/// Callers while a gate is killed.
const LOAD: usize = 50;
/// Tokens that the mock says one answer took.
const PER_ANSWER: u64 = 17;
/// Tokens that one request sets aside at most: the most of its answer, and a quarter of its body's bytes.
const MOST_RESERVED: u64 = 64 + 100;
/// How long the authority's word holds in the last measurement, in seconds.
const SHORT_LEASE_S: u64 = 5;

/// Whether it was served, and the request's id.
async fn once(target: &Target, sender: &mut super::load::Sender, body: &str) -> Option<(bool, String)> {
    sender.ready().await.ok()?;
    let request = target.request("POST", "/v1/chat/completions", body);
    let response = sender.send_request(request).await.ok()?;
    let id = response.headers().get("loadline-request-id")?.to_str().ok()?.to_owned();
    let is_served = response.status() == 200;
    response.into_body().collect().await.ok()?;
    Some((is_served, id))
}

/// Callers with one small account all ask at once, until nothing is left of it.
async fn overshoot(folder: &Path, direct: &Target, upstream: &str) {
    let (_process, callers, _) = gate(folder, upstream);
    ready(&callers).await;
    let before = stats(direct).await["asked"].as_u64().unwrap();
    let key = std::fs::read_to_string(folder.join(SMALL)).unwrap();
    let small = Target { address: callers.address, key };
    let all_here = Arc::new(Barrier::new(CALLERS));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (small, all_here) = (small.clone(), all_here.clone());
            tokio::spawn(async move {
                let (mut sender, body) = (small.connect().await, ask(5));
                all_here.wait().await;
                let mut served = 0;
                for _ in 0..40 {
                    served += u64::from(once(&small, &mut sender, &body).await.unwrap().0);
                }
                served
            })
        })
        .collect();
    let mut served = 0;
    for task in tasks {
        served += task.await.unwrap();
    }
    // What they had set aside meanwhile is free again: one of them goes on until it is refused.
    let mut sender = small.connect().await;
    while once(&small, &mut sender, &ask(0)).await.unwrap().0 {
        served += 1;
    }
    let forwarded = stats(direct).await["asked"].as_u64().unwrap() - before;
    assert_eq!(forwarded, served);
    let used = served * PER_ANSWER;
    // Whoever was refused would have had to set aside more than was left.
    assert!(SMALL_TERM.saturating_sub(used) < MOST_RESERVED, "{used} of {SMALL_TERM} tokens are used");
    println!(
        "quota, {CALLERS} callers at once       {served} served, {used} of {SMALL_TERM} tokens: overshoot {}",
        used.saturating_sub(SMALL_TERM)
    );
}

/// What the checker says that has none of this code.
fn checked(folder: &Path, answered: &Path, bodies: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durable/check_audit.py");
    let mut python = Command::new("python3");
    let output = python.arg(script).arg(folder.join("audit")).args([answered, bodies]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Kills a gate under load, again and again. Every request has a name, and the upstream remembers those that reached it.
async fn killed(folder: &Path, direct: &Target, upstream: &str) {
    let answered = folder.join("answered");
    let mut file = std::fs::File::create(&answered).unwrap();
    let names = Arc::new(AtomicU64::new(0));
    for kill in 0..KILLS {
        let (process, callers, _) = gate(folder, upstream);
        ready(&callers).await;
        let tasks: Vec<_> = (0..LOAD)
            .map(|_| {
                let (callers, names) = (callers.clone(), names.clone());
                tokio::spawn(async move {
                    let (mut sender, mut ids) = (callers.connect().await, Vec::new());
                    loop {
                        let body = ask_named(2, names.fetch_add(1, Ordering::SeqCst));
                        let Some((_, id)) = once(&callers, &mut sender, &body).await else { return ids };
                        ids.push(id);
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + kill * 37 % 100)).await;
        drop(process);
        for task in tasks {
            for id in task.await.unwrap() {
                writeln!(file, "{id}").unwrap();
            }
        }
    }
    // What was on its way to the upstream when a gate was killed has arrived by now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let reached = look(direct, "/named").await;
    let reached: Vec<_> = reached.as_array().unwrap().iter().map(|name| name.as_u64().unwrap()).collect();
    let bodies: Vec<_> = reached.iter().map(|name| ask_named(2, *name)).collect();
    let list = folder.join("bodies");
    std::fs::write(&list, bodies.join("\n")).unwrap();
    let checked = checked(folder, &answered, &list);
    println!(
        "kill -9 under load, {KILLS} times      the independent checker finds the chain whole ({} rows, {} intents), and the intent \
         of each of {} bodies that reached the upstream and of {} requests that were answered",
        checked["rows"], checked["intents"], checked["bodies"], checked["forwarded"]
    );
}

/// The authority says something once, and never again.
async fn silence(folder: &Path, upstream: &str) {
    std::fs::write(folder.join(LEASE), SHORT_LEASE_S.to_string()).unwrap();
    let (_process, callers, _) = gate(folder, upstream);
    let standing = std::fs::read(folder.join("published.json")).unwrap();
    let standing: Value = serde_json::from_slice(Envelope::parse(&standing).unwrap().payload()).unwrap();
    let issued_us = standing["issued"].as_str().unwrap().parse::<Moment>().unwrap().seconds() * 1_000_000;
    ready(&callers).await;
    let (mut sender, mut served) = (callers.connect().await, 0);
    let code = loop {
        let response = callers.send(&mut sender, &ask(0)).await;
        let is_served = response.status() == 200;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        if !is_served {
            break serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"].clone();
        }
        served += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let closed_s = (now_us() - issued_us) as f64 / 1e6;
    assert_eq!(code, "standing_stale");
    println!(
        "silent authority                 `standing_stale` from {closed_s:.2} s after the last standing was issued, to the second, on; \
         lease {SHORT_LEASE_S} s; {served} served before"
    );
}

/// All three.
pub fn run(folder: &Path) {
    let (_mock, upstream) = start(&["mock"]);
    let direct = Target { address: upstream[7..upstream.len() - 3].to_owned(), key: "k".to_owned() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for name in ["gate-quota", "gate-killed", "gate-silent"] {
        let folder = folder.join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        match name {
            "gate-quota" => runtime.block_on(overshoot(&folder, &direct, &upstream)),
            "gate-killed" => runtime.block_on(killed(&folder, &direct, &upstream)),
            _ => runtime.block_on(silence(&folder, &upstream)),
        }
    }
}
