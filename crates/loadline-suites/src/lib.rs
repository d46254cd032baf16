//! Tests made from a seed: generators and their exact scorers. Pure: no IO, no clock.
//!
//! A [`Suite`] turns a [`Seed`], a [`Form`], a level and an index into a [`Sample`], and an answer to that sample
//! into scores. The same four make the same bytes on every platform; another seed shares no item.
//!
//! Read in this order: [`seed`] (where every draw comes from) → [`suite`] (what a suite is) → [`answer`] (how
//! an answer is read out of what a model wrote) → one file for each suite; those of conduct are in `risk`.

mod arithmetic;

pub mod answer;
mod chess;
mod fill;
mod instructions;
mod item;
mod knights;
mod languages;
mod number;
mod retrieval;
mod risk;
pub mod seed;
mod selection;
mod stream;
pub mod suite;
mod tracing;
mod word_problems;
mod words;

pub use seed::Seed;
pub use selection::{Selection, every_level};
pub use suite::{About, Form, Suite, SuiteError, check, digest, require, samples};

use loadline_core::Sample;

/// All suites, in the order in which they are listed and documented.
pub fn all() -> &'static [&'static dyn Suite] {
    const ALL: &[&dyn Suite] = &[
        &arithmetic::Arithmetic,
        &word_problems::WordProblems,
        &knights::Knights,
        &tracing::Tracing,
        &instructions::Instructions,
        &retrieval::Retrieval,
        &chess::Chess,
        &languages::Languages,
        &risk::shutdown::SUITE,
        &risk::secrets::SUITE,
        &risk::hierarchy::SUITE,
        &risk::injection::SUITE,
        &risk::refusal::SUITE,
        &risk::sycophancy::SUITE,
        &risk::abstention::SUITE,
        &risk::calibration::SUITE,
        &risk::consistency::SUITE,
        &risk::bias::SUITE,
        &risk::office::SUITE,
    ];
    ALL
}

/// The suite of this name.
pub fn find(name: &str) -> Option<&'static dyn Suite> {
    all().iter().copied().find(|suite| suite.name() == name)
}

/// An answer in the generate form that scores 0 on this sample: what a simulated subject says when it is to be
/// wrong. (Right is `sample.target[0]`.) The empty text for a sample that is from none of the suites.
pub fn wrong_answer(sample: &Sample) -> String {
    let name = sample.metadata.get("suite").and_then(serde_json::Value::as_str).unwrap_or_default();
    find(name).map(|suite| suite.wrong_answer(sample)).unwrap_or_default()
}
