//! Every byte of a small log changed, and the log cut at every byte.

use std::path::{Path, PathBuf};

use loadline_gate::audit::verify;
use loadline_gate::ledger::{Audit, Keep};

use super::sim::SimDisk;
use super::support::{DIR, block_on, intent, open, outcome};

const SEGMENT: u64 = 1000;

fn small() -> (SimDisk, Vec<PathBuf>) {
    let disk = SimDisk::default();
    let (log, _) = open(&disk, SEGMENT).unwrap();
    for number in 0..4 {
        let recorded = block_on(log.intent(intent(number, Keep::Digest))).unwrap();
        log.outcome(recorded, outcome(number));
    }
    log.close().unwrap();
    let names = loadline_evidence::disk::Disk::list(&disk, Path::new(DIR)).unwrap();
    let mut files: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("segment-"))
        .map(|name| Path::new(DIR).join(name))
        .collect();
    files.sort();
    assert!(files.len() > 1, "{files:?}");
    (disk, files)
}

#[test]
fn a_change_of_any_byte_is_found_and_of_a_durable_one_refuses_to_open() {
    let (disk, mut files) = small();
    let pristine = verify(&disk, Path::new(DIR), None).unwrap();
    let segments = files.len();
    files.extend([Path::new(DIR).join("checkpoint"), Path::new(DIR).join("signer.vkey")]);
    for (at, path) in files.iter().enumerate() {
        let bytes = disk.bytes(path).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let copy = disk.copy();
            copy.put(path, &changed);
            let found = verify(&copy, Path::new(DIR), None);
            assert_ne!(found.as_ref().ok(), Some(&pristine), "{} byte {place}", path.display());
            match found {
                // Only the last checkpoint of the last segment has nothing after it: it looks torn.
                Ok(found) => assert!(at == segments - 1 && found.torn_bytes > 0, "{}", path.display()),
                Err(error) => {
                    assert!(!error.to_string().is_empty() && !error.hint().is_empty());
                    // What is needed to go on is checked again then.
                    if at == segments - 1 || at == segments {
                        let error = open(&copy, SEGMENT).map(|_| ()).unwrap_err();
                        assert!(error.is_tampered() || error.to_string().contains("format"), "{error}");
                        assert_eq!(copy.bytes(path).unwrap(), changed, "nothing is added to a changed log");
                    }
                }
            }
        }
    }
}

#[test]
fn a_log_cut_at_any_byte_is_not_the_one_that_was_signed() {
    let (disk, files) = small();
    let path = files.last().unwrap();
    let bytes = disk.bytes(path).unwrap();
    let last_checkpoint = bytes.windows(2).rposition(|pair| pair == b"\nC").unwrap() + 1;
    for length in 0..bytes.len() {
        let copy = disk.copy();
        copy.put(path, &bytes[..length]);
        match open(&copy, SEGMENT) {
            Ok((_, found)) => {
                assert!(length >= last_checkpoint, "{length}");
                assert_eq!(found.bytes_cut, (length - last_checkpoint) as u64);
            }
            Err(error) => {
                assert!(length < last_checkpoint && error.is_tampered(), "{length}: {error}");
                assert_eq!(copy.bytes(path).unwrap().len(), length);
            }
        }
    }
    let copy = disk.copy();
    copy.put(path, &bytes[..last_checkpoint - 40]);
    let error = open(&copy, SEGMENT).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("it was cut short") || error.contains("safely on disk"), "{error}");
}

#[test]
fn a_log_without_its_signed_checkpoint_or_with_an_older_log_s_is_refused() {
    let (disk, files) = small();
    let (other, _) = small();
    let (log, _) = open(&other, SEGMENT).unwrap();
    block_on(log.intent(intent(9, Keep::Digest))).map(|recorded| log.outcome(recorded, outcome(1))).unwrap();
    log.close().unwrap();
    let checkpoint = Path::new(DIR).join("checkpoint");
    // The whole folder of an earlier day put back, but for the checkpoint.
    let old = disk.copy();
    old.put(&checkpoint, &other.bytes(&checkpoint).unwrap());
    let error = open(&old, SEGMENT).map(|_| ()).unwrap_err();
    assert!(error.is_tampered() && error.to_string().contains("cut short"), "{error}");
    // No checkpoint at all: a folder with everything else.
    let without = SimDisk::default();
    loadline_evidence::disk::Disk::create_dir(&without, Path::new(DIR)).unwrap();
    for path in
        files.iter().cloned().chain(["signer.key", "signer.vkey"].map(|name| Path::new(DIR).join(name)))
    {
        without.put(&path, &disk.bytes(&path).unwrap());
    }
    let error = open(&without, SEGMENT).map(|_| ()).unwrap_err();
    assert!(error.is_tampered() && error.to_string().contains("checkpoint is gone"), "{error}");
    assert!(error.hint().contains("begin another log in an empty folder"));
}
