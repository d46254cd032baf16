//! Records of every format version, read for ever, and written the same today.

use std::fs;
use std::path::{Path, PathBuf};

use loadline_core::record::Row;
use loadline_evidence::{RecordReader, RecordWriter, Store, prove_sample, verify};

use crate::rows::{sample, spec};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The rows of the golden record after the first.
fn rows() -> Vec<Row> {
    let mut rows = vec![Row::Opened { at_ms: 1_700_000_000_000, program: "loadline 0.1.0".into() }];
    rows.extend((0..3).map(sample));
    rows.push(Row::Recovered { at_ms: 1_700_000_001_000, bytes_cut: 17 });
    rows.push(sample(3));
    rows
}

/// Writes them one at a time: how rows are grouped decides where checkpoints stand.
fn write(writer: RecordWriter) {
    for row in rows() {
        writer.append(&row).unwrap();
        writer.flush().unwrap();
    }
    writer.seal().unwrap();
}

#[test]
fn the_record_of_format_1_is_read() {
    let dir = golden().join("v1").join(spec(2024).run_id().unwrap().to_string());
    let verified = verify(&dir).unwrap();
    assert_eq!((verified.rows, verified.samples), (7, 4));
    let read: Vec<Row> = RecordReader::open(&dir).unwrap().rows().map(|row| row.unwrap().1).collect();
    assert_eq!(read[0], Row::Spec(Box::new(spec(2024))));
    assert_eq!(read[1..], rows());
    let kept: loadline_evidence::RowProof =
        serde_json::from_str(&fs::read_to_string(golden().join("v1/proof-sum-2.json")).unwrap()).unwrap();
    assert_eq!(kept.check(&verified.root).unwrap(), Some(sample(2)));
}

#[test]
fn today_s_writer_writes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Store::open(folder.path()).create(&spec(2024)).unwrap();
    let (dir, run) = (writer.dir().to_path_buf(), writer.run());
    write(writer);
    let proof = serde_json::to_string(&prove_sample(&dir, "sum-2", 0).unwrap()).unwrap() + "\n";
    let kept = golden().join("v1").join(run.to_string());
    if std::env::var_os("LOADLINE_BLESS").is_some() {
        fs::create_dir_all(&kept).unwrap();
        for file in ["log", "seal.json"] {
            fs::copy(dir.join(file), kept.join(file)).unwrap();
        }
        fs::write(golden().join("v1/proof-sum-2.json"), &proof).unwrap();
    }
    for file in ["log", "seal.json"] {
        let (today, then) = (fs::read_to_string(dir.join(file)), fs::read_to_string(kept.join(file)));
        assert_eq!(today.unwrap(), then.unwrap(), "{file}");
    }
    assert_eq!(proof, fs::read_to_string(golden().join("v1/proof-sum-2.json")).unwrap());
}
