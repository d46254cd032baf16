//! The authority's log, as its entries: read whole and checked, added to, published.

use std::sync::Arc;

use loadline_core::Digest;
use loadline_exam::Entry;
use loadline_exam::entry::{LogState, RootEntry};
use loadline_tlog::disk::{DiskError, DiskLog, RealDisk};
use loadline_tlog::{
    Checkpoint, Note, NoteError, Policy, Resource, SignerKey, Span, TileSource as _, Tree, VerifierKey,
    leaf_hash, tile,
};
use loadline_trust::RootChain;

use super::folder::Folder;
use super::publish::{self, LocalWitness, Published, disk_failure};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// The most entries of a log that are read whole.
const MOST_ENTRIES: u64 = 1_000_000;

/// A log that is open for writing by this process alone.
pub struct Journal {
    log: DiskLog,
    policy: Policy,
}

impl Journal {
    /// Opens the log of an authority. Needs no secret.
    ///
    /// # Errors
    /// When there is none, another process has it open, or it is damaged.
    pub fn open(folder: &Folder, chain: &RootChain) -> Result<Self> {
        let policy = policy(chain)?;
        let log = DiskLog::open(folder.log(), Arc::new(RealDisk), keys(&policy));
        let log = log.map_err(|error| match error {
            DiskError::Missing(_) => {
                disk_failure(&error).hint("`loadline authority init` makes it; it was cut off: run it again")
            }
            error => disk_failure(&error),
        })?;
        Ok(Self { log, policy })
    }

    /// Makes the log of a new authority, with the first entry: its root.
    ///
    /// # Errors
    /// When there is one already, or the disk refuses.
    pub fn create(folder: &Folder, chain: &RootChain, key: &SignerKey) -> Result<Self> {
        let policy = policy(chain)?;
        let origin = key.verifier().name().to_owned();
        let log = DiskLog::create(folder.log(), Arc::new(RealDisk), keys(&policy), &origin, |checkpoint| {
            sign(checkpoint, key)
        });
        let mut journal = Self { log: log.map_err(|error| disk_failure(&error))?, policy };
        journal.append_roots(chain, &[], key)?;
        Ok(journal)
    }

    /// Every entry, in order; that these are the entries of the newest checkpoint is recomputed.
    ///
    /// # Errors
    /// When a file is damaged, or an entry is none.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let (size, root) = (self.log.size(), *self.log.checkpoint().root());
        let damaged = |what: String| {
            Failure::new(Exit::EvidenceInvalid, what).hint("run `loadline log fsck` to see what is wrong")
        };
        if size > MOST_ENTRIES {
            return Err(damaged(format!("the log has {size} entries; at most {MOST_ENTRIES} are read here")));
        }
        let (source, mut tree, mut entries) = (self.log.source(), Tree::new(), Vec::new());
        while let Some(span) = (tree.size() < size).then(|| Span::holding(tree.size(), size)).flatten() {
            let bytes = source.read(Resource::Entries(span)).map_err(|error| disk_failure(&error))?;
            for bytes in tile::entries(span, &bytes).map_err(|error| damaged(error.to_string()))? {
                let index = tree.push(leaf_hash(bytes));
                let entry = Entry::parse(bytes)
                    .map_err(|error| damaged(format!("entry {index} of the log: {error}")))?;
                entries.push(entry);
            }
        }
        if tree.root() == root {
            return Ok(entries);
        }
        Err(damaged("the entries of the log are not those that were signed".to_owned()))
    }

    /// The log as it is now.
    pub fn state(&self) -> LogState {
        LogState { size: self.log.size(), root: Digest(*self.log.checkpoint().root()) }
    }

    /// The log as it was when it had this size.
    ///
    /// # Errors
    /// When it never had, or a file is damaged.
    pub fn state_at(&self, size: u64) -> Result<LogState> {
        let proof = self.log.reader().consistency(size);
        let (root, _) = proof.map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))?;
        Ok(LogState { size, root: Digest(root) })
    }

    /// Its name.
    pub fn origin(&self) -> &str {
        self.log.checkpoint().origin()
    }

    /// Who must have seen it.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The log itself, to prove from.
    pub fn log(&self) -> &DiskLog {
        &self.log
    }

    /// The newest checkpoint that is published, with its cosignatures.
    ///
    /// # Errors
    /// When there is none, it has too few of them, or is not of this log.
    pub fn published(&self) -> Result<(Note, Checkpoint)> {
        let note = self.log.published().map_err(|error| disk_failure(&error))?.ok_or_else(|| {
            Failure::new(Exit::EvidenceInvalid, "no checkpoint of the log is published")
                .hint("`loadline log publish` asks the witnesses and publishes the newest one")
        })?;
        let accepted = self.policy.check(&note).map_err(|error| {
            Failure::because(Exit::EvidenceInvalid, "the published checkpoint does not count", &error)
                .hint("`loadline log publish` asks the witnesses again")
        })?;
        Ok((note, accepted.checkpoint))
    }

    /// Adds entries, all or none, and gives the index of the first. They are durable when this returns.
    ///
    /// # Errors
    /// When an entry is too large, or the disk refuses.
    pub fn append(&mut self, entries: &[Entry], key: &SignerKey) -> Result<u64> {
        let bytes = entries.iter().map(Entry::to_bytes).collect::<std::result::Result<Vec<_>, _>>();
        let bytes = bytes.map_err(|error| Failure::of(Exit::Unexpected, &error))?;
        let added = self.log.append(&bytes, |checkpoint| sign(checkpoint, key));
        Ok(added.map_err(|error| disk_failure(&error))?.start)
    }

    /// Logs every version of the root that is not in the log yet.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_roots(&mut self, chain: &RootChain, entries: &[Entry], key: &SignerKey) -> Result<()> {
        let logged = entries.iter().filter(|entry| matches!(entry, Entry::Root(_))).count() as u64;
        let mut missing = Vec::new();
        for version in logged + 1..=chain.current().version {
            let digest = chain.digest(version);
            let digest = digest.ok_or_else(|| Failure::new(Exit::Unexpected, "a root without a digest"))?;
            missing.push(Entry::Root(RootEntry { version, digest }));
        }
        self.append(&missing, key).map(drop)
    }

    /// Has the newest checkpoint cosigned, and publishes it.
    ///
    /// # Errors
    /// As [`publish::publish`].
    pub fn publish(&mut self, witnesses: &mut [LocalWitness], ui: &Ui) -> Result<Published> {
        publish::publish(&mut self.log, &self.policy, witnesses, ui)
    }
}

fn policy(chain: &RootChain) -> Result<Policy> {
    let policy = chain.current().parsed_log_policy();
    policy.map_err(|error| Failure::of(Exit::EvidenceInvalid, &error).hint(error.hint()))
}

fn keys(policy: &Policy) -> Vec<VerifierKey> {
    policy.logs().iter().map(|log| log.key.clone()).collect()
}

fn sign(checkpoint: &Checkpoint, key: &SignerKey) -> std::result::Result<Note, NoteError> {
    let mut note = Note::unsigned(&checkpoint.to_text())?;
    note.sign(key, 0)?;
    Ok(note)
}
