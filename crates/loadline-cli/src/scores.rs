//! Files of per-sample scores: CSV with a header, or JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;

use crate::exit::Exit;
use crate::failure::Failure;

/// Names of the columns.
#[derive(clap::Args, Clone, Debug)]
pub struct Columns {
    /// Column of the sample's id
    #[arg(long, value_name = "COLUMN", default_value = "id", help_heading = "Columns")]
    pub id: String,
    /// Column of the score
    #[arg(long, value_name = "COLUMN", default_value = "score", help_heading = "Columns")]
    pub score: String,
    /// Column of the cluster, where the file has one
    #[arg(long, value_name = "COLUMN", default_value = "cluster", help_heading = "Columns")]
    pub cluster: String,
}

impl Columns {
    fn cluster_is_default(&self) -> bool {
        self.cluster == "cluster"
    }

    fn id_is_default(&self) -> bool {
        self.id == "id"
    }
}

/// One sample's score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRow {
    /// The sample, where the file says.
    pub id: Option<String>,
    /// Its score; `None` for an empty cell or `null`: counted, never guessed.
    pub score: Option<f64>,
    /// The cluster it is in, where the file says.
    pub cluster: Option<String>,
}

/// Longest line read, in bytes.
const LINE_LIMIT: u64 = 16 << 20;
/// Most rows read.
const ROW_LIMIT: usize = 10_000_000;

/// A number between 0 and 1, both excluded.
pub fn open_unit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number between 0 and 1".to_owned()),
    }
}

/// Reads a file of scores: by its extension, or else by its first character.
///
/// # Errors
/// When it cannot be read, lacks a column, or has a score that is not a number: with the line.
pub fn read(path: &Path, columns: &Columns) -> Result<Vec<ScoreRow>, Failure> {
    let file = File::open(path).map_err(|error| {
        let failure = Failure::io(format!("cannot read `{}`", path.display()), &error);
        Failure { exit: Exit::TaskInvalid, ..failure }.hint("give the path of a CSV or JSONL file")
    })?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let source = Source { path, columns };
    let rows = if source.is_jsonl(&mut reader)? { source.jsonl(reader)? } else { source.csv(reader)? };
    if rows.is_empty() {
        return Err(source.fail("has no rows").hint("it needs one row per sample"));
    }
    Ok(rows)
}

struct Source<'a> {
    path: &'a Path,
    columns: &'a Columns,
}

impl Source<'_> {
    fn fail(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::TaskInvalid, format!("`{}` {what}", self.path.display()))
    }

    fn fail_at(&self, line: u64, what: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::TaskInvalid, format!("{}:{line}: {what}", self.path.display()))
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::io(format!("cannot read `{}`", self.path.display()), error)
    }

    fn is_jsonl(&self, reader: &mut impl BufRead) -> Result<bool, Failure> {
        match self.path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl" | "ndjson" | "json") => Ok(true),
            Some("csv") => Ok(false),
            _ => {
                let start = reader.fill_buf().map_err(|error| self.unreadable(&error))?;
                Ok(start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
            }
        }
    }

    fn csv(&self, reader: impl std::io::Read) -> Result<Vec<ScoreRow>, Failure> {
        let mut csv = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let csv_fail = |error: &csv::Error| Failure::because(Exit::TaskInvalid, self.fail("is not CSV").message, error);
        let headers = csv.headers().map_err(|error| csv_fail(&error))?.clone();
        let names: Vec<&str> = headers.iter().collect();
        let find = |name: &str| names.iter().position(|header| *header == name);
        let score = find(&self.columns.score).ok_or_else(|| self.no_column(&self.columns.score, &names))?;
        let id = self.optional(find(&self.columns.id), &self.columns.id, self.columns.id_is_default(), &names)?;
        let cluster = &self.columns.cluster;
        let cluster = self.optional(find(cluster), cluster, self.columns.cluster_is_default(), &names)?;

        let mut rows = Vec::new();
        let mut record = csv::StringRecord::new();
        while csv.read_record(&mut record).map_err(|error| csv_fail(&error))? {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |at: usize| record.get(at).filter(|cell| !cell.is_empty());
            let score = cell(score).map(|text| self.number(text, line)).transpose()?;
            let own = |at: Option<usize>| at.and_then(cell).map(str::to_owned);
            self.push(&mut rows, ScoreRow { id: own(id), score, cluster: own(cluster) })?;
        }
        Ok(rows)
    }

    fn jsonl(&self, mut reader: impl BufRead) -> Result<Vec<ScoreRow>, Failure> {
        let mut rows = Vec::new();
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let length = reader.by_ref().take(LINE_LIMIT + 1).read_until(b'\n', &mut text);
            let length = length.map_err(|error| self.unreadable(&error))? as u64;
            if length == 0 {
                break;
            }
            if length > LINE_LIMIT {
                return Err(self.fail_at(line, format_args!("the line is longer than {LINE_LIMIT} bytes")));
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text).map_err(|error| {
                self.fail_at(line, "not a JSON object").cause(error.to_string())
            })?;
            let row = self.json_row(&row, line)?;
            self.push(&mut rows, row)?;
        }
        Ok(rows)
    }

    fn json_row(&self, row: &serde_json::Map<String, serde_json::Value>, line: u64) -> Result<ScoreRow, Failure> {
        use serde_json::Value;
        let columns = self.columns;
        let text = |name: &str| match row.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let score = match row.get(&columns.score) {
            None => {
                let names: Vec<&str> = row.keys().map(String::as_str).collect();
                let failure = self.no_column(&columns.score, &names);
                return Err(Failure { message: self.fail_at(line, "the row has no score").message, ..failure }
                    .cause(format!("no key `{}`", columns.score)));
            }
            Some(Value::Null) => None,
            Some(Value::Bool(right)) => Some(f64::from(u8::from(*right))),
            Some(Value::Number(number)) => Some(self.number(&number.to_string(), line)?),
            Some(Value::String(text)) => Some(self.number(text, line)?),
            Some(other) => return Err(self.not_a_number(&other.to_string(), line)),
        };
        Ok(ScoreRow { id: text(&columns.id), score, cluster: text(&columns.cluster) })
    }

    fn push(&self, rows: &mut Vec<ScoreRow>, row: ScoreRow) -> Result<(), Failure> {
        if rows.len() == ROW_LIMIT {
            return Err(self.fail(format_args!("has more than {ROW_LIMIT} rows")));
        }
        rows.push(row);
        Ok(())
    }

    fn number(&self, text: &str, line: u64) -> Result<f64, Failure> {
        match text {
            "true" | "True" => Ok(1.0),
            "false" | "False" => Ok(0.0),
            _ => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(self.not_a_number(text, line)),
            },
        }
    }

    fn not_a_number(&self, text: &str, line: u64) -> Failure {
        let message = format!("`{}` in column `{}` is not a number", one_line(text, 40), self.columns.score);
        self.fail_at(line, message)
            .hint("a score is a number, `true` or `false`; leave it empty (or null) where there is none")
    }

    /// A column that may be missing, unless the user named it.
    fn optional(
        &self,
        found: Option<usize>,
        name: &str,
        is_default: bool,
        names: &[&str],
    ) -> Result<Option<usize>, Failure> {
        if found.is_none() && !is_default { Err(self.no_column(name, names)) } else { Ok(found) }
    }

    fn no_column(&self, name: &str, names: &[&str]) -> Failure {
        let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{}`", one_line(name, 40))).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{}`?", one_line(near, 40)),
            None => format!("name it with `--score COLUMN`; the columns are {}", shown.join(", ")),
        };
        self.fail(format_args!("has no column `{}`", one_line(name, 40))).hint(hint)
    }
}

/// Whether a text names a file rather than a run: it is there, or looks like a path.
pub fn is_file(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    (path.is_file() || text.contains(['/', '.'])).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns { id: "id".into(), score: "score".into(), cluster: "cluster".into() }
    }

    fn read_text(name: &str, text: &str) -> Result<Vec<ScoreRow>, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, &columns()).map_err(|mut failure| {
            failure.message = failure.message.replace(&*dir.path().to_string_lossy(), "");
            failure
        })
    }

    #[test]
    fn both_forms_give_the_same_rows() {
        let csv = read_text("a.csv", "id,score,cluster\na,1,x\nb,0.5,\nc,,y\n").unwrap();
        let jsonl = "{\"id\":\"a\",\"score\":true,\"cluster\":\"x\"}\n\n{\"id\":\"b\",\"score\":0.5}\n\
                     {\"id\":\"c\",\"score\":null,\"cluster\":\"y\"}";
        assert_eq!(csv, read_text("a.jsonl", jsonl).unwrap());
        assert_eq!(csv, read_text("no-extension", jsonl).unwrap());
        assert_eq!(csv[2], ScoreRow { id: Some("c".into()), score: None, cluster: Some("y".into()) });
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            ("a.csv", "id,score\na,1\nb,x\n", "/a.csv:3: `x` in column `score` is not a number"),
            ("a.csv", "id,scor\na,1\n", "`/a.csv` has no column `score`"),
            ("a.csv", "id,score\na,NaN\n", "/a.csv:2: `NaN` in column `score` is not a number"),
            ("a.csv", "id,score\n", "`/a.csv` has no rows"),
            ("a.csv", "id,score\na\n", "`/a.csv` is not CSV"),
            ("a.jsonl", "{\"id\":1}\n", "/a.jsonl:1: the row has no score"),
            ("a.jsonl", "{\"score\":1}\n[1]\n", "/a.jsonl:2: not a JSON object"),
            ("a.jsonl", "{\"score\":[1]}\n", "/a.jsonl:1: `[1]` in column `score` is not a number"),
        ];
        for (name, text, message) in cases {
            let failure = read_text(name, text).unwrap_err();
            assert_eq!((failure.message.as_str(), failure.exit), (message, Exit::TaskInvalid));
        }
        let hint = read_text("a.csv", "id,scor\na,1\n").unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `scor`?"));
    }
}
