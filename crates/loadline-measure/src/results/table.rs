//! Rows, one at a time, to results.

use std::collections::BTreeMap;

use loadline_core::record::{EvalSpec, SampleRecord};
use loadline_core::score::Value;
use loadline_core::untrusted::one_line;
use loadline_core::{RunId, Usage};
use loadline_stats::Level;

use super::accumulate::MetricAccumulator;
use super::grouped::Grouped;
use super::row::{LevelLabel, LightRow, LightSample};
use super::{MetricResult, ResultsError, RunResults};
use crate::run::done::Done;

/// Most levels of difficulty that are reported apart.
const MAX_LEVELS: usize = 64;

/// Most characters kept of what a sample was given up for.
const MAX_CAUSE_CHARS: usize = 200;

/// What is known after some rows.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    run: RunId,
    spec: EvalSpec,
    done: Done,
    failed: Done,
    /// Samples that have any row, in epoch 0.
    touched: Done,
    /// What the first sample that was given up was given up for.
    first_error: Option<String>,
    usage: Usage,
    metrics: Vec<MetricAccumulator>,
    /// For each level the metrics again. Emptied, with `None`, when there are too many to be levels.
    by_level: Option<BTreeMap<LevelLabel, Vec<MetricAccumulator>>>,
}

impl Table {
    pub(crate) fn new(run: RunId, spec: EvalSpec) -> Self {
        let pairs = Done::new(spec.samples, spec.epochs);
        let metrics = spec.metrics.iter().map(|metric| MetricAccumulator::new(metric.aggregation)).collect();
        let by_level = Some(BTreeMap::new());
        let touched = Done::new(spec.samples, 1);
        Self {
            run,
            failed: pairs.clone(),
            done: pairs,
            touched,
            first_error: None,
            usage: Usage::default(),
            metrics,
            by_level,
            spec,
        }
    }

    /// The specification.
    pub(crate) fn spec(&self) -> &EvalSpec {
        &self.spec
    }

    /// How many samples have any row.
    pub(crate) fn samples_touched(&self) -> u64 {
        self.touched.count()
    }

    /// A row is not what this program writes.
    pub(crate) fn bad_row(&self, source: serde_json::Error) -> ResultsError {
        ResultsError::Row { run: self.run, source }
    }

    /// Takes a row of any kind. `grouped` where all epochs of a sample are scored together.
    pub(crate) fn push(
        &mut self,
        payload: &[u8],
        grouped: Option<&mut Grouped<'_>>,
    ) -> Result<(), ResultsError> {
        let row: LightRow<'_> = serde_json::from_slice(payload).map_err(|source| self.bad_row(source))?;
        let Some(sample) = row.sample else { return Ok(()) };
        if self.take(&sample)?
            && let Some(grouped) = grouped
        {
            grouped.take(self, payload)?;
        }
        Ok(())
    }

    /// Which pairs have their answer.
    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    /// The first metric so far.
    pub(crate) fn first_metric(&self) -> Option<&MetricAccumulator> {
        self.metrics.first()
    }

    /// Takes a sample's row. True when it is an answer that was not there before, which counts.
    fn take(&mut self, row: &LightSample<'_>) -> Result<bool, ResultsError> {
        let is_new = self.note(&row.id, (row.index, row.epoch), row.error.as_deref(), row.usage)?;
        if is_new && !self.spec.groups_epochs {
            let value_of = |name: &str| row.scores.iter().find(|s| s.metric == name).map(|s| &s.value);
            self.score(&row.id, row.cluster.as_deref(), row.metadata.level.as_ref(), value_of)?;
        }
        Ok(is_new)
    }

    /// Takes a row that is being written.
    pub(crate) fn take_new(&mut self, row: &SampleRecord) -> Result<(), ResultsError> {
        let is_new = self.note(&row.id, (row.index, row.epoch), row.error.as_deref(), row.usage)?;
        if is_new && !self.spec.groups_epochs {
            let value_of = |name: &str| row.scores.iter().find(|s| s.metric == name).map(|s| &s.value);
            let level = row.metadata.get("level").and_then(LevelLabel::of);
            self.score(&row.id, row.cluster.as_deref(), level.as_ref(), value_of)?;
        }
        Ok(())
    }

    /// Notes a sample's row; true for an answer.
    fn note(
        &mut self,
        id: &str,
        place: (u64, u32),
        error: Option<&str>,
        usage: Usage,
    ) -> Result<bool, ResultsError> {
        check_place(self.run, (id, place, error.is_some()), &self.done)?;
        let (index, epoch) = place;
        self.usage.input_tokens = self.usage.input_tokens.saturating_add(usage.input_tokens);
        self.usage.output_tokens = self.usage.output_tokens.saturating_add(usage.output_tokens);
        self.touched.insert(index, 0);
        let of = if error.is_some() { &mut self.failed } else { &mut self.done };
        of.insert(index, epoch);
        if let (Some(error), None) = (error, &self.first_error) {
            self.first_error = Some(one_line(error, MAX_CAUSE_CHARS));
        }
        Ok(error.is_none())
    }

    /// Adds the scores of one answer (or of one group of epochs) to every metric.
    pub(crate) fn score<'v>(
        &mut self,
        id: &str,
        cluster: Option<&str>,
        level: Option<&LevelLabel>,
        value_of: impl Fn(&str) -> Option<&'v Value>,
    ) -> Result<(), ResultsError> {
        let (run, cluster) = (self.run, cluster_key(&self.spec, cluster, id));
        let fail = |metric: &str, why| ResultsError::Score {
            run,
            sample: one_line(id, 80),
            metric: one_line(metric, 80),
            why,
        };
        let of_level = match (&mut self.by_level, level) {
            (Some(levels), Some(level @ (LevelLabel::Number(_) | LevelLabel::Text(_)))) => {
                if !levels.contains_key(level) {
                    let empty = self.spec.metrics.iter().map(|m| MetricAccumulator::new(m.aggregation));
                    levels.insert(level.clone(), empty.collect());
                }
                levels.get_mut(level)
            }
            _ => None,
        };
        let mut of_level = of_level.map(|metrics| metrics.iter_mut());
        for (spec, metric) in self.spec.metrics.iter().zip(&mut self.metrics) {
            let of_level = of_level.as_mut().and_then(Iterator::next);
            for metric in [Some(metric), of_level].into_iter().flatten() {
                match value_of(&spec.name) {
                    Some(value) => metric.push(value, cluster).map_err(|why| fail(&spec.name, why))?,
                    None => metric.push_missing(1),
                }
            }
        }
        if self.by_level.as_ref().is_some_and(|levels| levels.len() > MAX_LEVELS) {
            self.by_level = None;
        }
        Ok(())
    }

    /// The results so far. Samples given up count as unscored, as do those of which epochs are missing where all
    /// are scored together.
    pub(crate) fn finish(mut self, grouped: Option<&Grouped<'_>>, level: Level) -> RunResults {
        let errors = self.failed.count_without(&self.done);
        let missing =
            grouped.map_or(errors, |grouped| self.samples_touched().saturating_sub(grouped.complete()));
        self.metrics.iter_mut().for_each(|metric| metric.push_missing(missing));
        let levels = self.by_level.take().filter(|levels| levels.len() > 1).unwrap_or_default();
        let metric = |(place, (spec, metric)): (usize, (&_, &MetricAccumulator))| MetricResult {
            spec: Clone::clone(spec),
            estimate: metric.estimate(level),
            unscored: metric.unscored(),
            by_level: levels
                .iter()
                .filter_map(|(label, metrics)| {
                    Some((label.name(), metrics.get(place)?.estimate(level).ok()?))
                })
                .collect(),
        };
        let metrics = self.spec.metrics.iter().zip(&self.metrics).enumerate().map(metric).collect();
        RunResults {
            run: self.run,
            answered: self.done.count(),
            total: self.done.total(),
            first_error: self.first_error.filter(|_| errors > 0),
            errors,
            usage: self.usage,
            metrics,
            level,
            spec: self.spec,
        }
    }
}

/// Refuses a row that would have to be left out: one that the specification does not ask for, or a second answer.
pub(crate) fn check_place(
    run: RunId,
    (id, (index, epoch), is_error): (&str, (u64, u32), bool),
    done: &Done,
) -> Result<(), ResultsError> {
    let why = if !done.can_hold(index, epoch) {
        "is not one of those that the run asks for"
    } else if !is_error && done.contains(index, epoch) {
        "is answered a second time"
    } else {
        return Ok(());
    };
    Err(ResultsError::Place { run, sample: one_line(id, 80), index, epoch, why })
}

/// Which answers are not independent of this one: those of its cluster, or else its own in other epochs.
fn cluster_key<'k>(spec: &EvalSpec, cluster: Option<&'k str>, id: &'k str) -> Option<&'k str> {
    cluster.or((spec.epochs > 1 && !spec.groups_epochs).then_some(id))
}

impl LevelLabel {
    fn name(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => one_line(text, 40),
            Self::Other(_) => String::new(),
        }
    }

    /// The label that a sample's metadata holds.
    pub(crate) fn of(value: &serde_json::Value) -> Option<Self> {
        serde::Deserialize::deserialize(value).ok()
    }
}
