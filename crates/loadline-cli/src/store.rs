//! Runs in a store: found by the beginning of an id, shown by the shortest one.

use std::path::PathBuf;

/// Where records are.
#[derive(clap::Args, Clone, Debug)]
pub struct StoreArgs {
    /// Folder of the records
    #[arg(long, value_name = "DIR", env = "LOADLINE_STORE", default_value = "runs")]
    pub store: PathBuf,
}
