//! Files of every format version, read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::Instant;
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{AuditLog, verify};
use loadline_gate::keys::{KeyFile, NewKey};
use loadline_gate::ledger::{Audit, Keep};

use super::support::{NAME, block_on, intent, options, outcome, random};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Makes them anew: only when a format gets a new version.
fn bless() {
    let dir = golden().join("audit");
    std::fs::create_dir_all(golden()).unwrap();
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options(&dir, 900)).unwrap();
    for number in 0..3 {
        let keep = if number == 1 { Keep::Full } else { Keep::Digest };
        let recorded = block_on(log.intent(intent(number, keep))).unwrap();
        log.outcome(recorded, outcome(number));
    }
    log.close().unwrap();
    for file in ["signer.key", "lock"] {
        std::fs::remove_file(dir.join(file)).unwrap();
    }
    let mut keys = KeyFile::read(&RealDisk, &golden().join("keys.json")).unwrap();
    let new = NewKey { subject: "ada".into(), role: "scientist".into(), ..NewKey::default() };
    keys.issue(new, Instant::from_seconds(1_800_000_000).unwrap(), &random(1)).unwrap();
    keys.write(&RealDisk).unwrap();
}

#[test]
fn files_of_format_1_are_read() {
    if std::env::var_os("LOADLINE_BLESS").is_some() {
        bless();
    }
    let verified = verify(&RealDisk, &golden().join("audit"), None).unwrap();
    assert_eq!((verified.name.as_str(), verified.intents, verified.outcomes), (NAME, 3, 3));
    assert!(verified.segments > 1 && verified.signed == Some(verified.mark.rows) && verified.torn_bytes == 0);
    let keys = KeyFile::read(&RealDisk, &golden().join("keys.json")).unwrap();
    assert_eq!((keys.keys().len(), keys.keys()[0].subject.as_str()), (1, "ada"));
}
