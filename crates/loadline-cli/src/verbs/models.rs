//! `loadline models`: the catalogue.

use crate::exit::Exit;
use crate::failure::Result;
use crate::ui::Ui;

/// List the models that Loadline can get: name, size, licence, digest, and where each is
#[derive(clap::Args)]
pub struct Args {
    /// Print each model as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(_args: &Args, _ui: &Ui) -> Result {
    Ok(Exit::Ok)
}
