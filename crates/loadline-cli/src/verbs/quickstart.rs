//! `loadline quickstart`: from nothing to a measured model in one command, or to a verified licence.

mod license;

use std::path::PathBuf;

use loadline_evidence::Store;
use loadline_local::catalogue;
use loadline_measure::run::{RunOptions, RunStatus};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::models::{Choice, Settings};
use crate::pull;
use crate::session::{Report, Session};
use crate::store::{record_failure, short_ids};
use crate::tasks::{Finder, Ready};
use crate::ui::{self, Ui, count};

/// Get a small real model, measure it on the starter suites, and check the record
///
/// Downloads the model once (491 MB, checked by its digest, kept in the cache), measures it on this machine in under
/// three minutes on two cores, prints the results with their intervals, seals and verifies the record, and says what
/// to do next. Run it again and it finds everything done.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub verb: Option<Further>,

    /// Use this copy of the model file instead of downloading it; its digest is checked all the same
    #[arg(long, value_name = "PATH", env = "LOADLINE_MODEL_FILE")]
    pub model_file: Option<PathBuf>,

    /// Folder of the records
    #[arg(long, value_name = "DIR", env = "LOADLINE_STORE", default_value = "runs")]
    pub store: PathBuf,

    /// Seed of the items
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Begin new runs even if these are done
    #[arg(long)]
    pub fresh: bool,

    /// Print each result as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// Further than a measurement.
#[derive(clap::Subcommand)]
pub enum Further {
    License(license::License),
}

const EXAMPLES: &str = "\
Examples:
  loadline quickstart
  loadline quickstart license
  loadline quickstart --seed 7
  loadline quickstart --model-file ~/models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

/// The starter suites, each with its number of items: what two cores do in under three minutes with the default model.
const STARTER: [(&str, u64); 8] = [
    ("arithmetic@1", 10),
    ("word-problems-choice", 50),
    ("knights-and-knaves-choice", 50),
    ("program-tracing-choice", 50),
    ("languages-choice", 60),
    ("chess-choice", 50),
    ("retrieval@1", 15),
    ("instructions@1", 15),
];

/// See [`Args`].
pub fn run(args: Args, ui: &Ui) -> Result {
    if let Some(Further::License(args)) = &args.verb {
        return license::run(args, ui);
    }
    let model = catalogue::find(catalogue::DEFAULT)
        .ok_or_else(|| Failure::new(Exit::Unexpected, "the catalogue has no default model"))?;
    let path = match args.model_file {
        Some(path) => path,
        None => pull::get(model, None, ui)?,
    };
    let choice = Choice::known_at(model, path)?;
    let session = Session {
        tasks: starter_tasks(args.seed)?,
        models: vec![choice],
        settings: Settings::default(),
        attempt_timeout: None,
        options: RunOptions { fresh: args.fresh, ..RunOptions::default() },
        store: args.store,
        json: args.json,
    };
    let report = session.run(ui)?;
    session.show(&report, ui)?;
    verify(&report, &session, ui)?;
    next(&report, &session, ui);
    Ok(report.exit)
}

fn starter_tasks(seed: u64) -> Result<Vec<Ready>> {
    let mut tasks = Vec::new();
    for (name, items) in STARTER {
        tasks.extend(Finder::new(&[], Some(seed), Some(items)).find(name)?);
    }
    Ok(tasks)
}

/// Reads every byte of every record again, as anybody could.
fn verify(report: &Report, session: &Session, ui: &Ui) -> Result<()> {
    let store = Store::open(&session.store);
    let mut samples = 0;
    for outcome in &report.outcomes {
        let verified =
            loadline_evidence::verify(store.run_dir(&outcome.run)).map_err(|error| record_failure(&error))?;
        samples += verified.samples;
    }
    let sealed = report.outcomes.iter().filter(|outcome| outcome.status == RunStatus::Complete).count();
    ui.status(
        "Verified",
        format_args!(
            "{} ({} sealed, {}) in `{}`",
            count(report.outcomes.len() as u64, "record"),
            sealed,
            count(samples, "answer"),
            session.store.display()
        ),
    );
    Ok(())
}

/// What to do next.
fn next(report: &Report, session: &Session, ui: &Ui) {
    if let Some(hint) = report.outcomes.iter().find_map(|outcome| outcome.hint()) {
        ui.hint(hint);
        return;
    }
    let ids = short_ids(&session.store);
    let Some(first) = report.outcomes.first() else { return };
    let (run, model) = (ids.of(&first.run), first.results.spec.model.to_string());
    let commands = [
        (format!("loadline show {run}"), "what was asked, and what it answered"),
        (format!("loadline record verify {run}"), "check a record, as anybody can"),
        (
            format!("loadline measure arithmetic --model {model} --limit 200"),
            "more items, narrower intervals",
        ),
        ("loadline measure my_task.yaml --model openai/NAME".to_owned(), "your task, your model"),
    ];
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    ui.say(format_args!("\n{}", ui.styled(ui::STRONG, "What to do next")));
    for (command, what) in commands {
        ui.say(format_args!("  {command:width$}  {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_starter_suite_is_there() {
        let tasks = starter_tasks(0).unwrap();
        assert_eq!(tasks.len(), STARTER.len());
        for (ready, (name, items)) in tasks.iter().zip(STARTER) {
            assert_eq!((ready.task.identity.name.as_str(), ready.task.samples.len()), (name, items));
        }
    }
}
