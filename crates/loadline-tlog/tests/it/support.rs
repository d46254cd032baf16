//! Keys, signed checkpoints, and a log in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;

use loadline_tlog::{
    Algorithm, Checkpoint, Edge, Note, Resource, SignerKey, TileReader, TileSource, VerifierKey, tiles,
};

pub const ORIGIN: &str = "example.com/log";
pub const NOW: u64 = 1_700_000_000;

pub fn key(name: &str, algorithm: Algorithm, seed: u8) -> SignerKey {
    SignerKey::from_seed(name, algorithm, &[seed; 32]).unwrap()
}

pub fn log_key() -> SignerKey {
    key(ORIGIN, Algorithm::Ed25519, 1)
}

pub fn log_verifier() -> VerifierKey {
    log_key().verifier().clone()
}

pub fn sign(checkpoint: &Checkpoint) -> Note {
    let mut note = Note::unsigned(&checkpoint.to_text()).unwrap();
    note.sign(&log_key(), 0).unwrap();
    note
}

/// A log in memory. Entry n is `entry n`, or `fork n` from where it forks.
#[derive(Clone, Default)]
pub struct MemoryLog {
    pub files: BTreeMap<String, Vec<u8>>,
    pub edge: Edge,
    pub fork_from: Option<u64>,
}

impl MemoryLog {
    pub fn of(size: u64) -> Self {
        let mut log = Self::default();
        log.grow(size);
        log
    }

    pub fn grow(&mut self, size: u64) {
        let mut files = Vec::new();
        while self.edge.size() < size {
            let number = self.edge.size();
            let word = if self.fork_from.is_some_and(|from| number >= from) { "fork" } else { "entry" };
            self.edge.push(format!("{word} {number}").as_bytes(), &mut files).unwrap();
        }
        files.extend(self.edge.partial());
        self.files.extend(files.into_iter().map(|file| (file.resource.path(), file.bytes)));
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::new(ORIGIN, self.edge.size(), self.edge.root()).unwrap()
    }

    pub fn note(&self) -> Note {
        sign(&self.checkpoint())
    }

    pub fn reader(&self) -> TileReader<&Self> {
        TileReader::new(self, self.edge.size(), self.edge.root())
    }
}

impl TileSource for MemoryLog {
    type Error = std::io::Error;

    fn read(&self, resource: Resource) -> Result<Vec<u8>, Self::Error> {
        if let Some(bytes) = self.files.get(&resource.path()) {
            return Ok(bytes.clone());
        }
        let full = self.files.get(&resource.full().path());
        full.and_then(|full| tiles::cut(resource, full)).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

/// Each byte changed in three ways.
pub fn changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).flat_map(move |at| {
        [1u8, 0x20, 0x80].into_iter().map(move |bit| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= bit;
            bytes
        })
    })
}

/// For signing closures that cannot fail.
pub fn signed(checkpoint: &Checkpoint) -> Result<Note, Infallible> {
    Ok(sign(checkpoint))
}
