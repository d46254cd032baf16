//! Scores a task file's answers.

use std::sync::Arc;

use loadline_core::model::{ModelOutput, Request};
use loadline_core::{Sample, Score, Value};

use super::config::{OutputType, TaskConfig};
use super::samples::CHOICES;
use crate::metric::{Gold, Metric};
use crate::task::{MetricSpec, Scorer};

/// Scores with the pipelines and metrics of a task file.
pub struct FileScorer {
    config: Arc<TaskConfig>,
}

impl FileScorer {
    /// The scorer of this task.
    pub fn new(config: Arc<TaskConfig>) -> Self {
        Self { config }
    }

    /// What is reported: each metric, once for each pipeline.
    pub fn specs(&self) -> Vec<MetricSpec> {
        let pipelines = self.pipelines();
        let each = |metric: &Metric| -> Vec<MetricSpec> {
            pipelines.iter().map(|pipeline| metric.spec(metric_name(metric, *pipeline))).collect()
        };
        self.config.metrics.iter().flat_map(each).collect()
    }

    /// Index of each pipeline that is scored with, and its name where there are several. What is no text has no
    /// pipelines.
    fn pipelines(&self) -> Vec<(usize, Option<&str>)> {
        if self.config.output_type != OutputType::GenerateUntil || self.config.pipelines.len() == 1 {
            return vec![(0, None)];
        }
        self.config.pipelines.iter().enumerate().map(|(i, p)| (i, Some(p.name.as_str()))).collect()
    }

    fn score_text(&self, sample: &Sample, outputs: &[ModelOutput]) -> Vec<Score> {
        let texts: Vec<&str> = outputs.iter().map(|o| o.completion.as_str()).collect();
        let choices: Vec<String> = sample
            .metadata
            .get(CHOICES)
            .and_then(|c| c.as_array())
            .map(|items| items.iter().filter_map(|i| i.as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        let pipelines = self.pipelines();
        let answers: Vec<_> =
            pipelines.iter().map(|(i, _)| self.config.pipelines[*i].apply(&texts, &choices)).collect();
        let score = |metric: &Metric, at: usize| {
            let (value, answer) = match &answers[at] {
                Ok(answers) => (metric.of_text(answers, &sample.target), answers.first().cloned().flatten()),
                Err(why) => (Value::unscored(why.as_str()), None),
            };
            Score { metric: metric_name(metric, pipelines[at]), value, answer, explanation: None }
        };
        self.config
            .metrics
            .iter()
            .flat_map(|m| (0..pipelines.len()).map(move |at| (m, at)))
            .map(|(m, at)| score(m, at))
            .collect()
    }

    fn score_one(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        let value = |metric: &Metric| match (&sample.input, output.loglikelihoods.first()) {
            (_, None) => Value::unscored("the output has no log-likelihood"),
            (Request::Rolling(rolling), Some(first)) => metric.of_rolling(*first, &rolling.text),
            (_, Some(first)) => metric.of_continuation(*first),
        };
        self.config.metrics.iter().map(|metric| plain(metric, value(metric), None)).collect()
    }

    fn score_choices(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        let Request::Loglikelihood(request) = &sample.input else { return Vec::new() };
        let delimiter = &self.config.turn.target_delimiter;
        let choices: Vec<&str> =
            request.continuations.iter().map(|c| c.strip_prefix(delimiter.as_str()).unwrap_or(c)).collect();
        let gold = match sample.gold {
            Some(gold) => Gold::One(gold),
            None => Gold::Any(
                (0..choices.len()).filter(|i| sample.target.iter().any(|t| t == choices[*i])).collect(),
            ),
        };
        let has_key = gold != Gold::Any(Vec::new());
        let value = |metric: &Metric| {
            if has_key {
                metric.of_choices(&output.loglikelihoods, &choices, &gold)
            } else {
                Value::unscored("the answer key is none of the choices")
            }
        };
        let score = |metric: &Metric| {
            let answer = metric.chosen(&output.loglikelihoods, &choices).map(|i| choices[i].to_owned());
            plain(metric, value(metric), answer)
        };
        self.config.metrics.iter().map(score).collect()
    }
}

fn metric_name(metric: &Metric, (_, pipeline): (usize, Option<&str>)) -> String {
    match pipeline {
        Some(pipeline) => format!("{},{pipeline}", metric.name()),
        None => metric.name().to_owned(),
    }
}

fn plain(metric: &Metric, value: Value, answer: Option<String>) -> Score {
    Score { metric: metric.name().to_owned(), value, answer, explanation: None }
}

impl Scorer for FileScorer {
    fn score(&self, sample: &Sample, outputs: &[ModelOutput]) -> Vec<Score> {
        match (self.config.output_type, outputs) {
            (OutputType::GenerateUntil, outputs) => self.score_text(sample, outputs),
            (_, []) => {
                let unscored = || Value::unscored("there is no output");
                self.config.metrics.iter().map(|m| plain(m, unscored(), None)).collect()
            }
            (OutputType::MultipleChoice, [first, ..]) => self.score_choices(sample, first),
            (_, [first, ..]) => self.score_one(sample, first),
        }
    }

    fn groups_epochs(&self) -> bool {
        self.config.output_type == OutputType::GenerateUntil
            && self.config.pipelines.iter().any(crate::filter::Pipeline::groups_epochs)
    }
}
