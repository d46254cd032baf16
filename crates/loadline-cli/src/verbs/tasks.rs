//! `loadline tasks`: what can be measured.

use std::path::PathBuf;

use loadline_measure::suite_task::{self, SuiteTask};
use loadline_measure::{EntryKind, Library};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::tasks::task_failure;
use crate::ui::{self, Out, Ui, count, thousands};

/// List suites and task files, with what each measures or why it cannot be run
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Read all task files below this folder; may be given several times
    #[arg(long, value_name = "DIR")]
    pub include_path: Vec<PathBuf>,

    /// Also list the task files that cannot be run, each with its reason
    #[arg(long)]
    pub all: bool,

    /// Print each task as one line of JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadline tasks
  loadline tasks --include-path lm_eval/tasks --all";

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let mut out = ui.out();
    suites(args, &mut out)?;
    if args.include_path.is_empty() {
        out.finish()?;
        if !args.json {
            ui.hint("`--include-path DIR` also reads the task files below a folder");
        }
        return Ok(Exit::Ok);
    }
    let library = Library::scan(&args.include_path).map_err(|error| task_failure(&error))?;
    files(args, &library, &mut out)?;
    out.finish()?;
    ui.status("Read", Counts::of(&library));
    if !args.all && !args.json {
        ui.hint("`--all` lists the tasks that cannot be run, each with its reason");
    }
    Ok(Exit::Ok)
}

fn suites(args: &Args, out: &mut Out) -> std::result::Result<(), Failure> {
    let all = suite_task::all();
    if args.json {
        return all.iter().try_for_each(|suite| {
            out.json(&json!({
                "task": suite.name(),
                "kind": "suite",
                "description": suite.description(),
                "levels": suite.levels(),
                "chance": suite.chance(),
            }))
        });
    }
    // The forms of a suite stand next to each other and have one description.
    for forms in all.chunk_by(|a, b| a.suite().name() == b.suite().name()) {
        let names: Vec<String> =
            forms.iter().map(|form| out.styled(ui::STRONG, form.name()).to_string()).collect();
        let levels = forms.first().map_or(0, |form| form.levels().len()) as u64;
        out.line(format_args!("{}  ({})", names.join(", "), count(levels, "level")))?;
        for line in wrapped(forms.first().map_or("", SuiteTask::description), 96) {
            out.line(format_args!("    {line}"))?;
        }
    }
    Ok(())
}

/// A text in lines of at most so many characters, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn files(args: &Args, library: &Library, out: &mut Out) -> std::result::Result<(), Failure> {
    let mut table = Table::default();
    for entry in library.entries() {
        let kind = kind(entry.kind);
        if args.json {
            out.json(&json!({
                "task": entry.name,
                "kind": kind,
                "path": entry.path,
                "output_type": entry.output_type,
                "members": entry.members,
                "reasons": entry.reasons,
            }))?;
            continue;
        }
        if !entry.reasons.is_empty() && !args.all {
            continue;
        }
        let what = match (entry.reasons.as_slice(), entry.members.len()) {
            ([], 0) => Cell::left(entry.output_type.unwrap_or_default()).styled(ui::DIM),
            ([], members) => {
                Cell::left(format!("{kind} of {}", count(members as u64, "task"))).styled(ui::DIM)
            }
            (reasons, _) => Cell::left(format!("cannot be run: {}", reasons.join("; "))).styled(ui::WARN),
        };
        table.row([Cell::left(&entry.name).styled(ui::STRONG), what]);
    }
    for problem in library.problems() {
        if args.json {
            out.json(&json!({ "kind": "problem", "reasons": [problem.message] }))?;
        } else if args.all {
            table.row([Cell::left(&problem.message).styled(ui::BAD)]);
        }
    }
    if !table.is_empty() {
        out.line("")?;
    }
    table.write(out, 0)
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Task => "task",
        EntryKind::Group => "group",
        EntryKind::Tag => "tag",
    }
}

/// What was found.
struct Counts {
    runnable: u64,
    not_runnable: u64,
    groups: u64,
    tags: u64,
    problems: u64,
}

impl Counts {
    fn of(library: &Library) -> Self {
        let problems = library.problems().len() as u64;
        let mut counts = Self { runnable: 0, not_runnable: 0, groups: 0, tags: 0, problems };
        for entry in library.entries() {
            match entry.kind {
                EntryKind::Task if entry.reasons.is_empty() => counts.runnable += 1,
                EntryKind::Task => counts.not_runnable += 1,
                EntryKind::Group => counts.groups += 1,
                EntryKind::Tag => counts.tags += 1,
            }
        }
        counts
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} can be run, {} cannot; {}, {}, {}",
            count(self.runnable + self.not_runnable, "task"),
            thousands(self.runnable),
            thousands(self.not_runnable),
            count(self.groups, "group"),
            count(self.tags, "tag"),
            count(self.problems, "unreadable file"),
        )
    }
}
