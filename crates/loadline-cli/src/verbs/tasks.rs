//! `loadline tasks`: what can be measured.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::failure::Result;
use crate::ui::Ui;

/// List suites and task files, with what each measures or why it cannot be run
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Read all task files below this folder; may be given several times
    #[arg(long, value_name = "DIR")]
    pub include_path: Vec<PathBuf>,

    /// Also list the task files that cannot be run, each with its reason
    #[arg(long)]
    pub all: bool,

    /// Print each task as one line of JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadline tasks
  loadline tasks --include-path lm_eval/tasks --all";

/// See [`Args`].
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
