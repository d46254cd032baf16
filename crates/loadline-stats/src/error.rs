//! Why there is no estimate.

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// Nothing to estimate from.
    #[error("there are no scores ({unscored} samples were not scored)")]
    NoScores {
        /// Samples without a score.
        unscored: u64,
    },
    /// Too few answers to compare two sources.
    #[error("{first} and {second} answers to a prompt: each source needs at least two")]
    TooFewAnswers {
        /// Of the first source.
        first: usize,
        /// Of the second.
        second: usize,
    },
    /// More successes than trials.
    #[error("{successes} successes in {n} trials cannot be")]
    TooManySuccesses {
        /// Successes.
        successes: u64,
        /// Trials.
        n: u64,
    },
    /// A score that is not a number, infinite, or beyond ±1e100.
    #[error("the score {value} is not a usable number")]
    NotFinite {
        /// The score.
        value: f64,
    },
    /// A score outside [0, 1] where only such scores have a meaning.
    #[error("the score {value} is outside 0..1")]
    OutsideUnit {
        /// The score.
        value: f64,
    },
    /// A confidence level out of range.
    #[error("the confidence level {value} is not between 0.001 and 0.999999")]
    Level {
        /// The level.
        value: f64,
    },
    /// A probability parameter outside (0, 1).
    #[error("{name} is {value}: it must be between 0 and 1")]
    Probability {
        /// What it is called.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A parameter that must be above zero.
    #[error("{name} is {value}: it must be above 0")]
    NotPositive {
        /// What it is called.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// More items were scored than the bank has.
    #[error("{n} items were scored of a bank of {bank}")]
    BankTooSmall {
        /// Items scored.
        n: u64,
        /// Items in the bank.
        bank: u64,
    },
    /// A bank score from items that were scored more than once, or that come in clusters.
    #[error("a bank score needs each item scored once, without clusters")]
    BankNeedsSingleScores,
    /// A ratio of sums whose denominator is zero or below.
    #[error("the sum to divide by is {sum}")]
    ZeroDenominator {
        /// The denominator.
        sum: f64,
    },
}

impl StatsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoScores { unscored: 0 } => "check that the input has rows",
            Self::NoScores { .. } => "look at the samples to see why none was scored",
            Self::TooManySuccesses { .. } => "successes and trials may be the wrong way round",
            Self::NotFinite { .. } => "leave the score out to count the sample as unscored",
            Self::OutsideUnit { .. } => "this method needs scores between 0 and 1",
            Self::Level { .. } => "write 0.95 for 95 %",
            Self::Probability { .. } => "write it as a fraction, such as 0.8",
            Self::NotPositive { .. } => return None,
            Self::BankTooSmall { .. } => "the bank is the whole set of items the sample was drawn from",
            Self::BankNeedsSingleScores => "ask for the skill estimate instead",
            Self::TooFewAnswers { .. } => "ask for more answers",
            Self::ZeroDenominator { .. } => "every sample must have a length above 0",
        })
    }
}
