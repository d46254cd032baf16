//! Reading the header: bounded by the size of the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::{Metadata, TensorInfo, TensorKind, TextTable, Value};
use crate::error::LocalError;

/// Entries that a header may have, of metadata and of tensors each.
const MOST_ENTRIES: u64 = 1 << 16;
/// Bytes in one key or tensor name.
const LONGEST_NAME: u64 = 1 << 12;
/// Bytes in one text.
const LONGEST_TEXT: u64 = 1 << 24;
/// Elements of one array: vocabularies have some hundred thousand.
const LONGEST_ARRAY: u64 = 1 << 24;
/// Values in one tensor.
const LARGEST_TENSOR: u64 = 1 << 40;

pub(super) struct Header {
    pub metadata: Metadata,
    pub tensors: BTreeMap<String, TensorInfo>,
}

/// Reads the header of a file of `size` bytes.
pub(super) fn read(path: &Path, file: &File, size: u64) -> Result<Header, LocalError> {
    let mut reader = Reader { path, bytes: BufReader::with_capacity(1 << 16, file), at: 0, size };
    reader.magic()?;
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(LocalError::Version { path: path.to_owned(), version });
    }
    let tensor_count = reader.bounded("number of tensors", MOST_ENTRIES)?;
    let entry_count = reader.bounded("number of metadata entries", MOST_ENTRIES)?;
    let mut metadata = Metadata::default();
    for _ in 0..entry_count {
        let key = reader.text("a metadata key", LONGEST_NAME)?;
        let kind = reader.u32()?;
        let value = reader.value(&key, kind)?;
        if metadata.0.insert(key.clone(), value).is_some() {
            return Err(reader.damaged(format!("the metadata key `{}` is there twice", show(&key))));
        }
    }
    let tensors = reader.tensors(tensor_count, &metadata)?;
    Ok(Header { metadata, tensors })
}

struct Reader<'a> {
    path: &'a Path,
    bytes: BufReader<&'a File>,
    at: u64,
    size: u64,
}

impl Reader<'_> {
    fn magic(&mut self) -> Result<(), LocalError> {
        let mut found = [0u8; 4];
        let n = found.len().min(usize::try_from(self.size).unwrap_or(usize::MAX));
        self.fill(&mut found[..n])?;
        if &found[..n] == b"GGUF" {
            return Ok(());
        }
        let found = if n == 0 { "nothing: it is empty".to_owned() } else { hex(&found[..n]) };
        Err(LocalError::NotGguf { path: self.path.to_owned(), found })
    }

    fn tensors(
        &mut self,
        count: u64,
        metadata: &Metadata,
    ) -> Result<BTreeMap<String, TensorInfo>, LocalError> {
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(self.tensor()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Integer(n)) if (1..=1 << 20).contains(n) => *n as u64,
            Some(other) => return Err(self.damaged(format!("general.alignment is {other:?}"))),
        };
        let start = self.at.div_ceil(alignment) * alignment;
        let mut tensors = BTreeMap::new();
        for mut tensor in list {
            let bytes = tensor.row_bytes() as u64 * tensor.rows as u64;
            let end = start.checked_add(tensor.offset).and_then(|at| at.checked_add(bytes));
            let end =
                end.ok_or_else(|| self.damaged(format!("`{}` has an impossible offset", tensor.name)))?;
            if end > self.size {
                return Err(self.cut_short(end));
            }
            tensor.offset += start;
            if let Some(twice) = tensors.insert(tensor.name.clone(), tensor) {
                return Err(self.damaged(format!("the tensor `{}` is there twice", twice.name)));
            }
        }
        Ok(tensors)
    }

    fn tensor(&mut self) -> Result<TensorInfo, LocalError> {
        let name = show(&self.text("a tensor name", LONGEST_NAME)?);
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(self.damaged(format!("`{name}` has {dimensions} dimensions")));
        }
        let columns = self.u64()?;
        let mut rows = 1u64;
        for _ in 1..dimensions {
            rows = rows.saturating_mul(self.u64()?);
        }
        let kind = TensorKind::from_number(self.u32()?).map_err(|kind| LocalError::UnsupportedTensor {
            path: self.path.to_owned(),
            tensor: name.clone(),
            kind,
        })?;
        let offset = self.u64()?;
        let values = columns.saturating_mul(rows);
        if values == 0 || values > LARGEST_TENSOR {
            return Err(self.damaged(format!("`{name}` has {columns} × {rows} values")));
        }
        if columns % kind.block_len() as u64 != 0 {
            let len = kind.block_len();
            return Err(self.damaged(format!("`{name}` has rows of {columns} values in blocks of {len}")));
        }
        Ok(TensorInfo { name, kind, columns: columns as usize, rows: rows as usize, offset })
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value, LocalError> {
        Ok(match kind {
            6 => Value::Float(f32::from_bits(self.u32()?).into()),
            12 => Value::Float(f64::from_bits(self.u64()?)),
            7 => Value::Bool(self.array::<1>()?[0] != 0),
            8 => Value::Text(self.text(key, LONGEST_TEXT)?),
            9 => self.list(key)?,
            kind => match self.integer(kind)? {
                Some(number) => Value::Integer(number),
                None => return Err(self.damaged(format!("`{}` has a value of the type {kind}", show(key)))),
            },
        })
    }

    /// An integer of one of the eight widths, `None` for another type.
    fn integer(&mut self, kind: u32) -> Result<Option<i64>, LocalError> {
        Ok(Some(match kind {
            0 => u8::from_le_bytes(self.array()?).into(),
            1 => i8::from_le_bytes(self.array()?).into(),
            2 => u16::from_le_bytes(self.array()?).into(),
            3 => i16::from_le_bytes(self.array()?).into(),
            4 => self.u32()?.into(),
            5 => i32::from_le_bytes(self.array()?).into(),
            10 => i64::try_from(self.u64()?).unwrap_or(i64::MAX),
            11 => i64::from_le_bytes(self.array()?),
            _ => return Ok(None),
        }))
    }

    fn list(&mut self, key: &str) -> Result<Value, LocalError> {
        let kind = self.u32()?;
        let count = self.bounded(&format!("length of `{}`", show(key)), LONGEST_ARRAY)?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            _ => return Err(self.damaged(format!("`{}` is an array of the type {kind}", show(key)))),
        };
        self.need(count * width)?;
        Ok(match kind {
            8 => {
                let mut table = TextTable::default();
                for _ in 0..count {
                    if !table.push(&self.text(key, LONGEST_TEXT)?) {
                        return Err(self.damaged(format!("`{}` is too long", show(key))));
                    }
                }
                table.shrink();
                Value::Texts(table)
            }
            6 => Value::Floats((0..count).map(|_| self.u32().map(f32::from_bits)).collect::<Result<_, _>>()?),
            12 => {
                let float = |reader: &mut Self| reader.u64().map(|bits| f64::from_bits(bits) as f32);
                Value::Floats((0..count).map(|_| float(self)).collect::<Result<_, _>>()?)
            }
            kind => {
                let kind = if kind == 7 { 0 } else { kind };
                let mut numbers = Vec::with_capacity(count as usize);
                for _ in 0..count {
                    let number = self.integer(kind)?.unwrap_or_default();
                    numbers.push(i32::try_from(number).unwrap_or(if number < 0 {
                        i32::MIN
                    } else {
                        i32::MAX
                    }));
                }
                Value::Integers(numbers)
            }
        })
    }

    fn text(&mut self, what: &str, most: u64) -> Result<String, LocalError> {
        let length = self.bounded(&format!("length of a text in {}", show(what)), most)?;
        self.need(length)?;
        let mut bytes = vec![0u8; length as usize];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("a text in {} is not UTF-8", show(what))))
    }

    fn bounded(&mut self, what: &str, most: u64) -> Result<u64, LocalError> {
        let number = self.u64()?;
        if number > most {
            return Err(self.damaged(format!("the {what} is {number}, above {most}")));
        }
        Ok(number)
    }

    fn u32(&mut self) -> Result<u32, LocalError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, LocalError> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LocalError> {
        let mut bytes = [0u8; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), LocalError> {
        self.need(bytes.len() as u64)?;
        self.bytes
            .read_exact(bytes)
            .map_err(|source| LocalError::Io { path: self.path.to_owned(), source })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Fails when fewer than `count` bytes are left.
    fn need(&self, count: u64) -> Result<(), LocalError> {
        match self.at.checked_add(count) {
            Some(end) if end <= self.size => Ok(()),
            end => Err(self.cut_short(end.unwrap_or(u64::MAX))),
        }
    }

    fn cut_short(&self, expected: u64) -> LocalError {
        LocalError::CutShort { path: self.path.to_owned(), expected, found: self.size }
    }

    fn damaged(&self, what: String) -> LocalError {
        LocalError::Damaged { path: self.path.to_owned(), what }
    }
}

/// A name from the file, safe to show.
fn show(name: &str) -> String {
    loadline_core::untrusted::one_line(name, 80)
}

fn hex(bytes: &[u8]) -> String {
    format!("the bytes {}", bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "))
}
