//! A suite in one form, at some levels: what a test asks. With a seed and a number it is a task.

use loadline_core::record::TaskIdentity;
use loadline_core::score::{Aggregation, MetricSpec};
use loadline_core::{ModelOutput, Sample, Score};

use crate::seed::Seed;
use crate::suite::{Form, Suite, SuiteError, check, digest};

/// A suite in one form, at some levels.
#[derive(Clone)]
pub struct Selection {
    suite: &'static dyn Suite,
    form: Form,
    levels: Vec<u32>,
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Selection").field(&self.name()).finish()
    }
}

impl Selection {
    /// A suite in a form, at these levels.
    ///
    /// # Errors
    /// Names the first thing that the suite does not have.
    pub fn new(suite: &'static dyn Suite, form: Form, levels: Vec<u32>) -> Result<Self, SuiteError> {
        check(suite, form, &levels)?;
        Ok(Self { suite, form, levels })
    }

    /// A suite in a form, at all its levels.
    ///
    /// # Errors
    /// When the suite has no such form.
    pub fn whole(suite: &'static dyn Suite, form: Form) -> Result<Self, SuiteError> {
        Self::new(suite, form, every_level(suite))
    }

    /// The suite.
    pub fn suite(&self) -> &'static dyn Suite {
        self.suite
    }

    /// The form its items are asked in.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Its levels, in the order in which they are gone round.
    pub fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// `arithmetic`, `arithmetic-choice`, `arithmetic@3`, `arithmetic-choice@1-3`, `arithmetic@1,3`.
    pub fn name(&self) -> String {
        let form = if self.form == Form::Choice { "-choice" } else { "" };
        format!("{}{form}{}", self.suite.name(), self.level_part())
    }

    fn level_part(&self) -> String {
        let levels = self.levels.as_slice();
        let in_a_row = levels.windows(2).all(|pair| pair[1] == pair[0] + 1);
        match levels {
            _ if levels == every_level(self.suite) => String::new(),
            [only] => format!("@{only}"),
            [first, .., last] if in_a_row => format!("@{first}-{last}"),
            _ => {
                let levels: Vec<_> = levels.iter().map(ToString::to_string).collect();
                format!("@{}", levels.join(","))
            }
        }
    }

    /// Which task it is with this seed and number of items.
    pub fn identity(&self, seed: &Seed, n: u64) -> TaskIdentity {
        TaskIdentity {
            name: self.name(),
            version: self.suite.version().to_owned(),
            digest: digest(self.suite, seed, self.form, &self.levels, n),
        }
    }

    /// What is reported of it.
    pub fn metrics(&self) -> Vec<MetricSpec> {
        vec![MetricSpec {
            name: self.form.metric().to_owned(),
            aggregation: Aggregation::Mean,
            higher_is_better: true,
        }]
    }

    /// The sample at a place, from 0.
    pub fn sample(&self, seed: &Seed, index: u64) -> Sample {
        let per_round = u64::try_from(self.levels.len()).unwrap_or(u64::MAX).max(1);
        let level = usize::try_from(index % per_round).ok().and_then(|at| self.levels.get(at)).copied();
        self.suite.sample(seed, self.form, level.unwrap_or(1), index / per_round)
    }

    /// Scores an answer.
    pub fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        self.suite.score(sample, output)
    }
}

/// All levels of a suite, rising.
pub fn every_level(suite: &dyn Suite) -> Vec<u32> {
    (1..=suite.last_level()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_by_its_place_is_the_one_in_the_stream() {
        let seed = Seed::from_u64(4);
        for suite in crate::all() {
            let form = suite.forms()[0];
            let selection = Selection::whole(*suite, form).unwrap();
            let stream = crate::samples(*suite, &seed, form, selection.levels(), 9);
            for (index, sample) in (0..).zip(stream) {
                assert_eq!(selection.sample(&seed, index), sample, "{} {index}", suite.name());
            }
        }
    }

    #[test]
    fn no_two_choices_of_levels_share_a_name() {
        let suite = crate::find("arithmetic").unwrap();
        let name = |levels: &[u32]| Selection::new(suite, Form::Generate, levels.to_vec()).unwrap().name();
        assert_eq!(name(&[1, 3]), "arithmetic@1,3");
        assert_eq!(name(&[2, 1]), "arithmetic@2,1");
        assert_eq!(name(&[1, 2]), "arithmetic@1-2");
        assert!(Selection::new(suite, Form::Generate, vec![99]).is_err());
    }
}
