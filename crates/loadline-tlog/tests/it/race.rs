//! Two requests to a witness at the same time.

use std::convert::Infallible;
use std::sync::{Barrier, Mutex};

use loadline_tlog::witness::{AddCheckpoint, KnownLog, Latest, MemoryStore, Witness, WitnessStore};
use loadline_tlog::{Algorithm, SignerKey};

use crate::support::{MemoryLog, NOW, ORIGIN, key, log_verifier};

fn keys() -> Vec<SignerKey> {
    vec![key("w.example", Algorithm::CosignatureEd25519, 20)]
}

/// A store that two witnesses share, and that lets both look before either writes.
struct Shared<'s>(&'s Mutex<MemoryStore>, &'s Barrier);

impl WitnessStore for Shared<'_> {
    type Error = Infallible;

    fn latest(&self, origin: &str) -> Result<Option<Latest>, Self::Error> {
        let latest = self.0.lock().unwrap().latest(origin);
        self.1.wait();
        latest
    }

    fn replace(&mut self, origin: &str, expected: u64, next: &Latest) -> Result<bool, Self::Error> {
        let kept = self.0.lock().unwrap().replace(origin, expected, next);
        // Whoever was too late looks once more: the other one must not wait for that.
        if *kept.as_ref().unwrap() {
            self.1.wait();
        }
        kept
    }
}

#[test]
fn two_requests_at_once_never_make_a_witness_cosign_two_histories() {
    let mut fork = MemoryLog { fork_from: Some(10), ..MemoryLog::default() };
    fork.grow(20);
    for (old, forks) in [(10, [MemoryLog::of(20), fork.clone()]), (0, [MemoryLog::of(20), fork])] {
        for _ in 0..20 {
            let (store, barrier) = (Mutex::default(), Barrier::new(2));
            if old > 0 {
                let mut first = witness_over(&store);
                assert_eq!(ask_shared(&mut first, &MemoryLog::of(old), 0), 200);
            }
            let statuses: Vec<u16> = std::thread::scope(|scope| {
                let asked = forks.each_ref().map(|log| {
                    let store = Shared(&store, &barrier);
                    scope.spawn(move || {
                        let logs = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_verifier()] }];
                        let mut witness = Witness::new(keys(), logs, store).unwrap();
                        ask_shared(&mut witness, log, old)
                    })
                });
                asked.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let mut sorted = statuses.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [200, 409], "{statuses:?}");
        }
    }
}

/// A witness over the store itself, alone.
fn witness_over(store: &Mutex<MemoryStore>) -> Witness<Alone<'_>> {
    let logs = vec![KnownLog { origin: ORIGIN.to_owned(), keys: vec![log_verifier()] }];
    Witness::new(keys(), logs, Alone(store)).unwrap()
}

struct Alone<'s>(&'s Mutex<MemoryStore>);

impl WitnessStore for Alone<'_> {
    type Error = Infallible;

    fn latest(&self, origin: &str) -> Result<Option<Latest>, Self::Error> {
        self.0.lock().unwrap().latest(origin)
    }

    fn replace(&mut self, origin: &str, expected: u64, next: &Latest) -> Result<bool, Self::Error> {
        self.0.lock().unwrap().replace(origin, expected, next)
    }
}

fn ask_shared<S: WitnessStore>(witness: &mut Witness<S>, log: &MemoryLog, old: u64) -> u16 {
    let request = AddCheckpoint::build(&mut log.reader(), old, log.note()).unwrap();
    witness.add_checkpoint(request.to_body().as_bytes(), NOW).unwrap().status()
}
