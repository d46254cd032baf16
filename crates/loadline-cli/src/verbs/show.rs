//! `loadline show`: a run, or one sample of it.

use crate::exit::Exit;
use crate::failure::Result;
use crate::store::StoreArgs;
use crate::ui::Ui;

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
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
