//! `loadline record`: verify, export, prove, withhold.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::Result;
use crate::store::StoreArgs;
use crate::ui::Ui;

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

/// Recompute every hash of a record, and the results from its rows
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
  loadline record withhold 7f3a arithmetic-0012 arithmetic-0013 --out public/7f3a")]
pub struct Withhold {
    /// Run, as the beginning of its id, or the path of its folder
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Samples to withhold, by id; all epochs of each
    #[arg(value_name = "SAMPLE", required = true)]
    pub samples: Vec<String>,
    /// Folder for the copy; must not be there yet
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub store: StoreArgs,
}

/// See [`Args`].
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
