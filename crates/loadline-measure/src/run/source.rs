//! The (sample, epoch) pairs still to be asked, in order, one at a time.

use loadline_core::Sample;

use super::done::Done;
use crate::task::{SampleSource, TaskError};

/// A sample to be asked.
pub(crate) struct Pending {
    pub(crate) sample: Sample,
    /// Its place in the dataset, from 0.
    pub(crate) index: u64,
    pub(crate) epoch: u32,
}

/// Goes through a dataset once and gives what has no answer yet. Holds one sample.
pub(crate) struct Source<'a> {
    samples: Box<dyn Iterator<Item = Result<Sample, TaskError>> + Send + 'a>,
    next_index: u64,
    end: u64,
    epochs: u32,
    /// The sample being repeated, and its next epoch.
    repeating: Option<(Sample, u32)>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(samples: &'a dyn SampleSource, end: u64, epochs: u32) -> Self {
        Self { samples: samples.iter(), next_index: 0, end, epochs, repeating: None }
    }

    /// The next pair that is not done.
    pub(crate) fn next(&mut self, done: &Done) -> Result<Option<Pending>, TaskError> {
        loop {
            if let Some((sample, epoch)) = self.repeating.take() {
                return Ok(Some(self.give(sample, self.next_index - 1, epoch, done)));
            }
            if self.next_index == self.end {
                return Ok(None);
            }
            let sample = self.samples.next().ok_or_else(|| {
                TaskError::new(format!(
                    "the dataset ended after {} samples, where {} were expected",
                    self.next_index, self.end
                ))
                .with_hint("its files changed while the run was on: start the run again")
            })??;
            self.next_index += 1;
            let index = self.next_index - 1;
            if let Some(epoch) = next_epoch(index, 0, self.epochs, done) {
                self.repeating = Some((sample, epoch));
            }
        }
    }

    /// Gives one epoch of a sample and keeps the sample if another epoch follows.
    fn give(&mut self, sample: Sample, index: u64, epoch: u32, done: &Done) -> Pending {
        if let Some(following) = next_epoch(index, epoch + 1, self.epochs, done) {
            self.repeating = Some((sample.clone(), following));
        }
        Pending { sample, index, epoch }
    }
}

fn next_epoch(index: u64, from: u32, epochs: u32, done: &Done) -> Option<u32> {
    (from..epochs).find(|&epoch| !done.contains(index, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_core::model::{Prompt, Request, Rolling};

    struct Letters(u64);

    impl SampleSource for Letters {
        fn len(&self) -> u64 {
            self.0
        }

        fn iter(&self) -> Box<dyn Iterator<Item = Result<Sample, TaskError>> + Send + '_> {
            Box::new((0..self.0).map(|i| {
                Ok(Sample {
                    id: i.to_string(),
                    input: Request::Rolling(Rolling { text: Prompt::user("x").text().into_owned() }),
                    target: vec![],
                    gold: None,
                    cluster: None,
                    metadata: serde_json::Map::new(),
                })
            }))
        }
    }

    #[test]
    fn gives_each_missing_pair_once_and_in_order() {
        let mut done = Done::new(3, 3);
        for (index, epoch) in [(0, 1), (1, 0), (1, 1), (1, 2), (2, 2)] {
            done.insert(index, epoch);
        }
        let letters = Letters(9);
        let mut source = Source::new(&letters, 3, 3);
        let mut given = Vec::new();
        while let Some(pending) = source.next(&done).unwrap() {
            assert_eq!(pending.sample.id, pending.index.to_string());
            given.push((pending.index, pending.epoch));
        }
        assert_eq!(given, [(0, 0), (0, 2), (2, 0), (2, 1)]);
    }

    #[test]
    fn a_dataset_that_ends_too_soon_is_an_error() {
        let letters = Letters(2);
        let mut source = Source::new(&letters, 3, 1);
        let done = Done::new(3, 1);
        assert!(source.next(&done).unwrap().is_some() && source.next(&done).unwrap().is_some());
        assert_eq!(
            source.next(&done).err().map(|error| error.message).as_deref(),
            Some("the dataset ended after 2 samples, where 3 were expected")
        );
    }
}
