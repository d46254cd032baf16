//! `loadline estimate`: an estimate from a file of scores.

use std::collections::HashSet;
use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_stats::eprocess::{Gate, GateState};
use loadline_stats::scores::{ScoreTable, pair};
use loadline_stats::{Estimate, Level, StatsError};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::results;
use crate::scores::{self, Ids};
use crate::ui::{self, Ui};

/// Estimate a mean from per-sample scores, with its interval
///
/// Reads a CSV file (with a header) or JSON lines: `score` of each sample, optionally `id`, and `cluster` where
/// samples are not independent of each other.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// CSV or JSONL file of scores
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    #[command(flatten)]
    pub columns: crate::scores::Columns,

    /// Coverage of the interval
    #[arg(long, value_name = "LEVEL", default_value = "0.95", value_parser = crate::scores::level)]
    pub level: Level,

    /// How the interval of right-or-wrong scores is made (Wilson when not given). Other scores get Student's t,
    /// clustered ones a cluster-robust standard error
    #[arg(long, value_enum, value_name = "METHOD")]
    pub method: Option<Method>,

    /// Estimate the mean over a bank of J items, of which the file has a random part
    #[arg(long, value_name = "J", conflicts_with = "method")]
    pub bank_size: Option<u64>,

    /// Also weigh the evidence that the mean is above or below P, valid at any stopping time
    #[arg(long, value_name = "P", value_parser = crate::scores::open_unit)]
    pub threshold: Option<f64>,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Methods of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// Wilson score interval, for right and wrong
    Wilson,
    /// Clopper-Pearson interval: never below its coverage
    ClopperPearson,
    /// Jeffreys interval
    Jeffreys,
}

const EXAMPLES: &str = "\
Examples:
  loadline estimate scores.csv
  loadline estimate graded.jsonl --score correct --cluster passage
  loadline estimate scores.csv --threshold 0.8 --json";

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let table = scores::read(&args.file, &args.columns, Ids::Optional)?;
    let estimate = estimate(args, &table)?;
    let gate = args.threshold.map(|threshold| gate(args, &table, threshold)).transpose()?;

    let mut out = ui.out();
    if args.json {
        let mut value =
            serde_json::to_value(&estimate).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
        if let (Some(gate), Some(object)) = (&gate, value.as_object_mut()) {
            object.insert("threshold".to_owned(), gate_json(gate));
        }
        out.json(&value)?;
    } else {
        let basis = results::basis(&estimate);
        out.line(format_args!("{}  {basis}", out.styled(ui::STRONG, format_args!("{estimate}"))))?;
        if let Some(gate) = &gate {
            out.line(gate_line(gate))?;
        }
    }
    out.finish()?;
    Ok(Exit::Ok)
}

fn estimate(args: &Args, table: &ScoreTable) -> std::result::Result<Estimate, Failure> {
    let failure = |error: StatsError| scores::stats_failure(&error);
    let level = args.level;
    let scores = table.accumulator().map_err(failure)?;
    if let Some(bank) = args.bank_size {
        return scores.estimate_bank_score(bank, level).map_err(failure);
    }
    let proportion = || {
        scores.proportion().ok_or_else(|| {
            Failure::new(Exit::TaskInvalid, "this method needs independent scores that are all 0 or 1")
                .hint("leave out `--method`: the data then choose it")
        })
    };
    match args.method {
        None => scores.estimate(level).map_err(failure),
        Some(Method::Wilson) => Ok(proportion()?.wilson(level).with_unscored(scores.unscored())),
        Some(Method::ClopperPearson) => {
            Ok(proportion()?.clopper_pearson(level).with_unscored(scores.unscored()))
        }
        Some(Method::Jeffreys) => Ok(proportion()?.jeffreys(level).with_unscored(scores.unscored())),
    }
}

/// Feeds the scores to the gate in the order of the file: each sample once, with its mean over epochs.
fn gate(args: &Args, table: &ScoreTable, threshold: f64) -> std::result::Result<Gate, Failure> {
    let failure = |error: StatsError| scores::stats_failure(&error);
    let mut gate = Gate::new(threshold, args.level.alpha()).map_err(failure)?;
    // Pairing a table with itself gives each sample's mean and cluster.
    let samples = pair(table, table).map_err(|error| scores::scores_failure(&error))?;
    let mut clusters = HashSet::new();
    for sample in &samples.pairs {
        if let Some(cluster) = &sample.cluster
            && !clusters.insert(cluster)
        {
            return Err(Failure::new(Exit::TaskInvalid, "`--threshold` needs samples that are independent")
                .cause(format!("several samples are in cluster `{}`", one_line(cluster, 40)))
                .hint("average each cluster first, one row for each"));
        }
        gate.push(sample.a).map_err(failure)?;
    }
    Ok(gate)
}

/// `above 0.8   not decided after 20 samples   evidence 1.3 above, 0.2 below (20 decides)`
fn gate_line(gate: &Gate) -> String {
    let (above, below) = gate.ln_e_values();
    let threshold = gate.threshold();
    let samples = |n| ui::count(n, "sample");
    let verdict = match (gate.state(), gate.decided_at()) {
        (GateState::Pass, Some(n)) => format!("above {threshold}, decided after {}", samples(n)),
        (GateState::Fail, Some(n)) => format!("below {threshold}, decided after {}", samples(n)),
        _ => format!("neither above nor below {threshold} is shown after {}", samples(gate.n())),
    };
    format!(
        "{verdict}; e-values {} for above and {} for below, {:.0} decides",
        e_value(above),
        e_value(below),
        1.0 / gate.alpha()
    )
}

fn e_value(ln: f64) -> String {
    match ln.exp() {
        e if !(1e-2..1e4).contains(&e) => format!("{e:.1e}"),
        e => format!("{e:.2}"),
    }
}

fn gate_json(gate: &Gate) -> serde_json::Value {
    let (above, below) = gate.ln_e_values();
    serde_json::json!({
        "threshold": gate.threshold(),
        "method": "two-sided mixture e-process",
        "alpha": gate.alpha(),
        "state": gate.state(),
        "decided_at": gate.decided_at(),
        "n": gate.n(),
        "ln_e_above": above,
        "ln_e_below": below,
    })
}
