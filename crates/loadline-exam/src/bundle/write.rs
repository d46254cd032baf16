//! Writing a bundle.

use std::io::{self, Read, Write};

use loadline_core::digest::{Hasher, canonical_json};
use loadline_core::{Digest, RunId};
use loadline_policy::license::Sha256;

use super::name::PartName;
use super::{
    BundleError, FIRST_LINE, Listed, MAX_LOG_BYTES, MAX_PARTS, MAX_SMALL_BYTES, MAX_TABLE_BYTES, Table,
};

/// An entry of the log with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEntry {
    /// Its index.
    pub index: u64,
    /// Its bytes, as logged.
    pub entry: Vec<u8>,
    /// Its proof against the one checkpoint of the bundle (C2SP tlog-proof).
    pub proof: Vec<u8>,
}

/// A record's small part; its log is read when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunParts {
    /// The run.
    pub run: RunId,
    /// `seal.json`, as it is in the record's folder.
    pub seal: Vec<u8>,
}

/// Everything that goes into a bundle. Byte vectors are the files as they are published; nothing is checked here but
/// sizes: [`crate::verify()`] does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Signed root files: version 1 first, none left out.
    pub roots: Vec<Vec<u8>>,
    /// The policy's canonical JSON.
    pub policy: Vec<u8>,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The compute declaration's canonical JSON.
    pub compute: Option<Vec<u8>>,
    /// Rule packs by id, canonical JSON, in any order.
    pub rules: Vec<(String, Vec<u8>)>,
    /// In any order. One for every root, the policy, the commitment, the registration, every start of the attempt
    /// chain, every resume, the finish, the drill of the decision, and the licence with the model's stages where there is one.
    pub entries: Vec<LoggedEntry>,
    /// [`crate::Consistency`] as canonical JSON.
    pub consistency: Vec<u8>,
    /// The attestation's envelope.
    pub attestation: Vec<u8>,
    /// The test result's envelope.
    pub test_result: Vec<u8>,
    /// The envelopes of the sign-offs.
    pub sign_offs: Vec<Vec<u8>>,
    /// The envelope of the newest drill's report, where the policy asks for one and there is one.
    pub drill: Option<Vec<u8>>,
    /// The decision's canonical JSON.
    pub decision: Vec<u8>,
    /// The licence's envelope; none when the decision is not an allow.
    pub license: Option<Vec<u8>>,
    /// The envelope of the Simple Verification Result; there when the licence is.
    pub svr: Option<Vec<u8>>,
    /// The newest standing.
    pub standing: Option<Vec<u8>>,
    /// The records, in the order of the attestation.
    pub records: Vec<RunParts>,
}

impl Contents {
    /// The parts in their order; `None` for a log.
    fn parts(&self) -> Vec<(PartName, Option<&[u8]>)> {
        let always = [
            (PartName::Policy, &self.policy),
            (PartName::Manifest, &self.manifest),
            (PartName::Consistency, &self.consistency),
            (PartName::Attestation, &self.attestation),
            (PartName::TestResult, &self.test_result),
            (PartName::Decision, &self.decision),
        ];
        let sometimes = [
            (PartName::Compute, &self.compute),
            (PartName::Drill, &self.drill),
            (PartName::License, &self.license),
            (PartName::Svr, &self.svr),
            (PartName::Standing, &self.standing),
        ];
        let sometimes = sometimes.into_iter().filter_map(|(name, bytes)| Some((name, bytes.as_ref()?)));
        let roots = (1..).zip(&self.roots).map(|(version, root)| (PartName::Root(version), root));
        let rules = self.rules.iter().map(|(id, pack)| (PartName::Rules(id.clone()), pack));
        let entries = self.entries.iter().flat_map(|logged| {
            [(PartName::Entry(logged.index), &logged.entry), (PartName::Proof(logged.index), &logged.proof)]
        });
        let sign_offs = (1..).zip(&self.sign_offs).map(|(number, bytes)| (PartName::SignOff(number), bytes));
        let seals = (1..).zip(&self.records);
        let logs = seals.clone().map(|(number, record)| (PartName::Log(number, record.run), None));
        let seals = seals.map(|(number, record)| (PartName::Seal(number, record.run), &record.seal));
        let whole = always.into_iter().chain(sometimes).chain(roots).chain(rules).chain(entries);
        let whole = whole.chain(sign_offs).chain(seals).map(|(name, bytes)| (name, Some(bytes.as_slice())));
        let mut parts: Vec<(PartName, Option<&[u8]>)> = whole.chain(logs).collect();
        parts.sort_by(|(a, _), (b, _)| a.place().cmp(&b.place()));
        parts
    }
}

/// Writes a bundle. `open` gives the log of a record; it is called twice for each, once to list it and once to copy it.
///
/// # Errors
/// When something cannot be read or written, or is larger than is read back.
pub fn write<R: Read>(
    contents: &Contents,
    mut open: impl FnMut(&RunId) -> io::Result<R>,
    mut out: impl Write,
) -> Result<(), BundleError> {
    let parts = contents.parts();
    if parts.len() > MAX_PARTS {
        return Err(BundleError::Parts(parts.len()));
    }
    let mut table = Table { parts: Vec::with_capacity(parts.len()) };
    for (name, bytes) in &parts {
        table.parts.push(listed(name, *bytes, &mut open)?);
    }
    let table = canonical_json(&table)?;
    if table.len() >= MAX_TABLE_BYTES {
        return Err(BundleError::TableLength);
    }
    let at_start = |source| BundleError::Io { at: "the beginning".to_owned(), source };
    out.write_all(FIRST_LINE.as_bytes()).map_err(at_start)?;
    out.write_all(&table).and_then(|()| out.write_all(b"\n")).map_err(at_start)?;
    for (name, bytes) in &parts {
        let at = |source| BundleError::Io { at: format!("`{name}`"), source };
        match (bytes, name) {
            (Some(bytes), _) => out.write_all(bytes).map_err(at)?,
            (None, PartName::Log(_, run)) => {
                let mut log = open(run).map_err(at)?;
                io::copy(&mut log, &mut out).map_err(at)?;
            }
            (None, _) => {}
        }
    }
    out.flush().map_err(|source| BundleError::Io { at: "the end".to_owned(), source })
}

fn listed<R: Read>(
    name: &PartName,
    bytes: Option<&[u8]>,
    open: &mut impl FnMut(&RunId) -> io::Result<R>,
) -> Result<Listed, BundleError> {
    let (size, digest) = match (bytes, name) {
        (Some(bytes), _) => (bytes.len() as u64, Digest::of(bytes)),
        (None, PartName::Log(_, run)) => {
            let at = |source| BundleError::Io { at: format!("`{name}`"), source };
            let mut hasher = Hasher::new();
            let size = io::copy(&mut open(run).map_err(at)?, &mut hasher).map_err(at)?;
            (size, hasher.finish())
        }
        (None, _) => (0, Digest::of(b"")),
    };
    let most = if name.is_log() { MAX_LOG_BYTES } else { MAX_SMALL_BYTES };
    if size > most {
        return Err(BundleError::TooLarge { name: name.to_string(), bytes: size, most });
    }
    Ok(Listed { bytes: size, name: name.to_string(), sha256: Sha256(digest) })
}
