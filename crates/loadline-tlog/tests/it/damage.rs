//! A log's folder that somebody changed: every byte, every length, every file; and numbers and files that are too large.

use std::sync::Arc;

use loadline_tlog::disk::{Disk as _, DiskError, DiskLog, FolderSource, Fsck, RealDisk, WitnessFolder, fsck};
use loadline_tlog::{Algorithm, Checkpoint, SignerKey, TileReader};

use crate::sim::SimDisk;
use crate::support::{NOW, ORIGIN, key, log_verifier, sign, signed};

fn witness() -> SignerKey {
    key("w.example", Algorithm::CosignatureEd25519, 20)
}

/// A log with these sizes one after the other, the last one published with a cosignature.
fn small(sizes: &[u64]) -> SimDisk {
    let disk = SimDisk::default();
    let keys = vec![log_verifier()];
    let mut log = DiskLog::create("log", Arc::new(disk.clone()), keys, ORIGIN, signed).unwrap();
    for size in sizes {
        log.append((log.size()..*size).map(|number| format!("entry {number}")), signed).unwrap();
    }
    let mut note = log.head().clone();
    note.sign(&witness(), NOW).unwrap();
    log.publish(&note).unwrap();
    drop(log);
    disk
}

fn check(disk: &SimDisk) -> Result<Fsck, DiskError> {
    let witnesses = [witness().verifier().clone()];
    fsck("log", Arc::new(disk.clone()), &[log_verifier()], &witnesses, &mut |_, _| ())
}

/// The files that are the log.
fn files(disk: &SimDisk) -> Vec<String> {
    disk.files().into_iter().filter(|path| !path.starts_with("log/tmp/")).collect()
}

#[test]
fn a_changed_byte_anywhere_in_the_folder_is_found() {
    let disk = small(&[1, 3, 5]);
    let report = check(&disk).unwrap();
    assert_eq!((report.audited.entries, report.older, report.beyond), (5, 4, 0));
    assert_eq!((report.published, report.unknown_signatures), (Some(5), 0));
    let files = files(&disk);
    assert_eq!(files.len(), 8, "{files:?}");
    for path in &files {
        let whole = disk.bytes(path).unwrap();
        for at in 0..whole.len() {
            for bits in [0x01, 0x20, 0x80, 0xff] {
                let (changed, mut bytes) = (disk.copy(), whole.clone());
                bytes[at] ^= bits;
                changed.put(path, &bytes);
                match check(&changed) {
                    Err(error) => assert!(!error.hint().is_empty() && error.to_string().contains("log")),
                    // The name or id of a witness: then it is a line of somebody unknown, and that is said.
                    Ok(other) => assert_eq!(
                        (other.unknown_signatures, path.as_str()),
                        (1, "log/checkpoint"),
                        "byte {at} of {path}"
                    ),
                }
            }
        }
    }
}

#[test]
fn a_changed_byte_in_a_log_of_two_levels_is_found() {
    let disk = small(&[257]);
    let files: Vec<String> = files(&disk).into_iter().filter(|path| path.starts_with("log/tile/")).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    for path in &files {
        let mut bytes = disk.bytes(path).unwrap();
        // Every byte of a small log is changed above; this one would take minutes.
        for at in (0..bytes.len()).filter(|at| at % 7 == 0 || at % 256 < 2) {
            bytes[at] ^= 0x10;
            disk.put(path, &bytes);
            assert!(check(&disk).is_err(), "byte {at} of {path}");
            bytes[at] ^= 0x10;
        }
        disk.put(path, &bytes);
        check(&disk).unwrap();
    }
}

#[test]
fn a_file_that_is_cut_longer_missing_or_anothers_is_found() {
    let disk = small(&[1, 3, 5]);
    let honest = check(&disk).unwrap();
    for path in &files(&disk) {
        let whole = disk.bytes(path).unwrap();
        let lengths = (0..whole.len()).map(|length| whole[..length].to_vec());
        let longer = [[whole.as_slice(), b"x"].concat(), [whole.as_slice(), b"\n"].concat()];
        for bytes in lengths.chain(longer) {
            let changed = disk.copy();
            changed.put(path, &bytes);
            let found = check(&changed);
            if path == "log/checkpoint" && Some(&bytes) == disk.bytes("log/head").as_ref() {
                // Without its cosignature it is true all the same; whether it is enough, a policy says.
                continue;
            }
            assert!(found.as_ref().ok() != Some(&honest), "{path} with {} bytes", bytes.len());
        }
        for other in files(&disk).iter().filter(|other| *other != path) {
            let swapped = disk.copy();
            swapped.put(path, &disk.bytes(other).unwrap());
            let same = disk.bytes(other) == Some(whole.clone());
            // A log's head without the cosignature is a checkpoint too: published, but with less.
            let still_true = path == "log/checkpoint" && other == "log/head";
            assert!(same || still_true || check(&swapped).is_err(), "{other} in the place of {path}");
        }
    }
}

#[test]
fn the_first_thing_that_is_wrong_is_named() {
    let disk = small(&[300]);
    let change = |path: &str, at: usize| {
        let (changed, mut bytes) = (disk.copy(), disk.bytes(path).unwrap());
        bytes[at] ^= 1;
        changed.put(path, &bytes);
        check(&changed).unwrap_err().to_string()
    };
    let entry = change("log/tile/entries/000", 2 + 6);
    assert!(
        entry.contains("entry 0 in tile/entries/000 does not have the hash that tile/0/000 says"),
        "{entry}"
    );
    let hash = change("log/tile/0/001.p/44", 32 * 43);
    assert!(hash.contains("entry 299 in tile/entries/001.p/44"), "{hash}");
    let above = change("log/tile/1/000.p/1", 0);
    assert!(above.contains("hash 0 of tile/1/000.p/1 is not the root of tile/0/000"), "{above}");
}

#[test]
fn files_of_a_batch_that_was_cut_off_and_files_of_others_are_no_harm() {
    let disk = small(&[5]);
    disk.put("log/tile/0/000.p/9", &[7; 9 * 32]);
    disk.put("log/tile/entries/001", b"?");
    disk.create_dir("log/tile/9".as_ref()).unwrap();
    for stray in ["log/tile/0/note.txt", "log/tile/entries/000.p/06", "log/tile/9/000", "log/tile/README"] {
        disk.put(stray, b"?");
    }
    let report = check(&disk).unwrap();
    assert_eq!(report.beyond, 2);
    assert_eq!(report.strays, ["tile/0/note.txt", "tile/9/000", "tile/README", "tile/entries/000.p/06"]);
}

#[test]
fn every_entry_is_shown_once_and_in_order() {
    let disk = small(&[256, 600]);
    let mut shown = Vec::new();
    let mut visit = |index, entry: &[u8]| shown.push((index, entry.to_vec()));
    fsck("log", Arc::new(disk), &[log_verifier()], &[], &mut visit).unwrap();
    assert_eq!(shown.len(), 600);
    assert!((0u64..).zip(&shown).all(|(n, entry)| *entry == (n, format!("entry {n}").into_bytes())));
}

/// A head that the log's own key signed, over numbers that cannot be.
#[test]
fn huge_numbers_are_refused_at_once() {
    for size in [6, 256, 1 << 40, (1 << 63) - 1, 1 << 63, u64::MAX] {
        let disk = small(&[5]);
        let note = sign(&Checkpoint::new(ORIGIN, size, [7; 32]).unwrap());
        disk.put("log/head", note.to_text().as_bytes());
        assert!(check(&disk).is_err(), "{size}");
        assert!(DiskLog::open("log", Arc::new(disk.clone()), vec![log_verifier()]).is_err(), "{size}");
        let folder = tempfile::tempdir().unwrap();
        let mut reader = TileReader::new(FolderSource::new(folder.path()), size, [7; 32]);
        assert!(reader.inclusion(size - 1).is_err() && reader.inclusion(size).is_err());
        assert!(reader.consistency(size - 1).is_err());
        assert!(size == u64::MAX || reader.consistency(u64::MAX).is_err());
    }
    // A bundle whose lengths promise more than there is.
    let disk = small(&[5]);
    disk.put("log/tile/entries/000.p/5", &[0xff; 1000]);
    assert!(check(&disk).unwrap_err().to_string().contains("tile/entries/000.p/5 is damaged at entry 0"));
}

/// Sparse files: they take no room on the disk, and must take none in memory.
#[test]
fn a_gigabyte_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("log");
    let open = || DiskLog::open(&dir, Arc::new(RealDisk), vec![log_verifier()]);
    let mut log = DiskLog::create(&dir, Arc::new(RealDisk), vec![log_verifier()], ORIGIN, signed).unwrap();
    log.append((0..5).map(|number| format!("entry {number}")), signed).unwrap();
    let head = log.head().clone();
    log.publish(&head).unwrap();
    drop(log);
    for path in ["head", "checkpoint", "tile/0/000.p/5", "tile/entries/000.p/5"] {
        let path = dir.join(path);
        let before = std::fs::read(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        let error = open().unwrap_err().to_string();
        assert!(error.contains("it has more than"), "{error}");
        let checked = fsck(&dir, Arc::new(RealDisk), &[log_verifier()], &[], &mut |_, _| ());
        assert!(checked.unwrap_err().to_string().contains("it has more than"));
        std::fs::write(&path, before).unwrap();
    }
    open().unwrap();
    let store = folder.path().join("witness");
    drop(WitnessFolder::open(&store, Arc::new(RealDisk)).unwrap());
    std::fs::File::create(store.join("0".repeat(64))).unwrap().set_len(1 << 30).unwrap();
    let error = WitnessFolder::open(&store, Arc::new(RealDisk)).unwrap_err();
    assert!(error.to_string().contains("it has more than"), "{error}");
}
