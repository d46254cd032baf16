//! Another implementation of the same texts (the crates `signed_note` and `tlog_tiles`) verifies ours, and ours theirs.

use loadline_tlog::{Checkpoint, InclusionProof, Note, Resource, VerifierKey, leaf_hash};
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Error, Hash, Tile, TileHashReader, TileReader};

use crate::support::{MemoryLog, ORIGIN, log_key, log_verifier};

#[test]
fn notes_go_both_ways() {
    let ours = MemoryLog::of(3).note();
    let theirs = signed_note::Note::from_bytes(ours.to_text().as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&log_verifier().to_vkey()).unwrap();
    let (verified, _) = theirs.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);

    let signer = StandardSigner::new(&log_key().expose_skey()).unwrap();
    let mut theirs = signed_note::Note::new(ours.text().as_bytes(), &[]).unwrap();
    theirs.add_sigs(&[&signer]).unwrap();
    assert_eq!(theirs.to_bytes(), ours.to_text().as_bytes());
    Note::parse(&theirs.to_bytes()).unwrap().verify([&log_verifier()]).unwrap();
    assert_eq!(VerifierKey::parse(&log_verifier().to_vkey()).unwrap(), log_verifier());
}

#[test]
fn checkpoints_go_both_ways() {
    let ours = MemoryLog::of(300).checkpoint();
    let theirs = tlog_tiles::Checkpoint::new(ORIGIN, 300, Hash(*ours.root()), "").unwrap();
    assert_eq!(Checkpoint::parse(std::str::from_utf8(&theirs.to_bytes()).unwrap()).unwrap(), ours);
}

/// Our files, read by their reader, which checks them against the root.
struct Files<'l>(&'l MemoryLog);

impl TileReader for Files<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(tiles
            .iter()
            .map(|tile| {
                // Their paths name the height, as the Go checksum database does.
                let path = tile.path().replacen("tile/8/", "tile/", 1);
                Resource::parse(&path).unwrap();
                self.0.files.get(&path).unwrap_or_else(|| panic!("{path}")).clone()
            })
            .collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn their_reader_proves_from_our_tiles_what_ours_does() {
    for size in [1, 255, 256, 700, 66_000] {
        let log = MemoryLog::of(size);
        let (root, files) = (Hash(log.edge.root()), Files(&log));
        let hashes = TileHashReader::new(size, root, &files);
        for index in [0, size / 2, size - 1] {
            let theirs = tlog_tiles::prove_record(size, index, &hashes).unwrap();
            let (leaf, ours) = log.reader().inclusion(index).unwrap();
            assert_eq!(theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), ours.path);
            tlog_tiles::check_record(&theirs, size, root, index, Hash(leaf)).unwrap();
            let path = theirs.iter().map(|hash| hash.0).collect();
            let leaf = leaf_hash(format!("entry {index}").as_bytes());
            InclusionProof { index, size, path }.verify(&leaf, &root.0).unwrap();
        }
        for old in [1, size / 2 + 1, size] {
            let theirs = tlog_tiles::prove_tree(size, old, &hashes).unwrap();
            let (_, ours) = log.reader().consistency(old).unwrap();
            if old < size {
                assert_eq!(theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), ours.path);
            }
        }
    }
}
