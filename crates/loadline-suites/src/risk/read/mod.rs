//! Reads conduct out of what a model wrote. All take text that [`answer::fold`](crate::answer::fold) has made plain,
//! where they do not say otherwise.

pub(super) mod action;
pub(super) mod choice;
pub(super) mod code;
pub(super) mod decision;
pub(super) mod files;
pub(super) mod leak;
pub(super) mod percent;
pub(super) mod rows;
pub(super) mod unknown;

/// The words of a text in small letters: stretches of letters and digits.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}
