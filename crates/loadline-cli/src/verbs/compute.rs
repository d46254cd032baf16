//! `loadline compute`: what a declaration of compute adds up to, and which laws' tests it concerns.

use std::path::PathBuf;

use loadline_policy::{ScopeVerdict, compute, rules};
use serde_json::json;

use crate::documents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// Add up a declaration of training compute, and compare it with each law's threshold
///
/// Every figure is an interval. A model that is not shown to be under a threshold is treated as over it. This is no
/// legal advice: a law tests more than compute.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline compute model.toml
  loadline compute model.toml --json

`docs/formats/compute.md` says how to write one.")]
pub struct Args {
    /// Declaration of compute, in TOML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let file = args.file.display().to_string();
    let ledger = compute::parse(&documents::read(&args.file)?)
        .map_err(|problems| documents::wrong(&file, &problems, "compute"))?;
    let packs = rules::shipped().map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let unexpected = |error: serde_json::Error| Failure::of(Exit::Unexpected, &error);
    let mut verdicts = Vec::new();
    for pack in &packs {
        verdicts.push(pack.judge(&ledger).map_err(unexpected)?);
    }
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "ledger": ledger,
            "digest": ledger.digest().map_err(unexpected)?,
            "totals": ledger.totals(),
            "disagreements": ledger.disagreements(),
            "scope": verdicts,
        }))?;
    } else {
        let mut table = Table::default();
        for total in
            ledger.totals().iter().filter(|total| total.flop.hi != Some(loadline_policy::Decimal::zero()))
        {
            table.row([Cell::left(total.category), Cell::right(format!("{} FLOP", total.flop))]);
        }
        table.write(&mut out, 0)?;
        out.line("")?;
        let mut table = Table::default();
        for (pack, verdict) in packs.iter().zip(&verdicts) {
            table.row(law(&pack.title, verdict));
        }
        table.write(&mut out, 0)?;
    }
    out.finish()?;
    for warning in ledger.warnings() {
        ui.warning(loadline_core::untrusted::one_line(&warning, 400));
    }
    Ok(Exit::Ok)
}

fn law(title: &str, verdict: &ScopeVerdict) -> [Cell; 4] {
    let style = if verdict.treated_as_in { ui::WARN } else { ui::GOOD };
    [
        Cell::left(verdict.verdict).styled(style),
        Cell::left(title),
        Cell::left(verdict.status),
        Cell::left(format!("{} against {}", verdict.compared_flop, verdict.threshold_flop)),
    ]
}
