//! Rules that a text can be checked against, and what each says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// One rule. A sample's metadata holds its rules in this form, so that a record can be scored again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub(super) enum Rule {
    /// Exactly so many lines begin with `- ` (or `* ` or `• `).
    Bullets { count: usize },
    /// Exactly so many sentences.
    Sentences { count: usize },
    /// Exactly so many blocks with blank lines between them.
    Paragraphs { count: usize },
    /// One JSON object with exactly these keys, each with a text that is not empty; a code fence around it is ignored.
    Json { keys: Vec<String> },
    /// From so many to so many words.
    Words { least: usize, most: usize },
    /// This letter occurs nowhere, small or capital.
    Avoid { letter: char },
    /// Each of these words occurs.
    Include { words: Vec<String> },
    /// Every letter is small.
    Lowercase,
    /// Every letter is a capital.
    Uppercase,
    /// The first word.
    Start { word: String },
    /// The last words, with the full stop.
    End { phrase: String },
    /// No comma.
    NoCommas,
    /// This word occurs exactly so many times.
    Repeat { word: String, count: usize },
}

impl Rule {
    /// What the model is told.
    pub(super) fn says(&self) -> String {
        match self {
            Self::Bullets { count } => {
                format!(
                    "Write exactly {count} bullet points, each on a line of its own that begins with \"- \"."
                )
            }
            Self::Sentences { count } => {
                format!("Write exactly {count} sentences, each ending with a full stop.")
            }
            Self::Paragraphs { count } => {
                format!("Write exactly {count} paragraphs, separated by one blank line.")
            }
            Self::Json { keys } => format!(
                "Write the text as one JSON object with exactly the keys {}; every value is a string.",
                quoted(keys)
            ),
            Self::Words { least, most } if least == most => format!("Write exactly {least} words."),
            Self::Words { least, most } => format!("Write at least {least} and at most {most} words."),
            Self::Avoid { letter } => format!("Do not use the letter \"{letter}\" anywhere."),
            Self::Include { words } => format!("Use each of these words at least once: {}.", quoted(words)),
            Self::Lowercase => "Write everything in small letters, without any capital letter.".to_owned(),
            Self::Uppercase => "Write everything in capital letters.".to_owned(),
            Self::Start { word } => format!("Begin with the word \"{word}\"."),
            Self::End { phrase } => format!("End with the words \"{phrase}\""),
            Self::NoCommas => "Do not use any commas.".to_owned(),
            Self::Repeat { word, count } => format!("Use the word \"{word}\" exactly {count} times."),
        }
    }

    /// Its name, as scores call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Bullets { .. } => "bullets",
            Self::Sentences { .. } => "sentences",
            Self::Paragraphs { .. } => "paragraphs",
            Self::Json { .. } => "json",
            Self::Words { .. } => "words",
            Self::Avoid { .. } => "avoid",
            Self::Include { .. } => "include",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
            Self::Start { .. } => "start",
            Self::End { .. } => "end",
            Self::NoCommas => "no_commas",
            Self::Repeat { .. } => "repeat",
        }
    }

    /// Whether a text keeps it. Letters count alike small and capital, except where the rule is about that.
    pub(super) fn kept(&self, text: &str) -> bool {
        let text = text.trim();
        match self {
            Self::Bullets { count } => {
                let is_bullet = |line: &&str| {
                    let item = line.trim_start().strip_prefix(['-', '*', '•']);
                    item.is_some_and(|item| item.starts_with([' ', '\t']) && has_word(item))
                };
                text.lines().filter(is_bullet).count() == *count
            }
            Self::Sentences { count } => sentences(text) == *count,
            Self::Paragraphs { count } => paragraphs(text) == *count,
            Self::Json { keys } => is_object_with(text, keys),
            Self::Words { least, most } => {
                (*least..=*most).contains(&text.split_whitespace().filter(|word| has_word(word)).count())
            }
            Self::Avoid { letter } => !text.to_lowercase().contains(*letter),
            Self::Include { words } => {
                let said: BTreeSet<String> = words_of(text).collect();
                words.iter().all(|word| said.contains(&word.to_lowercase()))
            }
            Self::Lowercase => !text.chars().any(char::is_uppercase) && text.chars().any(char::is_lowercase),
            Self::Uppercase => !text.chars().any(char::is_lowercase) && text.chars().any(char::is_uppercase),
            Self::Start { word } => words_of(text).next().is_some_and(|first| first == word.to_lowercase()),
            Self::End { phrase } => text.to_lowercase().ends_with(&phrase.to_lowercase()),
            Self::NoCommas => !text.contains([',', '，', '、']),
            Self::Repeat { word, count } => {
                let word = word.to_lowercase();
                words_of(text).filter(|said| *said == word).count() == *count
            }
        }
    }

    /// The words it brings into the text.
    #[cfg(test)]
    pub(super) fn words(&self) -> Vec<&str> {
        match self {
            Self::Json { keys: words } | Self::Include { words } => {
                words.iter().map(String::as_str).collect()
            }
            Self::Start { word } | Self::Repeat { word, .. } => vec![word],
            Self::End { phrase } => vec![phrase],
            _ => Vec::new(),
        }
    }
}

/// Words in double quotes with commas between them.
fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// Whether there is a letter or a digit.
fn has_word(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

/// The words of a text in small letters: runs of letters, digits and apostrophes inside.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .map(|word| word.trim_matches(['\'', '’']).to_lowercase())
        .filter(|word| !word.is_empty())
}

/// How many sentences: stretches with a word in them, each ended by `.`, `!` or `?` before a space, a closing quote
/// or the end; what is left without such an end is one more.
fn sentences(text: &str) -> usize {
    let mut count = 0;
    let mut begun = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        begun |= c.is_alphanumeric();
        let ends = matches!(c, '.' | '!' | '?')
            && chars
                .peek()
                .is_none_or(|next| next.is_whitespace() || matches!(next, '"' | '”' | '\'' | '’' | ')'));
        if ends && begun {
            count += 1;
            begun = false;
        }
    }
    count + usize::from(begun)
}

/// How many blocks of lines with blank lines between them.
fn paragraphs(text: &str) -> usize {
    let mut count = 0;
    let mut inside = false;
    for line in text.lines() {
        let blank = line.trim().is_empty();
        count += usize::from(!blank && !inside);
        inside = !blank;
    }
    count
}

/// Whether a text is one JSON object with exactly these keys and texts as values.
fn is_object_with(text: &str, keys: &[String]) -> bool {
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    let body = inside.map_or(text, |text| text.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(body.trim()) else { return false };
    object.len() == keys.len()
        && keys.iter().all(|key| {
            object.get(key).and_then(serde_json::Value::as_str).is_some_and(|value| !value.trim().is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_bullets_sentences_and_paragraphs() {
        assert!(Rule::Bullets { count: 2 }.kept("**Here:**\n- one\n  * two\n-\n- \n-3"));
        assert!(!Rule::Bullets { count: 2 }.kept("- one\n- two\n- three"));
        for text in
            ["One. Two! Three?", "One. \"Two.\" Three", "It costs 3.50 now. Good. Fine...", "A. B. C."]
        {
            assert_eq!(sentences(text), 3, "{text}");
        }
        assert_eq!(sentences("..."), 0);
        assert_eq!(paragraphs("\na\nb\n\n \nc\n"), 2);
    }

    #[test]
    fn reads_json_with_or_without_a_fence() {
        let rule = Rule::Json { keys: vec!["a".into(), "b".into()] };
        for text in [r#"{"b":"x","a":"y"}"#, "```json\n{\"a\": \"x\", \"b\": \"y\"}\n```"] {
            assert!(rule.kept(text), "{text}");
        }
        for text in [
            r#"{"a":"x"}"#,
            r#"{"a":"x","b":1}"#,
            r#"{"a":"x","b":"y","c":"z"}"#,
            r#"{"a":"x","b":" "}"#,
            "a b",
        ] {
            assert!(!rule.kept(text), "{text}");
        }
    }

    #[test]
    fn words_are_whole_words() {
        assert!(!Rule::Include { words: vec!["harp".into()] }.kept("sharp harps"));
        assert!(Rule::Include { words: vec!["harp".into()] }.kept("A Harp."));
        assert!(Rule::Repeat { word: "river".into(), count: 2 }.kept("River, rivers, RIVER"));
        assert!(Rule::Words { least: 3, most: 3 }.kept("- one two - three"));
        assert!(Rule::Start { word: "once".into() }.kept("\"Once upon a time\""));
        assert!(Rule::End { phrase: "that is all.".into() }.kept("And THAT IS ALL.\n"));
        assert!(!Rule::End { phrase: "that is all.".into() }.kept("that is all"));
        assert!(!Rule::Avoid { letter: 'e' }.kept("HE"));
        assert!(!Rule::Lowercase.kept("123") && !Rule::Uppercase.kept(""));
    }
}
