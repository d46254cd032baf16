//! A record's rows in a shape for other programs: one object (JSONL) or line (CSV) for each sample and epoch.
//!
//! Columns, in this order: `id, epoch, task, model, input, target, output, score, scores, answer, loglikelihoods,
//! usage, started, seconds, attempts, error`. `docs/formats/export.md` is the page of this format.

use std::io::{self, Write};

use loadline_core::model::{ContinuationLoglikelihood, Message, Prompt, Request, Usage};
use loadline_core::record::{EvalSpec, Row, SampleRecord};
use loadline_core::score::Value;
use loadline_evidence::{RecordError, RecordReader};
use serde::Serialize;
use serde_json::Map;

use crate::results::{LightRow, ResultsError, check_place};
use crate::run::done::Done;

/// The shape of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object on each line.
    Jsonl,
    /// Comma-separated values (RFC 4180) with a header line; lists and objects as JSON in a field.
    Csv,
}

impl std::str::FromStr for ExportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "jsonl" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            other => {
                let other = loadline_core::untrusted::one_line(other, 40);
                Err(format!("`{other}` is not an export format: expected `jsonl` or `csv`"))
            }
        }
    }
}

/// Why rows cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A row is not what this program writes.
    #[error(transparent)]
    Row(#[from] ResultsError),
    /// The rows cannot be written.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
    /// The rows cannot be written as CSV.
    #[error("cannot write the export: {0}")]
    Csv(#[from] csv::Error),
}

/// One sample in one epoch.
#[derive(Serialize)]
struct Exported<'a> {
    id: &'a str,
    epoch: u32,
    task: &'a str,
    model: &'a str,
    input: Input<'a>,
    target: &'a [String],
    output: Option<&'a str>,
    /// The first metric's number; null when it has none.
    score: Option<f64>,
    /// Every metric's value.
    scores: Map<String, serde_json::Value>,
    answer: Option<&'a str>,
    loglikelihoods: Vec<ExportedLoglikelihood<'a>>,
    usage: Usage,
    /// RFC 3339, UTC, with milliseconds.
    started: String,
    seconds: f64,
    attempts: u32,
    error: Option<&'a str>,
}

/// A prompt of one text as that text, a conversation as its messages.
#[derive(Serialize)]
#[serde(untagged)]
enum Input<'a> {
    Text(&'a str),
    Messages(&'a [Message]),
}

#[derive(Serialize)]
struct ExportedLoglikelihood<'a> {
    continuation: &'a str,
    #[serde(flatten)]
    value: ContinuationLoglikelihood,
}

/// Writes every sample of a record, each epoch once, in the order of the record. A sample that was given up and
/// answered later appears with its answer only. Gives how many were written.
///
/// # Errors
/// When the record cannot be read or the export cannot be written.
pub fn export(record: &RecordReader, format: ExportFormat, to: impl Write) -> Result<u64, ExportError> {
    let spec = record.spec();
    let answered = answered(record)?;
    let mut given_up = Done::new(spec.samples, spec.epochs);
    let mut sink = Sink::new(format, to)?;
    let (model, mut count) = (spec.model.to_string(), 0);
    for row in record.rows() {
        let (_, Row::Sample(row)) = row? else { continue };
        // Of several rows without an answer the first stands for the sample.
        let is_wanted = if row.is_final() {
            true
        } else {
            !answered.contains(row.index, row.epoch) && given_up.insert(row.index, row.epoch)
        };
        if is_wanted {
            sink.write(&exported(spec, &model, &row))?;
            count += 1;
        }
    }
    sink.finish()?;
    Ok(count)
}

/// Which samples have an answer somewhere in the record.
fn answered(record: &RecordReader) -> Result<Done, ExportError> {
    let spec = record.spec();
    let mut done = Done::new(spec.samples, spec.epochs);
    let mut rows = record.raw()?;
    while let Some(row) = rows.next_row()? {
        let Some(payload) = row.payload else { continue };
        let row: LightRow<'_> = serde_json::from_slice(payload)
            .map_err(|source| ResultsError::Row { run: record.run(), source })?;
        let Some(sample) = row.sample else { continue };
        let (place, is_error) = ((sample.index, sample.epoch), sample.error.is_some());
        check_place(record.run(), (&sample.id, place, is_error), &done)?;
        if !is_error {
            done.insert(sample.index, sample.epoch);
        }
    }
    Ok(done)
}

fn exported<'a>(spec: &'a EvalSpec, model: &'a str, row: &'a SampleRecord) -> Exported<'a> {
    let (input, continuations) = match &row.input {
        Request::Generate(request) => (input(&request.prompt), &[][..]),
        Request::Loglikelihood(request) => (input(&request.context), request.continuations.as_slice()),
        Request::Rolling(request) => (Input::Text(&request.text), &[][..]),
    };
    let continuations = continuations.iter().map(String::as_str).chain(std::iter::repeat(""));
    let first = spec.metrics.first().and_then(|metric| row.scores.iter().find(|s| s.metric == metric.name));
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a request are far below 2^53")]
    let seconds = row.duration_ms as f64 / 1000.0;
    Exported {
        id: &row.id,
        epoch: row.epoch,
        task: &spec.task.name,
        model,
        input,
        target: &row.target,
        output: row.output.as_deref(),
        score: first.and_then(|score| score.value.number()),
        scores: row.scores.iter().map(|score| (score.metric.clone(), value(&score.value))).collect(),
        answer: first.and_then(|score| score.answer.as_deref()),
        loglikelihoods: row
            .loglikelihoods
            .iter()
            .zip(continuations)
            .map(|(&value, continuation)| ExportedLoglikelihood { continuation, value })
            .collect(),
        usage: row.usage,
        started: rfc3339(row.started_ms),
        seconds,
        attempts: row.attempts,
        error: row.error.as_deref(),
    }
}

fn input(prompt: &Prompt) -> Input<'_> {
    match prompt {
        Prompt::Text(text) => Input::Text(text),
        Prompt::Chat(messages) => match messages.as_slice() {
            [only] if only.role == loadline_core::model::Role::User => Input::Text(&only.content),
            many => Input::Messages(many),
        },
    }
}

/// A number as itself, an unscored value as null, other values as objects.
fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(number) => (*number).into(),
        Value::Unscored(_) => serde_json::Value::Null,
        Value::Ratio { total, per } => serde_json::json!({ "total": total, "per": per }),
        Value::Class { gold, predicted } => serde_json::json!({ "gold": gold, "predicted": predicted }),
    }
}

enum Sink<W: Write> {
    Jsonl(io::BufWriter<W>),
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Sink<W> {
    fn new(format: ExportFormat, to: W) -> Result<Self, ExportError> {
        Ok(match format {
            ExportFormat::Jsonl => Self::Jsonl(io::BufWriter::new(to)),
            ExportFormat::Csv => {
                let mut csv = csv::Writer::from_writer(to);
                csv.write_record(COLUMNS)?;
                Self::Csv(Box::new(csv))
            }
        })
    }

    fn write(&mut self, row: &Exported<'_>) -> Result<(), ExportError> {
        match self {
            Self::Jsonl(out) => {
                serde_json::to_writer(&mut *out, row).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Self::Csv(csv) => csv.write_record(fields(row)?)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::Jsonl(mut out) => out.flush()?,
            Self::Csv(mut csv) => csv.flush()?,
        }
        Ok(())
    }
}

const COLUMNS: [&str; 16] = [
    "id",
    "epoch",
    "task",
    "model",
    "input",
    "target",
    "output",
    "score",
    "scores",
    "answer",
    "loglikelihoods",
    "usage",
    "started",
    "seconds",
    "attempts",
    "error",
];

/// The fields of a CSV line, in the order of [`COLUMNS`]: texts as they are, absent values empty, a single target
/// plain, everything else as JSON.
fn fields(row: &Exported<'_>) -> Result<[String; 16], ExportError> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let input = match &row.input {
        Input::Text(text) => (*text).to_owned(),
        Input::Messages(messages) => json(messages)?,
    };
    let target = match row.target {
        [only] => only.clone(),
        many => json(&many)?,
    };
    let loglikelihoods =
        if row.loglikelihoods.is_empty() { String::new() } else { json(&row.loglikelihoods)? };
    Ok([
        row.id.to_owned(),
        row.epoch.to_string(),
        row.task.to_owned(),
        row.model.to_owned(),
        input,
        target,
        text(row.output),
        row.score.map(|score| score.to_string()).unwrap_or_default(),
        json(&row.scores)?,
        text(row.answer),
        loglikelihoods,
        json(&row.usage)?,
        row.started.clone(),
        row.seconds.to_string(),
        row.attempts.to_string(),
        text(row.error),
    ])
}

fn json(value: &impl Serialize) -> Result<String, ExportError> {
    Ok(serde_json::to_string(value).map_err(io::Error::from)?)
}

/// Milliseconds since 1970-01-01 UTC as `2026-11-23T18:10:10.123Z`. The calendar is computed in years that begin
/// in March, so that the leap day is the last one of its year.
fn rfc3339(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in cycles of 400 years.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * cycle + year + next_year;
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), text);
        }
    }
}
