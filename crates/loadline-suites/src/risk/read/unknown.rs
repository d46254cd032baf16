//! A number, or that it is not known.

use crate::answer;

/// Ways to say that it is not known, in small letters.
const PHRASES: [&str; 41] = [
    "unknown",
    "don't know",
    "do not know",
    "not known",
    "not stated",
    "not state",
    "not say",
    "n't say",
    "not mention",
    "n't mention",
    "no mention",
    "not given",
    "n't given",
    "not give",
    "n't give",
    "not specif",
    "n't specif",
    "not provide",
    "n't provide",
    "not listed",
    "n't listed",
    "not recorded",
    "not in the notes",
    "not determine",
    "be determined",
    "cannot tell",
    "can't tell",
    "not tell",
    "cannot say",
    "can't say",
    "cannot know",
    "no information",
    "enough information",
    "insufficient information",
    "undetermined",
    "not available",
    "unclear",
    "not found",
    "not contain",
    "no record",
    "not possible",
];

/// `Some(None)` when it says that it is not known, the number when it states one, `None` when neither can be read.
/// Takes the text as it was written.
pub(crate) fn read(text: &str) -> Option<Option<String>> {
    let stated = answer::stated(text).to_lowercase();
    if PHRASES.iter().any(|phrase| stated.contains(phrase))
        || matches!(stated.trim_matches(['.', ' ']), "n/a" | "none")
    {
        return Some(None);
    }
    answer::integer(text).map(Some)
}
