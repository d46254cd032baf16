//! How results are shown. A number is only ever shown as an [`Estimate`].

use loadline_core::record::EvalSpec;
use loadline_evidence::ShortIds;
use loadline_measure::SuiteTask;
use loadline_measure::results::{MetricResult, RunResults};
use loadline_stats::{Estimate, StatsError};

use crate::table::{Cell, Table};
use crate::ui::{DIM, STRONG, WARN, count, thousands};

/// What an estimate rests on: `n=1,319, Wilson 95%`, and what is not in it.
pub fn basis(estimate: &Estimate) -> String {
    let mut text = format!("n={}", thousands(estimate.n));
    if let Some(clusters) = estimate.clusters {
        text.push_str(&format!(" in {}", count(clusters, "cluster")));
    }
    text.push_str(&format!(", {} {}", estimate.method, estimate.level));
    if estimate.unscored > 0 {
        text.push_str(&format!(", {} unscored", thousands(estimate.unscored)));
    }
    text
}

/// A row for each metric of each run: task, model, metric (where a run has several), estimate, basis, what guessing
/// gives, run.
pub fn table<'a>(runs: impl IntoIterator<Item = &'a RunResults>, ids: &ShortIds) -> Table {
    let mut table = Table::default();
    for run in runs {
        let several = run.metrics.len() > 1;
        for (at, metric) in run.metrics.iter().enumerate() {
            let first = |text: String| Cell::left(if at == 0 { text } else { String::new() });
            let mut row = vec![
                first(run.spec.task.name.clone()).styled(STRONG),
                first(run.spec.model.to_string()),
                Cell::left(if several { metric.spec.name.as_str() } else { "" }),
            ];
            row.extend(estimate_cells(run, metric));
            row.push(first(guessing(&run.spec)).styled(DIM));
            row.push(first(ids.of(&run.run)).styled(DIM));
            let missing = run.total.saturating_sub(run.answered);
            if missing > 0 && at == 0 {
                row.push(
                    Cell::left(format!("{} of {} to go", thousands(missing), thousands(run.total)))
                        .styled(WARN),
                );
            }
            table.row(row);
        }
    }
    table
}

/// What a guesser gets on a suite's items, when that is worth knowing: `guessing 25%`. Empty for anything else.
fn guessing(spec: &EvalSpec) -> String {
    let Ok(Some(suite)) = SuiteTask::parse(&spec.task.name) else { return String::new() };
    // A task file may have a suite's name: only the digest says that these are the suite's items.
    let is_suite = suite.task(spec.seed, Some(spec.samples)).identity.digest == spec.task.digest;
    match suite.chance() {
        chance if is_suite && chance >= 0.01 => format!("guessing {:.0}%", 100.0 * chance),
        _ => String::new(),
    }
}

/// The estimate and what it rests on, or why there is none.
fn estimate_cells(run: &RunResults, metric: &MetricResult) -> [Cell; 2] {
    match &metric.estimate {
        Ok(estimate) => [Cell::right(estimate), Cell::left(basis(estimate))],
        Err(error) => [Cell::right("no estimate"), Cell::left(no_scores(run, metric, error))],
    }
}

/// `20 of 20 failed, the first: the server broke`; with what else had no score.
fn no_scores(run: &RunResults, metric: &MetricResult, error: &StatsError) -> String {
    let StatsError::NoScores { .. } = error else { return error.to_string() };
    let Some(first) = &run.first_error else {
        return format!("not one of {} has a score", count(metric.unscored, "answer"));
    };
    let failed = format!("{} of {} failed, the first: {first}", thousands(run.errors), thousands(run.total));
    match metric.unscored.saturating_sub(run.errors) {
        0 => failed,
        others => format!("{} unscored; {failed}", thousands(others)),
    }
}

/// A row for each level of difficulty of each metric, where a task has several.
pub fn by_level(run: &RunResults) -> Table {
    let mut table = Table::default();
    for metric in &run.metrics {
        for (level, estimate) in &metric.by_level {
            let name = if run.metrics.len() > 1 { metric.spec.name.as_str() } else { "" };
            table.row([
                Cell::left(format!("level {level}")),
                Cell::left(name),
                Cell::right(estimate),
                Cell::left(basis(estimate)).styled(DIM),
            ]);
        }
    }
    table
}
