//! `loadline gate guard`: how often a guard is wrong.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::Digest;
use loadline_gate::config;
use loadline_gate::guard::{Counts, Guard, Measured, texts_of_request};
use loadline_gate::run::{self, StartError};
use loadline_policy::Named as _;
use loadline_stats::proportion::Proportion;
use loadline_stats::{Estimate, Level};
use serde_json::{Value, json};

use super::gate;
use crate::authority::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// The largest file of texts.
const MAX_TEXTS_BYTES: u64 = 1 << 30;
/// How many texts a classifier or judge is asked about at once.
const AT_ONCE: usize = 8;

/// Measure how often a guard of a gate is wrong
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: GuardVerb,
}

/// What to do with guards.
#[derive(clap::Subcommand)]
pub enum GuardVerb {
    Measure(Measure),
}

/// Ask a guard about texts of which it is known whether it should match them
///
/// Each line of a file is a JSON object: `text`, or a whole request with `messages`. What is printed goes into the
/// configuration, under the guard.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate guard measure gate.toml --guard bombs --good harmless.jsonl --bad harmful.jsonl")]
pub struct Measure {
    /// The gate's configuration
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// The guard, by its name
    #[arg(long, value_name = "NAME")]
    pub guard: String,
    /// Texts that it should not match
    #[arg(long, value_name = "FILE")]
    pub good: PathBuf,
    /// Texts that it should match
    #[arg(long, value_name = "FILE")]
    pub bad: PathBuf,
    /// What these texts are, in words; the names of the files when not given
    #[arg(long, value_name = "WORDS")]
    pub on: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        GuardVerb::Measure(args) => measure(args, ui),
    }
}

/// The rate behind counts, with the exact interval.
fn rate(counts: Counts) -> Option<Estimate> {
    Some(Proportion::new(counts.k, counts.n).ok()?.clopper_pearson(Level::P95))
}

fn shown(counts: Counts) -> String {
    let rate = rate(counts).map(|rate| format!("{rate}")).unwrap_or_default();
    format!("{rate} ({} of {})", counts.k, counts.n)
}

/// Says of each guard how often it was wrong.
///
/// # Errors
/// When standard output cannot be written.
pub fn list(guards: &[Arc<Guard>], ui: &Ui) -> Result<()> {
    if guards.is_empty() {
        return Ok(());
    }
    let mut table = Table::default();
    let head = ["guard", "on", "action", "rule", "false refusals", "misses", "measured"];
    table.row(head.map(|title| Cell::left(title).styled(ui::STRONG)));
    for guard in guards {
        let (refusals, misses, measured) = match &guard.measured {
            Some(Measured { false_refusal, miss, on, date, .. }) => {
                (shown(*false_refusal), shown(*miss), format!("{} on {on}", date.day()))
            }
            None => ("absent".to_owned(), "absent".to_owned(), "by nobody".to_owned()),
        };
        table.row([
            Cell::left(&guard.name),
            Cell::left(guard.side.name()),
            Cell::left(guard.action.name()),
            Cell::left(guard.rule.kind()),
            Cell::left(refusals),
            Cell::left(misses),
            Cell::left(measured),
        ]);
    }
    let mut out = ui.out();
    table.write(&mut out, 0)?;
    out.finish()
}

/// Labelled texts.
struct Texts {
    rows: Vec<Arc<loadline_gate::guard::Texts>>,
    digest: Digest,
}

fn read(path: &Path) -> Result<Texts> {
    let shown = path.display();
    let failure = |error: &std::io::Error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{shown}`"), error)
            .hint("give a file with a JSON object on each line")
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failure(&error))?;
    file.take(MAX_TEXTS_BYTES + 1).read_to_string(&mut text).map_err(|error| failure(&error))?;
    if text.len() as u64 > MAX_TEXTS_BYTES {
        return Err(Failure::new(Exit::TaskInvalid, format!("`{shown}` is larger than 1 GiB")));
    }
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |why: &str| {
            let message = format!("`{shown}`, line {}: {why}", at + 1);
            Failure::new(Exit::TaskInvalid, message).hint("such as `{\"text\": \"…\"}`, one on each line")
        };
        let row: Value = serde_json::from_str(line).map_err(|_| wrong("is not JSON"))?;
        rows.push(match &row["text"] {
            Value::String(text) => Arc::new(text.clone().into()),
            _ if row["messages"].is_array() => {
                let texts = texts_of_request(line.as_bytes());
                Arc::new(texts.ok_or_else(|| wrong("holds numbers of tokens"))?)
            }
            _ => return Err(wrong("has neither `text` nor `messages`")),
        });
    }
    if rows.is_empty() {
        return Err(Failure::new(Exit::TaskInvalid, format!("`{shown}` has no texts")));
    }
    Ok(Texts { rows, digest: Digest::of(text.as_bytes()) })
}

/// How many of the texts a guard matches.
async fn matches(guard: &Arc<Guard>, texts: &Texts, path: &Path, ui: &Ui) -> Result<u64> {
    let mut matched = 0;
    let dial = gate::outside(ui, None)?.dial;
    for (chunk, rows) in texts.rows.chunks(AT_ONCE).enumerate() {
        let mut asked = tokio::task::JoinSet::new();
        for (at, row) in rows.iter().cloned().enumerate() {
            let (guard, dial) = (Arc::clone(guard), Arc::clone(&dial));
            asked.spawn(async move { (at, guard.matches(&row, &*dial, 0).await) });
        }
        while let Some(answer) = asked.join_next().await {
            let (at, answer) = answer.map_err(|error| Failure::of(Exit::Unexpected, &error))?;
            let at = chunk * AT_ONCE + at + 1;
            let failed = |why: String| {
                let message =
                    format!("guard `{}` says nothing of text {at} of `{}`", guard.name, path.display());
                Failure::new(Exit::ModelUnreachable, message)
                    .cause(why)
                    .hint("nothing was counted; measure again when it answers")
            };
            matched += u64::from(answer.map_err(failed)?);
        }
    }
    Ok(matched)
}

fn measure(args: &Measure, ui: &Ui) -> Result {
    let outside = gate::outside(ui, None)?;
    let wrong = |error: StartError| gate::wrong(&args.config, &error);
    let config = run::read(&args.config).map_err(wrong)?;
    let guard = config::guard_alone(&config, &args.guard, &*outside.environment, &*outside.open);
    let guard = guard.map_err(|problems| wrong(problems.into()))?;
    let Some(guard) = guard.map(Arc::new) else {
        let names: Vec<_> = config.guards.iter().map(|guard| guard.name.as_str()).collect();
        let message = format!("`{}` has no guard `{}`", args.config.display(), args.guard);
        return Err(Failure::new(Exit::Usage, message).hint(format!("it has: {}", names.join(", "))));
    };
    let (good, bad) = (read(&args.good)?, read(&args.bad)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot make a runtime", &error))?;
    let (refused, found) = runtime.block_on(async {
        let refused = matches(&guard, &good, &args.good, ui).await?;
        Ok::<_, Failure>((refused, matches(&guard, &bad, &args.bad, ui).await?))
    })?;
    let bad_rows = bad.rows.len() as u64;
    let false_refusal = Counts { k: refused, n: good.rows.len() as u64 };
    let miss = Counts { k: bad_rows - found, n: bad_rows };
    let on = args.on.clone().unwrap_or_else(|| format!("{} and {}", args.good.display(), args.bad.display()));
    let today = roots::now()?.day();
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "guard": &*guard.name, "definition": guard.digest, "on": on, "date": today,
            "false_refusal": { "counts": false_refusal, "estimate": rate(false_refusal) },
            "miss": { "counts": miss, "estimate": rate(miss) },
            "good": good.digest, "bad": bad.digest,
        }))?;
    } else {
        let counts = |counts: Counts| format!("{{ k = {}, n = {} }}", counts.k, counts.n);
        out.line(format_args!(
            "measured = {{ false_refusal = {}, miss = {}, on = {}, date = \"{today}\", guard = \"{}\", good = \"{}\", bad = \"{}\" }}",
            counts(false_refusal),
            counts(miss),
            quoted(&on),
            guard.digest,
            good.digest,
            bad.digest,
        ))?;
    }
    out.finish()?;
    ui.status("Measured", format_args!("guard `{}`", guard.name));
    ui.say(format_args!("{:>12} {}", "refused", format_args!("{} of what is good", shown(false_refusal))));
    ui.say(format_args!("{:>12} {}", "missed", format_args!("{} of what is bad", shown(miss))));
    Ok(Exit::Ok)
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    // JSON's escapes are TOML's, but for `\/`, which is never written.
    Value::from(loadline_core::untrusted::one_line(text, 200)).to_string()
}
