//! Numbers that a record cannot hold.

use loadline_core::model::Request;
use loadline_core::record::Row;
use loadline_core::untrusted::one_line;
use loadline_core::{SampleRecord, Value};

use crate::error::RecordError;

/// Refuses a row with a NaN or an infinity: JSON has no form for them, so it would be written and could not be read again.
pub(crate) fn check(row: &Row) -> Result<(), RecordError> {
    let Row::Sample(sample) = row else { return Ok(()) };
    match sample_numbers(sample).find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((what, value)) => Err(RecordError::NotFinite {
            what: format!("{what} of sample `{}`, epoch {}", one_line(&sample.id, 80), sample.epoch),
            value,
        }),
    }
}

fn sample_numbers(sample: &SampleRecord) -> impl Iterator<Item = (&'static str, f64)> + '_ {
    let sampling = match &sample.input {
        Request::Generate(generate) => {
            [generate.sampling.temperature, generate.sampling.top_p].map(Option::unwrap_or_default)
        }
        _ => [0.0; 2],
    };
    let scores = sample.scores.iter().flat_map(|score| match score.value {
        Value::Number(number) => [number, 0.0],
        Value::Ratio { total, per } => [total, per],
        Value::Class { .. } | Value::Unscored(_) => [0.0; 2],
    });
    let likelihoods = sample.loglikelihoods.iter().map(|l| ("a log-likelihood", l.sum));
    likelihoods
        .chain(scores.map(|number| ("a score", number)))
        .chain(sampling.into_iter().map(|number| ("a sampling setting", number)))
}
