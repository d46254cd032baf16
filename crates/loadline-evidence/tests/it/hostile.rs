//! Files that somebody made up: no panic, no huge allocation, no half row taken for a whole one.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use loadline_evidence::{RecordReader, Store, verify};
use proptest::prelude::*;

use crate::rows::{sample, spec};
use crate::sim::SimDisk;

fn store(disk: &SimDisk) -> Store {
    Store::with_disk("runs", Arc::new(disk.clone()), Arc::new(|| 7))
}

fn record(disk: &SimDisk, samples: u64) -> (std::path::PathBuf, Vec<u8>) {
    let writer = store(disk).create(&spec(30)).unwrap();
    (0..samples).for_each(|number| writer.append(&sample(number)).unwrap());
    let log = writer.dir().join("log");
    writer.close().unwrap();
    let bytes = disk.bytes(&log).unwrap();
    (log, bytes)
}

/// Reads a log in every way there is. What is given out as a row was appended as one, in order.
fn read_in_every_way(bytes: &[u8], sealed: Option<&[u8]>) -> Result<(), TestCaseError> {
    let disk = SimDisk::default();
    let (log, _) = record(&disk, 1);
    disk.put(&log, bytes);
    if let Some(seal) = sealed {
        disk.put(&log.with_file_name("seal.json"), seal);
    }
    let (store, run) = (store(&disk), spec(30).run_id().unwrap());
    let _ = store.list().unwrap();
    let _ = store.verify(&run);
    if let Ok(reader) = store.reader(&run) {
        for row in reader.rows().skip(1).map_while(Result::ok) {
            prop_assert!((0..8).any(|number| row.1 == sample(number)), "{row:?}");
        }
    }
    if let Ok((resumed, writer)) = store.resume(&run) {
        prop_assert!(resumed.rows >= 1);
        writer.append(&sample(100)).unwrap();
        writer.close().unwrap();
        prop_assert!(store.verify(&run).map_or_else(|error| error.damage().is_some(), |v| v.torn_bytes == 0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_no_record(bytes in prop::collection::vec(any::<u8>(), 0..600), first_line in any::<bool>()) {
        let bytes = if first_line { [b"loadline-record 1\n".as_slice(), &bytes].concat() } else { bytes };
        read_in_every_way(&bytes, None)?;
        read_in_every_way(&bytes, Some(&bytes))?;
    }

    #[test]
    fn frames_of_random_headers_are_no_rows(
        headers in prop::collection::vec("[RCW] [0-9a-f]{8} [0-9a-f]{16} [ -~]{0,40}\n", 0..6),
    ) {
        let bytes = format!("loadline-record 1\n{}", headers.concat()).into_bytes();
        read_in_every_way(&bytes, None)?;
    }

    #[test]
    fn a_record_cut_and_pasted_gives_no_row_that_was_not_written(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..400, any::<prop::sample::Index>()), 1..4),
    ) {
        let (_, mut bytes) = record(&SimDisk::default(), 4);
        for (from, length, to) in cuts {
            let from = from.index(bytes.len());
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            let to = to.index(bytes.len());
            bytes.splice(to..to, piece);
        }
        read_in_every_way(&bytes, None)?;
    }
}

/// A sparse file of this length that begins so.
fn sparse(path: &std::path::Path, beginning: &[u8], length: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(beginning).unwrap();
    file.set_len(length).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
}

#[test]
fn lengths_that_lie_and_endless_files_cost_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let (dir, run) = (writer.dir().to_path_buf(), writer.run());
    writer.close().unwrap();
    let log = dir.join("log");
    let whole = fs::read(&log).unwrap();
    for length in ["04000000", "04000001", "7fffffff", "ffffffff"] {
        let lie = [whole.as_slice(), format!("R {length} 0123456789abcdef {{}}\n").as_bytes()].concat();
        fs::write(&log, &lie).unwrap();
        assert_eq!(verify(&dir).unwrap().torn_bytes, (lie.len() - whole.len()) as u64, "{length}");
        sparse(&log, &lie, 24 << 20);
        assert_eq!(verify(&dir).unwrap().rows, 1, "{length}");
    }
    assert_eq!(RecordReader::open(&dir).unwrap().rows().count(), 1);
    let (resumed, _writer) = store.resume(&run).unwrap();
    assert_eq!(resumed.bytes_cut, (24 << 20) - whole.len() as u64);
}

#[test]
fn a_seal_of_any_size_is_read_in_part_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let run = store.create(&spec(1)).unwrap().run();
    sparse(&store.run_dir(&run).join("seal.json"), b"{", 1 << 40);
    let error = store.verify(&run).unwrap_err();
    assert!(error.to_string().contains("this is not a seal"), "{error}");
}
