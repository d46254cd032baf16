//! `loadline compare`: two runs or two files, paired by sample.

use crate::exit::Exit;
use crate::failure::Result;
use crate::store::StoreArgs;
use crate::ui::Ui;

/// Compare two runs, or two files of scores, paired by sample
///
/// Prints the difference B − A with its interval, the exact McNemar test, the probability that A is better, and the
/// smallest difference that this many samples can see.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Run (the beginning of its id) or file of scores
    #[arg(value_name = "A")]
    pub a: String,

    /// Run or file to compare it with
    #[arg(value_name = "B")]
    pub b: String,

    /// Metric to compare, when the runs have several (the first when not given)
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,

    #[command(flatten)]
    pub columns: crate::scores::Columns,

    /// Coverage of the interval
    #[arg(long, value_name = "LEVEL", default_value_t = 0.95, value_parser = crate::scores::open_unit)]
    pub level: f64,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadline compare 7f3a 9c01
  loadline compare before.csv after.csv --score correct";

/// See [`Args`].
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
