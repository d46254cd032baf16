//! One file per verb: its arguments (whose doc comments are the help) and what it does.

pub mod access;
pub mod authority;
pub mod compare;
pub mod compute;
pub mod estimate;
pub mod exam;
pub mod gate;
pub mod gate_audit;
pub mod gate_guard;
pub mod gate_identity;
pub mod gate_key;
mod gate_log;
pub mod gate_ready;
pub mod gate_receipt;
pub mod gate_watch;
pub mod key;
pub mod license;
pub mod log;
pub mod measure;
pub mod model;
pub mod models;
pub mod policy;
pub mod pull;
pub mod quickstart;
pub mod record;
pub mod runs;
pub mod show;
pub mod stage;
pub mod standing;
pub mod stop;
pub mod tasks;
pub mod verify;

use crate::failure::Result;
use crate::ui::Ui;

/// What to do.
#[derive(clap::Subcommand)]
pub enum Verb {
    Quickstart(quickstart::Args),
    Measure(measure::Args),
    Tasks(tasks::Args),
    Models(models::Args),
    Pull(pull::Args),
    Runs(runs::Args),
    Show(show::Args),
    Record(record::Args),
    Estimate(estimate::Args),
    Compare(compare::Args),
    Compute(compute::Args),
    Policy(policy::Args),
    Key(key::Args),
    Log(log::Args),
    Authority(authority::Args),
    Model(model::Args),
    Exam(exam::Args),
    License(license::Args),
    Stage(stage::Args),
    Standing(standing::Args),
    Verify(verify::Args),
    Gate(gate::Args),
    Access(access::Args),
    Stop(Box<stop::Args>),
}

/// Does it.
///
/// # Errors
/// Whatever ends the verb: see [`crate::failure::Failure`].
pub fn run(verb: Verb, ui: &Ui) -> Result {
    match verb {
        Verb::Quickstart(args) => quickstart::run(args, ui),
        Verb::Measure(args) => measure::run(args, ui),
        Verb::Tasks(args) => tasks::run(&args, ui),
        Verb::Models(args) => models::run(&args, ui),
        Verb::Pull(args) => pull::run(&args, ui),
        Verb::Runs(args) => runs::run(&args, ui),
        Verb::Show(args) => show::run(&args, ui),
        Verb::Record(args) => record::run(&args, ui),
        Verb::Estimate(args) => estimate::run(&args, ui),
        Verb::Compare(args) => compare::run(&args, ui),
        Verb::Compute(args) => compute::run(&args, ui),
        Verb::Policy(args) => policy::run(&args, ui),
        Verb::Key(args) => key::run(&args, ui),
        Verb::Log(args) => log::run(&args, ui),
        Verb::Authority(args) => authority::run(&args, ui),
        Verb::Model(args) => model::run(&args, ui),
        Verb::Exam(args) => exam::run(&args, ui),
        Verb::License(args) => license::run(&args, ui),
        Verb::Stage(args) => stage::run(&args, ui),
        Verb::Standing(args) => standing::run(&args, ui),
        Verb::Verify(args) => verify::run(&args, ui),
        Verb::Gate(args) => gate::run(&args, ui),
        Verb::Access(args) => access::run(args, ui),
        Verb::Stop(args) => stop::run(*args, ui),
    }
}
