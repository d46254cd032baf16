//! What a suite is.

use std::fmt;
use std::str::FromStr;

use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, ModelOutput, Sample, Score};

use crate::seed::Seed;

/// What a suite measures and what not. `docs/suites.md` says the same at more length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// What it measures.
    pub construct: &'static str,
    /// What it does not measure, although one might think so.
    pub not_measured: &'static str,
    /// Limits of what a number from it can support.
    pub validity: &'static str,
    /// Who the guesser is whose accuracy [`Suite::chance`] states.
    pub guesser: &'static str,
    /// What each level asks for; the first is level 1.
    pub levels: &'static [&'static str],
}

/// The form in which an item is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// The model writes; the scorer reads the answer out of what it wrote. Metric `exact_match`.
    Generate,
    /// The model says how likely each of a few answers is; the likeliest is its choice. Metric `acc`.
    Choice,
}

impl Form {
    /// Both forms.
    pub const ALL: [Self; 2] = [Self::Generate, Self::Choice];

    /// Its name: `generate` or `choice`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Choice => "choice",
        }
    }

    /// The metric that its first score has.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Generate => "exact_match",
            Self::Choice => "acc",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Form {
    type Err = SuiteError;

    fn from_str(text: &str) -> Result<Self, SuiteError> {
        Self::ALL
            .into_iter()
            .find(|form| form.name() == text)
            .ok_or_else(|| SuiteError::UnknownForm { text: one_line(text, 40) })
    }
}

/// Why a set of items cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuiteError {
    /// No suite has this name.
    #[error("there is no suite `{name}`{}", match suggestion { Some(s) => format!("; did you mean `{s}`?"), None => String::new() })]
    UnknownSuite {
        /// The name asked for.
        name: String,
        /// The nearest name there is.
        suggestion: Option<&'static str>,
    },
    /// Not a form.
    #[error("`{text}` is not a form: expected `generate` or `choice`")]
    UnknownForm {
        /// What was given.
        text: String,
    },
    /// The suite cannot be asked in this form.
    #[error("suite `{suite}` has no {form} form")]
    NoSuchForm {
        /// The suite.
        suite: &'static str,
        /// The form asked for.
        form: Form,
    },
    /// The suite has no such level.
    #[error("suite `{suite}` has no level {level}: it has 1 to {last}")]
    NoSuchLevel {
        /// The suite.
        suite: &'static str,
        /// The level asked for.
        level: u32,
        /// The hardest level there is.
        last: u32,
    },
    /// No level was asked for.
    #[error("no level was asked of suite `{suite}`")]
    NoLevels {
        /// The suite.
        suite: &'static str,
    },
}

/// A generator of items and their exact scorer.
pub trait Suite: Send + Sync {
    /// Its name, as the user writes it.
    fn name(&self) -> &'static str;

    /// Changes whenever any item or any score changes.
    fn version(&self) -> &'static str;

    /// What it measures and what not.
    fn about(&self) -> &'static About;

    /// The forms it can be asked in.
    fn forms(&self) -> &'static [Form];

    /// Item `index` (counted within the level) of this seed. The item is the same problem in both forms. A level
    /// or form that the suite does not have is taken as the nearest it has: ask [`check`] first.
    fn sample(&self, seed: &Seed, form: Form, level: u32, index: u64) -> Sample;

    /// Scores an answer. Needs only what a record keeps, so a record can be scored again.
    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score>;

    /// Expected accuracy of the guesser that [`About::guesser`] names.
    fn chance(&self, form: Form, level: u32) -> f64;

    /// See [`wrong_answer`](crate::wrong_answer).
    fn wrong_answer(&self, sample: &Sample) -> String {
        let _ = sample;
        "Answer: I do not know.".to_owned()
    }

    /// The hardest level.
    fn last_level(&self) -> u32 {
        u32::try_from(self.about().levels.len()).unwrap_or(u32::MAX)
    }
}

/// Whether a suite has this form and these levels.
///
/// # Errors
/// Names the first thing that it does not have.
pub fn check(suite: &dyn Suite, form: Form, levels: &[u32]) -> Result<(), SuiteError> {
    if !suite.forms().contains(&form) {
        return Err(SuiteError::NoSuchForm { suite: suite.name(), form });
    }
    if levels.is_empty() {
        return Err(SuiteError::NoLevels { suite: suite.name() });
    }
    let last = suite.last_level();
    match levels.iter().find(|level| !(1..=last).contains(*level)) {
        Some(&level) => Err(SuiteError::NoSuchLevel { suite: suite.name(), level, last }),
        None => Ok(()),
    }
}

/// The suite of this name, or an error with the nearest name there is.
///
/// # Errors
/// When no suite has the name.
pub fn require(name: &str) -> Result<&'static dyn Suite, SuiteError> {
    crate::find(name).ok_or_else(|| SuiteError::UnknownSuite {
        name: one_line(name, 40),
        suggestion: nearest(name, crate::all().iter().map(|suite| suite.name()))
            .and_then(crate::find)
            .map(|suite| suite.name()),
    })
}

/// What makes the questions and the scores, for a task's identity.
pub fn digest(suite: &dyn Suite, seed: &Seed, form: Form, levels: &[u32], n: u64) -> Digest {
    let levels: Vec<u8> = levels.iter().flat_map(|level| level.to_be_bytes()).collect();
    Digest::of_parts(
        "loadline/suites/set/1",
        &[
            suite.name().as_bytes(),
            suite.version().as_bytes(),
            seed.as_bytes(),
            form.name().as_bytes(),
            &levels,
            &n.to_be_bytes(),
        ],
    )
}

/// Exactly `n` samples, going round the levels: the first of each level, then the second of each, and so on. Made
/// one at a time as they are asked for. None when there are no levels.
pub fn samples<'a>(
    suite: &'a dyn Suite,
    seed: &'a Seed,
    form: Form,
    levels: &'a [u32],
    n: u64,
) -> impl Iterator<Item = Sample> + Send + 'a {
    let per_round = u64::try_from(levels.len()).unwrap_or(u64::MAX);
    let n = if levels.is_empty() { 0 } else { n };
    (0..n).zip(levels.iter().cycle()).map(move |(i, &level)| suite.sample(seed, form, level, i / per_round))
}
