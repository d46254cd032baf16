//! Suites as tasks: `arithmetic`, `arithmetic-choice`, `arithmetic@3`, `arithmetic-choice@1-3`, `arithmetic@1,3`.

use loadline_core::untrusted::one_line;
use loadline_core::{ModelOutput, Sample, Score};
use loadline_suites::{Form, Seed, Selection, Suite, SuiteError, every_level};

use crate::task::{SampleSource, Scorer, Task, TaskError};

/// Items of a suite task when no limit says otherwise, spread over its levels.
pub const DEFAULT_ITEMS: u64 = 100;

/// What a task name without a file means: a suite in one form, at some levels.
#[derive(Clone, Debug)]
pub struct SuiteTask(Selection);

/// Every suite in every form it has, at all its levels.
pub fn all() -> Vec<SuiteTask> {
    let forms = |&suite: &&'static dyn Suite| {
        suite.forms().iter().filter_map(move |&form| Selection::whole(suite, form).ok()).map(SuiteTask)
    };
    loadline_suites::all().iter().flat_map(forms).collect()
}

impl From<Selection> for SuiteTask {
    fn from(selection: Selection) -> Self {
        Self(selection)
    }
}

impl SuiteTask {
    /// Reads a task name: a suite, `-choice` for its multiple-choice form, `@` with a level, two with a hyphen
    /// between, or several with commas. `None` when the part before `@` names no suite: the name may be that of a task file.
    ///
    /// # Errors
    /// When the suite has no such form or level, or what follows `@` is no level.
    pub fn parse(text: &str) -> Result<Option<Self>, TaskError> {
        let (name, levels) = match text.split_once('@') {
            Some((name, levels)) => (name, Some(levels)),
            None => (text, None),
        };
        let (suite, form) = match name.strip_suffix("-choice").and_then(loadline_suites::find) {
            Some(suite) => (suite, Form::Choice),
            None => match loadline_suites::find(name) {
                Some(suite) => (suite, Form::Generate),
                None => return Ok(None),
            },
        };
        let levels = match levels {
            Some(text) => parse_levels(text, suite)?,
            None => every_level(suite),
        };
        Selection::new(suite, form, levels).map(|selection| Some(Self(selection))).map_err(explain)
    }

    /// The name that [`SuiteTask::parse`] reads back.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// The suite, its form and its levels.
    pub fn selection(&self) -> &Selection {
        &self.0
    }

    /// What it measures, in a line.
    pub fn description(&self) -> &'static str {
        self.suite().about().construct
    }

    /// The suite.
    pub fn suite(&self) -> &'static dyn Suite {
        self.0.suite()
    }

    /// The form its items are asked in.
    pub fn form(&self) -> Form {
        self.0.form()
    }

    /// Its levels, rising.
    pub fn levels(&self) -> &[u32] {
        self.0.levels()
    }

    /// The accuracy of a guesser on the items of a task of `n` items (every level alike, when `n` is left out).
    pub fn chance(&self) -> f64 {
        let (suite, form) = (self.suite(), self.form());
        let sum: f64 = self.levels().iter().map(|&level| suite.chance(form, level)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a handful of levels")]
        let levels = self.levels().len() as f64;
        sum / levels
    }

    /// The task: `limit` items (or [`DEFAULT_ITEMS`]), made from the number, the same number for each level.
    pub fn task(&self, seed: u64, limit: Option<u64>) -> Task {
        self.seeded(Seed::from_u64(seed), limit.unwrap_or(DEFAULT_ITEMS))
    }

    /// The task of `n` items that are made from a whole seed, as an exam derives it.
    pub fn seeded(&self, seed: Seed, n: u64) -> Task {
        Task {
            identity: self.0.identity(&seed, n),
            description: self.description().to_owned(),
            metrics: self.0.metrics(),
            samples: Box::new(Items { selection: self.0.clone(), seed, n }),
            scorer: Box::new(SuiteScorer(self.suite())),
            epochs: 1,
        }
    }
}

/// `3`, `1-3` or `1,3`.
fn parse_levels(text: &str, suite: &dyn Suite) -> Result<Vec<u32>, TaskError> {
    let listed: Option<Vec<u32>> = text.split(',').take(1000).map(|level| level.parse().ok()).collect();
    if let Some(levels) = listed.filter(|levels| levels.len() > 1) {
        return Ok(levels);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u32>(), last.parse::<u32>()) {
        // The bound keeps `@1-4000000000` from becoming a list; `check` then names the level that is missing.
        (Ok(first), Ok(last)) if first <= last => Ok((first..=last).take(1000).collect()),
        _ => Err(TaskError::new(format!(
            "`@{}` is not a level of suite `{}`",
            one_line(text, 40),
            suite.name()
        ))
        .with_hint(format!(
            "write `{0}@2` or `{0}@1-3`; it has levels 1 to {1}",
            suite.name(),
            suite.last_level()
        ))),
    }
}

fn explain(error: SuiteError) -> TaskError {
    let hint = match &error {
        SuiteError::NoSuchForm { suite, form: Form::Choice } => format!("`{suite}` asks for text"),
        SuiteError::NoSuchForm { suite, form: Form::Generate } => format!("`{suite}-choice` is there"),
        _ => "`loadline tasks` lists suites and their levels".to_owned(),
    };
    TaskError::new(error.to_string()).with_hint(hint)
}

struct Items {
    selection: Selection,
    seed: Seed,
    n: u64,
}

impl SampleSource for Items {
    fn len(&self) -> u64 {
        self.n
    }

    fn iter(&self) -> Box<dyn Iterator<Item = Result<Sample, TaskError>> + Send + '_> {
        Box::new((0..self.n).map(|index| Ok(self.selection.sample(&self.seed, index))))
    }
}

struct SuiteScorer(&'static dyn Suite);

impl Scorer for SuiteScorer {
    fn score(&self, sample: &Sample, outputs: &[ModelOutput]) -> Vec<Score> {
        outputs.first().map(|output| self.0.score(sample, output)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SuiteTask {
        SuiteTask::parse(text).unwrap().unwrap()
    }

    #[test]
    fn names_round_trip() {
        for text in
            ["arithmetic", "arithmetic-choice", "arithmetic@3", "arithmetic-choice@1-3", "arithmetic@1,3"]
        {
            assert_eq!(parse(text).name(), text);
        }
        assert_eq!(parse("arithmetic@2-2").name(), "arithmetic@2");
        assert!(SuiteTask::parse("gsm8k").unwrap().is_none());
        for task in all() {
            assert_eq!(parse(&task.name()).name(), task.name());
        }
    }

    #[test]
    fn levels_that_are_not_there_are_errors() {
        for (text, start) in [
            ("arithmetic@99", "suite `arithmetic` has no level 99: it has 1 to"),
            ("arithmetic@0", "suite `arithmetic` has no level 0: it has 1 to"),
            ("arithmetic@1-4000000000", "suite `arithmetic` has no level"),
            ("arithmetic@3-1", "`@3-1` is not a level of suite `arithmetic`"),
            ("arithmetic@\u{1b}[31m", "`@\\u{1b}[31m` is not a level of suite `arithmetic`"),
            ("arithmetic@", "`@` is not a level of suite `arithmetic`"),
        ] {
            let error = SuiteTask::parse(text).unwrap_err();
            assert!(error.message.starts_with(start), "{}", error.message);
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn items_are_spread_over_the_levels_and_ids_are_unique() {
        let suite = parse("arithmetic@1-3");
        let task = suite.task(7, Some(30));
        assert_eq!(task.samples.len(), 30);
        let samples: Vec<Sample> = task.samples.iter().map(Result::unwrap).collect();
        let ids: std::collections::BTreeSet<&str> = samples.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids.len(), 30);
        for level in 1..=3 {
            let of_level = |s: &&Sample| s.metadata.get("level") == Some(&level.into());
            assert_eq!(samples.iter().filter(of_level).count(), 10);
        }
        assert_ne!(task.identity.digest, suite.task(8, Some(30)).identity.digest);
        assert_ne!(task.identity.digest, parse("arithmetic@1-2").task(7, Some(30)).identity.digest);
    }
}
