//! Scores that need the outputs of all epochs of a sample together (majority vote).

use std::collections::BTreeMap;

use loadline_core::record::{Row, SampleRecord};
use loadline_core::{ModelOutput, Sample};

use super::ResultsError;
use super::row::LevelLabel;
use super::table::Table;
use crate::task::Scorer;

/// Collects the outputs of each sample until all its epochs are there, then scores them. Epochs of a sample are
/// asked one after the other, so few samples are open at a time.
pub(crate) struct Grouped<'a> {
    scorer: &'a dyn Scorer,
    epochs: u32,
    open: BTreeMap<u64, Vec<(u32, ModelOutput)>>,
    complete: u64,
}

impl<'a> Grouped<'a> {
    pub(crate) fn new(scorer: &'a dyn Scorer, epochs: u32) -> Self {
        Self { scorer, epochs, open: BTreeMap::new(), complete: 0 }
    }

    /// Takes the row of an answer that counts.
    pub(crate) fn take(&mut self, table: &mut Table, payload: &[u8]) -> Result<(), ResultsError> {
        let row = serde_json::from_slice(payload).map_err(|source| table.bad_row(source))?;
        let Row::Sample(row) = row else { return Ok(()) };
        let index = row.index;
        let (epoch, output, sample) = taken_apart(*row);
        let outputs = self.open.entry(index).or_default();
        outputs.push((epoch, output));
        if outputs.len() < usize::try_from(self.epochs).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let mut outputs = self.open.remove(&index).unwrap_or_default();
        outputs.sort_by_key(|&(epoch, _)| epoch);
        let outputs: Vec<ModelOutput> = outputs.into_iter().map(|(_, output)| output).collect();
        let scores = self.scorer.score(&sample, &outputs);
        self.complete += 1;
        let level = sample.metadata.get("level").and_then(LevelLabel::of);
        let value_of =
            |name: &str| scores.iter().find(|score| score.metric == name).map(|score| &score.value);
        table.score(&sample.id, sample.cluster.as_deref(), level.as_ref(), value_of)
    }

    /// Samples that were scored.
    pub(crate) fn complete(&self) -> u64 {
        self.complete
    }
}

/// The sample and the output that a row came from.
fn taken_apart(row: SampleRecord) -> (u32, ModelOutput, Sample) {
    let output = ModelOutput {
        completion: row.output.unwrap_or_default(),
        stop_reason: row.stop_reason,
        loglikelihoods: row.loglikelihoods,
        usage: row.usage,
    };
    let sample = Sample {
        id: row.id,
        input: row.input,
        target: row.target,
        gold: row.gold,
        cluster: row.cluster,
        metadata: row.metadata,
    };
    (row.epoch, output, sample)
}
