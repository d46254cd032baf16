//! The values of one metric to one estimate.

use loadline_core::score::{Aggregation, Value};
use loadline_stats::mean::Range;
use loadline_stats::ratio::{self, F1Accumulator, RatioAccumulator};
use loadline_stats::{Accumulator, Estimate, Level, StatsError, Transform};

/// Takes the values of one metric, one at a time, in any order.
#[derive(Clone, Debug)]
pub(crate) struct MetricAccumulator {
    aggregation: Aggregation,
    values: Values,
    unscored: u64,
}

#[derive(Clone, Debug)]
enum Values {
    Numbers(Accumulator),
    Ratios(RatioAccumulator),
    Classes(F1Accumulator),
}

impl MetricAccumulator {
    pub(crate) fn new(aggregation: Aggregation) -> Self {
        let values = match aggregation {
            Aggregation::Mean => Values::Numbers(Accumulator::new()),
            Aggregation::Perplexity => Values::Numbers(Accumulator::with_range(Range::Unbounded)),
            Aggregation::WeightedPerplexity | Aggregation::BitsPerByte => {
                Values::Ratios(RatioAccumulator::new())
            }
            Aggregation::F1 => Values::Classes(F1Accumulator::new()),
        };
        Self { aggregation, values, unscored: 0 }
    }

    /// Adds a value; values with the same cluster key are not independent.
    ///
    /// # Errors
    /// In words, when the value does not fit the aggregation or is no finite number.
    pub(crate) fn push(&mut self, value: &Value, cluster: Option<&str>) -> Result<(), String> {
        let pushed = match (&mut self.values, value) {
            (_, Value::Unscored(_)) => {
                self.unscored += 1;
                Ok(())
            }
            (Values::Numbers(numbers), Value::Number(number)) => numbers.push(*number, cluster),
            (Values::Ratios(ratios), Value::Ratio { total, per }) => ratios.push(*total, *per, cluster),
            (Values::Classes(classes), Value::Class { gold, predicted }) => {
                classes.push(*gold, *predicted, cluster);
                Ok(())
            }
            _ => return Err(format!("is no value for the aggregation {:?}", self.aggregation)),
        };
        pushed.map_err(|error| format!("cannot be used: {error}"))
    }

    /// Counts what has no value at all.
    pub(crate) fn push_missing(&mut self, count: u64) {
        self.unscored += count;
    }

    pub(crate) fn unscored(&self) -> u64 {
        self.unscored
    }

    /// The estimate; an error when not one value came.
    pub(crate) fn estimate(&self, level: Level) -> Result<Estimate, StatsError> {
        let estimate = match &self.values {
            Values::Numbers(numbers) if self.aggregation == Aggregation::Perplexity => {
                numbers.estimate(level)?.transformed(Transform::ExpNegative)
            }
            Values::Numbers(numbers) => numbers.estimate(level)?,
            Values::Ratios(ratios) if self.aggregation == Aggregation::BitsPerByte => {
                ratio::bits_per_byte(ratios, level)?
            }
            Values::Ratios(ratios) => ratio::perplexity(ratios, level)?,
            Values::Classes(classes) => classes.estimate(level)?,
        };
        Ok(estimate.with_unscored(self.unscored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_aggregation_takes_its_own_kind_of_value() {
        let number = Value::Number(0.0);
        let ratio = Value::Ratio { total: -20.0, per: 10.0 };
        let class = Value::Class { gold: 1, predicted: 1 };
        for (aggregation, fitting, point) in [
            (Aggregation::Mean, &number, 0.0),
            (Aggregation::Perplexity, &number, 1.0),
            (Aggregation::WeightedPerplexity, &ratio, 2f64.exp()),
            (Aggregation::BitsPerByte, &ratio, 2.0 / std::f64::consts::LN_2),
            (Aggregation::F1, &class, 1.0),
        ] {
            for value in [&number, &ratio, &class] {
                let mut metric = MetricAccumulator::new(aggregation);
                assert_eq!(metric.push(value, None).is_ok(), value == fitting, "{aggregation:?} {value:?}");
            }
            let mut metric = MetricAccumulator::new(aggregation);
            for _ in 0..3 {
                metric.push(fitting, None).unwrap();
            }
            metric.push(&Value::unscored("test"), None).unwrap();
            metric.push_missing(2);
            let estimate = metric.estimate(Level::P95).unwrap();
            assert!((estimate.point - point).abs() < 1e-12, "{aggregation:?}: {}", estimate.point);
            assert_eq!((estimate.n, estimate.unscored), (3, 3));
        }
    }

    #[test]
    fn no_value_is_no_estimate() {
        let mut metric = MetricAccumulator::new(Aggregation::Mean);
        metric.push(&Value::unscored("test"), None).unwrap();
        assert!(metric.push(&Value::Number(f64::NAN), None).is_err());
        assert!(metric.estimate(Level::P95).is_err());
    }
}
