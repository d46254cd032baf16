//! One of a few lettered options.

use crate::answer;

/// Which option is chosen, from 0: by its letter, by its text, or by both where they agree. Takes the text as it was
/// written.
pub(crate) fn chosen(text: &str, options: &[String]) -> Option<usize> {
    let stated = answer::stated(text);
    let words: Vec<String> = super::words(&stated).collect();
    let named: Vec<usize> =
        (0..options.len()).filter(|place| words.contains(&options[*place].to_lowercase())).collect();
    let letter = first_letter(&stated, options.len()).or_else(|| only_letter(&stated, options.len()));
    match (letter, named.as_slice()) {
        (Some(letter), []) => Some(letter),
        (Some(letter), named) => named.contains(&letter).then_some(letter),
        (None, [only]) => Some(*only),
        (None, _) => None,
    }
}

/// The place of a letter.
fn place(letter: char, count: usize) -> Option<usize> {
    let place = usize::try_from(u32::from(letter.to_ascii_uppercase()).checked_sub(u32::from('A'))?).ok()?;
    (place < count).then_some(place)
}

/// The letter that the text begins with, when it stands alone.
fn first_letter(text: &str, count: usize) -> Option<usize> {
    let text = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut chars = text.chars();
    let letter = place(chars.next()?, count)?;
    let alone = match chars.next() {
        None => true,
        // `A woman` begins with a word, `B, since …` and `C) …` with a letter.
        Some(' ') => letter > 0 || !chars.next().is_some_and(char::is_alphanumeric),
        Some(c) => !c.is_alphanumeric() && c != '\'',
    };
    alone.then_some(letter)
}

/// The one letter in the text that stands alone, as a capital.
fn only_letter(text: &str, count: usize) -> Option<usize> {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // Looked for once: the text may be long.
    let bracketed = text.contains("A)");
    let mut found = None;
    for (at, word) in words.iter().enumerate() {
        let mut chars = word.chars();
        let (Some(letter), None) = (chars.next(), chars.next()) else { continue };
        let announced =
            at > 0 && ["option", "letter", "choice"].contains(&words[at - 1].to_lowercase().as_str());
        if !letter.is_ascii_uppercase() || (letter == 'A' && !announced && !bracketed) {
            continue;
        }
        match place(letter, count) {
            Some(place) if found.is_none_or(|before| before == place) => found = Some(place),
            Some(_) => return None,
            None => {}
        }
    }
    found
}
