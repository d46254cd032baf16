//! One row shown to be in the record, or left out of it.

use std::fs;
use std::path::PathBuf;

use loadline_core::Digest;
use loadline_evidence::{
    ProofFault, RecordError, RecordReader, RowProof, Seal, Store, export_withheld, find_sample, prove,
    prove_sample, verify,
};

use crate::rows::{sample, spec};

fn sealed(root: &std::path::Path, samples: u64) -> (PathBuf, Seal) {
    let store = Store::open(root);
    let writer = store.create(&spec(3)).unwrap();
    for number in 0..samples {
        writer.append(&sample(number)).unwrap();
    }
    let dir = writer.dir().to_path_buf();
    (dir, writer.seal().unwrap())
}

#[test]
fn every_row_is_proved_and_checked_from_its_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, seal) = sealed(folder.path(), 12);
    for row in 0..seal.rows {
        let file = serde_json::to_string(&prove(&dir, row).unwrap()).unwrap();
        let proof: RowProof = serde_json::from_str(&file).unwrap();
        let checked = proof.check(&seal.root).unwrap().unwrap();
        if row > 0 {
            assert_eq!(checked, sample(row - 1));
        }
    }
    assert_eq!(find_sample(&dir, "sum-7", 0).unwrap(), 8);
    assert_eq!(prove_sample(&dir, "sum-7", 0).unwrap(), prove(&dir, 8).unwrap());
    assert!(matches!(prove(&dir, 13), Err(RecordError::NoRow { row: 13, rows: 13 })));
}

#[test]
fn a_changed_proof_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, seal) = sealed(folder.path(), 12);
    let proof = prove_sample(&dir, "sum-7", 0).unwrap();
    let changed = |change: fn(&mut RowProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        changed.check(&seal.root).unwrap_err()
    };
    assert!(matches!(
        changed(|p| p.payload = p.payload.take().map(|t| t.replace("8", "9"))),
        ProofFault::OtherRow { .. }
    ));
    assert!(matches!(changed(|p| p.leaf = Digest::of(b"x")), ProofFault::OtherRow { .. }));
    assert!(matches!(changed(|p| p.row += 1), ProofFault::Path { .. }));
    assert!(matches!(changed(|p| p.rows += 4), ProofFault::Path { .. }));
    assert!(matches!(changed(|p| p.path[2] = Digest::of(b"x")), ProofFault::Path { .. }));
    assert!(matches!(changed(|p| p.root = Digest::of(b"x")), ProofFault::OtherRoot { .. }));
    assert!(matches!(changed(|p| p.format = 2), ProofFault::Version(2)));
    assert!(matches!(proof.check(&Digest::of(b"x")), Err(ProofFault::OtherRoot { .. })));
}

#[test]
fn an_unknown_sample_gets_the_nearest_name_and_an_unfinished_record_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, _) = sealed(folder.path(), 12);
    let error = prove_sample(&dir, "smu-7", 0).unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean `sum-7`?");
    let error = prove_sample(&dir, "sum-7", 3).unwrap_err();
    assert!(error.to_string().ends_with("has no sample `sum-7`, epoch 3"), "{error}");
    assert!(!find_sample(&dir, "\u{1b}[2J", 0).unwrap_err().to_string().contains('\u{1b}'));
    let open = Store::open(folder.path()).create(&spec(4)).unwrap();
    let error = prove(open.dir(), 0).unwrap_err();
    assert!(matches!(error, RecordError::NotSealed { .. }) && error.hint().is_some());
}

#[test]
fn a_changed_log_gives_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, _) = sealed(folder.path(), 12);
    let log = fs::read(dir.join("log")).unwrap();
    let place = log.len() / 2;
    let mut changed = log.clone();
    changed[place] ^= 4;
    fs::write(dir.join("log"), changed).unwrap();
    assert!(prove(&dir, 1).unwrap_err().damage().is_some());
}

#[test]
fn a_copy_without_some_samples_verifies_to_the_same_root() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, seal) = sealed(folder.path(), 12);
    let copies = folder.path().join("copies");
    let copy = export_withheld(&dir, ["sum-2", "sum-9"], &copies).unwrap();
    assert_eq!(copy.dir, copies.join(seal.run.to_string()));
    assert_eq!(copy.verified.withheld, [3, 10]);
    assert_eq!((copy.verified.root, copy.verified.seal.as_ref()), (seal.root, Some(&seal)));
    assert_eq!((copy.verified.rows, copy.verified.samples), (13, 12));

    let text = fs::read_to_string(copy.dir.join("log")).unwrap();
    assert!(!text.contains("sum-2") && !text.contains("sum-9") && text.contains("sum-1"));
    let read: Vec<u64> = RecordReader::open(&copy.dir).unwrap().rows().map(|row| row.unwrap().0).collect();
    assert_eq!(read, [0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12]);

    let shown = prove_sample(&copy.dir, "sum-5", 0).unwrap();
    assert_eq!(shown, prove_sample(&dir, "sum-5", 0).unwrap());
    let hidden = prove(&copy.dir, 3).unwrap();
    assert_eq!(hidden.check(&seal.root).unwrap(), None);
    assert!(matches!(prove_sample(&copy.dir, "sum-2", 0), Err(RecordError::NoSample { .. })));

    let further = export_withheld(&copy.dir, ["sum-5"], folder.path().join("further")).unwrap();
    assert_eq!(further.verified.withheld, [3, 6, 10]);
}

#[test]
fn withholding_refuses_unknown_samples_and_a_folder_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, _) = sealed(folder.path(), 3);
    let copies = folder.path().join("copies");
    let error = export_withheld(&dir, ["sum-1", "sum-X"], &copies).unwrap_err();
    assert!(error.hint().unwrap().starts_with("did you mean `sum-"), "{error}");
    assert!(!copies.exists());
    export_withheld(&dir, ["sum-1"], &copies).unwrap();
    assert!(matches!(export_withheld(&dir, ["sum-1"], &copies), Err(RecordError::Exists { .. })));
    assert!(matches!(export_withheld(&dir, ["sum-1"], folder.path()), Err(RecordError::Exists { .. })));
}

#[test]
fn a_withheld_hash_that_was_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, _) = sealed(folder.path(), 3);
    let copy = export_withheld(&dir, ["sum-1"], folder.path().join("copies")).unwrap();
    let log = copy.dir.join("log");
    let text = fs::read(&log).unwrap();
    let start = text.windows(2).position(|pair| pair == b"W ").unwrap();
    for place in start..start + 28 + 65 {
        let mut changed = text.clone();
        changed[place] ^= 1;
        fs::write(&log, changed).unwrap();
        let error = verify(&copy.dir).unwrap_err();
        assert_eq!(error.damage().unwrap().offset, Some(start as u64), "{place}: {error}");
    }
    // The same hash in an unsealed record is no row that could be gone on with.
    fs::write(&log, &text).unwrap();
    fs::remove_file(copy.dir.join("seal.json")).unwrap();
    assert!(verify(&copy.dir).unwrap_err().to_string().contains("is not sealed"));
}
