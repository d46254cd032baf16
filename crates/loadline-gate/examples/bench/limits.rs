//! What must hold under pressure: no quota is overrun by callers who all ask at once, every request that was forwarded
//! before a kill has its intent, and a gate whose authority is silent closes.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use serde_json::Value;

use super::kills::{gate, ready};
use super::load::{Target, ask, start, stats};
use super::subject::{LEASE, SMALL, SMALL_TERM};

const CALLERS: usize = 500;
const KILLS: u64 = 100;
/// Callers while a gate is killed.
const LOAD: usize = 50;
/// Tokens that the mock says one answer took.
const PER_ANSWER: u64 = 17;
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
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let small = small.clone();
            tokio::spawn(async move {
                let (mut sender, body) = (small.connect().await, ask(5));
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
    let forwarded = stats(direct).await["asked"].as_u64().unwrap() - before;
    assert_eq!(forwarded, served);
    let used = served * PER_ANSWER;
    println!(
        "quota, {CALLERS} callers at once       {served} served, {used} of {SMALL_TERM} tokens: overshoot {}",
        used.saturating_sub(SMALL_TERM)
    );
}

/// What the checker says that has none of this code.
fn checked(folder: &Path, forwarded: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durable/check_audit.py");
    let output =
        Command::new("python3").arg(script).arg(folder.join("audit")).arg(forwarded).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Kills a gate under load, again and again. The upstream counts what reached it.
async fn killed(folder: &Path, direct: &Target, upstream: &str) {
    let list = folder.join("answered");
    let mut file = std::fs::File::create(&list).unwrap();
    let before = stats(direct).await["asked"].as_u64().unwrap();
    let mut answered = 0;
    for kill in 0..KILLS {
        let (process, callers, _) = gate(folder, upstream);
        ready(&callers).await;
        let tasks: Vec<_> = (0..LOAD)
            .map(|_| {
                let callers = callers.clone();
                tokio::spawn(async move {
                    let (mut sender, mut ids) = (callers.connect().await, Vec::new());
                    while let Some((_, id)) = once(&callers, &mut sender, &ask(2)).await {
                        ids.push(id);
                    }
                    ids
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + kill * 37 % 100)).await;
        drop(process);
        for task in tasks {
            for id in task.await.unwrap() {
                writeln!(file, "{id}").unwrap();
                answered += 1;
            }
        }
    }
    // What was on its way to the upstream when a gate was killed has arrived by now.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let forwarded = stats(direct).await["asked"].as_u64().unwrap() - before;
    let checked = checked(folder, &list);
    let intents = checked["intents"].as_u64().unwrap();
    assert!(intents >= forwarded, "{forwarded} were forwarded, {intents} have an intent");
    println!(
        "kill -9 under load, {KILLS} times      {answered} answered, {forwarded} reached the upstream, {intents} intents; the \
         independent checker finds the chain whole ({} rows) and the intent of every answer",
        checked["rows"]
    );
}

/// The authority says something once, and never again.
async fn silence(folder: &Path, upstream: &str) {
    std::fs::write(folder.join(LEASE), SHORT_LEASE_S.to_string()).unwrap();
    let (_process, callers, _) = gate(folder, upstream);
    ready(&callers).await;
    // The lease began at the second before it was signed at the latest.
    let begun = Instant::now();
    let mut sender = callers.connect().await;
    let mut served = 0;
    while once(&callers, &mut sender, &ask(0)).await.unwrap().0 {
        served += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(begun.elapsed() < Duration::from_secs(SHORT_LEASE_S + 5), "it does not close");
    }
    println!(
        "silent authority                 closed {:.2} s after the first answer, lease {SHORT_LEASE_S} s ({served} served)",
        begun.elapsed().as_secs_f64()
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
