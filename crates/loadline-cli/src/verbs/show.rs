//! `loadline show`: a run, or one sample of it.

use std::time::Duration;

use loadline_core::Value;
use loadline_core::model::{Basis, Prompt, Request, StopReason};
use loadline_core::record::{EvalSpec, Row, SampleRecord};
use loadline_core::untrusted::{one_line, sanitize};
use loadline_evidence::{RecordError, RecordReader};
use loadline_measure::results::{self, ResultsError, RunResults};
use loadline_stats::Level;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::store::{StoreArgs, record_failure, short_ids};
use crate::table::{Cell, Table};
use crate::ui::{self, Out, Ui, count, thousands};

/// Most samples that a run's page lists.
const LISTED: usize = 12;

/// Show what a run measured and found, or the transcript of one of its samples
///
/// What models and datasets wrote is shown with control characters escaped.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Run, as the beginning of its id
    #[arg(value_name = "RUN")]
    pub run: String,

    /// Sample of that run, by its id
    #[arg(value_name = "SAMPLE")]
    pub sample: Option<String>,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadline show 7f3a
  loadline show 7f3a arithmetic-0012";

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let record = args.store.reader(&args.run)?;
    match &args.sample {
        Some(sample) => show_sample(&record, sample, args.json, ui),
        None => show_run(&record, args, ui),
    }
}

fn show_run(record: &RecordReader, args: &Args, ui: &Ui) -> Result {
    let spec = record.spec();
    let results = results::from_record(record, None, Level::P95);
    let mut out = ui.out();
    if args.json {
        let metrics = results.as_ref().map(|results| results.line().metrics).unwrap_or_default();
        out.json(&json!({
            "run": record.run(),
            "spec": spec,
            "sealed": record.seal().is_some(),
            "root": record.seal().map(|seal| seal.root),
            "metrics": metrics,
        }))?;
        out.finish()?;
        return Ok(Exit::Ok);
    }
    facts(record, results.as_ref().ok()).write(&mut out, 0)?;
    out.line("")?;
    match &results {
        Ok(results) => {
            crate::results::table([results], &short_ids(&args.store.store)).write(&mut out, 0)?;
            crate::results::by_level(results).write(&mut out, 2)?;
        }
        Err(ResultsError::NeedsTask { .. }) => {
            out.line("results need all epochs of a sample and the task: `loadline measure` prints them")?;
        }
        Err(error) => {
            out.finish()?;
            return Err(results_failure(error));
        }
    }
    samples(record, &mut out)?;
    out.finish()?;
    ui.hint(format_args!("`loadline show {} SAMPLE` shows one of them", args.run));
    Ok(Exit::Ok)
}

/// What was measured, how, and on what that rests.
fn facts(record: &RecordReader, results: Option<&RunResults>) -> Table {
    let spec = record.spec();
    let mut table = Table::default();
    let mut fact =
        |name: &str, text: String| table.row([Cell::left(name).styled(ui::STRONG), Cell::left(text)]);
    fact("run", record.run().to_string());
    fact("task", format!("{}, version {}, {}", spec.task.name, spec.task.version, spec.task.digest));
    fact("model", format!("{} ({})", spec.model, basis(spec)));
    for (key, value) in &spec.identity.settings {
        fact("", format!("{key} = {value}"));
    }
    let mut how = format!("seed {}", spec.seed);
    if let Some(limit) = spec.limit {
        how.push_str(&format!(", the first {}", count(limit, "sample")));
    }
    if spec.epochs > 1 {
        how.push_str(&format!(", each asked {} times", thousands(spec.epochs.into())));
    }
    for (key, value) in &spec.overrides {
        how.push_str(&format!(", {key} = {value}"));
    }
    if spec.repeat > 0 {
        how.push_str(&format!(", fresh run number {}", spec.repeat + 1));
    }
    fact("how", how);
    if let Some(results) = results {
        let mut answers = format!("{} of {}", thousands(results.answered), thousands(results.total));
        if results.errors > 0 {
            answers.push_str(&format!(", {}", count(results.errors, "error")));
        }
        fact("answers", answers);
        let usage = results.usage;
        fact(
            "tokens",
            format!("{} in, {} out", thousands(usage.input_tokens), thousands(usage.output_tokens)),
        );
    }
    fact(
        "record",
        match record.seal() {
            Some(seal) => format!("sealed, {}, root {}", count(seal.rows, "row"), seal.root),
            None => "not sealed: the run is not finished".to_owned(),
        },
    );
    table
}

/// On what the model's name rests.
fn basis(spec: &EvalSpec) -> String {
    match (&spec.identity.basis, &spec.identity.weights) {
        (Basis::Verified, Some(weights)) => format!("weights {weights}"),
        (Basis::Verified, None) => "checked here".to_owned(),
        (Basis::SelfReported, _) => "as the endpoint says of itself".to_owned(),
        (Basis::Inferred, _) => "concluded from a test".to_owned(),
        (Basis::Absent, _) => "nothing is known of it".to_owned(),
    }
}

/// The first samples, a line each.
fn samples(record: &RecordReader, out: &mut Out) -> std::result::Result<(), Failure> {
    let mut table = Table::default();
    let mut more = false;
    for row in record.rows() {
        let (_, row) = row.map_err(|error| record_failure(&error))?;
        let Row::Sample(sample) = row else { continue };
        if table.len() == LISTED {
            more = true;
            break;
        }
        let epoch = if record.spec().epochs > 1 { format!("epoch {}", sample.epoch) } else { String::new() };
        let score = sample.scores.first().map(|score| value(&score.value)).unwrap_or_default();
        let answer = match &sample.error {
            Some(error) => format!("error: {error}"),
            None => {
                sample.scores.first().and_then(|s| s.answer.clone()).or(sample.output).unwrap_or_default()
            }
        };
        let target = sample.target.first().cloned().unwrap_or_default();
        table.row([
            Cell::left(one_line(&sample.id, 40)),
            Cell::left(epoch),
            Cell::right(score),
            Cell::left(one_line(&answer, 40)),
            Cell::left(one_line(&target, 40)).styled(ui::DIM),
        ]);
    }
    if !table.is_empty() {
        out.line("")?;
        out.line(out.styled(ui::DIM, "sample, score, answer, target"))?;
        table.write(out, 2)?;
    }
    if more {
        out.line("  …")?;
    }
    Ok(())
}

fn show_sample(record: &RecordReader, id: &str, json: bool, ui: &Ui) -> Result {
    let mut out = ui.out();
    let mut found = false;
    for row in record.rows() {
        let (_, row) = row.map_err(|error| record_failure(&error))?;
        let Row::Sample(sample) = row else { continue };
        if sample.id != id {
            continue;
        }
        if json {
            out.json(&sample)?;
        } else {
            if found {
                out.line("")?;
            }
            transcript(&sample, &mut out)?;
        }
        found = true;
    }
    if !found {
        return Err(no_sample(record, id));
    }
    out.finish()?;
    Ok(Exit::Ok)
}

fn no_sample(record: &RecordReader, id: &str) -> Failure {
    let failure =
        Failure::new(Exit::Usage, format!("no sample `{}` in run {}", one_line(id, 80), record.run()));
    // The record knows the nearest id.
    match loadline_evidence::find_sample(record.dir(), id, 0) {
        Err(RecordError::NoSample { nearest: Some(near), .. }) => {
            failure.hint(format!("did you mean `{near}`?"))
        }
        _ => {
            failure.hint("`loadline show RUN` lists the first samples, `loadline record export` all of them")
        }
    }
}

/// What was asked, what was answered, how it was scored.
fn transcript(sample: &SampleRecord, out: &mut Out) -> std::result::Result<(), Failure> {
    let time = ui::duration(Duration::from_millis(sample.duration_ms));
    let usage = sample.usage;
    out.line(format_args!(
        "{}  epoch {}, {time}, {}, {} tokens in, {} out",
        out.styled(ui::STRONG, one_line(&sample.id, 80)),
        sample.epoch,
        count(sample.attempts.into(), "attempt"),
        thousands(usage.input_tokens),
        thousands(usage.output_tokens),
    ))?;
    for (key, value) in &sample.metadata {
        out.line(format_args!("  {}: {}", one_line(key, 40), one_line(&value.to_string(), 120)))?;
    }
    match &sample.input {
        Request::Generate(request) => prompt(&request.prompt, out)?,
        Request::Loglikelihood(request) => prompt(&request.context, out)?,
        Request::Rolling(request) => block("text", &request.text, out)?,
    }
    if let Request::Loglikelihood(request) = &sample.input {
        choices(sample, &request.continuations, out)?;
    }
    if let Some(output) = sample.output.as_deref().filter(|output| !output.is_empty()) {
        let heading = match sample.stop_reason {
            StopReason::Stop => "model",
            StopReason::Length => "model (stopped at the token limit)",
            StopReason::ContentFilter => "model (withheld by the provider)",
            StopReason::Other => "model (stopped for another reason)",
        };
        block(heading, output, out)?;
    }
    if let Some(error) = &sample.error {
        block("error", error, out)?;
    }
    let targets: Vec<String> =
        sample.target.iter().map(|target| format!("`{}`", one_line(target, 120))).collect();
    if !targets.is_empty() {
        block("target", &targets.join(" or "), out)?;
    }
    scores(sample, out)
}

fn prompt(prompt: &Prompt, out: &mut Out) -> std::result::Result<(), Failure> {
    match prompt {
        Prompt::Text(text) => block("prompt", text, out),
        Prompt::Chat(messages) => messages.iter().try_for_each(|m| block(m.role.name(), &m.content, out)),
    }
}

/// A heading and a text from outside, moved in and made safe.
fn block(heading: &str, text: &str, out: &mut Out) -> std::result::Result<(), Failure> {
    out.line("")?;
    out.line(out.styled(ui::HINT, heading))?;
    for line in sanitize(text).lines() {
        out.line(format_args!("  {line}").to_string().trim_end())?;
    }
    Ok(())
}

fn choices(
    sample: &SampleRecord,
    continuations: &[String],
    out: &mut Out,
) -> std::result::Result<(), Failure> {
    out.line("")?;
    out.line(out.styled(ui::HINT, "choices, by log-likelihood"))?;
    let best =
        sample.loglikelihoods.iter().enumerate().max_by(|a, b| a.1.sum.total_cmp(&b.1.sum)).map(|(at, _)| at);
    let mut table = Table::default();
    for (at, text) in continuations.iter().enumerate() {
        let sum = sample.loglikelihoods.get(at).map(|l| format!("{:.3}", l.sum)).unwrap_or_default();
        let notes = [(sample.gold == Some(at)).then_some("right"), (best == Some(at)).then_some("chosen")];
        let notes: Vec<&str> = notes.into_iter().flatten().collect();
        table.row([Cell::right(sum), Cell::left(notes.join(", ")), Cell::left(format!("`{text}`"))]);
    }
    table.write(out, 2)
}

fn scores(sample: &SampleRecord, out: &mut Out) -> std::result::Result<(), Failure> {
    if sample.scores.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.line(out.styled(ui::HINT, "scores"))?;
    let mut table = Table::default();
    for score in &sample.scores {
        let answer = score.answer.as_ref().map(|answer| format!("answer `{answer}`")).unwrap_or_default();
        let why = score.explanation.clone().unwrap_or_default();
        table.row([
            Cell::left(&score.metric),
            Cell::right(value(&score.value)),
            Cell::left(answer),
            Cell::left(why),
        ]);
    }
    table.write(out, 2)
}

/// A score of one sample, which is an observation and no estimate.
fn value(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{number}"),
        Value::Ratio { total, per } => format!("{total:.4} / {per}"),
        Value::Class { gold, predicted } => format!("class {predicted}, key {gold}"),
        Value::Unscored(unscored) => format!("unscored: {}", unscored.reason),
    }
}

/// What an error of the results means for the command.
fn results_failure(error: &ResultsError) -> Failure {
    match error {
        ResultsError::Record(error) => record_failure(error),
        other => Failure::of(Exit::Unexpected, other).maybe_hint(other.hint()),
    }
}
