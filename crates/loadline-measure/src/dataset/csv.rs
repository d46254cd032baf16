//! CSV with the types that pandas gives the columns, because lm_eval reads it through pandas: a column of whole
//! numbers is numbers, and `NA`, `None` and the like are nothing.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use csv::{Reader, ReaderBuilder, StringRecord};
use minijinja::Value;

use super::{CsvOptions, MAX_ROW_BYTES, Place, Row, Rows, too_large};
use crate::task::TaskError;

/// What a column holds: the narrowest kind that fits every field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    no_int: bool,
    no_float: bool,
    no_bool: bool,
    some: bool,
    gaps: bool,
}

impl Kind {
    fn see(&mut self, field: &str) {
        if is_missing(field) {
            self.gaps = true;
            return;
        }
        self.some = true;
        self.no_int |= int(field).is_none();
        self.no_float |= float(field).is_none();
        self.no_bool |= truth(field).is_none();
    }

    fn value(self, field: &str) -> Value {
        if is_missing(field) {
            return Value::from(());
        }
        let number = if self.no_int || self.gaps { None } else { int(field).map(Value::from) };
        let number = number.or_else(|| if self.no_float { None } else { float(field).map(Value::from) });
        let truth = if self.no_bool { None } else { truth(field).map(Value::from) };
        number.or(truth).unwrap_or_else(|| Value::from(field))
    }
}

fn int(field: &str) -> Option<i64> {
    field.trim().parse().ok()
}

fn float(field: &str) -> Option<f64> {
    let field = field.trim();
    let like_number =
        field.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let infinite =
        matches!(field.trim_start_matches(['-', '+']).to_ascii_lowercase().as_str(), "inf" | "infinity");
    if like_number || infinite { field.parse().ok() } else { None }
}

fn truth(field: &str) -> Option<bool> {
    match field {
        "True" | "TRUE" | "true" => Some(true),
        "False" | "FALSE" | "false" => Some(false),
        _ => None,
    }
}

/// What pandas takes for a missing value.
fn is_missing(field: &str) -> bool {
    matches!(
        field,
        "" | "#N/A"
            | "#N/A N/A"
            | "#NA"
            | "-1.#IND"
            | "-1.#QNAN"
            | "-NaN"
            | "-nan"
            | "1.#IND"
            | "1.#QNAN"
            | "<NA>"
            | "N/A"
            | "NA"
            | "NULL"
            | "NaN"
            | "None"
            | "n/a"
            | "nan"
            | "null"
    )
}

/// Ends a row that never ends (a quote that is not closed) before it fills the memory.
struct Bounded<R> {
    inner: R,
    /// Bytes read since the last row.
    read: Arc<AtomicUsize>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read.load(Ordering::Relaxed) > MAX_ROW_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n, Ordering::Relaxed);
        Ok(n)
    }
}

fn reader<R: Read>(reader: R, options: &CsvOptions) -> Reader<R> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(options.delimiter)
        .quote(options.quote)
        .from_reader(reader)
}

/// Reads rows one by one.
struct Records<R> {
    path: Arc<Path>,
    reader: Reader<Bounded<R>>,
    read: Arc<AtomicUsize>,
    columns: Vec<String>,
    record: StringRecord,
}

impl<R: Read> Records<R> {
    fn new(path: Arc<Path>, source: R, options: &CsvOptions) -> Result<Self, TaskError> {
        let read = Arc::new(AtomicUsize::new(0));
        let mut records = Self {
            path,
            reader: reader(Bounded { inner: source, read: read.clone() }, options),
            read,
            columns: options.columns.clone().unwrap_or_default(),
            record: StringRecord::new(),
        };
        if options.header && records.read()? && options.columns.is_none() {
            records.columns = names(&records.record);
        }
        Ok(records)
    }

    fn place(&self, line: u64) -> Place {
        Place { path: self.path.clone(), unit: "line", number: line }
    }

    /// Reads the next record; false at the end.
    fn read(&mut self) -> Result<bool, TaskError> {
        let line = self.reader.position().line();
        self.read.store(0, Ordering::Relaxed);
        self.reader.read_record(&mut self.record).map_err(|e| {
            let place = self.place(e.position().map_or(line, csv::Position::line));
            match e.kind() {
                csv::ErrorKind::Io(io) if io.kind() == io::ErrorKind::FileTooLarge => {
                    too_large(&place).with_hint("is a quote not closed?")
                }
                csv::ErrorKind::Utf8 { .. } => TaskError::new(format!("{place}: not UTF-8")),
                _ => TaskError::new(format!("{place}: {e}")),
            }
        })
    }

    /// Reads the next row and checks how many fields it has; false at the end.
    fn row(&mut self) -> Result<bool, TaskError> {
        if !self.read()? {
            return Ok(false);
        }
        if self.record.len() != self.columns.len() {
            let message = format!(
                "{}: {} fields, but {} columns",
                self.place(self.line()),
                self.record.len(),
                self.columns.len()
            );
            return Err(TaskError::new(message)
                .with_hint("a field with a comma, a quote or a line break must stand in quotes"));
        }
        Ok(true)
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }
}

/// The header's names; a repeated one gets `.1`, `.2` and so on, as in pandas.
fn names(header: &StringRecord) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (i, name) in header.iter().enumerate() {
        let name = if i == 0 { name.trim_start_matches('\u{feff}') } else { name };
        let name = if name.is_empty() { format!("Unnamed: {i}") } else { name.to_owned() };
        let mut unique = name.clone();
        let mut n = 0;
        while names.contains(&unique) {
            n += 1;
            unique = format!("{name}.{n}");
        }
        names.push(unique);
    }
    names
}

/// How many rows there are and what each column holds.
pub fn count(
    path: &Path,
    source: &mut impl Read,
    options: &CsvOptions,
) -> Result<(u64, Vec<Kind>), TaskError> {
    let mut records = Records::new(path.into(), source, options)?;
    let mut kinds = vec![Kind::default(); records.columns.len()];
    let mut rows = 0;
    while records.row()? {
        rows += 1;
        for (kind, field) in kinds.iter_mut().zip(records.record.iter()) {
            kind.see(field);
        }
    }
    for kind in &mut kinds {
        // A column with nothing in it has no kind.
        kind.no_bool |= !kind.some;
    }
    Ok((rows, kinds))
}

/// The rows.
pub fn rows(
    path: Arc<Path>,
    source: impl Read + Send + 'static,
    options: &CsvOptions,
    kinds: Vec<Kind>,
) -> Result<Rows, TaskError> {
    let mut records = Records::new(path, source, options)?;
    let names: Vec<Value> = records.columns.iter().map(Value::from).collect();
    Ok(Box::new(std::iter::from_fn(move || match records.row() {
        Ok(false) => None,
        Err(e) => Some(Err(e)),
        Ok(true) => {
            let fields = kinds.iter().zip(records.record.iter()).map(|(kind, field)| kind.value(field));
            let value = Value::from_pairs(names.iter().cloned().zip(fields));
            Some(Ok(Row { value, place: records.place(records.line()) }))
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::read;
    use super::CsvOptions;

    fn csv(text: &str) -> Result<(u64, Vec<String>), String> {
        read("d.csv", text, &Format::Csv(CsvOptions::default()))
    }

    #[test]
    fn columns_get_the_kind_that_fits_all_their_fields() {
        let text = "i,f,b,s,g,e\n1,1.5,True,a,7,\n-02,2,false,\"x, \"\"y\"\"\nz\",NA,\n";
        assert_eq!(
            csv(text).unwrap().1,
            [
                "{'i': 1, 'f': 1.5, 'b': True, 's': 'a', 'g': 7.0, 'e': None}",
                "{'i': -2, 'f': 2.0, 'b': False, 's': 'x, \"y\"\\nz', 'g': None, 'e': None}",
            ]
        );
        // One field that is no number makes texts of them all.
        assert_eq!(csv("a\n1\nx\n").unwrap().1, ["{'a': '1'}", "{'a': 'x'}"]);
    }

    #[test]
    fn delimiters_names_and_headers_can_be_given() {
        let options = CsvOptions {
            delimiter: b'\t',
            columns: Some(vec!["q".into(), "a".into()]),
            header: false,
            ..CsvOptions::default()
        };
        assert_eq!(
            read("d.tsv", "x\ty\n", &Format::Csv(options)),
            Ok((1, vec!["{'q': 'x', 'a': 'y'}".into()]))
        );
        assert_eq!(csv("\u{feff}a,a,\n1,2,3\n").unwrap().1, ["{'a': 1, 'a.1': 2, 'Unnamed: 2': 3}"]);
        assert_eq!(csv(""), Ok((0, vec![])));
    }

    #[test]
    fn a_quote_that_is_not_closed_ends_the_reading() {
        let text = format!("a,b\n1,\"{}", "x".repeat(super::MAX_ROW_BYTES + (1 << 20)));
        assert_eq!(csv(&text).unwrap_err(), "d.csv, line 2: a row of more than 16 MiB");
    }

    #[test]
    fn a_row_with_too_few_fields_is_named() {
        assert_eq!(csv("a,b\n1,2\n\n\"x\ny\",2\n3\n").unwrap_err(), "d.csv, line 6: 1 fields, but 2 columns");
    }
}
