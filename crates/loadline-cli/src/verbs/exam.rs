//! `loadline exam`: commit, start, run, finish.

use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_measure::run::RunOptions;
use serde_json::json;

use crate::authority::office::{Office, OfficeArgs};
use crate::authority::{commit, exams, finish, registry};
use crate::documents;
use crate::exit::Exit;
use crate::failure::Result;
use crate::session::{Report, Session};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui, count};

/// Examine a registered model: questions made after it, answers anybody can check
///
/// The order is what makes it an exam: `commit` binds the authority to a secret, `loadline model register` binds the
/// developer to a model, `start` takes the next attempt's number from the log, `run` asks, `finish` scores everything
/// again, signs the counts and makes the secret public.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: ExamVerb,
}

/// What to do with an exam.
#[derive(clap::Subcommand)]
pub enum ExamVerb {
    Commit(Commit),
    Start(Start),
    Run(RunArgs),
    Finish(Finish),
}

/// Publish a policy, and commit to a secret for one exam under it
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline exam commit starter
  loadline exam commit policy.toml")]
pub struct Commit {
    /// File of a policy, or a policy that ships: starter, frontier, open-weights
    #[arg(value_name = "POLICY")]
    pub policy: String,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Begin the exam of a registered model
///
/// Has the log cosigned by its witnesses, from which the questions follow too, and logs the attempt with its number. An
/// attempt that is never finished stays visible in the log.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline exam start
  loadline exam start --registration 3")]
pub struct Start {
    /// Log index of the registration (default: the newest whose exam has not begun)
    #[arg(long, value_name = "INDEX")]
    pub registration: Option<u64>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Ask the model every question of the exam
///
/// Refuses a model that is not the registered one. The same command goes on where it stopped, and the log says so:
/// what was answered is not asked again.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline exam run
  loadline exam run 3f1c --concurrency 32")]
pub struct RunArgs {
    /// Beginning of the exam's id (default: the newest exam)
    #[arg(value_name = "EXAM")]
    pub exam: Option<String>,

    /// Most requests at once; found by itself when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub concurrency: Option<u32>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Score every answer again, sign the counts, and make the secret public
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline exam finish
  loadline exam finish 3f1c --json")]
pub struct Finish {
    /// Beginning of the exam's id (default: the newest exam)
    #[arg(value_name = "EXAM")]
    pub exam: Option<String>,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        ExamVerb::Commit(args) => commit(args, ui),
        ExamVerb::Start(args) => start(args, ui),
        ExamVerb::Run(args) => run_exam(args, ui),
        ExamVerb::Finish(args) => finish(args, ui),
    }
}

fn commit(args: &Commit, ui: &Ui) -> Result {
    let policy = documents::policy(&args.policy)?;
    let mut office = Office::open(&args.office)?;
    let committed = commit::commit(&mut office, &policy)?;
    let index = committed.commitment;
    ui.status(
        "Committed",
        format_args!("to a secret for `{}`, entry {index} of the log", one_line(&policy.name, 80)),
    );
    office.publish(ui)?;
    let mut out = ui.out();
    if args.json {
        out.json(&committed)?
    } else {
        out.line(index)?
    }
    out.finish()?;
    ui.hint("register a model for it with `loadline model register MODEL`");
    Ok(Exit::Ok)
}

fn start(args: &Start, ui: &Ui) -> Result {
    let mut office = Office::open(&args.office)?;
    let history = exams::start(&mut office, args.registration, ui)?;
    let start = &history.start;
    ui.status(
        "Started",
        format_args!(
            "exam {}, attempt {}, entry {} of the log",
            &start.exam.hex()[..12],
            start.attempt,
            history.index
        ),
    );
    office.publish(ui)?;
    let mut out = ui.out();
    if args.json {
        out.json(&json!({ "index": history.index, "start": start }))?;
    } else {
        out.line(start.exam.hex())?;
    }
    out.finish()?;
    ui.hint("ask the questions with `loadline exam run`");
    Ok(Exit::Ok)
}

/// What `exam run` needs to know.
pub struct Running {
    /// Beginning of the exam's id.
    pub exam: Option<String>,
    /// Most requests at once.
    pub concurrency: Option<u32>,
    /// Which authority.
    pub office: OfficeArgs,
}

/// Asks what has no answer yet. Gives the report, and where the records are.
///
/// # Errors
/// When the model is not the registered one, or a run fails.
pub fn ask(running: &Running, ui: &Ui) -> Result<(Report, PathBuf)> {
    let mut office = Office::open(&running.office)?;
    let sitting = exams::open(&office, running.exam.as_deref())?;
    let _one_at_a_time = exams::lock(&sitting)?;
    let (choice, settings) = registry::reached(&office.folder, sitting.history.start.model)?;
    let model = choice.open(&settings)?;
    exams::check_model(&sitting, model.as_ref())?;
    if !exams::is_complete(&sitting)? && exams::resume(&mut office, &sitting)? {
        let exam = &sitting.exam().hex()[..12];
        ui.status("Resumed", format_args!("exam {exam}, which the log says"));
        office.publish(ui)?;
    }
    // The log is free for others while the model answers.
    drop(office);
    let in_process = choice.is_in_process();
    let defaults = RunOptions::default();
    let session = Session {
        tasks: exams::tasks(&sitting)?,
        models: Vec::new(),
        settings,
        options: RunOptions { concurrency: running.concurrency.map(|n| n as usize), ..defaults },
        attempt_timeout: None,
        store: sitting.store(),
        json: false,
    };
    let report = session.run_with(&model, in_process, ui)?;
    Ok((report, sitting.store()))
}

fn run_exam(args: &RunArgs, ui: &Ui) -> Result {
    let running =
        Running { exam: args.exam.clone(), concurrency: args.concurrency, office: args.office.clone() };
    let (report, store) = ask(&running, ui)?;
    let answers: u64 = report.outcomes.iter().map(|outcome| outcome.results.answered).sum();
    let tests = count(report.outcomes.len() as u64, "test");
    ui.status("Asked", format_args!("{tests}, {} in `{}`", count(answers, "answer"), store.display()));
    let mut out = ui.out();
    if args.json {
        for outcome in &report.outcomes {
            out.json(&outcome.results.line())?;
        }
    } else {
        crate::results::table(
            report.outcomes.iter().map(|outcome| &outcome.results),
            &crate::store::short_ids(&store),
        )
        .write(&mut out, 4)?;
    }
    out.finish()?;
    match report.exit {
        Exit::Ok => ui.hint("end the exam with `loadline exam finish`"),
        _ => ui.hint("the same command asks what has no answer yet"),
    }
    Ok(report.exit)
}

fn finish(args: &Finish, ui: &Ui) -> Result {
    let mut office = Office::open(&args.office)?;
    let sitting = exams::open(&office, args.exam.as_deref())?;
    let finished = finish::finish(&mut office, &sitting)?;
    ui.status(
        "Attested",
        format_args!(
            "{}, attempt {}, entry {} of the log: `{}`",
            count(finished.tests.len() as u64, "test"),
            finished.attempt,
            finished.finish,
            sitting.dir.join("attestation.json").display()
        ),
    );
    office.publish(ui)?;
    let mut out = ui.out();
    if args.json {
        out.json(&finished)?;
    } else {
        let mut table = Table::default();
        for test in &finished.tests {
            let counts = &test.counts;
            table.row([
                Cell::left(&test.test).styled(ui::STRONG),
                Cell::right(format!("{} of {} right", counts.successes, counts.scored)),
                Cell::left(if counts.unscored > 0 {
                    format!("{} without a score", counts.unscored)
                } else {
                    String::new()
                }),
            ]);
        }
        table.write(&mut out, 4)?;
    }
    out.finish()?;
    ui.hint("sign with `loadline license sign`, decide with `loadline license issue --stage STAGE`");
    Ok(Exit::Ok)
}
