//! Results as one line of JSON for each task and model.

use serde::Serialize;

use super::{MetricResult, RunResults};

/// One line of `--json` output. `docs/formats/results.md` is the page of this format.
#[derive(Clone, Debug, Serialize)]
pub struct ResultLine {
    /// The task's name.
    pub task: String,
    /// The model, as asked for.
    pub model: String,
    /// The run.
    pub run: String,
    /// One for each metric, in the task's order.
    pub metrics: Vec<MetricLine>,
}

/// One metric in a [`ResultLine`]. Without a single value `point`, `interval` and `method` are null.
#[derive(Clone, Debug, Serialize)]
pub struct MetricLine {
    /// The metric.
    pub metric: String,
    /// The best single value.
    pub point: Option<f64>,
    /// Lower and upper end; an end is null where nothing bounds it.
    pub interval: Option<[Option<f64>; 2]>,
    /// How often intervals made this way hold the true value.
    pub level: f64,
    /// How the interval was made.
    pub method: Option<&'static str>,
    /// Values it was made from.
    pub n: u64,
    /// Independent groups they came in, where the method counts those.
    pub clusters: Option<u64>,
    /// Answers without a value, and samples given up.
    pub unscored: u64,
}

impl RunResults {
    /// As one line of JSON says it.
    pub fn line(&self) -> ResultLine {
        ResultLine {
            task: self.spec.task.name.clone(),
            model: self.spec.model.to_string(),
            run: self.run.to_string(),
            metrics: self.metrics.iter().map(|metric| metric_line(metric, self.level)).collect(),
        }
    }
}

impl RunResults {
    /// [`RunResults::line`] as JSON, without the line's end.
    pub fn line_json(&self) -> String {
        // Numbers are finite or null and keys are texts: nothing in it can fail to be written.
        serde_json::to_string(&self.line()).unwrap_or_default()
    }
}

fn metric_line(result: &MetricResult, level: loadline_stats::Level) -> MetricLine {
    let estimate = result.estimate.as_ref().ok();
    let end = |end: f64| end.is_finite().then_some(end);
    MetricLine {
        metric: result.spec.name.clone(),
        point: estimate.and_then(|e| end(e.point)),
        interval: estimate.map(|e| [end(e.interval.lo), end(e.interval.hi)]),
        level: level.get(),
        method: estimate.map(|e| e.method.name()),
        n: estimate.map_or(0, |e| e.n),
        clusters: estimate.and_then(|e| e.clusters),
        unscored: result.unscored,
    }
}
