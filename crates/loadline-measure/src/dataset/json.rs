//! JSON: an object a line, an array of objects, or either of them in a field of one object.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::{MAX_ROW_BYTES, Place, Row, Rows, read_error, too_large};
use crate::task::TaskError;
use crate::taskfile::include::excerpt;
use crate::taskfile::yaml::At;

/// How many rows there are. Rows themselves are not looked into.
pub fn count(path: &Path, reader: &mut impl Read, field: Option<&str>) -> Result<u64, TaskError> {
    let mut scanner = Scanner::new(path.into(), BufReader::with_capacity(1 << 16, reader));
    let mut rows = 0;
    if scanner.begin(field)? == Shape::Lines {
        while scanner.line()? {
            rows += 1;
        }
    } else {
        while scanner.element()? {
            rows += 1;
        }
    }
    Ok(rows)
}

/// The rows.
pub fn rows(
    path: Arc<Path>,
    reader: impl BufRead + Send + 'static,
    field: Option<&str>,
) -> Result<Rows, TaskError> {
    let mut scanner = Scanner::new(path, reader);
    let shape = scanner.begin(field)?;
    Ok(Box::new(std::iter::from_fn(move || {
        let there = if shape == Shape::Lines { scanner.line() } else { scanner.element() };
        match there {
            Ok(true) => Some(scanner.row(shape)),
            Ok(false) => None,
            Err(e) => Some(Err(e)),
        }
    })))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Lines,
    Array,
}

/// Cuts a JSON text into rows without reading into them.
struct Scanner<R> {
    path: Arc<Path>,
    reader: R,
    /// The line that the next byte is on.
    line: u64,
    /// The bytes of the present row, and the line it begins on.
    row: Vec<u8>,
    row_line: u64,
    first: bool,
}

impl<R: BufRead> Scanner<R> {
    fn new(path: Arc<Path>, reader: R) -> Self {
        Self { path, reader, line: 1, row: Vec::new(), row_line: 1, first: true }
    }

    fn place(&self, line: u64) -> Place {
        Place { path: self.path.clone(), unit: "line", number: line }
    }

    fn error(&self, message: &str) -> TaskError {
        TaskError::new(format!("{}:{}: {message}", self.path.display(), self.line))
    }

    fn peek(&mut self) -> Result<Option<u8>, TaskError> {
        let path = &self.path;
        Ok(self.reader.fill_buf().map_err(|e| read_error(path, &e))?.first().copied())
    }

    fn skip_space(&mut self) -> Result<Option<u8>, TaskError> {
        loop {
            match self.peek()? {
                Some(b'\n') => self.line += 1,
                Some(b' ' | b'\t' | b'\r') => {}
                next => return Ok(next),
            }
            self.reader.consume(1);
        }
    }

    /// Goes to the first row: past a byte-order mark, into the field, past `[`.
    fn begin(&mut self, field: Option<&str>) -> Result<Shape, TaskError> {
        let path = self.path.clone();
        let start = self.reader.fill_buf().map_err(|e| read_error(&path, &e))?;
        if start.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        let first = self.skip_space()?;
        match field {
            Some(field) => self.enter_field(field)?,
            None if first == Some(b'[') => {}
            None => return Ok(Shape::Lines),
        }
        if self.skip_space()? != Some(b'[') {
            return Err(self.error("expected `[`: the rows must be an array"));
        }
        self.reader.consume(1);
        Ok(Shape::Array)
    }

    fn enter_field(&mut self, field: &str) -> Result<(), TaskError> {
        if self.skip_space()? != Some(b'{') {
            return Err(self.error(&format!("expected an object with the field `{field}`")));
        }
        self.reader.consume(1);
        let mut seen = Vec::new();
        loop {
            if self.skip_space()? != Some(b'"') {
                let known = seen.iter().map(String::as_str);
                let error = self.error(&format!("the object has no field `{field}`"));
                return Err(match loadline_core::suggest::nearest(field, known) {
                    Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
                    None => error.with_hint(format!("its fields are {}", seen.join(", "))),
                });
            }
            self.value()?;
            let key: String =
                serde_json::from_slice(&self.row).map_err(|_| self.error("a key is no text"))?;
            if self.skip_space()? != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.reader.consume(1);
            self.skip_space()?;
            if key == field {
                return Ok(());
            }
            seen.push(key);
            self.value()?;
            if self.skip_space()? == Some(b',') {
                self.reader.consume(1);
            }
        }
    }

    /// Reads the next line that is not blank; false at the end.
    fn line(&mut self) -> Result<bool, TaskError> {
        loop {
            self.row.clear();
            self.row_line = self.line;
            let limit = MAX_ROW_BYTES as u64 + 1;
            let path = &self.path;
            let read = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut self.row)
                .map_err(|e| read_error(path, &e))?;
            if self.row.len() > MAX_ROW_BYTES {
                return Err(too_large(&self.place(self.line)));
            }
            self.line += 1;
            if read == 0 {
                return Ok(false);
            }
            if self.row.iter().any(|b| !b.is_ascii_whitespace()) {
                return Ok(true);
            }
        }
    }

    /// Reads the next element of the array; false at its end.
    fn element(&mut self) -> Result<bool, TaskError> {
        let next = self.skip_space()?;
        if next == Some(b']') {
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            if next != Some(b',') {
                return Err(self.error("expected `,` or `]` after a row"));
            }
            self.reader.consume(1);
            if self.skip_space()? == Some(b']') {
                return Err(self.error("expected a row after `,`"));
            }
        }
        self.value()?;
        if self.row.is_empty() { Err(self.error("expected a row")) } else { Ok(true) }
    }

    /// Reads the bytes of one value, by its brackets and quotes alone.
    fn value(&mut self) -> Result<(), TaskError> {
        self.row.clear();
        self.row_line = self.line;
        let (mut depth, mut in_text, mut escaped) = (0u32, false, false);
        loop {
            let path = &self.path;
            let buffer = self.reader.fill_buf().map_err(|e| read_error(path, &e))?;
            if buffer.is_empty() {
                return if depth == 0 && !in_text {
                    Ok(())
                } else {
                    Err(self.error("the file ends inside a row"))
                };
            }
            let mut used = 0;
            let mut done = false;
            for &byte in buffer {
                let bare = !in_text && depth == 0;
                if bare && matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\n' | b'\r' | b'\t') {
                    done = true;
                    break;
                }
                used += 1;
                self.line += u64::from(byte == b'\n');
                if in_text {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_text = false,
                        _ => {}
                    }
                } else {
                    match byte {
                        b'"' => in_text = true,
                        b'[' | b'{' => depth += 1,
                        b']' | b'}' => depth -= 1,
                        _ => {}
                    }
                }
                if !in_text && depth == 0 && matches!(byte, b']' | b'}' | b'"') {
                    done = true;
                    break;
                }
            }
            self.row.extend_from_slice(&buffer[..used]);
            self.reader.consume(used);
            if self.row.len() > MAX_ROW_BYTES {
                return Err(too_large(&self.place(self.row_line)));
            }
            if done {
                return Ok(());
            }
        }
    }

    /// The present row, parsed.
    fn row(&self, shape: Shape) -> Result<Row, TaskError> {
        let place = self.place(self.row_line);
        let value: Value = serde_json::from_slice(&self.row).map_err(|e| self.broken(&e, shape))?;
        if value.kind() == ValueKind::Map {
            return Ok(Row { value, place });
        }
        Err(TaskError::new(format!("{place}: a row must be a JSON object, this is a {}", value.kind()))
            .with_hint("give each value a name: {\"text\": …}"))
    }

    fn broken(&self, error: &serde_json::Error, shape: Shape) -> TaskError {
        let text = String::from_utf8_lossy(&self.row);
        // serde_json counts bytes, from 1; its first line is the row's first line.
        let in_row = u32::try_from(error.line()).unwrap_or(u32::MAX).max(1);
        let line = text.lines().nth(in_row as usize - 1).unwrap_or_default();
        let before = line.as_bytes().get(..error.column().saturating_sub(1)).unwrap_or(line.as_bytes());
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        let at = At { line: in_row, column: u32::try_from(column).unwrap_or(u32::MAX) };
        let file_line = self.row_line + u64::from(in_row) - 1;
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let shown = excerpt(&text, at).map(|e| renumber(&e, file_line)).unwrap_or_default();
        let error =
            TaskError::new(format!("{}:{file_line}:{column}: {message}\n{shown}", self.path.display()));
        if shape == Shape::Lines && text.trim() == "{" {
            return error.with_hint("write each object on a line of its own, or all in one array, or name the field that has the rows (`dataset_kwargs: {field: …}`)");
        }
        error
    }
}

/// An excerpt's line number is the row's; the reader wants the file's.
fn renumber(excerpt: &str, line: u64) -> String {
    let Some((text, caret)) = excerpt.split_once('\n') else { return excerpt.to_owned() };
    let strip = |s: &str| s.split_once('|').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let number = line.to_string();
    format!(" {number} |{}\n {} |{}", strip(text), " ".repeat(number.len()), strip(caret))
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::read;

    fn plain(text: &str) -> Result<(u64, Vec<String>), String> {
        read("d.json", text, &Format::Json { field: None })
    }

    fn field(text: &str, field: &str) -> Result<(u64, Vec<String>), String> {
        read("d.json", text, &Format::Json { field: Some(field.into()) })
    }

    #[test]
    fn lines_arrays_and_fields_give_the_same_rows() {
        let rows = vec!["{'b': 1, 'a': 'x,]}\"\\n'}".to_owned(), "{'b': [1, {}]}".to_owned()];
        let (one, two) = (r#"{"b": 1, "a": "x,]}\"\n"}"#, r#"{"b": [1, {}]}"#);
        for text in [
            format!("{one}\n\n  \n{two}"),
            format!("\u{feff}{one}\r\n{two}\r\n"),
            format!(" [\n{one},\n{two} ]"),
        ] {
            assert_eq!(plain(&text), Ok((2, rows.clone())), "{text}");
        }
        let wrapped = format!("{{\"v\": [1, \"data\"], \"data\": [{one}, {two}], \"z\": 1}}");
        assert_eq!(field(&wrapped, "data"), Ok((2, rows)));
        assert_eq!(plain("[]"), Ok((0, vec![])));
        assert_eq!(plain(""), Ok((0, vec![])));
    }

    #[test]
    fn broken_rows_are_shown_with_a_caret() {
        assert_eq!(
            plain("{\"a\": 1}\n\n{\"é\": 1 2}\n").unwrap_err(),
            "d.json:3:9: expected `,` or `}`\n 3 | {\"é\": 1 2}\n   |         ^"
        );
        assert_eq!(
            plain("[{\"a\": 1},\n{\"a\":\n tru}]").unwrap_err(),
            "d.json:3:5: expected ident\n 3 |  tru}\n   |     ^"
        );
        assert_eq!(
            plain("{\"a\": 1").unwrap_err().lines().next().unwrap(),
            "d.json:1:7: EOF while parsing an object"
        );
        for (text, message) in [
            ("[{\"a\": 1} {}]", "d.json:1: expected `,` or `]` after a row"),
            ("[{\"a\": 1},]", "d.json:1: expected a row after `,`"),
            ("[{\"a\": 1}\n", "d.json:2: expected `,` or `]` after a row"),
            ("[\n{\"a\": \"x", "d.json:2: the file ends inside a row"),
            ("[1]", "d.json, line 1: a row must be a JSON object, this is a number"),
        ] {
            assert_eq!(plain(text).unwrap_err(), message, "{text}");
        }
        assert_eq!(field("{\"dta\": []}", "data").unwrap_err(), "d.json:1: the object has no field `data`");
        assert_eq!(field("[1]", "data").unwrap_err(), "d.json:1: expected an object with the field `data`");
    }
}
