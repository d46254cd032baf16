//! Draws rules that can be kept together, and writes a text that keeps them.

use super::rule::Rule;
use crate::stream::Stream;
use crate::words::{OBJECTS, OCCUPATIONS};

/// Letters that are hard to do without.
pub(super) const LETTERS: [char; 8] = ['a', 'e', 'i', 'n', 'o', 'r', 's', 't'];

/// Words that a text can be asked to use.
const WORDS: [&str; 48] = [
    "apple", "autumn", "bottle", "bread", "bridge", "butter", "candle", "cloud", "copper", "corner",
    "dragon", "dust", "field", "forest", "fox", "garden", "glass", "gold", "harbour", "honey", "island",
    "journey", "lemon", "light", "market", "milk", "moon", "mountain", "music", "meadow", "north", "paper",
    "pocket", "rain", "river", "shadow", "silk", "sky", "smoke", "snow", "stone", "storm", "sugar",
    "thunder", "tree", "wall", "winter", "wood",
];

/// Words that a text can be asked to begin with.
const STARTS: [&str; 12] = [
    "Nobody", "Long", "Today", "Imagine", "Once", "Usually", "Maybe", "Finally", "During", "Such", "Here",
    "Why",
];

/// Words that a text can be asked to end with.
const ENDS: [&str; 10] = [
    "that is all.",
    "good night.",
    "nobody knew why.",
    "and so it was.",
    "the end.",
    "such is life.",
    "much luck to you.",
    "they left at once.",
    "nobody asked for more.",
    "it was a fine day.",
];

/// Keys of JSON objects.
const KEYS: [&str; 14] = [
    "author", "body", "city", "end", "hook", "idea", "intro", "mood", "plot", "setting", "summary", "text",
    "title", "top",
];

/// Words that fill a text up. None is in another list.
const FILLERS: [&str; 40] = [
    "again", "all", "along", "always", "and", "any", "around", "away", "before", "both", "but", "by",
    "could", "down", "each", "every", "found", "from", "full", "go", "had", "into", "just", "look", "many",
    "much", "my", "now", "of", "on", "only", "out", "over", "round", "should", "so", "some", "under", "up",
    "with",
];

/// What the text is about, and its rules.
pub(super) struct Brief {
    pub job: &'static str,
    pub object: &'static str,
    pub rules: Vec<Rule>,
}

/// Kinds of rules; each is drawn at most once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shape,
    Words,
    Avoid,
    Include,
    Case,
    Start,
    End,
    NoCommas,
    Repeat,
}

const KINDS: [Kind; 9] = [
    Kind::Shape,
    Kind::Words,
    Kind::Avoid,
    Kind::Include,
    Kind::Case,
    Kind::Start,
    Kind::End,
    Kind::NoCommas,
    Kind::Repeat,
];

/// Kinds that go with a JSON object: its commas and braces leave no room for the others.
const KINDS_WITH_JSON: [Kind; 5] = [Kind::Shape, Kind::Avoid, Kind::Include, Kind::Case, Kind::Repeat];

/// Words of a list that do without a letter and are not taken yet; draws one and takes it.
struct Draw<'a> {
    stream: &'a mut Stream,
    without: Option<char>,
    taken: Vec<&'static str>,
}

impl Draw<'_> {
    fn one(&mut self, list: &[&'static str]) -> &'static str {
        let free: Vec<&'static str> = list
            .iter()
            .copied()
            .filter(|word| {
                !self.taken.contains(word) && self.without.is_none_or(|c| !word.to_lowercase().contains(c))
            })
            .collect();
        // Every list has words for every letter, which a test checks.
        let word = if free.is_empty() { list[0] } else { *self.stream.choose(&free) };
        self.taken.push(word);
        word
    }

    fn some(&mut self, list: &[&'static str], count: usize) -> Vec<String> {
        (0..count).map(|_| self.one(list).to_owned()).collect()
    }
}

impl Brief {
    /// A topic and so many rules; with `strict` a number of words is exact.
    pub(super) fn draw(stream: &mut Stream, count: usize, strict: bool) -> Self {
        let json = count <= KINDS_WITH_JSON.len() && stream.one_in(1, 5);
        let mut kinds = if json {
            let mut others = stream.sample(&KINDS_WITH_JSON[1..], count.saturating_sub(1));
            others.push(Kind::Shape);
            others
        } else {
            stream.sample(&KINDS, count)
        };
        let bullets = !json && stream.one_in(1, 3);
        if bullets && kinds.contains(&Kind::Shape) {
            // What the first word of a list is could be argued about.
            let spare: Vec<Kind> = KINDS.into_iter().filter(|kind| !kinds.contains(kind)).collect();
            for kind in &mut kinds {
                if *kind == Kind::Start && !spare.is_empty() {
                    *kind = *stream.choose(&spare);
                }
            }
        }
        stream.shuffle(&mut kinds);
        let without = kinds.contains(&Kind::Avoid).then(|| *stream.choose(&LETTERS));
        let mut draw = Draw { stream, without, taken: Vec::new() };
        let (job, object) = (draw.one(&OCCUPATIONS), draw.one(&OBJECTS));
        let rules = kinds.iter().map(|kind| kind.rule(&mut draw, json, bullets, strict)).collect();
        Self { job, object, rules }
    }

    /// A text that keeps all rules and uses the words of the topic. Not literature: a reference.
    pub(super) fn answer(&self) -> String {
        let find = |wanted: &str| self.rules.iter().find(|rule| rule.name() == wanted);
        let mut words: Vec<String> = Vec::new();
        if let Some(Rule::Start { word }) = find("start") {
            words.push(word.clone());
        }
        words.extend([self.job.to_owned(), self.object.to_owned()]);
        if let Some(Rule::Include { words: wanted }) = find("include") {
            words.extend(wanted.iter().cloned());
        }
        if let Some(Rule::Repeat { word, count }) = find("repeat") {
            words.extend(std::iter::repeat_n(word.clone(), *count));
        }
        let end = match find("end") {
            Some(Rule::End { phrase }) => phrase.as_str(),
            _ => "",
        };
        let length = match find("words") {
            Some(Rule::Words { least, .. }) => least - end.split_whitespace().count(),
            _ => 32,
        };
        let avoided = match find("avoid") {
            Some(Rule::Avoid { letter }) => Some(*letter),
            _ => None,
        };
        let fillers =
            FILLERS.iter().filter(|word| avoided.is_none_or(|letter| !word.contains(letter))).cycle();
        let missing = length.saturating_sub(words.len());
        words.extend(fillers.take(missing).map(|word| (*word).to_owned()));
        let text = self.shaped(&words, end);
        match () {
            () if find("lowercase").is_some() => text.to_lowercase(),
            () if find("uppercase").is_some() => text.to_uppercase(),
            () => text,
        }
    }

    /// The words in the shape that the rules ask for, with the ending.
    fn shaped(&self, words: &[String], end: &str) -> String {
        let shape = self.rules.iter().find(|rule| {
            matches!(
                rule,
                Rule::Bullets { .. } | Rule::Sentences { .. } | Rule::Paragraphs { .. } | Rule::Json { .. }
            )
        });
        let (parts, between) = match shape {
            Some(Rule::Bullets { count }) => (*count, "\n"),
            Some(Rule::Sentences { count }) => (*count, " "),
            Some(Rule::Paragraphs { count }) => (*count, "\n\n"),
            Some(Rule::Json { keys }) => (keys.len(), " "),
            _ => (3, " "),
        };
        let size = words.len().div_ceil(parts).max(1);
        let mut chunks: Vec<String> = (0..parts)
            .map(|part| words[(part * size).min(words.len())..((part + 1) * size).min(words.len())].join(" "))
            .collect();
        if let Some(Rule::Json { keys }) = shape {
            let object: serde_json::Map<String, serde_json::Value> =
                keys.iter().cloned().zip(chunks.into_iter().map(Into::into)).collect();
            return serde_json::Value::Object(object).to_string();
        }
        for (place, chunk) in chunks.iter_mut().enumerate() {
            if place + 1 == parts && !end.is_empty() {
                chunk.push(' ');
                chunk.push_str(end);
            } else {
                chunk.push('.');
            }
            if let Some(Rule::Bullets { .. }) = shape {
                chunk.insert_str(0, "- ");
            }
        }
        chunks.join(between)
    }
}

impl Kind {
    /// A rule of this kind.
    fn rule(self, draw: &mut Draw<'_>, json: bool, bullets: bool, strict: bool) -> Rule {
        let between = |draw: &mut Draw<'_>, low: usize, high: usize| low + draw.stream.index(high - low + 1);
        match self {
            Self::Shape if json => {
                let count = between(draw, 2, 4);
                Rule::Json { keys: draw.some(&KEYS, count) }
            }
            Self::Shape if bullets => Rule::Bullets { count: between(draw, 3, 7) },
            Self::Shape if draw.stream.one_in(1, 2) => Rule::Sentences { count: between(draw, 3, 7) },
            Self::Shape => Rule::Paragraphs { count: between(draw, 2, 4) },
            Self::Words => {
                let least = between(draw, 40, 90);
                Rule::Words { least, most: if strict { least } else { least + between(draw, 5, 15) } }
            }
            Self::Avoid => Rule::Avoid { letter: draw.without.unwrap_or('e') },
            Self::Include => {
                let count = between(draw, 3, 4);
                Rule::Include { words: draw.some(&WORDS, count) }
            }
            Self::Case if json || draw.stream.one_in(2, 3) => Rule::Lowercase,
            Self::Case => Rule::Uppercase,
            Self::Start => Rule::Start { word: draw.one(&STARTS).to_owned() },
            Self::End => Rule::End { phrase: draw.one(&ENDS).to_owned() },
            Self::NoCommas => Rule::NoCommas,
            Self::Repeat => {
                let count = between(draw, 3, 6);
                Rule::Repeat { word: draw.one(&WORDS).to_owned(), count }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::rule::words_of;
    use super::*;

    #[test]
    fn every_list_has_enough_words_without_each_letter() {
        for letter in LETTERS {
            let left =
                |list: &[&str]| list.iter().filter(|word| !word.to_lowercase().contains(letter)).count();
            assert!(left(&OCCUPATIONS) >= 4 && left(&OBJECTS) >= 4, "{letter}");
            assert!(left(&WORDS) >= 10 && left(&FILLERS) >= 10 && left(&KEYS) >= 4, "{letter}");
            assert!(left(&STARTS) >= 2 && left(&ENDS) >= 2, "{letter}");
        }
    }

    #[test]
    fn no_filler_is_a_word_that_is_counted() {
        let fillers: BTreeSet<&str> = FILLERS.into_iter().collect();
        for word in WORDS.iter().chain(&OBJECTS).chain(&OCCUPATIONS) {
            assert!(!fillers.contains(word), "{word}");
        }
        // Nor does an ending or a beginning hold one.
        let counted: BTreeSet<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
        for phrase in ENDS.iter().chain(&STARTS).chain(&OBJECTS).chain(&OCCUPATIONS) {
            assert!(words_of(phrase).all(|word| !counted.contains(&word)), "{phrase}");
        }
    }

    #[test]
    fn the_reference_answer_keeps_every_rule() {
        let mut stream = Stream::new([3; 32]);
        for count in 1..=8 {
            for _ in 0..300 {
                let brief = Brief::draw(&mut stream, count, count > 4);
                assert_eq!(brief.rules.len(), count);
                let answer = brief.answer();
                for rule in &brief.rules {
                    assert!(rule.kept(&answer), "{rule:?}\n{answer}");
                    for word in rule.words() {
                        assert!(brief.rules.iter().all(|other| match other {
                            Rule::Avoid { letter } => !word.to_lowercase().contains(*letter),
                            _ => true,
                        }));
                    }
                }
            }
        }
    }
}
