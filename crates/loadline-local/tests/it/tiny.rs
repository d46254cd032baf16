//! Writing GGUF files small enough for tests.

use std::io::Write;
use std::path::PathBuf;

use loadline_local::gguf::TensorKind;

/// A metadata value.
pub enum Meta {
    Count(u32),
    Float(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Floats(Vec<f32>),
    Ints(Vec<i32>),
}

/// A file in the making.
#[derive(Default)]
pub struct Tiny {
    pub meta: Vec<(String, Meta)>,
    /// Name, dimensions (columns first), number of the kind, bytes.
    pub tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

impl Tiny {
    pub fn meta(mut self, key: &str, value: Meta) -> Self {
        self.meta.push((key.to_owned(), value));
        self
    }

    pub fn raw(mut self, name: &str, dimensions: &[u64], kind: u32, bytes: Vec<u8>) -> Self {
        self.tensors.push((name.to_owned(), dimensions.to_vec(), kind, bytes));
        self
    }

    pub fn floats(self, name: &str, dimensions: &[u64], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, dimensions, TensorKind::F32.number(), bytes)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.meta.len() as u64).to_le_bytes());
        for (key, value) in &self.meta {
            text(&mut out, key);
            write_meta(&mut out, value);
        }
        let mut offset = 0u64;
        for (name, dimensions, kind, bytes) in &self.tensors {
            text(&mut out, name);
            out.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (bytes.len() as u64).next_multiple_of(32);
        }
        for (_, _, _, bytes) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(bytes);
        }
        out
    }

    pub fn write(&self) -> TinyFile {
        TinyFile::new(&self.bytes())
    }
}

/// A file that is deleted with the value.
pub struct TinyFile {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl TinyFile {
    pub fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        Self { _folder: folder, path }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn write_meta(out: &mut Vec<u8>, value: &Meta) {
    let list = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.extend(9u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((count as u64).to_le_bytes());
    };
    match value {
        Meta::Count(n) => {
            out.extend(4u32.to_le_bytes());
            out.extend(n.to_le_bytes());
        }
        Meta::Float(x) => {
            out.extend(6u32.to_le_bytes());
            out.extend(x.to_le_bytes());
        }
        Meta::Bool(b) => {
            out.extend(7u32.to_le_bytes());
            out.push(u8::from(*b));
        }
        Meta::Text(t) => {
            out.extend(8u32.to_le_bytes());
            text(out, t);
        }
        Meta::Texts(texts) => {
            list(out, 8, texts.len());
            texts.iter().for_each(|t| text(out, t));
        }
        Meta::Floats(values) => {
            list(out, 6, values.len());
            values.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
        Meta::Ints(values) => {
            list(out, 5, values.len());
            values.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
    }
}
