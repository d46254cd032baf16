//! `loadline compare`: two runs or two files, paired by sample.

use std::path::PathBuf;

use loadline_core::record::{Row, TaskIdentity};
use loadline_core::score::{Aggregation, MetricSpec};
use loadline_core::untrusted::one_line;
use loadline_evidence::RecordReader;
use loadline_stats::compare::{self, Discordant, Options};
use loadline_stats::power::{Design, ItemVariance};
use loadline_stats::scores::{Pairing, ScoreTable, pair};
use loadline_stats::{Comparison, Level, Scale, Verdict};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::results;
use crate::scores::{self, Ids};
use crate::store::{StoreArgs, record_failure, short_ids};
use crate::table::{Cell, Table};
use crate::ui::{self, Out, Ui, count, thousands};

/// Compare two runs, or two files of scores, paired by sample
///
/// Prints the difference A - B with its interval, the exact McNemar test, the probability that A is better, and the
/// smallest difference that this many samples can see.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Run (the beginning of its id) or file of scores
    #[arg(value_name = "A")]
    pub a: String,

    /// Run or file to compare it with
    #[arg(value_name = "B")]
    pub b: String,

    /// Metric to compare, which both runs must have (their first when not given)
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,

    /// Compare runs of different tasks, or of different versions of one, by the ids that they share
    #[arg(long)]
    pub allow_different_tasks: bool,

    #[command(flatten)]
    pub columns: crate::scores::Columns,

    /// Coverage of the interval
    #[arg(long, value_name = "LEVEL", default_value = "0.95", value_parser = crate::scores::level)]
    pub level: Level,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  loadline compare 7f3a 9c01
  loadline compare before.csv after.csv --score correct";

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    let (a, b) = (open(args, &args.a)?, open(args, &args.b)?);
    let metric = metric(args, [&a, &b])?;
    let tasks_differ = different_tasks(args, &a, &b)?;
    let (a, b) = (side(args, &a, metric.as_ref())?, side(args, &b, metric.as_ref())?);
    let pairing = pair(&a.table, &b.table).map_err(|error| scores::scores_failure(&error))?;
    let higher_is_better = metric.is_none_or(|metric| metric.higher_is_better);
    let options = Options { level: args.level, higher_is_better, ..Options::default() };
    let comparison =
        compare::paired(pairing.iter(), options).map_err(|error| scores::stats_failure(&error))?;
    let visible = smallest_visible(&pairing, &comparison);
    if tasks_differ {
        ui.warning("the two runs are of different tasks, or of different versions of one");
    }
    for warning in warnings(&a, &b, &pairing) {
        ui.warning(warning);
    }
    let mut out = ui.out();
    if args.json {
        out.json(&as_json((&a, &b), &pairing, &comparison, visible)?)?;
    } else {
        print(&mut out, (&a, &b), &comparison, visible)?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

/// One of the two, as it was named.
enum Named {
    File(PathBuf),
    Run(Box<RecordReader>),
}

fn open(args: &Args, text: &str) -> std::result::Result<Named, Failure> {
    match scores::is_file(text) {
        Some(path) => Ok(Named::File(path)),
        None => Ok(Named::Run(Box::new(args.store.reader(text)?))),
    }
}

/// One of the two.
struct Side {
    label: String,
    /// What it holds: task and model, or the column of the scores.
    what: [String; 2],
    table: ScoreTable,
}

fn side(args: &Args, named: &Named, metric: Option<&MetricSpec>) -> std::result::Result<Side, Failure> {
    match named {
        Named::File(path) => {
            let table = scores::read(path, &args.columns, Ids::Required)?;
            let what = [args.columns.score.clone(), String::new()];
            Ok(Side { label: path.display().to_string(), what, table })
        }
        Named::Run(record) => run_side(args, record, metric.map_or("", |metric| &metric.name)),
    }
}

/// Whether two runs are of different tasks; an error unless that is allowed.
fn different_tasks(args: &Args, a: &Named, b: &Named) -> std::result::Result<bool, Failure> {
    let (Named::Run(a), Named::Run(b)) = (a, b) else { return Ok(false) };
    let (one, other) = (&a.spec().task, &b.spec().task);
    if one.digest == other.digest || args.allow_different_tasks {
        return Ok(one.digest != other.digest);
    }
    let text = |task: &TaskIdentity| one_line(&task.name, 60);
    let what = if one.name == other.name {
        format!("the runs are of different versions of `{}`", text(one))
    } else {
        format!("the runs are of different tasks: `{}` and `{}`", text(one), text(other))
    };
    Err(Failure::new(Exit::Usage, what).hint(
        "their samples are not the same questions; `--allow-different-tasks` compares those that share an id",
    ))
}

/// What may make the comparison misleading.
fn warnings(a: &Side, b: &Side, pairing: &Pairing) -> Vec<String> {
    let mut warnings = Vec::new();
    for (side, alone) in [(a, pairing.only_a), (b, pairing.only_b)] {
        if alone > 0 {
            warnings.push(format!("{} only in `{}` left out", count(alone, "sample"), side.label));
        }
    }
    if pairing.unscored > 0 {
        warnings.push(format!("{} without a score on one side left out", count(pairing.unscored, "sample")));
    }
    warnings
}

/// The smallest difference that so many pairs show 80 % of the time, from how much the pairs seen differ. `None`
/// where that cannot be said: no pair differs, or pairs are not independent.
fn smallest_visible(pairing: &Pairing, comparison: &Comparison) -> Option<Visible> {
    if comparison.difference.clusters.is_some() {
        return None;
    }
    let n = pairing.pairs.len() as f64;
    let variance = match comparison.discordant {
        Some(Discordant { a_only, b_only }) => ItemVariance::paired(a_only as f64 / n, b_only as f64 / n),
        None => {
            let mean = comparison.difference.point;
            let squares: f64 = pairing.pairs.iter().map(|pair| (pair.a - pair.b - mean).powi(2)).sum();
            ItemVariance::paired_numbers(squares / (n - 1.0), (0.0, 1), (0.0, 1))
        }
    };
    let (design, n) = (Design::default(), pairing.pairs.len() as u64);
    let value = design.smallest_difference(variance.ok()?, n).ok()?;
    let method = "normal approximation";
    Some(Visible { value, method, n, power: design.power(), alpha: design.alpha() })
}

/// The smallest visible difference, with what it rests on.
#[derive(Clone, Copy, serde::Serialize)]
struct Visible {
    value: f64,
    method: &'static str,
    n: u64,
    power: f64,
    alpha: f64,
}

fn print(
    out: &mut Out,
    (a, b): (&Side, &Side),
    comparison: &Comparison,
    visible: Option<Visible>,
) -> std::result::Result<(), Failure> {
    let mut sides = Table::default();
    for (name, side, estimate) in [("A", a, &comparison.a), ("B", b, &comparison.b)] {
        let name = Cell::left(name).styled(ui::STRONG);
        let [task, model] = &side.what;
        sides.row([
            name,
            Cell::left(&side.label),
            Cell::left(task),
            Cell::left(model),
            Cell::right(estimate),
        ]);
    }
    sides.write(out, 2)?;
    out.line("")?;
    let difference = &comparison.difference;
    let mut rows = Table::default();
    let mut row = |name: &str, value: String| rows.row([Cell::left(name), Cell::left(value)]);
    row("A - B", format!("{difference}, {}", results::basis(difference)));
    let test = comparison.p_value.map(|p| p.to_string());
    let only = comparison
        .discordant
        .map(|d| format!("only A right {}, only B right {}", thousands(d.a_only), thousands(d.b_only)));
    if let Some(test) = [test, only].into_iter().flatten().reduce(|test, only| format!("{test}; {only}")) {
        row("test", test);
    }
    if let Some(probability) = comparison.probability_a_higher {
        let text = probability_text(probability.value);
        row("P(A > B)", format!("{text} ({})", probability.method));
    }
    row("verdict", verdict(comparison.verdict).to_owned());
    if let Some(visible) = visible {
        let (least, power, alpha) =
            (in_units(visible.value, difference.scale), 100.0 * visible.power, visible.alpha);
        row(
            "power",
            format!("so many samples show a difference of {least} or more ({power}% power, alpha {alpha})"),
        );
    }
    rows.write(out, 2)
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "A is better",
        Verdict::Worse => "B is better",
        Verdict::Undetermined => "no difference is shown",
    }
}

fn probability_text(probability: f64) -> String {
    match probability {
        p if p > 0.999 => "> 0.999".to_owned(),
        p if p < 0.001 => "< 0.001".to_owned(),
        p => format!("{p:.3}"),
    }
}

fn in_units(difference: f64, scale: Scale) -> String {
    match scale {
        Scale::Proportion | Scale::ProportionDifference => format!("{:.1} points", 100.0 * difference),
        Scale::Number | Scale::NumberDifference => format!("{difference:.3}"),
    }
}

fn as_json(
    (a, b): (&Side, &Side),
    pairing: &Pairing,
    comparison: &Comparison,
    visible: Option<Visible>,
) -> std::result::Result<serde_json::Value, Failure> {
    let mut value =
        serde_json::to_value(comparison).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    if let Some(object) = value.as_object_mut() {
        object.insert("sides".to_owned(), serde_json::json!([a.label, b.label]));
        object.insert("only_a".to_owned(), pairing.only_a.into());
        object.insert("only_b".to_owned(), pairing.only_b.into());
        object.insert("unscored_pairs".to_owned(), pairing.unscored.into());
        object.insert("smallest_visible_difference".to_owned(), serde_json::json!(visible));
    }
    Ok(value)
}

/// The scores of a run: one metric, one row for each sample and epoch.
fn run_side(args: &Args, record: &RecordReader, metric: &str) -> std::result::Result<Side, Failure> {
    let spec = record.spec();
    let label = short_ids(&args.store.store).of(&record.run());
    let mut table = ScoreTable::new(label.clone());
    for row in record.rows() {
        let (number, row) = row.map_err(|error| record_failure(&error))?;
        let Row::Sample(sample) = row else { continue };
        // A sample that was given up may have been answered later; what stays without an answer is not paired.
        if !sample.is_final() {
            continue;
        }
        let score = sample.scores.iter().find(|score| score.metric == metric).and_then(|s| s.value.number());
        let of = (&*sample.id, Some(u64::from(sample.epoch)));
        table
            .push(number, of, score, sample.cluster.as_deref())
            .map_err(|error| scores::scores_failure(&error))?;
    }
    let what = [spec.task.name.clone(), spec.model.to_string()];
    Ok(Side { label, what, table })
}

/// The metric that the runs are compared by: the one asked for, or the first of both. `None` for two files.
fn metric(args: &Args, sides: [&Named; 2]) -> std::result::Result<Option<MetricSpec>, Failure> {
    let mut chosen: Option<&MetricSpec> = None;
    for named in sides {
        let Named::Run(record) = named else { continue };
        let metric = metric_of(args, record)?;
        match chosen {
            Some(other) if other.name != metric.name => {
                let names = [&other.name, &metric.name].map(|name| one_line(name, 60));
                let message = format!("the runs' first metrics differ: `{}` and `{}`", names[0], names[1]);
                return Err(
                    Failure::new(Exit::Usage, message).hint("choose one that both have with `--metric NAME`")
                );
            }
            Some(other) if other.higher_is_better != metric.higher_is_better => {
                let message = format!(
                    "a higher `{}` is better in one run and worse in the other",
                    one_line(&metric.name, 60)
                );
                return Err(Failure::new(Exit::Usage, message).hint("choose another with `--metric NAME`"));
            }
            _ => chosen = Some(metric),
        }
    }
    Ok(chosen.cloned())
}

/// The metric asked for, or the first.
fn metric_of<'a>(args: &Args, record: &'a RecordReader) -> std::result::Result<&'a MetricSpec, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);
    let metrics = &record.spec().metrics;
    let names: Vec<String> =
        metrics.iter().map(|metric| format!("`{}`", one_line(&metric.name, 60))).collect();
    let found = match &args.metric {
        Some(name) => metrics.iter().find(|metric| metric.name == *name),
        None => metrics.first(),
    };
    let metric = found.ok_or_else(|| {
        let name = one_line(args.metric.as_deref().unwrap_or("any"), 60);
        let run = short_ids(&args.store.store).of(&record.run());
        usage(format!("run {run} has no metric `{name}`")).hint(format!("it has {}", names.join(", ")))
    })?;
    if metric.aggregation != Aggregation::Mean {
        return Err(usage(format!(
            "`{}` is not a mean of per-sample scores: it cannot be paired",
            one_line(&metric.name, 60)
        ))
        .hint(format!("name another with `--metric`: there are {}", names.join(", "))));
    }
    Ok(metric)
}
