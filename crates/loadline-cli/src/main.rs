//! The `loadline` command: measures a model, keeps the evidence, says what follows from it.
//!
//! Start here: [`verbs`] has one file per verb. [`ui`] is how it speaks, [`failure`] how it fails, [`exit`] what it
//! ends with. No other crate of the workspace prints.

mod authority;
mod cache;
mod control;
mod decided;
mod documents;
mod door;
mod exit;
mod failure;
mod identity;
mod keyring;
mod live;
mod models;
mod pull;
mod results;
mod scores;
mod server;
mod session;
mod store;
mod table;
mod tasks;
mod ui;
mod upstreams;
mod verbs;

use clap::Parser as _;

/// Measure a language model honestly: scores with error bars, from a record that anyone can check
#[derive(clap::Parser)]
#[command(name = "loadline", version, after_help = exit::Exit::help(), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: verbs::Verb,
}

/// Options of every verb.
#[derive(clap::Args)]
struct Global {
    /// Say less: results, warnings and errors only
    #[arg(long, short, global = true, help_heading = "Global options")]
    quiet: bool,
    /// When to colour
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        help_heading = "Global options"
    )]
    color: ui::ColorChoice,
}

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let ui = ui::Ui::new(cli.global.color, cli.global.quiet);
    let exit = verbs::run(cli.verb, &ui).unwrap_or_else(|failure| {
        ui.failure(&failure);
        failure.exit
    });
    exit.into()
}
