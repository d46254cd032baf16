//! A log in a folder.

use std::sync::Arc;

use loadline_tlog::disk::{DiskError, DiskLog, RealDisk, fsck};
use loadline_tlog::leaf_hash;

use crate::support::{ORIGIN, log_verifier, signed};

fn open(dir: &std::path::Path) -> Result<DiskLog, DiskError> {
    DiskLog::open(dir, Arc::new(RealDisk), vec![log_verifier()])
}

#[test]
fn entries_stay_and_can_be_proved() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    assert!(matches!(open(&dir), Err(DiskError::Missing(_))));
    let mut log = DiskLog::create(&dir, Arc::new(RealDisk), vec![log_verifier()], ORIGIN, signed).unwrap();
    assert!(matches!(open(&dir), Err(DiskError::Locked { .. })));
    let mut size = 0u64;
    for batch in [1u64, 3, 0, 252, 1, 300, 1000] {
        let entries = (size..size + batch).map(|number| format!("entry {number}"));
        assert_eq!(log.append(entries, signed).unwrap(), size..size + batch);
        size += batch;
        let head = log.head().clone();
        log.publish(&head).unwrap();
        drop(log);
        log = open(&dir).unwrap();
        assert_eq!(log.size(), size);
    }
    assert!(!dir.join("tile/0/000.p").exists(), "a full tile takes the place of partial ones");
    for index in [0, 255, 256, 1000, size - 1] {
        let (entry, proof) = log.reader().entry(index).unwrap();
        assert_eq!(entry, format!("entry {index}").into_bytes());
        proof.verify(&leaf_hash(&entry), log.checkpoint().root()).unwrap();
    }
    let report = fsck(&dir, Arc::new(RealDisk), &[log_verifier()], &[], &mut |_, _| ()).unwrap();
    assert_eq!((report.audited.entries, report.published), (size, Some(size)));
    assert!(matches!(
        DiskLog::create(&dir, Arc::new(RealDisk), vec![log_verifier()], ORIGIN, signed),
        Err(DiskError::Locked { .. })
    ));
    drop(log);
    assert!(matches!(
        DiskLog::create(&dir, Arc::new(RealDisk), vec![log_verifier()], ORIGIN, signed),
        Err(DiskError::Exists(_))
    ));
}
