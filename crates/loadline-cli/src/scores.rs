//! Files of per-sample scores: CSV with a header, or JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_stats::scores::{Repeats, ScoreTable, ScoresError};
use loadline_stats::{Level, StatsError};
use serde_json::Value;

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

/// Longest line read, in bytes.
const LINE_LIMIT: u64 = 16 << 20;

/// What some editors put in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A reader that gives no more than this for one row: an unclosed quotation mark would else read a whole disk into
/// one field.
struct Rationed<R> {
    reader: R,
    left: u64,
}

impl<R: std::io::Read> std::io::Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other(format!("a row is longer than {LINE_LIMIT} bytes")));
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.reader.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
/// Most samples read.
const SAMPLE_LIMIT: usize = 10_000_000;

/// A number between 0 and 1, both excluded.
pub fn open_unit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number between 0 and 1".to_owned()),
    }
}

/// What a row without an id gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The number of its row: nothing has to be paired.
    Optional,
    /// An error.
    Required,
}

/// Reads a file of scores: by its extension, or else by its first character. A repeated id is another epoch of the
/// sample.
///
/// # Errors
/// When it cannot be read, lacks a column, or has a score that is not a number: with the line.
pub fn read(path: &Path, columns: &Columns, ids: Ids) -> Result<ScoreTable, Failure> {
    let file = File::open(path).map_err(|error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{}`", path.display()), &error)
            .hint("give the path of a CSV or JSONL file")
    })?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let table = ScoreTable::new(path.display().to_string(), Repeats::Epochs);
    let mut source = Source { path, columns, ids, table };
    if source.is_jsonl(&mut reader)? {
        source.jsonl(reader)?
    } else {
        source.csv(reader)?
    }
    if source.table.is_empty() {
        return Err(source.fail("has no rows").hint("it needs one row for each sample"));
    }
    Ok(source.table)
}

/// A failure of the statistics, with its hint.
pub fn stats_failure(error: &StatsError) -> Failure {
    Failure::of(Exit::TaskInvalid, error).maybe_hint(error.hint().map(str::to_owned))
}

/// A failure of the scores, with its hint.
pub fn scores_failure(error: &ScoresError) -> Failure {
    Failure::of(Exit::TaskInvalid, error).hint(error.hint())
}

/// A confidence level from the command line.
///
/// # Errors
/// When it is out of range.
pub fn level(value: f64) -> Result<Level, Failure> {
    Level::new(value).map_err(|error| Failure { exit: Exit::Usage, ..stats_failure(&error) })
}

struct Source<'a> {
    path: &'a Path,
    columns: &'a Columns,
    ids: Ids,
    table: ScoreTable,
}

impl Source<'_> {
    fn fail(&self, what: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::TaskInvalid, format!("`{}` {what}", self.path.display()))
    }

    fn fail_at(&self, line: u64, what: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::TaskInvalid, format!("{}, row {line}: {what}", self.path.display()))
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
                let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
                Ok(start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
            }
        }
    }

    fn csv(&mut self, reader: impl std::io::Read) -> Result<(), Failure> {
        let mut csv =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Rationed { reader, left: LINE_LIMIT });
        let not_csv = self.fail("is not CSV").message;
        let csv_fail = |error: csv::Error| Failure::because(Exit::TaskInvalid, &not_csv, &error);
        let headers = csv.headers().map_err(csv_fail)?.clone();
        let names: Vec<&str> = headers.iter().collect();
        let find = |name: &str| names.iter().position(|header| *header == name);
        let score = find(&self.columns.score).ok_or_else(|| self.no_column(&self.columns.score, &names))?;
        let id = self.optional(find(&self.columns.id), &self.columns.id, "id", &names)?;
        let cluster = self.optional(find(&self.columns.cluster), &self.columns.cluster, "cluster", &names)?;

        let mut record = csv::StringRecord::new();
        while csv.read_record(&mut record).map_err(csv_fail)? {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty());
            self.push(line, cell(id), cell(Some(score)).unwrap_or(""), cell(cluster))?;
            csv.get_mut().left = LINE_LIMIT;
        }
        Ok(())
    }

    fn jsonl(&mut self, mut reader: impl BufRead) -> Result<(), Failure> {
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let length = reader.by_ref().take(LINE_LIMIT + 1).read_until(b'\n', &mut text);
            let length = length.map_err(|error| self.unreadable(&error))? as u64;
            if length == 0 {
                break;
            }
            if length > LINE_LIMIT {
                return Err(self.fail_at(line, format_args!("it is longer than {LINE_LIMIT} bytes")));
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let json = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| line == 1).unwrap_or(&text);
            let row: serde_json::Map<String, Value> = serde_json::from_slice(json)
                .map_err(|error| self.fail_at(line, "it is not a JSON object").cause(error.to_string()))?;
            self.json_row(&row, line)?;
        }
        Ok(())
    }

    fn json_row(&mut self, row: &serde_json::Map<String, Value>, line: u64) -> Result<(), Failure> {
        let text = |name: &str| match row.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        if !row.contains_key(&self.columns.score) {
            let names: Vec<&str> = row.keys().map(String::as_str).collect();
            let message = self.fail_at(line, format_args!("it has no `{}`", self.columns.score)).message;
            return Err(Failure { message, ..self.no_column(&self.columns.score, &names) });
        }
        let (id, cluster) = (text(&self.columns.id), text(&self.columns.cluster));
        self.push(line, id.as_deref(), &text(&self.columns.score).unwrap_or_default(), cluster.as_deref())
    }

    fn push(
        &mut self,
        line: u64,
        id: Option<&str>,
        score: &str,
        cluster: Option<&str>,
    ) -> Result<(), Failure> {
        if self.table.len() == SAMPLE_LIMIT {
            return Err(self.fail(format_args!("has more than {SAMPLE_LIMIT} samples")));
        }
        let row_id;
        let id = match id {
            Some(id) => id,
            None if self.ids == Ids::Optional => {
                row_id = format!("row {line}");
                &row_id
            }
            None => {
                let hint = "samples are paired by id: name the column with `--id COLUMN`";
                return Err(self.fail_at(line, format_args!("it has no `{}`", self.columns.id)).hint(hint));
            }
        };
        self.table.push_text(line, id, score, cluster).map_err(|error| scores_failure(&error))
    }

    /// A column that may be missing, unless the user named it.
    fn optional(
        &self,
        found: Option<usize>,
        name: &str,
        default: &str,
        names: &[&str],
    ) -> Result<Option<usize>, Failure> {
        if found.is_none() && name != default { Err(self.no_column(name, names)) } else { Ok(found) }
    }

    fn no_column(&self, name: &str, names: &[&str]) -> Failure {
        let shown: Vec<String> =
            names.iter().take(12).map(|name| format!("`{}`", one_line(name, 40))).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{}`?", one_line(near, 40)),
            None => format!("name it with `--score COLUMN`; there are {}", shown.join(", ")),
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

    fn read_text(name: &str, text: &str, ids: Ids) -> Result<String, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let table = read(&path, &columns(), ids).map_err(|mut failure| {
            failure.message = failure.message.replace(&*dir.path().to_string_lossy(), "");
            failure
        })?;
        let estimate = table.estimate(Level::P95).unwrap();
        Ok(format!("{} samples: {estimate} {} {}", table.len(), estimate.method, estimate.unscored))
    }

    #[test]
    fn both_forms_give_the_same_scores() {
        let csv = read_text("a.csv", "id,score,cluster\na,1,x\nb,0.5,\nc,,y\n", Ids::Required).unwrap();
        let jsonl = "{\"id\":\"a\",\"score\":true,\"cluster\":\"x\"}\n\n{\"id\":\"b\",\"score\":0.5}\n\
                     {\"id\":\"c\",\"score\":null,\"cluster\":\"y\"}";
        assert!(csv.starts_with("3 samples: 75.0%") && csv.ends_with(" 1"), "{csv}");
        assert_eq!(csv, read_text("a.jsonl", jsonl, Ids::Required).unwrap());
        assert_eq!(csv, read_text("no-extension", jsonl, Ids::Required).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            ("a.csv", "id,score\na,1\nb,x\n", "/a.csv, row 3: the score `x` is not a number"),
            ("a.csv", "id,scor\na,1\n", "`/a.csv` has no column `score`"),
            ("a.csv", "id,score\na,NaN\n", "/a.csv, row 2: the score `NaN` is not a number"),
            ("a.csv", "id,score\n", "`/a.csv` has no rows"),
            ("a.csv", "id,score\na\n", "`/a.csv` is not CSV"),
            ("a.csv", "score\n1\n", "/a.csv, row 2: it has no `id`"),
            ("a.jsonl", "{\"id\":1}\n", "/a.jsonl, row 1: it has no `score`"),
            ("a.jsonl", "{\"id\":1,\"score\":1}\n[1]\n", "/a.jsonl, row 2: it is not a JSON object"),
            ("a.jsonl", "{\"id\":1,\"score\":[1]}\n", "/a.jsonl, row 1: the score `[1]` is not a number"),
        ];
        for (name, text, message) in cases {
            let failure = read_text(name, text, Ids::Required).unwrap_err();
            assert_eq!((failure.message.as_str(), failure.exit), (message, Exit::TaskInvalid));
        }
        let hint = read_text("a.csv", "id,scor\na,1\n", Ids::Required).unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `scor`?"));
        assert!(read_text("a.csv", "score\n1\n0\n", Ids::Optional).unwrap().starts_with("2 samples"));
    }
}
