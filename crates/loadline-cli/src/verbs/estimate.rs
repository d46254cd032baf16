//! `loadline estimate`: an estimate from a file of scores.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::Result;
use crate::ui::Ui;

/// Estimate a mean from per-sample scores, with its interval
///
/// Reads a CSV file (with a header) or JSON lines: `score` of each sample, optionally `id`, and `cluster` where
/// samples are not independent of each other.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// CSV or JSONL file of scores
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub columns: crate::scores::Columns,

    /// Coverage of the interval
    #[arg(long, value_name = "LEVEL", default_value_t = 0.95, value_parser = crate::scores::open_unit)]
    pub level: f64,

    /// How the interval is made; chosen by the data when not given
    #[arg(long, value_enum, value_name = "METHOD")]
    pub method: Option<Method>,

    /// The samples are all there will ever be but this many: size of the bank they were drawn from
    #[arg(long, value_name = "J")]
    pub bank_size: Option<u64>,

    /// Also weigh the evidence that the mean is above or below P, valid at any stopping time
    #[arg(long, value_name = "P", value_parser = crate::scores::open_unit)]
    pub threshold: Option<f64>,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Methods of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// Wilson score interval, for right and wrong
    Wilson,
    /// Clopper-Pearson interval: never below its coverage
    ClopperPearson,
    /// Jeffreys interval
    Jeffreys,
    /// Student's t, for any numbers
    T,
    /// Standard errors by cluster
    Clustered,
}

const EXAMPLES: &str = "\
Examples:
  loadline estimate scores.csv
  loadline estimate graded.jsonl --score correct --cluster passage
  loadline estimate scores.csv --threshold 0.8 --json";

/// See [`Args`].
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
