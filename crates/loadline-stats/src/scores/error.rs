//! Why rows are not usable scores.

use std::fmt;

/// Why rows are not usable scores.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoresError {
    /// A score that is not a number.
    #[error("{source_name}, row {row}: the score {text} is not a number")]
    NotANumber {
        /// The file or run.
        source_name: String,
        /// Its row.
        row: u64,
        /// What stands there, shortened and made safe to show.
        text: Shown,
    },
    /// An epoch that is not a whole number.
    #[error("{source_name}, row {row}: the epoch {text} is not a whole number")]
    NotAnEpoch {
        /// The file or run.
        source_name: String,
        /// Its row.
        row: u64,
        /// What stands there.
        text: Shown,
    },
    /// A row without an id.
    #[error("{source_name}, row {row}: the id is empty")]
    EmptyId {
        /// The file or run.
        source_name: String,
        /// Its row.
        row: u64,
    },
    /// An id that was there before, in the same epoch or without one.
    #[error("{source_name}, row {row}: the id {id} was already {}", before(*epoch, *first_row))]
    DuplicateId {
        /// The file or run.
        source_name: String,
        /// The second row.
        row: u64,
        /// The first row.
        first_row: u64,
        /// The id.
        id: Shown,
        /// The epoch of the second row.
        epoch: Option<u64>,
    },
    /// Two rows put one sample in different clusters.
    #[error(
        "the sample {id} is in cluster {first} in {first_source} and in cluster {second} in {second_source}"
    )]
    ClusterConflict {
        /// The sample.
        id: Shown,
        /// Where it was first.
        first_source: String,
        /// The cluster there.
        first: Shown,
        /// Where else it was.
        second_source: String,
        /// The cluster there.
        second: Shown,
    },
    /// No rows.
    #[error("{source_name} has no rows")]
    Empty {
        /// The file or run.
        source_name: String,
    },
    /// Two sides without one common scored sample.
    #[error(
        "{a} and {b} have no scored sample in common: {a} has {samples_a} samples (the first is {first_a}), {b} has \
         {samples_b} (the first is {first_b})"
    )]
    NothingInCommon {
        /// One side.
        a: String,
        /// The other side.
        b: String,
        /// Samples of the one.
        samples_a: u64,
        /// Samples of the other.
        samples_b: u64,
        /// First id of the one.
        first_a: Shown,
        /// First id of the other.
        first_b: Shown,
    },
}

fn before(epoch: Option<u64>, first_row: u64) -> String {
    match epoch {
        Some(epoch) => format!("there with epoch {epoch} (its first row is {first_row})"),
        None => format!("in row {first_row}"),
    }
}

impl ScoresError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotANumber { .. } => {
                "a score is a number, true or false; leave it empty to count the sample as unscored"
            }
            Self::EmptyId { .. } => "every sample needs an id; name the column if it is not called `id`",
            Self::DuplicateId { .. } => {
                "give each sample an id of its own; where a sample was asked several times, a column `epoch` has to number \
                 its rows"
            }
            Self::NotAnEpoch { .. } => {
                "epochs are counted 0, 1, 2; name the column if it is not called `epoch`"
            }
            Self::ClusterConflict { .. } => "a sample belongs to one cluster in all rows and on both sides",
            Self::Empty { .. } => "check that this is the right file and that it has rows below its header",
            Self::NothingInCommon { .. } => {
                "samples are paired by id: check that both sides are runs of the same task with the same ids"
            }
        }
    }
}

/// A piece of input in an error message: quoted, on one line, escaped and shortened, so that it cannot harm a terminal.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    pub(super) fn new(text: &str) -> Self {
        const MOST_CHARS: usize = 60;
        let mut short: String = text.chars().take(MOST_CHARS).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        Self(format!("`{}`", short.escape_debug()))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
