//! Reading a bundle: one pass, bounded memory, and nothing that was not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};

use loadline_core::digest::Hasher;
use loadline_core::strict;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, RunId};

use super::name::{PartName, parse_name};
use super::{
    BundleError, FIRST_LINE, MAX_LOG_BYTES, MAX_PARTS, MAX_SMALL_BYTES, MAX_SMALL_TOTAL, MAX_TABLE_BYTES,
    Table,
};

/// One listed part.
#[derive(Clone, Debug)]
struct Part {
    name: PartName,
    bytes: u64,
    sha256: Digest,
}

/// Everything but the logs of the records.
#[derive(Clone, Debug, Default)]
pub struct SmallParts(BTreeMap<PartName, Vec<u8>>);

impl SmallParts {
    /// A part's bytes.
    pub fn get(&self, name: &PartName) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&PartName, &[u8])> {
        self.0.iter().map(|(name, bytes)| (name, bytes.as_slice()))
    }
}

/// A record whose log comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextRecord {
    /// From 1, in the order of the attestation.
    pub number: u64,
    /// Its run, as its part's name says.
    pub run: RunId,
    /// `seal.json`.
    pub seal: Vec<u8>,
    /// Bytes of its log.
    pub length: u64,
}

/// A bundle that is being read.
pub struct Reader<R> {
    input: BufReader<R>,
    parts: std::vec::IntoIter<Part>,
}

/// The place of the first part of a record.
const RECORDS: u8 = 16;
/// Parts that every bundle has.
const ALWAYS: [PartName; 7] = [
    PartName::Root(1),
    PartName::Policy,
    PartName::Manifest,
    PartName::Consistency,
    PartName::Attestation,
    PartName::TestResult,
    PartName::Decision,
];

impl<R: Read> Reader<R> {
    /// Reads first line and table of contents, and refuses what is unknown, missing, doubled, out of order or too large.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn open(input: R) -> Result<Self, BundleError> {
        let mut input = BufReader::new(input);
        let at_start = |source| BundleError::Io { at: "the beginning".to_owned(), source };
        let mut first = Vec::new();
        input.by_ref().take(FIRST_LINE.len() as u64).read_to_end(&mut first).map_err(at_start)?;
        if first != FIRST_LINE.as_bytes() {
            return Err(BundleError::FirstLine);
        }
        let table: Table = strict::from_canonical_json(&table_line(&mut input)?)?;
        let parts = check(table)?;
        Ok(Self { input, parts: parts.into_iter() })
    }

    /// Reads every part before the first record, each with its digest checked.
    ///
    /// # Errors
    /// When a part is cut off or not the one that is listed.
    pub fn small(&mut self) -> Result<SmallParts, BundleError> {
        let mut small = SmallParts::default();
        while let Some(part) =
            self.parts.as_slice().first().filter(|part| part.name.place().0 < RECORDS).cloned()
        {
            self.parts.next();
            let bytes = self.whole(&part)?;
            small.0.insert(part.name, bytes);
        }
        Ok(small)
    }

    /// The next record. Its log must then be read with [`Reader::log`]. `None` after the last one.
    ///
    /// # Errors
    /// As [`Reader::small`].
    pub fn next_record(&mut self) -> Result<Option<NextRecord>, BundleError> {
        let Some(part) = self.parts.next() else { return Ok(None) };
        let PartName::Seal(number, run) = part.name else {
            return Err(BundleError::Unknown(part.name.to_string()));
        };
        let seal = self.whole(&part)?;
        let length = self.parts.as_slice().first().map_or(0, |log| log.bytes);
        Ok(Some(NextRecord { number, run, seal, length }))
    }

    /// Gives the log of the record just begun to `read`, then reads what `read` left, so that the whole part is checked.
    ///
    /// # Errors
    /// As [`Reader::small`]; what `read` says is in the inner value.
    pub fn log<T>(
        &mut self,
        read: impl FnOnce(&mut dyn Read) -> T,
    ) -> Result<(T, Result<(), BundleError>), BundleError> {
        let Some(part) = self.parts.next() else {
            return Err(BundleError::Missing("the log of a record".to_owned()));
        };
        let mut hashed =
            Hashed { input: self.input.by_ref().take(part.bytes), hasher: Hasher::new(), read: 0 };
        let value = read(&mut hashed);
        let rest = io::copy(&mut hashed, &mut io::sink());
        let (seen, digest) = (hashed.read, hashed.hasher.finish());
        let end = rest.map_err(|source| BundleError::Io { at: format!("`{}`", part.name), source });
        Ok((value, end.and_then(|_| part.holds(seen, digest))))
    }

    /// Checks that nothing follows the last part.
    ///
    /// # Errors
    /// When something does.
    pub fn end(mut self) -> Result<(), BundleError> {
        let mut one = [0];
        match self.input.read(&mut one) {
            Ok(0) => Ok(()),
            Ok(_) => Err(BundleError::Trailing),
            Err(source) => Err(BundleError::Io { at: "the end".to_owned(), source }),
        }
    }

    fn whole(&mut self, part: &Part) -> Result<Vec<u8>, BundleError> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(part.bytes).read_to_end(&mut bytes);
        read.map_err(|source| BundleError::Io { at: format!("`{}`", part.name), source })?;
        part.holds(bytes.len() as u64, Digest::of(&bytes))?;
        Ok(bytes)
    }
}

impl Part {
    fn holds(&self, read: u64, digest: Digest) -> Result<(), BundleError> {
        if read < self.bytes {
            let missing = self.bytes - read;
            return Err(BundleError::CutOff { name: self.name.to_string(), missing });
        }
        if digest == self.sha256 { Ok(()) } else { Err(BundleError::Digest(self.name.to_string())) }
    }
}

struct Hashed<R> {
    input: R,
    hasher: Hasher,
    read: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.hasher.update(&into[..read]);
        self.read += read as u64;
        Ok(read)
    }
}

/// The second line, without its end.
fn table_line(input: &mut impl BufRead) -> Result<Vec<u8>, BundleError> {
    let mut line = Vec::new();
    let read = input.take(MAX_TABLE_BYTES as u64).read_until(b'\n', &mut line);
    read.map_err(|source| BundleError::Io { at: "the table of contents".to_owned(), source })?;
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(BundleError::TableLength) }
}

fn check(table: Table) -> Result<Vec<Part>, BundleError> {
    if table.parts.len() > MAX_PARTS {
        return Err(BundleError::Parts(table.parts.len()));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(table.parts.len());
    let mut total = 0;
    for listed in table.parts {
        let name =
            parse_name(&listed.name).ok_or_else(|| BundleError::Unknown(one_line(&listed.name, 80)))?;
        let most = if name.is_log() { MAX_LOG_BYTES } else { MAX_SMALL_BYTES };
        total += if name.is_log() { 0 } else { listed.bytes.min(most) };
        if listed.bytes > most || total > MAX_SMALL_TOTAL {
            let most = if listed.bytes > most { most } else { MAX_SMALL_TOTAL };
            return Err(BundleError::TooLarge { name: listed.name, bytes: listed.bytes, most });
        }
        if let Some(before) = parts.last().filter(|before| before.name.place() >= name.place()) {
            return Err(BundleError::Order { name: listed.name, before: before.name.to_string() });
        }
        parts.push(Part { name, bytes: listed.bytes, sha256: listed.sha256.0 });
    }
    whole(&parts)?;
    Ok(parts)
}

/// Whether everything is there that must be.
fn whole(parts: &[Part]) -> Result<(), BundleError> {
    let names: BTreeSet<&PartName> = parts.iter().map(|part| &part.name).collect();
    let has = |name: &PartName| names.contains(name);
    if let Some(missing) = ALWAYS.iter().find(|name| !has(name)) {
        return Err(BundleError::Missing(missing.to_string()));
    }
    let (mut roots, mut sign_offs, mut records) = (0, 0, 0);
    for part in parts {
        let (partner, counter, number) = match &part.name {
            PartName::Root(version) => (None, Some(&mut roots), *version),
            PartName::SignOff(number) => (None, Some(&mut sign_offs), *number),
            PartName::Seal(number, run) => (Some(PartName::Log(*number, *run)), Some(&mut records), *number),
            PartName::Log(number, run) => (Some(PartName::Seal(*number, *run)), None, 0),
            PartName::Entry(index) => (Some(PartName::Proof(*index)), None, 0),
            PartName::Proof(index) => (Some(PartName::Entry(*index)), None, 0),
            PartName::License => (Some(PartName::Svr), None, 0),
            PartName::Svr => (Some(PartName::License), None, 0),
            _ => (None, None, 0),
        };
        if let Some(counter) = counter {
            *counter += 1;
            if *counter != number {
                return Err(BundleError::Missing(format!("the part before `{}`", part.name)));
            }
        }
        if let Some(partner) = partner.filter(|partner| !has(partner)) {
            return Err(BundleError::Alone { name: part.name.to_string(), without: partner.to_string() });
        }
    }
    Ok(())
}
