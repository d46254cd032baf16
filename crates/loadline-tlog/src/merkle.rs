//! The Merkle tree of RFC 6962, section 2.1 (unchanged in RFC 9162, section 2.1).
//!
//! A leaf is SHA-256(0x00 ‖ data), a node SHA-256(0x01 ‖ left ‖ right). The left subtree of a tree of n leaves
//! holds the largest power of two smaller than n.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash: a leaf, a node or a root.
pub type Hash = [u8; 32];

/// The hash of a leaf that holds this data.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

/// The hash of a node over two subtrees.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// A tree that only grows. It keeps the roots of its perfect subtrees, at most 64 hashes, and not the leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Roots of the perfect subtrees from left to right: one for each set bit of `size`, high to low.
    frontier: Vec<Hash>,
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree whose perfect subtrees, from left to right, have these roots. There must be one for each set bit of
    /// the size.
    pub(crate) fn from_frontier(size: u64, frontier: Vec<Hash>) -> Self {
        debug_assert_eq!(frontier.len(), size.count_ones() as usize);
        Self { size, frontier }
    }

    /// The tree whose perfect subtrees, from left to right, have these roots; `None` unless there is one for each set
    /// bit of the size.
    pub fn from_edge(size: u64, edge: Vec<Hash>) -> Option<Self> {
        (edge.len() == size.count_ones() as usize).then(|| Self::from_frontier(size, edge))
    }

    /// The roots of its perfect subtrees, from left to right: all that is needed to go on with it.
    pub fn edge(&self) -> &[Hash] {
        &self.frontier
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash (see [`leaf_hash`]) and gives its index.
    pub fn push(&mut self, leaf: Hash) -> u64 {
        let index = self.size;
        let mut hash = leaf;
        // Each trailing one bit of the old size is a perfect subtree that the new leaf completes a pair with.
        for _ in 0..index.trailing_ones() {
            if let Some(left) = self.frontier.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.frontier.push(hash);
        self.size += 1;
        index
    }

    /// The root over all leaves so far, in at most 63 hashes.
    pub fn root(&self) -> Hash {
        let mut subtrees = self.frontier.iter().rev();
        match subtrees.next() {
            None => empty_root(),
            Some(last) => subtrees.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// Shows that a leaf is in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The leaf's index, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// The sibling hashes from the leaf up to the root.
    pub path: Vec<Hash>,
}

/// Shows that a tree is an earlier one with leaves added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// How many leaves the earlier tree has.
    pub old_size: u64,
    /// How many leaves the later tree has.
    pub new_size: u64,
    /// The hashes from which both roots follow, bottom up.
    pub path: Vec<Hash>,
}

/// Why there is no proof, or why one does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf or the earlier tree is not in a tree of this size.
    #[error("{index} is outside a tree of {size} leaves")]
    OutOfRange {
        /// The index or the earlier size.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// Fewer leaves were given than the tree has.
    #[error("the tree has {size} leaves but only {given} were given")]
    TooFewLeaves {
        /// Leaves given.
        given: u64,
        /// Leaves the tree has.
        size: u64,
    },
    /// The proof has too many or too few hashes for its sizes.
    #[error("a proof for these sizes has {expected} hashes, this one has {found}")]
    Length {
        /// Hashes it should have.
        expected: usize,
        /// Hashes it has.
        found: usize,
    },
    /// The hashes do not lead to the root.
    #[error("the proof leads to another root")]
    RootMismatch,
}

impl InclusionProof {
    /// Makes the proof for one leaf in one pass over all leaf hashes, in order; memory is O(log size).
    ///
    /// # Errors
    /// When the index is outside the tree, or `leaves` ends before `size`.
    pub fn build(index: u64, size: u64, leaves: impl IntoIterator<Item = Hash>) -> Result<Self, ProofError> {
        if index >= size {
            return Err(ProofError::OutOfRange { index, size });
        }
        let mut walk = Walk::new(size, leaves.into_iter());
        let mut path = Vec::new();
        walk.inclusion(index, 0, size, &mut path)?;
        Ok(Self { index, size, path })
    }

    /// Checks that `leaf` is in the tree with this root.
    ///
    /// # Errors
    /// When the index is outside the tree, the proof has the wrong length, or it leads to another root.
    pub fn verify(&self, leaf: &Hash, root: &Hash) -> Result<(), ProofError> {
        let (index, size) = (self.index, self.size);
        if index >= size {
            return Err(ProofError::OutOfRange { index, size });
        }
        // Up to the level where index and last leaf meet, a node has a right sibling in the tree or is the
        // border; above it, only set bits of the index have a (left) sibling.
        let inner = bit_length(index ^ (size - 1));
        let border = index.checked_shr(inner).unwrap_or(0).count_ones() as usize;
        check_length(&self.path, inner as usize + border)?;
        let (below, above) = self.path.split_at(inner as usize);
        let mut hash = *leaf;
        for (level, sibling) in below.iter().enumerate() {
            hash = match index >> level & 1 {
                0 => node_hash(&hash, sibling),
                _ => node_hash(sibling, &hash),
            };
        }
        hash = above.iter().fold(hash, |hash, sibling| node_hash(sibling, &hash));
        if hash == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
    }
}

impl ConsistencyProof {
    /// Makes the proof in one pass over all leaf hashes of the later tree, in order; memory is O(log size).
    ///
    /// # Errors
    /// When the earlier tree is larger, or `leaves` ends before `new_size`.
    pub fn build(
        old_size: u64,
        new_size: u64,
        leaves: impl IntoIterator<Item = Hash>,
    ) -> Result<Self, ProofError> {
        if old_size > new_size {
            return Err(ProofError::OutOfRange { index: old_size, size: new_size });
        }
        let mut path = Vec::new();
        // Every tree follows from the empty one and from itself: nothing to show (RFC 6962, 2.1.2).
        if old_size > 0 && old_size < new_size {
            let mut walk = Walk::new(new_size, leaves.into_iter());
            walk.consistency(old_size, 0, new_size, true, &mut path)?;
        }
        Ok(Self { old_size, new_size, path })
    }

    /// Checks that the tree with `new_root` is the tree with `old_root` with leaves added.
    ///
    /// # Errors
    /// When the earlier tree is larger, the proof has the wrong length, or it leads to another root.
    pub fn verify(&self, old_root: &Hash, new_root: &Hash) -> Result<(), ProofError> {
        let (old, new) = (self.old_size, self.new_size);
        if old > new {
            return Err(ProofError::OutOfRange { index: old, size: new });
        }
        if old == 0 || old == new {
            check_length(&self.path, 0)?;
            let holds = if old == 0 { *old_root == empty_root() } else { old_root == new_root };
            return if holds { Ok(()) } else { Err(ProofError::RootMismatch) };
        }
        // The proof is an inclusion path of the last perfect subtree of the earlier tree. Where the earlier
        // tree is itself that subtree, its root is known and not repeated in the path.
        let shift = old.trailing_zeros();
        let (index, last) = ((old - 1) >> shift, (new - 1) >> shift);
        let inner = bit_length(index ^ last);
        let border = index.checked_shr(inner).unwrap_or(0).count_ones() as usize;
        let seeded = usize::from(!old.is_power_of_two());
        check_length(&self.path, seeded + inner as usize + border)?;
        let (seed, path) = self.path.split_at(seeded);
        let (below, above) = path.split_at(inner as usize);
        let start = *seed.first().unwrap_or(old_root);
        let (mut old_hash, mut new_hash) = (start, start);
        for (level, sibling) in below.iter().enumerate() {
            if index >> level & 1 == 1 {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            } else {
                new_hash = node_hash(&new_hash, sibling);
            }
        }
        for sibling in above {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
        }
        let holds = old_hash == *old_root && new_hash == *new_root;
        if holds { Ok(()) } else { Err(ProofError::RootMismatch) }
    }
}

/// How many bits a number takes.
fn bit_length(n: u64) -> u32 {
    u64::BITS - n.leading_zeros()
}

fn check_length(path: &[Hash], expected: usize) -> Result<(), ProofError> {
    if path.len() == expected {
        return Ok(());
    }
    Err(ProofError::Length { expected, found: path.len() })
}

/// The largest power of two smaller than `n`, for n ≥ 2.
fn split_point(n: u64) -> u64 {
    1 << (bit_length(n - 1) - 1)
}

/// One pass over the leaves, from left to right, through the recursion that defines the tree.
struct Walk<I> {
    leaves: I,
    given: u64,
    size: u64,
}

impl<I: Iterator<Item = Hash>> Walk<I> {
    fn new(size: u64, leaves: I) -> Self {
        Self { leaves, given: 0, size }
    }

    /// The hash of the subtree over the next `count` leaves.
    fn subtree(&mut self, count: u64) -> Result<Hash, ProofError> {
        let mut tree = Tree::new();
        for _ in 0..count {
            let too_few = ProofError::TooFewLeaves { given: self.given, size: self.size };
            tree.push(self.leaves.next().ok_or(too_few)?);
            self.given += 1;
        }
        Ok(tree.root())
    }

    /// PATH(m, D[n]) of RFC 6962, section 2.1.1, for the subtree of leaves `start..end`.
    fn inclusion(
        &mut self,
        index: u64,
        start: u64,
        end: u64,
        path: &mut Vec<Hash>,
    ) -> Result<(), ProofError> {
        if end - start == 1 {
            return self.subtree(1).map(drop);
        }
        let middle = start + split_point(end - start);
        if index < middle {
            self.inclusion(index, start, middle, path)?;
            path.push(self.subtree(end - middle)?);
        } else {
            let left = self.subtree(middle - start)?;
            self.inclusion(index, middle, end, path)?;
            path.push(left);
        }
        Ok(())
    }

    /// SUBPROOF(m, D[n], b) of RFC 6962, section 2.1.2, for the subtree of leaves `start..end`.
    fn consistency(
        &mut self,
        old: u64,
        start: u64,
        end: u64,
        whole: bool,
        path: &mut Vec<Hash>,
    ) -> Result<(), ProofError> {
        if old == end {
            let root = self.subtree(end - start)?;
            if !whole {
                path.push(root);
            }
            return Ok(());
        }
        let middle = start + split_point(end - start);
        if old <= middle {
            self.consistency(old, start, middle, whole, path)?;
            path.push(self.subtree(end - middle)?);
        } else {
            let left = self.subtree(middle - start)?;
            self.consistency(old, middle, end, false, path)?;
            path.push(left);
        }
        Ok(())
    }
}
