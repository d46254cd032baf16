//! The Merkle tree against the test vectors that every RFC 6962 log is tested with, and against the recursion in the
//! RFC, written out a second time.

use loadline_tlog::{ConsistencyProof, Hash, InclusionProof, ProofError, Tree, leaf_hash, node_hash};
use proptest::prelude::*;

/// The eight leaves of the Certificate Transparency test data.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots over the first 0, 1, … 8 of them.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Inclusion proofs of the same data: leaf index, tree size, path.
const INCLUSION: [(u64, u64, &[&str]); 4] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
];

/// Consistency proofs of the same data: earlier size, later size, path.
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hash(text: &str) -> Hash {
    unhex(text).try_into().unwrap()
}

fn known_leaves() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(&unhex(leaf))).collect()
}

fn numbered_leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn tree_of(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::new();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree
}

/// MTH of RFC 6962, section 2.1, by its recursion.
fn root_by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => loadline_tlog::merkle::empty_root(),
        [one] => *one,
        many => {
            let k = many.len().next_power_of_two() / 2;
            node_hash(&root_by_definition(&many[..k]), &root_by_definition(&many[k..]))
        }
    }
}

#[test]
fn roots_are_the_known_ones() {
    let leaves = known_leaves();
    for (size, root) in ROOTS.iter().enumerate() {
        assert_eq!(tree_of(&leaves[..size]).root(), hash(root), "{size} leaves");
    }
}

#[test]
fn inclusion_proofs_are_the_known_ones() {
    for (index, size, path) in INCLUSION {
        let proof = InclusionProof::build(index, size, known_leaves()).unwrap();
        assert_eq!(proof.path, path.iter().map(|h| hash(h)).collect::<Vec<_>>(), "{index} of {size}");
        proof.verify(&known_leaves()[index as usize], &hash(ROOTS[size as usize])).unwrap();
    }
}

#[test]
fn consistency_proofs_are_the_known_ones() {
    for (old, new, path) in CONSISTENCY {
        let proof = ConsistencyProof::build(old, new, known_leaves()).unwrap();
        assert_eq!(proof.path, path.iter().map(|h| hash(h)).collect::<Vec<_>>(), "{old} to {new}");
        proof.verify(&hash(ROOTS[old as usize]), &hash(ROOTS[new as usize])).unwrap();
    }
}

#[test]
fn every_size_agrees_with_the_definition_and_proves_every_leaf() {
    let leaves = numbered_leaves(70);
    for size in 1..=70 {
        let root = tree_of(&leaves[..size]).root();
        assert_eq!(root, root_by_definition(&leaves[..size]), "{size}");
        for index in 0..size {
            let proof = InclusionProof::build(index as u64, size as u64, leaves.iter().copied()).unwrap();
            proof.verify(&leaves[index], &root).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                assert_eq!(proof.verify(&leaves[other], &root), Err(ProofError::RootMismatch));
                let moved = InclusionProof { index: other as u64, ..proof.clone() };
                assert!(moved.verify(&leaves[index], &root).is_err(), "{index} as {other} of {size}");
            }
        }
    }
}

#[test]
fn every_pair_of_sizes_is_consistent() {
    let leaves = numbered_leaves(70);
    let roots: Vec<Hash> = (0..=70).map(|size| tree_of(&leaves[..size]).root()).collect();
    for new in 0..=70 {
        for old in 0..=new {
            let proof = ConsistencyProof::build(old as u64, new as u64, leaves.iter().copied()).unwrap();
            proof.verify(&roots[old], &roots[new]).unwrap();
            let wrong = leaf_hash(b"wrong");
            assert!(proof.verify(&wrong, &roots[new]).is_err(), "{old} to {new}");
            assert!(old == 0 || proof.verify(&roots[old], &wrong).is_err(), "{old} to {new}");
        }
    }
}

#[test]
fn what_cannot_be_proved_is_refused() {
    let leaves = numbered_leaves(5);
    let build = |index, size| InclusionProof::build(index, size, leaves.iter().copied());
    assert_eq!(build(5, 5), Err(ProofError::OutOfRange { index: 5, size: 5 }));
    assert_eq!(build(0, 0), Err(ProofError::OutOfRange { index: 0, size: 0 }));
    assert_eq!(build(0, 6), Err(ProofError::TooFewLeaves { given: 5, size: 6 }));
    let shrunk = ConsistencyProof::build(4, 3, leaves.iter().copied());
    assert_eq!(shrunk, Err(ProofError::OutOfRange { index: 4, size: 3 }));
}

#[test]
fn a_proof_with_extreme_numbers_is_refused_and_does_not_panic() {
    let root = leaf_hash(b"");
    for (index, size) in [(0, u64::MAX), (u64::MAX - 1, u64::MAX), (u64::MAX, u64::MAX), (1 << 63, u64::MAX)]
    {
        for length in [0, 1, 63, 64, 65, 128] {
            let path = vec![root; length];
            assert!(InclusionProof { index, size, path: path.clone() }.verify(&root, &root).is_err());
            let proof = ConsistencyProof { old_size: index, new_size: size, path };
            assert!(proof.verify(&root, &leaf_hash(b"other")).is_err(), "{index} to {size}");
        }
    }
}

/// A change to one thing in a proof.
fn mutate(path: &mut Vec<Hash>, place: usize, kind: u8) {
    match kind {
        0 => path.push(leaf_hash(b"more")),
        1 => drop(path.pop()),
        2 if !path.is_empty() => {
            let at = place % path.len();
            path[at][place % 32] ^= 1 << (place % 8);
        }
        3 if path.len() > 1 => path.swap(0, 1),
        _ => path.insert(0, leaf_hash(b"before")),
    }
}

proptest! {
    #[test]
    fn a_changed_inclusion_proof_does_not_hold(
        size in 1u64..200, place in 0usize..10_000, kind in 0u8..5, at in any::<prop::sample::Index>(),
    ) {
        let leaves = numbered_leaves(size);
        let index = at.index(size as usize) as u64;
        let root = tree_of(&leaves).root();
        let mut proof = InclusionProof::build(index, size, leaves.iter().copied()).unwrap();
        let before = proof.path.clone();
        mutate(&mut proof.path, place, kind);
        prop_assert_eq!(proof.verify(&leaves[index as usize], &root).is_ok(), proof.path == before);
    }

    #[test]
    fn a_changed_consistency_proof_does_not_hold(
        new in 2u64..200, place in 0usize..10_000, kind in 0u8..5, at in any::<prop::sample::Index>(),
    ) {
        let leaves = numbered_leaves(new);
        let old = 1 + at.index(new as usize - 1) as u64;
        let (old_root, new_root) = (tree_of(&leaves[..old as usize]).root(), tree_of(&leaves).root());
        let mut proof = ConsistencyProof::build(old, new, leaves.iter().copied()).unwrap();
        let before = proof.path.clone();
        mutate(&mut proof.path, place, kind);
        prop_assert_eq!(proof.verify(&old_root, &new_root).is_ok(), proof.path == before);
    }
}
