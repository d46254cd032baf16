//! `loadline record`: verify, export, prove, withhold.

use std::path::PathBuf;

use loadline_evidence::Verified;
use loadline_measure::export::{self as measure_export, ExportError, ExportFormat};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::store::{StoreArgs, record_failure};
use crate::ui::{self, Ui, count, out_failure, thousands};

/// Verify, export, prove or withhold what is in a record
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: RecordVerb,
}

/// What to do with a record.
#[derive(clap::Subcommand)]
pub enum RecordVerb {
    Verify(Verify),
    Export(Export),
    Prove(Prove),
    Withhold(Withhold),
}

/// Check every byte of a record: hashes, checkpoints, root, seal
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline record verify 7f3a
  loadline record verify path/to/run-folder

Ends with 30, and says where, when one bit is not as it was written.")]
pub struct Verify {
    /// Run, as the beginning of its id, or the path of its folder
    #[arg(value_name = "RUN")]
    pub run: String,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Write a run's samples to standard output
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline record export 7f3a --format jsonl > samples.jsonl
  loadline record export 7f3a --format csv > samples.csv")]
pub struct Export {
    /// Run, as the beginning of its id, or the path of its folder
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Format of the output
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Format,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Formats of `record export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object per sample and epoch
    Jsonl,
    /// One row per sample and epoch
    Csv,
}

/// Print the proof that a sample is in a sealed record
///
/// The proof (JSON) holds the sample's row, the hashes from it to the root, and the root. Whoever has the root can
/// check it without the rest of the record.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline record prove 7f3a arithmetic-0012 > proof.json")]
pub struct Prove {
    /// Run, as the beginning of its id, or the path of its folder
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Sample of that run, by its id
    #[arg(value_name = "SAMPLE")]
    pub sample: String,
    /// Which repetition, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub epoch: u32,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Write a copy of a sealed record in which some samples are withheld
///
/// Only the hash of a withheld sample stays: the copy still verifies against the same root, and shows how many
/// samples are withheld.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline record withhold 7f3a arithmetic-0012 arithmetic-0013 --out public")]
pub struct Withhold {
    /// Run, as the beginning of its id, or the path of its folder
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Samples to withhold, by id; all epochs of each
    #[arg(value_name = "SAMPLE", required = true)]
    pub samples: Vec<String>,
    /// Folder for the copy, which gets a folder named by the run in it
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        RecordVerb::Verify(args) => verify(args, ui),
        RecordVerb::Export(args) => export(args, ui),
        RecordVerb::Prove(args) => prove(args, ui),
        RecordVerb::Withhold(args) => withhold(args, ui),
    }
}

fn verify(args: &Verify, ui: &Ui) -> Result {
    let dir = args.store.run_dir(&args.run)?;
    let verified = loadline_evidence::verify(&dir).map_err(|error| record_failure(&error))?;
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "run": verified.run,
            "verified": true,
            "sealed": verified.seal.is_some(),
            "rows": verified.rows,
            "samples": verified.samples,
            "root": verified.root,
            "withheld": verified.withheld,
            "torn_bytes": verified.torn_bytes,
        }))?;
        out.finish()?;
        return Ok(Exit::Ok);
    }
    out.line(format_args!("{}  {}", out.styled(ui::STRONG, "run "), verified.run))?;
    out.line(format_args!("{}  {}", out.styled(ui::STRONG, "root"), verified.root))?;
    out.finish()?;
    ui.status("Verified", summary(&verified));
    if verified.torn_bytes > 0 {
        ui.warning(format_args!(
            "{} at the end are no whole row: what a kill leaves; the next run cuts them",
            count(verified.torn_bytes, "byte")
        ));
    }
    if verified.seal.is_none() {
        ui.hint("the run is not finished: there is no seal yet; the command that began it goes on with it");
    }
    Ok(Exit::Ok)
}

/// `every byte of 102 rows (100 samples), sealed, 2 withheld`
fn summary(verified: &Verified) -> String {
    let mut text = format!("{} ({})", count(verified.rows, "row"), count(verified.samples, "sample"));
    text.push_str(if verified.seal.is_some() { ", sealed" } else { ", not sealed" });
    if !verified.withheld.is_empty() {
        text.push_str(&format!(", {} withheld", thousands(verified.withheld.len() as u64)));
    }
    text
}

fn export(args: &Export, ui: &Ui) -> Result {
    let record = args.store.reader(&args.run)?;
    let mut out = ui.out();
    let format = match args.format {
        Format::Jsonl => ExportFormat::Jsonl,
        Format::Csv => ExportFormat::Csv,
    };
    let written =
        measure_export::export(&record, format, out.writer()).map_err(|error| export_failure(&error))?;
    out.finish()?;
    ui.status("Exported", count(written, "row"));
    Ok(Exit::Ok)
}

fn export_failure(error: &ExportError) -> Failure {
    match error {
        ExportError::Record(error) => record_failure(error),
        ExportError::Write(error) => out_failure(error),
        ExportError::Csv(error) => match error.kind() {
            csv::ErrorKind::Io(error) => out_failure(error),
            _ => Failure::of(Exit::Unexpected, error),
        },
        _ => Failure::of(Exit::Unexpected, error),
    }
}

fn prove(args: &Prove, ui: &Ui) -> Result {
    let dir = args.store.run_dir(&args.run)?;
    let proof = loadline_evidence::prove_sample(&dir, &args.sample, args.epoch)
        .map_err(|error| record_failure(&error))?;
    let mut out = ui.out();
    out.json(&proof)?;
    out.finish()?;
    ui.status("Proved", format_args!("row {} of {} under {}", proof.row, thousands(proof.rows), proof.root));
    Ok(Exit::Ok)
}

fn withhold(args: &Withhold, ui: &Ui) -> Result {
    let dir = args.store.run_dir(&args.run)?;
    let ids = args.samples.iter().map(String::as_str);
    let copy =
        loadline_evidence::export_withheld(&dir, ids, &args.out).map_err(|error| record_failure(&error))?;
    let mut out = ui.out();
    out.line(copy.dir.display())?;
    out.finish()?;
    ui.status("Withheld", format_args!("{}; the copy verifies", summary(&copy.verified)));
    ui.hint(format_args!("anyone can check it with `loadline record verify {}`", copy.dir.display()));
    Ok(Exit::Ok)
}
