//! Proofs from tiles, wrong tiles, and the check of everything.

use loadline_tlog::audit::{Audited, audit};
use loadline_tlog::{ConsistencyProof, InclusionProof, leaf_hash};

use crate::support::MemoryLog;

const SIZES: [u64; 12] = [1, 2, 3, 255, 256, 257, 511, 512, 700, 1025, 65_536, 66_001];

fn leaves(size: u64) -> Vec<loadline_tlog::Hash> {
    (0..size).map(|number| leaf_hash(format!("entry {number}").as_bytes())).collect()
}

#[test]
fn proofs_from_tiles_are_those_of_the_tree() {
    for size in SIZES {
        let (log, leaves) = (MemoryLog::of(size), leaves(size));
        let mut reader = log.reader();
        for index in [0, 1, size / 3, size / 2, size - 1].into_iter().filter(|index| *index < size) {
            let expected = InclusionProof::build(index, size, leaves.iter().copied()).unwrap();
            let (leaf, proof) = reader.inclusion(index).unwrap();
            assert_eq!((leaf, proof), (leaves[index as usize], expected));
            assert_eq!(reader.entry(index).unwrap().0, format!("entry {index}").into_bytes());
        }
        for old in [0, 1, 255, 256, 257, size / 2, size - 1, size].into_iter().filter(|old| *old <= size) {
            let expected = ConsistencyProof::build(old, size, leaves.iter().copied()).unwrap();
            let (root, proof) = reader.consistency(old).unwrap();
            assert_eq!((root, proof), (MemoryLog::of(old).edge.root(), expected), "{old} of {size}");
        }
        assert!(reader.inclusion(size).is_err());
        assert!(reader.consistency(size + 1).is_err());
        assert_eq!(reader.edge().unwrap().root(), log.edge.root());
    }
}

#[test]
fn a_log_that_is_opened_again_grows_as_one_that_was_not() {
    for (size, next) in [(0, 5), (1, 300), (256, 600), (255, 70_000), (65_535, 65_537)] {
        let (whole, mut part) = (MemoryLog::of(next), MemoryLog::of(size));
        part.edge = part.reader().edge().unwrap();
        part.grow(next);
        assert_eq!(part.edge.root(), whole.edge.root());
        for (path, bytes) in &whole.files {
            assert_eq!(part.files.get(path), Some(bytes), "{path}");
        }
    }
}

#[test]
fn a_wrong_tile_gives_an_error_and_never_a_wrong_proof() {
    let log = MemoryLog::of(700);
    for path in log.files.keys().filter(|path| !path.contains("entries")) {
        for at in [0, 31, 32, log.files[path].len() - 1] {
            let mut bad = log.clone();
            bad.files.get_mut(path).unwrap()[at.min(log.files[path].len() - 1)] ^= 1;
            let mut reader = bad.reader();
            for index in [0, 1, 255, 256, 600, 699] {
                if let Ok((leaf, proof)) = reader.inclusion(index) {
                    assert_eq!(proof.verify(&leaf, &log.edge.root()), Ok(()));
                    assert_eq!(leaf, leaf_hash(format!("entry {index}").as_bytes()));
                }
            }
        }
        for length in [0, 31, 33] {
            let mut bad = log.clone();
            bad.files.get_mut(path).unwrap().truncate(length);
            assert!(audit(&bad, 700, &log.edge.root(), &mut |_, _| ()).is_err());
        }
    }
}

#[test]
fn the_check_of_everything_finds_any_changed_byte_and_names_it() {
    let log = MemoryLog::of(700);
    let root = log.edge.root();
    let whole = Audited { entries: 700, tiles: 4, bundles: 3 };
    assert_eq!(audit(&log, 700, &root, &mut |_, _| ()).unwrap(), whole);
    for (path, bytes) in &log.files {
        for at in (0..bytes.len()).step_by(7) {
            let mut bad = log.clone();
            bad.files.get_mut(path).unwrap()[at] ^= 4;
            assert!(audit(&bad, 700, &root, &mut |_, _| ()).is_err(), "byte {at} of {path}");
        }
    }
    let mut bad = log.clone();
    *bad.files.get_mut("tile/entries/001").unwrap().last_mut().unwrap() ^= 1;
    let error = audit(&bad, 700, &root, &mut |_, _| ()).unwrap_err().to_string();
    assert_eq!(error, "entry 511 in tile/entries/001 does not have the hash that tile/0/001 says");
    let mut bad = log.clone();
    bad.files.get_mut("tile/1/000.p/2").unwrap()[40] ^= 1;
    let error = audit(&bad, 700, &root, &mut |_, _| ()).unwrap_err().to_string();
    assert_eq!(error, "hash 1 of tile/1/000.p/2 is not the root of tile/0/001");
    assert!(audit(&log, 699, &root, &mut |_, _| ()).is_err());
    assert!(audit(&log, 701, &root, &mut |_, _| ()).is_err());
    assert!(audit(&log, u64::MAX, &root, &mut |_, _| ()).is_err());
    assert!(
        audit(&log, 700, &[0; 32], &mut |_, _| ()).unwrap_err().to_string().contains("root over 700 entries")
    );
}
