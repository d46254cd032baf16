//! Requests, clocks and randomness that are the same everywhere.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use loadline_evidence::disk::Disk;
use loadline_gate::audit::{AuditLog, AuditOpenError, AuditOptions, Clock, Found, Random};
use loadline_gate::ledger::{
    Account, Charge, Ending, Intent, Keep, Limits, Outcome, RequestId, UsageBasis, Used,
};

use super::sim::{Dice, SimDisk};

pub const DIR: &str = "audit";
pub const NAME: &str = "gate.example/audit";

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits as a task would.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A clock that stands still.
pub fn clock() -> Clock {
    Arc::new(|| 1_700_000_000_000)
}

/// Bytes that differ each time, from a seed.
pub fn random(seed: u64) -> Random {
    let state = AtomicU64::new(seed);
    Arc::new(move |bytes| {
        let mut dice = Dice(state.fetch_add(0x1234_5678_9abc_def1, Ordering::Relaxed));
        bytes.fill_with(|| dice.roll(256) as u8);
        Ok(())
    })
}

pub fn options(dir: impl Into<std::path::PathBuf>, segment_bytes: u64) -> AuditOptions {
    // Signing by time is left out: no test waits for a clock.
    let every = std::time::Duration::from_secs(3600);
    AuditOptions { segment_bytes, sign_every: every, ..AuditOptions::new(dir, NAME, clock(), random(7)) }
}

pub fn open(disk: &SimDisk, segment_bytes: u64) -> Result<(AuditLog, Found), AuditOpenError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    AuditLog::open(shared, options(DIR, segment_bytes))
}

pub fn charge(limits: Limits) -> Charge {
    Charge { account: Account::quota("q"), limits }
}

pub fn intent(number: u64, keep: Keep) -> Intent {
    let mut request = [0; 16];
    request[8..].copy_from_slice(&number.to_be_bytes());
    Intent {
        request: RequestId(request),
        at_ms: 1_700_000_000_000,
        key: "0123456789ab".into(),
        subject: format!("subject-{}", number % 3).into(),
        route: "/v1/chat/completions",
        model: "small".into(),
        model_digest: None,
        license: None,
        stage: None,
        standing_epoch: 4,
        charges: vec![charge(Limits::default())],
        reserved: 100,
        keep,
        content: Bytes::from(format!("question {number}")),
    }
}

pub fn outcome(output: u64) -> Outcome {
    Outcome {
        at_ms: 1_700_000_000_500,
        status: 200,
        ending: Ending::Complete,
        used: Used { input: 10, output, basis: UsageBasis::ServerUsage },
        delivered_bytes: 6,
    }
}
