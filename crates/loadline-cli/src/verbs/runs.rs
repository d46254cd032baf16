//! `loadline runs`: the records in a store.

use crate::exit::Exit;
use crate::failure::Result;
use crate::store::StoreArgs;
use crate::ui::Ui;

/// List the runs in a store, newest first
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub store: StoreArgs,

    /// Print each run as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
