//! `loadline measure`: tasks × models.

use std::path::PathBuf;
use std::time::Duration;

use loadline_measure::run::{Budget, BudgetParseError, Overrides, RetryPolicy, RunOptions};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::models::{Choice, Settings};
use crate::session::{Report, Session};
use crate::store::short_ids;
use crate::tasks::Finder;
use crate::ui::Ui;

/// Measure models on tasks
///
/// Runs each task against each model, records every answer as it comes, and prints each result with its interval.
/// The same command goes on where it stopped: answers that are in the record are not asked for again.
///
/// A TASK is a suite (`arithmetic`, `arithmetic-choice`, `arithmetic@3` for difficulty level 3), the name of a task
/// file found with `--include-path`, or the path of a task file. `loadline tasks` lists them.
///
/// A MODEL is a name from `loadline models`, or `gguf/PATH`, `openai/NAME`, `anthropic/NAME`, or
/// `fake/ability=0.7` (a simulated subject that answers right with that probability; `fake/rule=follow` keeps the rules
/// of every sample and `fake/rule=break` breaks them).
#[derive(clap::Args)]
#[command(override_usage = "loadline measure [OPTIONS] <TASK>... --model <MODEL>...", after_long_help = EXAMPLES)]
pub struct Args {
    /// Suites, names of task files, or paths of task files
    #[arg(value_name = "TASK")]
    pub tasks: Vec<String>,

    /// Models to measure; each task runs against each of them
    #[arg(long, short, required = true, num_args = 1.., value_name = "MODEL")]
    pub model: Vec<String>,

    /// What is measured
    #[command(flatten)]
    pub what: What,

    /// How it is run
    #[command(flatten)]
    pub how: How,
}

/// Options that change what is measured: they are part of the run's specification.
#[derive(clap::Args, Clone, Debug)]
pub struct What {
    /// Only the first N samples of each task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "What is measured")]
    pub limit: Option<u64>,

    /// Ask each sample N times (the task's own number when not given)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "What is measured")]
    pub epochs: Option<u32>,

    /// Seed of made items, of the choice of examples, and of sampling (0 for suites, 1234 for task files)
    #[arg(long, value_name = "N", help_heading = "What is measured")]
    pub seed: Option<u64>,

    /// Sampling temperature instead of the task's; 0 is greedy
    #[arg(long, value_name = "T", value_parser = temperature, help_heading = "What is measured")]
    pub temperature: Option<f64>,

    /// Most tokens to write for each answer, instead of the task's number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "What is measured")]
    pub max_tokens: Option<u32>,

    /// A setting of the model, as KEY=VALUE; may be given several times (`precision=f32`)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, help_heading = "What is measured")]
    pub model_arg: Vec<(String, String)>,

    /// Address of the endpoint, for `openai/NAME` and `anthropic/NAME`
    #[arg(long, value_name = "URL", help_heading = "What is measured")]
    pub base_url: Option<String>,

    /// Also find task files below this folder; may be given several times
    #[arg(long, value_name = "DIR", help_heading = "What is measured")]
    pub include_path: Vec<PathBuf>,
}

/// Options that change only how fast and how far a run gets.
#[derive(clap::Args, Clone, Debug)]
pub struct How {
    /// Most requests at once; found by itself when not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "How it is run")]
    pub concurrency: Option<u32>,

    /// Most repeats of an attempt that failed
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "How it is run")]
    pub max_retries: u32,

    /// Longest time for one attempt (`90s`, `5m`; 2 minutes for an endpoint when not given)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "How it is run")]
    pub attempt_timeout: Option<Duration>,

    /// Stop when this is spent: `200k-tokens`, `500-requests`, `10m`, or several with commas between
    #[arg(long, value_name = "BUDGET", value_parser = budget, help_heading = "How it is run")]
    pub budget: Option<Budget>,

    /// Folder of the records
    #[arg(
        long,
        value_name = "DIR",
        env = "LOADLINE_STORE",
        default_value = "runs",
        help_heading = "How it is run"
    )]
    pub store: PathBuf,

    /// Begin a new run even if there is one of the same specification
    #[arg(long, help_heading = "How it is run")]
    pub fresh: bool,

    /// Print each result as one line of JSON
    #[arg(long, help_heading = "How it is run")]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadline measure arithmetic --model qwen2.5-coder-0.5b-instruct
  loadline measure tasks/gsm8k.yaml arithmetic@3 --model openai/gpt-5-mini --limit 200
  loadline measure logic --model openai/local --base-url http://localhost:8000/v1 --concurrency 32
  loadline measure arithmetic --model fake/ability=0.6 fake/ability=0.7 --json

While it runs, press `t` (or send SIGUSR1) to see which samples are in flight. Ctrl-C stops it cleanly; the same
command resumes. Keys come from the environment: OPENAI_API_KEY, ANTHROPIC_API_KEY.";

fn temperature(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=10.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 10".to_owned()),
    }
}

fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn time(text: &str) -> std::result::Result<Duration, String> {
    let bad = || "expected a time such as `90s`, `5m` or `500ms`".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    match Duration::try_from_secs_f64(number * unit) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(bad()),
    }
}

fn budget(text: &str) -> std::result::Result<Budget, String> {
    text.parse().map_err(|error: BudgetParseError| format!("{error}; {}", error.hint()))
}

/// See [`Args`].
pub fn run(args: Args, ui: &Ui) -> Result {
    if args.tasks.is_empty() {
        return Err(Failure::new(Exit::Usage, "no task is given")
            .hint("tasks go before `--model`: `loadline measure TASK --model MODEL`"));
    }
    let models = args.model.iter().map(|text| Choice::parse(text)).collect::<Result<Vec<_>>>()?;
    let mut finder = Finder::new(&args.what.include_path, args.what.seed, args.what.limit);
    let mut tasks = Vec::new();
    for text in &args.tasks {
        tasks.extend(finder.find(text)?);
    }
    let session = Session {
        tasks,
        models,
        settings: Settings { base_url: args.what.base_url.clone(), pairs: args.what.model_arg.clone() },
        options: options(&args),
        attempt_timeout: args.how.attempt_timeout,
        store: args.how.store,
        json: args.how.json,
    };
    let report = session.run(ui)?;
    session.show(&report, ui)?;
    if let Some(hint) = next(&report, &session) {
        ui.hint(hint);
    }
    Ok(report.exit)
}

fn options(args: &Args) -> RunOptions {
    let (what, how) = (&args.what, &args.how);
    let defaults = RunOptions::default();
    RunOptions {
        epochs: what.epochs,
        overrides: Overrides { temperature: what.temperature, max_tokens: what.max_tokens },
        concurrency: how.concurrency.map(|n| n as usize),
        retry: RetryPolicy { max_retries: how.max_retries, ..defaults.retry },
        budget: how.budget.unwrap_or_default(),
        fresh: how.fresh,
        ..defaults
    }
}

/// What to do next.
fn next(report: &Report, session: &Session) -> Option<String> {
    if let Some(hint) = report.outcomes.iter().find_map(|outcome| outcome.hint()) {
        return Some(hint.to_owned());
    }
    let ids = short_ids(&session.store);
    let short = |at: usize| report.outcomes.get(at).map(|outcome| ids.of(&outcome.run));
    match (report.outcomes.len(), session.tasks.len()) {
        (2, 1) => Some(format!("compare them with `loadline compare {} {}`", short(0)?, short(1)?)),
        (1, _) => Some(format!("`loadline show {}` has the samples", short(0)?)),
        _ => None,
    }
}
