//! `loadline stop`: orders to a gate, signed by who may: to stop, and to start again.

mod again;
mod drill;
mod order;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Result;
use crate::keyring::PassphraseArgs;
use crate::ui::Ui;

/// Stop a model, a licence, a key or everything at a gate, at once
///
/// Any one holder of a stop key stops. When this ends with 0, the stop is on the gate's disk and no byte of what it names
/// leaves the gate any more. A gate that cannot be reached is asked again for a while; then the order is written to a
/// file, nothing is stopped, and this ends with 50.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_long_help = "\
Examples:
  loadline stop small --key ann.age --gate http://127.0.0.1:8021
  loadline stop ALL --key ann.age --gate http://127.0.0.1:8021 --reason \"it leaks\"
  loadline stop key:0a1b2c3d4e5f --key ann.age --gate https://gate.example.org/admin
  loadline stop bring stop-order.json --gate http://127.0.0.1:8021
  loadline stop lift small --key ann.age --gate http://127.0.0.1:8021 -o lift.json"
)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Option<StopVerb>,

    #[command(flatten)]
    pub stop: Stop,
}

/// What else to do about stops.
#[derive(clap::Subcommand)]
pub enum StopVerb {
    Show(Show),
    Lift(Lift),
    Sign(Sign),
    Bring(Bring),
    Drill(drill::Drill),
}

/// What to stop. Three of these are required unless another verb follows.
#[derive(clap::Args)]
pub struct Stop {
    /// ALL, model:NAME, license:DIGEST, key:ID, or a name that can only be a model's
    #[arg(value_name = "MODEL|LICENSE|KEY|ALL", required = true)]
    pub target: Option<String>,

    /// File of your stop key
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Option<PathBuf>,

    /// The operator's door of the gate: http:// on this machine, or https://
    #[arg(long, value_name = "URL", env = "LOADLINE_GATE", required = true)]
    pub gate: Option<String>,

    /// How long to ask a gate that cannot be reached
    #[arg(long, value_name = "TIME", value_parser = super::standing::time, default_value = "10s")]
    pub patience: Duration,

    /// The gate's name, as in its configuration (default: what the gate says)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Why, for the gate's records
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub reason: String,

    /// Where the order is written when the gate cannot be reached
    #[arg(long, short, value_name = "FILE", default_value = "stop-order.json")]
    pub output: PathBuf,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which gate.
#[derive(clap::Args, Clone, Debug)]
pub struct GateArgs {
    /// The operator's door of the gate: http:// on this machine, or https://
    #[arg(long, value_name = "URL", env = "LOADLINE_GATE")]
    pub gate: String,

    /// How long to ask a gate that cannot be reached
    #[arg(long, value_name = "TIME", value_parser = super::standing::time, default_value = "10s")]
    pub patience: Duration,
}

/// Show what is stopped at a gate
#[derive(clap::Args)]
pub struct Show {
    #[command(flatten)]
    pub gate: GateArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Order that what is stopped starts again
///
/// It takes as many holders of stop keys as the authority's root says. With fewer, the order is written to a file:
/// others add their signatures with `loadline stop sign`, and `loadline stop bring` brings it. It is about the state that
/// the gate is in now: when something else is stopped or started meanwhile, it is worth nothing.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stop lift model:small --key ann.age --gate http://127.0.0.1:8021 -o lift.json
  loadline stop sign lift.json --key ben.age -o lift-ben.json
  loadline stop bring lift.json lift-ben.json --gate http://127.0.0.1:8021")]
pub struct Lift {
    /// What is to start again, as it was named when it was stopped
    #[arg(value_name = "MODEL|LICENSE|KEY|ALL")]
    pub target: String,

    /// File of your stop key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    #[command(flatten)]
    pub gate: GateArgs,

    /// Why, for the gate's records
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub reason: String,

    /// Where the order is written when more must sign it
    #[arg(long, short, value_name = "FILE", default_value = "lift-order.json")]
    pub output: PathBuf,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Add your signature to an order, after looking at what it says
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stop sign lift.json --key ben.age -o lift-ben.json")]
pub struct Sign {
    /// The order
    #[arg(value_name = "FILE")]
    pub order: PathBuf,

    /// File of your stop key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// Where the signed order is written (default: in its place)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Bring an order to a gate; the signatures of several files of one order are put together
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stop bring stop-order.json --gate http://127.0.0.1:8021
  loadline stop bring lift.json lift-ben.json --gate http://127.0.0.1:8021")]
pub struct Bring {
    /// The order, once or as several signed it
    #[arg(value_name = "FILE", required = true)]
    pub orders: Vec<PathBuf>,

    #[command(flatten)]
    pub gate: GateArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
///
/// # Errors
/// Whatever ends the verb.
pub fn run(args: Args, ui: &Ui) -> Result {
    match args.verb {
        Some(StopVerb::Show(args)) => again::show(&args, ui),
        Some(StopVerb::Lift(args)) => again::lift(&args, ui),
        Some(StopVerb::Sign(args)) => again::sign(&args, ui),
        Some(StopVerb::Bring(args)) => again::bring(&args, ui),
        Some(StopVerb::Drill(args)) => drill::drill(&args, ui),
        None => order::stop(&args.stop, ui),
    }
}
