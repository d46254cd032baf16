//! The gate that is measured, as `loadline gate serve` runs it.

use std::path::Path;
use std::sync::Arc;

use loadline_core::Instant;
use loadline_evidence::disk::RealDisk;
use loadline_gate::keys::{KeyFile, NewKey};
use loadline_gate::ledger::Limits;
use loadline_gate::run::{Outside, Running};
use loadline_gate::upstream::Plain;
use loadline_policy::policy::Stage;
use loadline_testkit::authority::{TestAuthority, open_marks};
use loadline_trust::{Role, SecretKey};
use tokio::sync::watch;

/// The key that stops.
pub fn stop_key() -> SecretKey {
    SecretKey::from_seeds("stop", &[7; 32], &[8; 32]).unwrap()
}

pub fn now() -> Instant {
    Instant::from_seconds(super::mock::now_us() / 1_000_000).unwrap()
}

fn random(buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom")?.read_exact(buffer)
}

/// The file of the caller's key.
const CALLER: &str = "caller";
/// The file of the key of a caller who may use [`SMALL_TERM`] tokens in all.
pub const SMALL: &str = "small-caller";
/// Tokens of the small caller: as much as about 600 answers of the mock come to.
pub const SMALL_TERM: u64 = 10_000;
/// Where it stands how long the authority's word holds, in seconds, if not a day.
pub const LEASE: &str = "lease-s";

/// Makes what the gate needs, once.
fn found(folder: &Path, upstream: &str) {
    let lease_s = std::fs::read_to_string(folder.join(LEASE)).map_or(86_400, |text| text.parse().unwrap());
    let authority = TestAuthority::new(now()).with(Role::Stop, stop_key());
    let mut marks = open_marks();
    (marks.lease_s, marks.tokens_per_day) = (lease_s, Some(1 << 50));
    std::fs::create_dir_all(folder.join("root")).unwrap();
    std::fs::write(folder.join("root/1.json"), authority.root()).unwrap();
    std::fs::write(folder.join("license.json"), authority.license("m", Stage::General, Some(marks))).unwrap();
    std::fs::write(folder.join("published.json"), authority.standing(1, now(), lease_s, &[])).unwrap();
    let keys = folder.join("keys.json");
    let mut file = KeyFile::read(&RealDisk, &keys).unwrap();
    let plenty = Limits { tokens_per_minute: Some(1 << 50), ..Limits::default() };
    let small = Limits { tokens_per_term: Some(SMALL_TERM), ..Limits::default() };
    for (subject, limits, name) in [("alice", plenty, CALLER), ("bob", small, SMALL)] {
        let (subject, role) = (subject.to_owned(), "public".to_owned());
        let new = NewKey { subject, role, limits, ..NewKey::default() };
        let key = file.issue(new, now(), &(Arc::new(random) as _)).unwrap().0;
        std::fs::write(folder.join(name), key.expose()).unwrap();
    }
    file.write(&RealDisk).unwrap();
    let pin = authority.pin();
    let config = format!(
        r#"format = "loadline-gate/1"
name = "example.com/gate"
listen = "127.0.0.1:0"
state = "state"
keys = "keys.json"
audit = "audit"

[authority]
roots = "root"
pin = "{pin}"
standing = "published.json"

[admin]
listen = "127.0.0.1:0"
key_env = "ADMIN"

[stages]
general = ["public"]

[[upstream]]
name = "mock"
url = "{upstream}"
kept_connections = 2000

[[model]]
name = "m"
upstream = "mock"
license = "license.json"
"#
    );
    std::fs::write(folder.join("gate.toml"), config).unwrap();
}

/// Serves, and prints its address, the operator's address and a caller's key. In a folder where one served before it
/// goes on.
pub fn run(folder: &Path, upstream: &str) {
    let path = folder.join("gate.toml");
    if !path.exists() {
        found(folder, upstream);
    }
    let key = std::fs::read_to_string(folder.join(CALLER)).unwrap();
    let outside = Outside {
        post: Arc::new(loadline_gate::post::Nowhere),
        log: None,
        environment: Arc::new(|_| Some("operator".to_owned())),
        random: Arc::new(random),
        dial: Arc::new(Plain),
        open: Arc::new(loadline_gate::upstream::resident::none),
        notice: Arc::new(|_| {}),
    };
    let running = Running::open(&path, outside).unwrap();
    let (public, admin) = running.addresses().unwrap();
    println!("{public} {} {key}", admin.unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let ((_end, ending), (_again, reload)) = (watch::channel(false), watch::channel(0));
    runtime.block_on(running.serve(ending, reload)).unwrap();
}
