//! Per-sample scores of one or two runs, from rows: checked, and paired by id.
//!
//! Reading files is the caller's; every error here names the source and the row, and says what to do.

mod error;

use std::collections::BTreeMap;

use crate::compare::Pair;
use crate::error::StatsError;
use crate::estimate::{Estimate, Level};
use crate::summary::Accumulator;
pub use error::{ScoresError, Shown};

/// The per-sample scores of one run, in the order of their rows.
///
/// A sample may be there in several epochs, when its rows say which: an estimate then takes each sample for a
/// cluster, a comparison takes each sample's mean. The same id without another epoch is a mistake.
#[derive(Clone, Debug)]
pub struct ScoreTable {
    source: String,
    samples: Vec<SampleScores>,
    by_id: BTreeMap<Box<str>, usize>,
}

#[derive(Clone, Debug)]
struct SampleScores {
    id: Box<str>,
    row: u64,
    /// The epochs that its rows name, rising.
    epochs: Vec<u64>,
    scores: Vec<f64>,
    unscored: u64,
    cluster: Option<Box<str>>,
}

impl SampleScores {
    fn mean(&self) -> Option<f64> {
        let count = self.scores.len() as f64;
        (!self.scores.is_empty()).then(|| self.scores.iter().sum::<f64>() / count)
    }
}

/// Reads a score: a number, `true`, `false`, or nothing (empty, `null`, `None`) for an unscored sample.
/// `Err(())` stands for anything else, NaN and infinities among it.
fn read_score(text: &str) -> Result<Option<f64>, ()> {
    match text.trim() {
        "" | "null" | "None" => Ok(None),
        "true" | "True" | "TRUE" => Ok(Some(1.0)),
        "false" | "False" | "FALSE" => Ok(Some(0.0)),
        number => match number.parse::<f64>() {
            Ok(value) if crate::mean::usable(value).is_ok() => Ok(Some(value)),
            _ => Err(()),
        },
    }
}

impl ScoreTable {
    /// A table without rows; `source_name` (a file name, a run's id) goes into error messages.
    pub fn new(source_name: impl Into<String>) -> Self {
        Self { source: source_name.into(), samples: Vec::new(), by_id: BTreeMap::new() }
    }

    /// Adds a row as it stands in a file. `row` is its number for error messages. An empty cluster is none.
    ///
    /// # Errors
    /// [`ScoresError::NotANumber`], [`ScoresError::NotAnEpoch`] and those of [`push`](ScoreTable::push).
    pub fn push_text(
        &mut self,
        row: u64,
        (id, epoch): (&str, Option<&str>),
        score: &str,
        cluster: Option<&str>,
    ) -> Result<(), ScoresError> {
        let value = read_score(score).map_err(|()| ScoresError::NotANumber {
            source_name: self.source.clone(),
            row,
            text: Shown::new(score),
        })?;
        let epoch = epoch.map(|text| {
            text.trim().parse::<u64>().map_err(|_| ScoresError::NotAnEpoch {
                source_name: self.source.clone(),
                row,
                text: Shown::new(text),
            })
        });
        self.push(row, (id, epoch.transpose()?), value, cluster)
    }

    /// Adds a row with a score, or with none for an unscored sample. `epoch` says which repetition of the sample it
    /// is, where there are several.
    ///
    /// # Errors
    /// [`ScoresError::NotANumber`] for NaN, infinities and numbers beyond ±1e100; [`ScoresError::EmptyId`];
    /// [`ScoresError::DuplicateId`] unless it is another epoch; [`ScoresError::ClusterConflict`].
    pub fn push(
        &mut self,
        row: u64,
        (id, epoch): (&str, Option<u64>),
        score: Option<f64>,
        cluster: Option<&str>,
    ) -> Result<(), ScoresError> {
        if id.trim().is_empty() {
            return Err(ScoresError::EmptyId { source_name: self.source.clone(), row });
        }
        if let Some(value) = score.filter(|value| crate::mean::usable(*value).is_err()) {
            let (source_name, text) = (self.source.clone(), Shown::new(&value.to_string()));
            return Err(ScoresError::NotANumber { source_name, row, text });
        }
        let cluster = cluster.filter(|key| !key.is_empty());
        let index = match self.by_id.get(id) {
            Some(index) => self.check_repeat(*index, row, epoch, cluster)?,
            None => self.insert(row, id, cluster),
        };
        if let Some(sample) = self.samples.get_mut(index) {
            if let Some(epoch) = epoch {
                let place = sample.epochs.partition_point(|other| *other < epoch);
                sample.epochs.insert(place, epoch);
            }
            match score {
                Some(value) => sample.scores.push(value),
                None => sample.unscored += 1,
            }
        }
        Ok(())
    }

    fn insert(&mut self, row: u64, id: &str, cluster: Option<&str>) -> usize {
        let index = self.samples.len();
        let cluster = cluster.map(Into::into);
        self.samples.push(SampleScores {
            id: id.into(),
            row,
            epochs: Vec::new(),
            scores: Vec::new(),
            unscored: 0,
            cluster,
        });
        self.by_id.insert(id.into(), index);
        index
    }

    fn check_repeat(
        &self,
        index: usize,
        row: u64,
        epoch: Option<u64>,
        cluster: Option<&str>,
    ) -> Result<usize, ScoresError> {
        let Some(first) = self.samples.get(index) else { return Ok(index) };
        // Without its epoch a row could be any of them.
        let is_another = epoch.is_some_and(|epoch| first.epochs.binary_search(&epoch).is_err());
        if !is_another || first.epochs.is_empty() {
            return Err(ScoresError::DuplicateId {
                source_name: self.source.clone(),
                row,
                first_row: first.row,
                id: Shown::new(&first.id),
                epoch,
            });
        }
        if first.cluster.as_deref() != cluster {
            return Err(ScoresError::ClusterConflict {
                id: Shown::new(&first.id),
                first_source: format!("row {} of {}", first.row, self.source),
                first: Shown::new(first.cluster.as_deref().unwrap_or("")),
                second_source: format!("row {row}"),
                second: Shown::new(cluster.unwrap_or("")),
            });
        }
        Ok(index)
    }

    /// Samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// All scores, ready for an estimate: clustered as the rows say, and by sample where that has several epochs.
    ///
    /// # Errors
    /// [`StatsError`] for a score that cannot be used, which [`push`](ScoreTable::push) lets none of.
    pub fn accumulator(&self) -> Result<Accumulator, StatsError> {
        let mut scores = Accumulator::new();
        for sample in &self.samples {
            let key = match (&sample.cluster, sample.scores.len()) {
                // Prefixes keep a cluster and a sample of the same name apart.
                (Some(cluster), _) => Some(format!("c:{cluster}")),
                (None, 0 | 1) => None,
                (None, _) => Some(format!("s:{}", sample.id)),
            };
            for score in &sample.scores {
                scores.push(*score, key.as_deref())?;
            }
            for _ in 0..sample.unscored {
                scores.push_unscored();
            }
        }
        Ok(scores)
    }

    /// The estimate of the mean score.
    ///
    /// # Errors
    /// [`StatsError::NoScores`] when no sample was scored.
    pub fn estimate(&self, level: Level) -> Result<Estimate, StatsError> {
        self.accumulator()?.estimate(level)
    }
}

/// Two runs paired by sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pairing {
    /// Samples with a score on both sides, in the order of A's rows.
    pub pairs: Vec<PairedSample>,
    /// Samples that only A has.
    pub only_a: u64,
    /// Samples that only B has.
    pub only_b: u64,
    /// Samples on both sides, of which at least one was not scored.
    pub unscored: u64,
}

/// A sample's score on both sides: its mean where it was answered several times.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedSample {
    /// The sample.
    pub id: Box<str>,
    /// A's score.
    pub a: f64,
    /// B's score.
    pub b: f64,
    /// Its cluster.
    pub cluster: Option<Box<str>>,
}

impl Pairing {
    /// What [`compare::paired`](crate::compare::paired) takes.
    pub fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        self.pairs.iter().map(|pair| Pair { a: pair.a, b: pair.b, cluster: pair.cluster.as_deref() })
    }
}

/// Pairs two runs by sample id. A cluster named on one side only holds for the sample.
///
/// # Errors
/// [`ScoresError::Empty`], [`ScoresError::NothingInCommon`], [`ScoresError::ClusterConflict`].
pub fn pair(a: &ScoreTable, b: &ScoreTable) -> Result<Pairing, ScoresError> {
    for side in [a, b] {
        if side.is_empty() {
            return Err(ScoresError::Empty { source_name: side.source.clone() });
        }
    }
    let mut pairing = Pairing { pairs: Vec::new(), only_a: 0, only_b: b.len() as u64, unscored: 0 };
    for ours in &a.samples {
        let Some(theirs) = b.by_id.get(&ours.id).and_then(|index| b.samples.get(*index)) else {
            pairing.only_a += 1;
            continue;
        };
        pairing.only_b -= 1;
        let cluster = common_cluster((a, ours), (b, theirs))?;
        match (ours.mean(), theirs.mean()) {
            (Some(score_a), Some(score_b)) => {
                pairing.pairs.push(PairedSample { id: ours.id.clone(), a: score_a, b: score_b, cluster });
            }
            _ => pairing.unscored += 1,
        }
    }
    if let (true, Some(first_a), Some(first_b)) =
        (pairing.pairs.is_empty(), a.samples.first(), b.samples.first())
    {
        return Err(ScoresError::NothingInCommon {
            a: a.source.clone(),
            b: b.source.clone(),
            samples_a: a.len() as u64,
            samples_b: b.len() as u64,
            first_a: Shown::new(&first_a.id),
            first_b: Shown::new(&first_b.id),
        });
    }
    Ok(pairing)
}

fn common_cluster(
    (a, ours): (&ScoreTable, &SampleScores),
    (b, theirs): (&ScoreTable, &SampleScores),
) -> Result<Option<Box<str>>, ScoresError> {
    match (&ours.cluster, &theirs.cluster) {
        (Some(first), Some(second)) if first != second => Err(ScoresError::ClusterConflict {
            id: Shown::new(&ours.id),
            first_source: a.source.clone(),
            first: Shown::new(first),
            second_source: b.source.clone(),
            second: Shown::new(second),
        }),
        (first, second) => Ok(first.as_ref().or(second.as_ref()).cloned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    fn table(name: &str, rows: &[(&str, &str)]) -> Result<ScoreTable, ScoresError> {
        let mut table = ScoreTable::new(name);
        for (row, (id, score)) in (2..).zip(rows) {
            table.push_text(row, (id, None), score, None)?;
        }
        Ok(table)
    }

    fn message(result: Result<impl fmt::Debug, ScoresError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn pairs_by_id_and_counts_what_has_no_partner() {
        let a = table("a.csv", &[("x", "1"), ("y", "true"), ("z", ""), ("only", "0")]).unwrap();
        let b = table("b.csv", &[("z", "1"), ("x", "0.5"), ("y", "False"), ("w", "1"), ("v", "1")]).unwrap();
        let pairing = pair(&a, &b).unwrap();
        let scores: Vec<_> = pairing.pairs.iter().map(|p| (&*p.id, p.a, p.b)).collect();
        assert_eq!(scores, [("x", 1.0, 0.5), ("y", 1.0, 0.0)]);
        assert_eq!((pairing.only_a, pairing.only_b, pairing.unscored), (1, 2, 1));
    }

    #[test]
    fn a_score_that_is_no_number_is_named_with_its_row_and_made_safe() {
        let bad = table("a.csv", &[("x", "1"), ("y", "\u{1b}[31mnone")]);
        assert_eq!(message(bad), "a.csv, row 3: the score `\\u{1b}[31mnone` is not a number");
        for text in ["nan", "inf", "1e200", "1,5", "n/a"] {
            assert!(table("a.csv", &[("x", text)]).is_err(), "{text}");
        }
        let long = "9x".repeat(1000);
        assert!(message(table("a.csv", &[("x", &long)])).len() < 120);
    }

    #[test]
    fn a_repeated_id_is_refused_unless_it_is_another_epoch() {
        let twice = table("a.csv", &[("x", "1"), ("y", "0"), ("x", "1")]);
        assert_eq!(message(twice), "a.csv, row 4: the id `x` was already in row 2");
        let mut epochs = ScoreTable::new("a.csv");
        for (row, (id, epoch, score)) in
            (1..).zip([("x", "1", "1"), ("y", "0", "0"), ("x", "0", "0"), ("y", "1", "0"), ("z", "0", "1")])
        {
            epochs.push_text(row, (id, Some(epoch)), score, None).unwrap();
        }
        for (epoch, words) in [
            (Some("1"), "a.csv, row 6: the id `x` was already there with epoch 1 (its first row is 1)"),
            (None, "a.csv, row 6: the id `x` was already in row 1"),
            (Some("one"), "a.csv, row 6: the epoch `one` is not a whole number"),
        ] {
            assert_eq!(message(epochs.push_text(6, ("x", epoch), "1", None)), words);
        }
        let estimate = epochs.estimate(Level::P95).unwrap();
        assert_eq!((estimate.n, estimate.clusters), (5, Some(3)));
        let b = table("b.csv", &[("x", "1")]).unwrap();
        assert_eq!(pair(&epochs, &b).unwrap().pairs[0].a, 0.5);
    }

    #[test]
    fn an_empty_cluster_is_none() {
        let mut table = ScoreTable::new("a.csv");
        for (row, score) in [(2, "1"), (3, "0"), (4, "1")] {
            table.push_text(row, (&row.to_string(), None), score, Some("")).unwrap();
        }
        assert_eq!(table.estimate(Level::P95).unwrap().clusters, None);
    }

    #[test]
    fn clusters_must_agree() {
        let side = |name: &str, cluster| {
            let mut table = ScoreTable::new(name);
            table.push(1, ("x", None), Some(1.0), cluster).unwrap();
            table
        };
        let conflict = pair(&side("a", Some("p1")), &side("b", Some("p2")));
        assert_eq!(message(conflict), "the sample `x` is in cluster `p1` in a and in cluster `p2` in b");
        let one_sided = pair(&side("a", None), &side("b", Some("p2"))).unwrap();
        assert_eq!(one_sided.pairs[0].cluster.as_deref(), Some("p2"));
    }

    #[test]
    fn empty_sides_and_strangers_are_told_apart() {
        let full = table("a.csv", &[("x1", "1"), ("x2", "1")]).unwrap();
        let empty = ScoreTable::new("b.csv");
        assert_eq!(message(pair(&full, &empty)), "b.csv has no rows");
        let other = table("c.csv", &[("q-1", "1")]).unwrap();
        assert_eq!(
            message(pair(&full, &other)),
            "a.csv and c.csv have no scored sample in common: a.csv has 2 samples (the first is `x1`), c.csv has 1 \
             (the first is `q-1`)"
        );
        assert_eq!(message(table("d.csv", &[(" ", "1")])), "d.csv, row 2: the id is empty");
        let unscored = table("e.csv", &[("x1", "")]).unwrap().estimate(Level::P95).unwrap_err();
        assert_eq!(unscored, StatsError::NoScores { unscored: 1 });
    }
}
