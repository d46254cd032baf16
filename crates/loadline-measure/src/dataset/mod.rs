//! Data files: JSON, JSONL, CSV and Parquet, read row by row. A file is read once when it is opened, for its digest
//! and the number of its rows, and again each time its rows are asked for; never is more than a row in memory.

mod csv;
mod json;
mod parquet;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use loadline_core::digest::{Digest, Hasher};
use minijinja::Value;

use crate::task::TaskError;

/// Largest row, in bytes of the file.
const MAX_ROW_BYTES: usize = 16 << 20;

/// What kind of file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON: one object a line, or an array of objects, or one of these in a field of an object.
    Json {
        /// The field that has the rows.
        field: Option<String>,
    },
    /// Comma-separated values.
    Csv(CsvOptions),
    /// Apache Parquet.
    Parquet,
}

/// How a CSV file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between two fields.
    pub delimiter: u8,
    /// Around a field.
    pub quote: u8,
    /// The columns' names; from the first line when absent.
    pub columns: Option<Vec<String>>,
    /// Whether the first line has names and no data.
    pub header: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"', columns: None, header: true }
    }
}

impl Format {
    /// For a task's digest.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Json { field } => serde_json::json!({ "kind": "json", "field": field }),
            Self::Csv(csv) => serde_json::json!({
                "kind": "csv",
                "delimiter": csv.delimiter,
                "quote": csv.quote,
                "columns": csv.columns,
                "header": csv.header,
            }),
            Self::Parquet => serde_json::json!({ "kind": "parquet" }),
        }
    }
}

/// One row and where it stands.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its columns with their values.
    pub value: Value,
    /// Where it is.
    pub place: Place,
}

/// Where a row stands: the file and the line in it, or for a Parquet file the row, both from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: std::sync::Arc<Path>,
    /// `line` or `row`.
    pub unit: &'static str,
    /// From 1.
    pub number: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} {}", self.path.display(), self.unit, self.number)
    }
}

/// Rows as they are read.
pub type Rows = Box<dyn Iterator<Item = Result<Row, TaskError>> + Send>;

/// The files of one split.
#[derive(Clone, Debug)]
pub struct Dataset {
    files: Vec<DataFile>,
}

#[derive(Clone, Debug)]
struct DataFile {
    path: std::sync::Arc<Path>,
    format: Format,
    digest: Digest,
    rows: u64,
    /// For CSV: what the columns hold, found out on the first pass.
    kinds: Vec<csv::Kind>,
}

impl Dataset {
    /// Reads the files through once: their digests and how many rows they have.
    ///
    /// # Errors
    /// When a file is not there or cannot be read, or its form is broken where a first pass sees it.
    pub fn open(paths: &[PathBuf], format: &Format) -> Result<Self, TaskError> {
        let files = paths.iter().map(|path| open(path, format)).collect::<Result<_, _>>()?;
        Ok(Self { files })
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The files' paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &*file.path)
    }

    /// The digests of the files' bytes, in order.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.files.iter().map(|file| file.digest)
    }

    /// All rows, read as they are asked for. The iteration ends after the first error.
    pub fn rows(&self) -> Rows {
        let files = self.files.clone();
        let mut failed = false;
        let rows = files.into_iter().flat_map(|file| match rows(&file) {
            Ok(rows) => rows,
            Err(e) => Box::new(std::iter::once(Err(e))),
        });
        Box::new(rows.take_while(move |row| !std::mem::replace(&mut failed, row.is_err())))
    }
}

fn open(path: &Path, format: &Format) -> Result<DataFile, TaskError> {
    if let Some(packed) = path
        .extension()
        .and_then(|e| e.to_str())
        .filter(|e| matches!(*e, "gz" | "zst" | "bz2" | "xz" | "zip"))
    {
        return Err(TaskError::new(format!("{}: compressed files (.{packed}) are not read", path.display()))
            .with_hint("unpack it first"));
    }
    let path: std::sync::Arc<Path> = path.into();
    let mut tee = Tee { inner: open_file(&path)?, hasher: Hasher::new() };
    let mut kinds = Vec::new();
    let rows = match format {
        Format::Json { field } => json::count(&path, &mut tee, field.as_deref())?,
        Format::Csv(options) => {
            let (rows, found) = csv::count(&path, &mut tee, options)?;
            kinds = found;
            rows
        }
        Format::Parquet => parquet::count(&path)?,
    };
    io::copy(&mut tee, &mut io::sink()).map_err(|e| read_error(&path, &e))?;
    Ok(DataFile { path, format: format.clone(), digest: tee.hasher.finish(), rows, kinds })
}

fn rows(file: &DataFile) -> Result<Rows, TaskError> {
    let path = file.path.clone();
    match &file.format {
        Format::Json { field } => json::rows(path.clone(), open_file(&path)?, field.as_deref()),
        Format::Csv(options) => csv::rows(path.clone(), open_file(&path)?, options, file.kinds.clone()),
        Format::Parquet => parquet::rows(path),
    }
}

fn open_file(path: &Path) -> Result<BufReader<File>, TaskError> {
    let file = File::open(path).map_err(|e| read_error(path, &e))?;
    let is_folder = file.metadata().is_ok_and(|m| m.is_dir());
    if is_folder {
        return Err(TaskError::new(format!("{}: is a folder, not a data file", path.display())));
    }
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn read_error(path: &Path, error: &io::Error) -> TaskError {
    let message = TaskError::new(format!("{}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound => message
            .with_hint("a path in `data_files` starts at the task file's folder, else at the current one"),
        _ => message,
    }
}

fn too_large(place: &Place) -> TaskError {
    TaskError::new(format!("{place}: a row of more than {} MiB", MAX_ROW_BYTES >> 20))
}

/// Hashes what passes through.
struct Tee<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    /// Row count and rows as text, or the first error without the folder.
    pub(super) fn read(name: &str, text: &str, format: &Format) -> Result<(u64, Vec<String>), String> {
        let (dir, path) = file(name, text.as_bytes());
        let short = |e: TaskError| e.message.replace(&format!("{}/", dir.path().display()), "");
        let data = Dataset::open(&[path], format).map_err(short)?;
        let rows = data.rows().map(|row| row.map(|r| r.value.to_string())).collect::<Result<Vec<_>, _>>();
        Ok((data.len(), rows.map_err(short)?))
    }

    #[test]
    fn files_follow_each_other_and_their_bytes_are_digested() {
        let (_a, first) = file("a.jsonl", b"{\"x\": 1}\n");
        let (_b, second) = file("b.jsonl", b"{\"x\": 2}\n{\"x\": 3}");
        let data = Dataset::open(&[first.clone(), second], &Format::Json { field: None }).unwrap();
        assert_eq!(data.len(), 3);
        let places: Vec<u64> = data.rows().map(|r| r.unwrap().place.number).collect();
        assert_eq!(places, [1, 1, 2]);
        assert_eq!(data.digests().next(), Some(Digest::of(&std::fs::read(first).unwrap())));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// Whatever the bytes: rows or an error, and as many rows as were counted.
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(0u8..=255, 0..200), text in r#"[\[\]{}":,\n\\ a1\-e.]{0,60}"#) {
            let csv = Format::Csv(CsvOptions::default());
            let field = Format::Json { field: Some("a".into()) };
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                for format in [&Format::Json { field: None }, &field, &csv, &Format::Parquet] {
                    let (_dir, path) = file("d", bytes);
                    if let Ok(data) = Dataset::open(&[path], format) {
                        let rows: Vec<_> = data.rows().collect();
                        let whole = rows.iter().all(Result::is_ok);
                        proptest::prop_assert!(!whole || rows.len() as u64 == data.len());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_there_or_packed_is_said() {
        let error = Dataset::open(&["nowhere.json".into()], &Format::Parquet).unwrap_err();
        assert!(error.message.starts_with("nowhere.json: ") && error.hint.is_some());
        let (_dir, path) = file("a.jsonl.gz", b"x");
        let error = Dataset::open(&[path], &Format::Json { field: None }).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("unpack it first"));
    }
}
