//! `loadline runs`: the records in a store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadline_evidence::{RunState, RunSummary, ShortIds};

use crate::exit::Exit;
use crate::failure::Result;
use crate::store::{StoreArgs, record_failure, short_ids};
use crate::table::{Cell, Table};
use crate::ui::{BAD, DIM, GOOD, STRONG, Ui, WARN, count, thousands};

/// List the runs in a store, newest first
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub store: StoreArgs,

    /// Print each run as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let mut runs = args.store.open().list().map_err(|error| record_failure(&error))?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.opened_ms));
    let mut out = ui.out();
    if args.json {
        for run in &runs {
            out.json(&as_json(run))?;
        }
        out.finish()?;
        return Ok(Exit::Ok);
    }
    let ids = short_ids(&args.store.store);
    let mut table = Table::default();
    for run in &runs {
        table.row(cells(run, &ids));
    }
    table.write(&mut out, 0)?;
    out.finish()?;
    if runs.is_empty() {
        ui.say(format_args!("no runs in `{}`", args.store.store.display()));
        ui.hint("`loadline quickstart` makes some; `--store DIR` names another folder");
    }
    Ok(Exit::Ok)
}

fn cells(run: &RunSummary, ids: &ShortIds) -> Vec<Cell> {
    let state = match &run.state {
        RunState::Sealed(_) => Cell::left("sealed").styled(GOOD),
        RunState::Unfinished => Cell::left("unfinished").styled(WARN),
        RunState::Damaged(_) => Cell::left("damaged").styled(BAD),
    };
    let mut cells = vec![Cell::left(ids.of(&run.id)).styled(STRONG), state];
    if let Some(spec) = &run.spec {
        let total = spec.samples.saturating_mul(u64::from(spec.epochs));
        let answers = match run.state {
            RunState::Sealed(_) => thousands(total),
            _ => format!("{}/{}", thousands(run.samples.min(total)), thousands(total)),
        };
        cells.extend([Cell::left(&spec.task.name), Cell::left(&spec.model), Cell::right(answers)]);
    }
    if let Some(at) = run.opened_ms {
        cells.push(Cell::right(ago(at)).styled(DIM));
    }
    if let RunState::Damaged(why) = &run.state {
        cells.push(Cell::left(why));
    }
    cells
}

/// `5m ago`, `3 days ago`.
fn ago(at_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let passed = now.saturating_sub(Duration::from_millis(at_ms)).as_secs();
    match passed {
        0..=59 => "just now".to_owned(),
        60..=3599 => format!("{}m ago", passed / 60),
        3600..=86_399 => format!("{}h ago", passed / 3600),
        _ => format!("{} ago", count(passed / 86_400, "day")),
    }
}

fn as_json(run: &RunSummary) -> serde_json::Value {
    let (state, why) = match &run.state {
        RunState::Sealed(_) => ("sealed", None),
        RunState::Unfinished => ("unfinished", None),
        RunState::Damaged(why) => ("damaged", Some(why)),
    };
    serde_json::json!({
        "run": run.id,
        "state": state,
        "why": why,
        "task": run.spec.as_ref().map(|spec| &spec.task.name),
        "model": run.spec.as_ref().map(|spec| &spec.model),
        "samples": run.spec.as_ref().map(|spec| spec.samples),
        "epochs": run.spec.as_ref().map(|spec| spec.epochs),
        "rows": run.rows,
        "opened_ms": run.opened_ms,
    })
}
