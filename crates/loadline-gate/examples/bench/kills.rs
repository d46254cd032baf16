//! What must hold whatever happens right after an answer: a stop that was answered survives a kill, and a key that was
//! revoked is served on no connection.

use std::path::Path;
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use loadline_core::Instant as Moment;
use loadline_evidence::disk::RealDisk;
use loadline_gate::keys::KeyFile;
use loadline_gate::ledger::StopTarget;
use serde_json::Value;

use super::load::{Process, Target, ask, order, start};

const KILLS: usize = 200;
const CONNECTIONS: usize = 100;
const TRIES: usize = 100;

/// A gate of a folder: its process, the callers' door, the operator's.
pub fn gate(folder: &Path, upstream: &str) -> (Process, Target, Target) {
    let (process, line) = start(&["gate", folder.to_str().unwrap(), upstream]);
    let [public, admin, key] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("the gate said `{line}`")
    };
    let target = |address: &str, key: &str| Target { address: address.to_owned(), key: key.to_owned() };
    (process, target(public, key), target(admin, "operator"))
}

async fn said(target: &Target, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut sender = target.connect().await;
    let response = sender.send_request(target.request(method, path, body)).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Waits until it serves, which is as soon as it has the authority's word.
pub async fn ready(callers: &Target) {
    while said(callers, "POST", "/v1/chat/completions", &ask(0)).await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Orders a stop, kills the gate as soon as it has answered, starts it again and looks, again and again.
async fn kills(folder: &Path, upstream: &str) {
    let (mut late, mut kept) = (Duration::ZERO, 0);
    for round in 0..KILLS {
        let (process, _, admin) = gate(folder, upstream);
        let target = StopTarget::Key(format!("key-{round}"));
        let (status, _) = said(&admin, "POST", "/orders", &order(target.clone())).await;
        let answered = Instant::now();
        drop(process);
        late = late.max(answered.elapsed());
        assert_eq!(status, 200);
        let (_process, _, admin) = gate(folder, upstream);
        let (_, stops) = said(&admin, "GET", "/stops", "").await;
        let target = serde_json::to_value(&target).unwrap();
        kept += usize::from(stops["stopped"].as_array().unwrap().contains(&target));
    }
    println!(
        "kill -9 after a stop's answer      {kept} of {KILLS} stops held after the next start (killed and gone at most {:.1} ms later)",
        late.as_secs_f64() * 1e3
    );
}

/// Revokes a key that a hundred warm connections use, and asks on all of them after the answer.
async fn revocation(folder: &Path, upstream: &str) {
    let (_process, callers, admin) = gate(folder, upstream);
    ready(&callers).await;
    let mut warm = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut sender = callers.connect().await;
        let response = callers.send(&mut sender, &ask(0)).await;
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        warm.push(sender);
    }
    let (mut file, lock) = KeyFile::edit(&RealDisk, &folder.join("keys.json")).unwrap();
    let id = file.keys()[0].id.clone();
    let now = Moment::from_seconds(super::mock::now_us() / 1_000_000).unwrap();
    file.revoke(&id, now).unwrap();
    file.write(&RealDisk).unwrap();
    drop(lock);
    let (status, _) = said(&admin, "POST", "/reload", "").await;
    assert_eq!(status, 200);
    let (mut served, mut tried) = (0, 0);
    for _ in 0..TRIES {
        for sender in &mut warm {
            let response = callers.send(sender, &ask(0)).await;
            served += usize::from(response.status() == 200);
            tried += 1;
            response.into_body().collect().await.unwrap();
        }
    }
    println!(
        "a revoked key, {CONNECTIONS} warm connections {served} of {tried} tries served after the answer"
    );
}

/// Does both.
pub fn run(folder: &Path) {
    let (_mock, upstream) = start(&["mock"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (name, revokes) in [("gate-revoked", true), ("gate-kills", false)] {
        let folder = folder.join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        match revokes {
            true => runtime.block_on(revocation(&folder, &upstream)),
            false => runtime.block_on(kills(&folder, &upstream)),
        }
    }
}
