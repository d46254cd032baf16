//! Files of per-sample scores: CSV with a header, or JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_stats::scores::{ScoreTable, ScoresError};
use loadline_stats::{Level, StatsError};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui;

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
    /// Column of the epoch, where samples were asked several times
    #[arg(long, value_name = "COLUMN", default_value = "epoch", help_heading = "Columns")]
    pub epoch: String,
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

/// A confidence level.
pub fn level(text: &str) -> Result<Level, String> {
    let wanted = "expected a level between 0.001 and 0.999999, such as 0.95";
    text.parse().ok().and_then(|level| Level::new(level).ok()).ok_or_else(|| wanted.to_owned())
}

/// What a row without an id gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The number of its row: nothing has to be paired.
    Optional,
    /// An error.
    Required,
}

/// Reads a file of scores: by its extension, or else by its first character. An id may come again with another epoch.
///
/// # Errors
/// When it cannot be read, lacks a column, or has a score that is not a number: with the line.
pub fn read(path: &Path, columns: &Columns, ids: Ids) -> Result<ScoreTable, Failure> {
    const WANTED: &str = "give the path of a CSV or JSONL file";
    let cannot = || format!("cannot read `{}`", path.display());
    let file = File::open(path)
        .map_err(|error| Failure::because(Exit::TaskInvalid, cannot(), &error).hint(WANTED))?;
    if path.is_dir() {
        return Err(Failure::new(Exit::TaskInvalid, cannot()).cause("it is a folder").hint(WANTED));
    }
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let table = ScoreTable::new(path.display().to_string());
    let mut source = Source { path, columns, ids, table };
    let start = reader.fill_buf().map_err(|error| source.unreadable(&error))?;
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(source.fail("is empty").hint("it needs one row for each sample")),
        Some(b'[') => {
            return Err(source.fail("is a JSON array, not JSON lines").hint(format!(
                "write each object on a line of its own, for example with `jq -c '.[]' {}`",
                path.display()
            )));
        }
        Some(&first) if source.is_jsonl(first) => source.jsonl(reader)?,
        Some(_) => source.csv(reader)?,
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

    /// By the extension, or else by the first character.
    fn is_jsonl(&self, first: u8) -> bool {
        match self.path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl" | "ndjson" | "json") => true,
            Some("csv") => false,
            _ => first == b'{',
        }
    }

    fn csv(&mut self, reader: impl std::io::Read) -> Result<(), Failure> {
        let mut csv =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Rationed { reader, left: LINE_LIMIT });
        let headers = csv.headers().map_err(|error| self.not_csv(&error))?.clone();
        let names: Vec<&str> = headers.iter().collect();
        let (columns, score) = (self.columns, &self.columns.score);
        let score = self.find(score, &names)?.ok_or_else(|| self.no_score_column(&names))?;
        let id = self.optional(&columns.id, "id", &names)?;
        let epoch = self.optional(&columns.epoch, "epoch", &names)?;
        let cluster = self.optional(&columns.cluster, "cluster", &names)?;

        let mut record = csv::StringRecord::new();
        while csv.read_record(&mut record).map_err(|error| self.not_csv(&error))? {
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty());
            self.push(line, (cell(id), cell(epoch)), cell(Some(score)).unwrap_or(""), cell(cluster))?;
            csv.get_mut().left = LINE_LIMIT;
        }
        Ok(())
    }

    /// What is wrong with the CSV, where, and what to do.
    fn not_csv(&self, error: &csv::Error) -> Failure {
        let line = error.position().map_or(0, csv::Position::line);
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                let (has, header) = (ui::count(*len, "field"), ui::count(*expected_len, "column"));
                self.fail_at(line, format_args!("it has {has}, but the header names {header}"))
                    .hint("a text that has a comma or a line break in it must stand in double quotes")
            }
            csv::ErrorKind::Utf8 { .. } => {
                self.fail_at(line.max(1), "it is not UTF-8").hint("save the file as UTF-8")
            }
            _ => Failure::because(Exit::TaskInvalid, self.fail("is not CSV").message, error)
                .hint("check that every quotation mark is closed"),
        }
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
            let row: JsonRow = serde_json::from_slice(json).map_err(|error| {
                self.fail_at(line, "it is not a JSON object")
                    .cause(error.to_string())
                    .hint("each line is one object, such as {\"id\": \"a\", \"score\": 1}")
            })?;
            self.json_row(&row, line)?;
        }
        Ok(())
    }

    fn json_row(&mut self, row: &JsonRow, line: u64) -> Result<(), Failure> {
        let columns = self.columns;
        let names: Vec<&str> = row.0.iter().map(|(name, _)| name.as_str()).collect();
        let text = |name: &str| -> Result<Option<String>, Failure> {
            let found = self.find(name, &names).map_err(|failure| Failure {
                message: self
                    .fail_at(line, format_args!("it has the key `{}` twice", one_line(name, 40)))
                    .message,
                ..failure
            })?;
            Ok(match found.and_then(|at| row.0.get(at)) {
                None | Some((_, Value::Null)) => None,
                Some((_, Value::String(text))) => Some(text.clone()),
                Some((_, other)) => Some(other.to_string()),
            })
        };
        let score = text(&columns.score)?;
        if !names.contains(&columns.score.as_str()) {
            let message = self.fail_at(line, format_args!("it has no `{}`", columns.score)).message;
            return Err(Failure { message, ..self.no_column(&columns.score, &names) });
        }
        let (id, epoch, cluster) = (text(&columns.id)?, text(&columns.epoch)?, text(&columns.cluster)?);
        let of = (id.as_deref(), epoch.as_deref());
        self.push(line, of, &score.unwrap_or_default(), cluster.as_deref())
    }

    fn push(
        &mut self,
        line: u64,
        (id, epoch): (Option<&str>, Option<&str>),
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
        self.table.push_text(line, (id, epoch), score, cluster).map_err(|error| scores_failure(&error))
    }

    /// Where a column is; which of two of the same name is meant cannot be known.
    fn find(&self, name: &str, names: &[&str]) -> Result<Option<usize>, Failure> {
        let mut places = (0..).zip(names).filter(|(_, other)| **other == name).map(|(at, _)| at);
        match (places.next(), places.next()) {
            (_, Some(_)) => Err(self
                .fail(format_args!("has two columns `{}`", one_line(name, 40)))
                .hint("give each column a name of its own")),
            (found, None) => Ok(found),
        }
    }

    /// A column that may be missing, unless the user named it.
    fn optional(&self, name: &str, default: &str, names: &[&str]) -> Result<Option<usize>, Failure> {
        match self.find(name, names)? {
            None if name != default => Err(self.no_column(name, names)),
            found => Ok(found),
        }
    }

    /// A header without the column of the scores may have other separators than commas.
    fn no_score_column(&self, names: &[&str]) -> Failure {
        let only = match names {
            [only] => *only,
            _ => "",
        };
        let separator =
            [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")].into_iter().find(|(c, _)| only.contains(*c));
        match separator {
            Some((_, name)) => self
                .fail(format_args!("separates its columns by {name}"))
                .hint("CSV has commas here: save the file with commas (and a point in numbers)"),
            None => self.no_column(&self.columns.score, names),
        }
    }

    fn no_column(&self, name: &str, names: &[&str]) -> Failure {
        let shown: Vec<String> =
            names.iter().take(12).map(|name| format!("`{}`", one_line(name, 40))).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{}`?", one_line(near, 40)),
            None if shown.is_empty() => {
                "an object needs the key, or name another with `--score COLUMN`".to_owned()
            }
            None => format!("name it with `--score COLUMN`; there are {}", shown.join(", ")),
        };
        self.fail(format_args!("has no column `{}`", one_line(name, 40))).hint(hint)
    }
}

/// The keys and values of a line, in its order. A map would keep the last of two values without a word.
struct JsonRow(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for JsonRow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> serde::de::Visitor<'de> for Entries {
            type Value = JsonRow;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<JsonRow, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(JsonRow(entries))
            }
        }
        deserializer.deserialize_map(Entries)
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
        Columns { id: "id".into(), score: "score".into(), cluster: "cluster".into(), epoch: "epoch".into() }
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
            ("a.csv", "id,score\na\n", "/a.csv, row 2: it has 1 field, but the header names 2 columns"),
            ("a.csv", "", "`/a.csv` is empty"),
            ("a.csv", "id;score\na;1\n", "`/a.csv` separates its columns by semicolons"),
            ("a.csv", "id\tscore\na\t1\n", "`/a.csv` separates its columns by tabs"),
            ("a.csv", "id,score,score\na,1,0\n", "`/a.csv` has two columns `score`"),
            ("a.csv", "id,score\na,1\nb,0\na,1\n", "/a.csv, row 4: the id `a` was already in row 2"),
            (
                "a.csv",
                "id,epoch,score\na,0,1\na,1,0\na,0,1\n",
                "/a.csv, row 4: the id `a` was already there with epoch 0 (its first row is 2)",
            ),
            ("a.jsonl", "[{\"id\":1,\"score\":1}]\n", "`/a.jsonl` is a JSON array, not JSON lines"),
            ("a", " [\n{\"id\":1,\"score\":1}]\n", "`/a` is a JSON array, not JSON lines"),
            ("a.jsonl", "{\"score\":1,\"score\":0}\n", "/a.jsonl, row 1: it has the key `score` twice"),
            ("a.jsonl", "{}\n", "/a.jsonl, row 1: it has no `score`"),
            ("a.csv", "score\n1\n", "/a.csv, row 2: it has no `id`"),
            ("a.jsonl", "{\"id\":1}\n", "/a.jsonl, row 1: it has no `score`"),
            ("a.jsonl", "{\"id\":1,\"score\":1}\n[1]\n", "/a.jsonl, row 2: it is not a JSON object"),
            ("a.jsonl", "{\"id\":1,\"score\":[1]}\n", "/a.jsonl, row 1: the score `[1]` is not a number"),
        ];
        for (name, text, message) in cases {
            let failure = read_text(name, text, Ids::Required).unwrap_err();
            assert_eq!((failure.message.as_str(), failure.exit), (message, Exit::TaskInvalid));
            assert!(failure.hint.is_some_and(|hint| !hint.ends_with("are ")), "{message}");
        }
        let hint = read_text("a.csv", "id,scor\na,1\n", Ids::Required).unwrap_err().hint;
        assert_eq!(hint.as_deref(), Some("did you mean `scor`?"));
        assert!(read_text("a.csv", "score\n1\n0\n", Ids::Optional).unwrap().starts_with("2 samples"));
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, b"id,score\na,1\nb\xff,1\n").unwrap();
        let failure = read(&path, &columns(), Ids::Required).unwrap_err();
        assert!(failure.message.ends_with("a.csv, row 3: it is not UTF-8"), "{}", failure.message);
        assert_eq!(failure.hint.as_deref(), Some("save the file as UTF-8"));
    }

    #[test]
    fn rows_of_several_epochs_are_one_sample() {
        let text = "id,epoch,score\na,0,1\nb,0,0\na,1,0\nb,1,1\n";
        assert!(read_text("a.csv", text, Ids::Required).unwrap().starts_with("2 samples: 50.0%"));
    }
}
