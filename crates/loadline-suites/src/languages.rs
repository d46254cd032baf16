//! `languages`: the same items in English, Hebrew and Chinese.

mod texts;

use loadline_core::{ModelOutput, Sample, Score};
use serde_json::Map;

use self::texts::{CITIES, DAYS, Language, PLACES, THINGS, Word};
use crate::fill::fill;
use crate::item::Item;
use crate::number;
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};

/// The same items in English, Hebrew and Chinese.
pub(crate) struct Languages;

static ABOUT: About = About {
    construct: "How much of what a model can do with a short counting story in English it can also do in Hebrew and \
                in Chinese. Items come in threes, the same problem in each language, so the gap between languages \
                is a paired comparison; the sample's cluster is the problem.",
    not_measured: "Writing in the language, idiom, culture, long texts, translation; any other language. The answer \
                   is a number in digits, and the model may think in whatever language it likes.",
    validity: "The texts are templates that say the same thing, not translations by several hands; the Hebrew \
               avoids agreement of gender and number, which is part of what makes Hebrew hard. Compare languages \
               within a level, over whole problems: ask for a number of samples that is a multiple of three times the number \
               of levels. Prompts differ in tokens, so a short context or token limit hits the languages unequally.",
    guesser: "generate: a whole number drawn evenly from 1 to 9,999. choice: one of four.",
    levels: &[
        "one step: some come or some go; numbers up to 70",
        "two such steps; numbers up to 1,100",
        "two steps with groups (7 boxes with 12 in each)",
        "four steps, with a half, a number that is not needed, and equal groups at the end",
        "six steps, a number that is not needed, asked backwards: from the end to the start",
    ],
};

/// All answers are within these, at every level.
pub(crate) const RESULTS: [(i64, i64); 1] = [(1, 9_999)];

/// How many languages there are.
const LANGUAGES: u64 = Language::ALL.len() as u64;

impl Suite for Languages {
    fn name(&self) -> &'static str {
        "languages"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn forms(&self) -> &'static [Form] {
        &Form::ALL
    }

    fn sample(&self, seed: &Seed, form: Form, level: u32, index: u64) -> Sample {
        // Three neighbouring indices are one problem.
        let item = Item::new(self, seed, level, index / LANGUAGES);
        let language = Language::ALL[usize::try_from(index % LANGUAGES).unwrap_or_default()];
        let problem = Problem::draw(&mut item.stream("question"), item.level);
        let (story, texts, answer) = (problem.tell(language), language.texts(), problem.answer.to_string());
        let mut metadata = Map::new();
        metadata.insert("language".into(), language.tag().into());
        let mut sample = match form {
            Form::Generate => {
                let max_tokens = if item.level < 3 { 512 } else { 1024 };
                item.generate(format!("{story}\n\n{}", texts.ask), answer, max_tokens, metadata)
            }
            Form::Choice => {
                let wrong = number::distractors(&mut item.stream("choices"), problem.answer, &problem.slips);
                let context = format!("{} {story}\n{}", texts.question, texts.answer);
                item.choice(context, &answer, &wrong, metadata)
            }
        };
        sample.cluster = Some(std::mem::take(&mut sample.id));
        sample.id = format!("{}-{}", item.id(), language.tag());
        sample
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        number::score(sample, output)
    }

    fn chance(&self, form: Form, level: u32) -> f64 {
        match form {
            Form::Choice => 0.25,
            Form::Generate => number::even_chance(&RESULTS, level),
        }
    }

    fn wrong_answer(&self, sample: &Sample) -> String {
        number::wrong_answer(sample)
    }
}

/// What happens to the number of things.
#[derive(Clone, Copy)]
enum Step {
    Add(i64),
    Sub(i64),
    AddGroups(i64, i64),
    SubGroups(i64, i64),
    Half,
}

impl Step {
    /// A step of one of these kinds (0 to 4, in the order above) that can happen to `value` things and leaves a
    /// number that is wanted. There must be one.
    fn draw(
        stream: &mut Stream,
        kinds: &[u64],
        largest: i64,
        value: i64,
        wanted: impl Fn(i64) -> bool,
    ) -> (Self, i64) {
        loop {
            let step = match stream.choose(kinds) {
                0 => Self::Add(stream.between(3, largest)),
                1 => Self::Sub(stream.between(3, largest)),
                2 => Self::AddGroups(stream.between(3, 9), stream.between(3, 24)),
                3 => Self::SubGroups(stream.between(3, 9), stream.between(3, 24)),
                _ => Self::Half,
            };
            match step.apply(value) {
                Some(after) if (10..=9_999).contains(&after) && wanted(after) => return (step, after),
                _ => {}
            }
        }
    }

    /// How many there are afterwards; `None` when they cannot be halved.
    fn apply(self, value: i64) -> Option<i64> {
        match self {
            Self::Add(k) => Some(value + k),
            Self::Sub(k) => Some(value - k),
            Self::AddGroups(k, m) => Some(value + k * m),
            Self::SubGroups(k, m) => Some(value - k * m),
            Self::Half => (value % 2 == 0).then_some(value / 2),
        }
    }
}

/// A problem, before it is told in a language.
struct Problem {
    thing: (Word, &'static str),
    second: (Word, &'static str),
    place: Word,
    /// Where the place is, and two cities that are only mentioned.
    cities: Vec<Word>,
    day: Word,
    /// Whether something is said that has no number in it.
    aside: bool,
    start: i64,
    steps: Vec<Step>,
    /// After which step a number that is not needed is told, and the number.
    unneeded: Option<(usize, i64)>,
    end: i64,
    asked: Asked,
    answer: i64,
    /// Answers that come of plausible mistakes.
    slips: Vec<i64>,
}

/// What is asked at the end.
#[derive(Clone, Copy)]
enum Asked {
    /// How many there are now.
    Now,
    /// How many there are in each of so many equal groups.
    Share(i64),
    /// How many there were at the start.
    Start,
}

impl Problem {
    fn draw(stream: &mut Stream, level: u32) -> Self {
        let start = if level == 1 { stream.between(20, 60) } else { stream.between(100, 900) };
        let groups = stream.between(3, 9);
        let (mut value, mut steps, mut slips) = (start, Vec::new(), Vec::new());
        let mut step = |kinds: &[u64], wanted: &dyn Fn(i64) -> bool| {
            let (step, after) = Step::draw(stream, kinds, if level == 1 { 9 } else { 90 }, value, wanted);
            steps.push(step);
            slips.extend([value, 2 * value - after]);
            value = after;
        };
        match level {
            1 => step(&[0, 1], &|_| true),
            2 => (0..2).for_each(|_| step(&[0, 1], &|_| true)),
            3 => {
                step(&[2, 3], &|_| true);
                step(&[0, 1, 2, 3], &|_| true);
            }
            4 => {
                step(&[0, 1, 2, 3], &|after| after % 2 == 0 && after >= 100);
                step(&[4], &|_| true);
                step(&[0, 1, 2, 3], &|after| after % groups == 0);
            }
            _ => (0..6).for_each(|_| step(&[0, 1, 2, 3, 4], &|_| true)),
        }
        let (asked, answer) = match level {
            1..=3 => (Asked::Now, value),
            4 => (Asked::Share(groups), value / groups),
            _ => (Asked::Start, start),
        };
        slips.reverse();
        if level >= 4 {
            slips.insert(0, value);
        }
        let things = stream.sample(&THINGS, 2);
        let unneeded = (level >= 4).then(|| (stream.index(steps.len()), stream.between(12, 95)));
        Self {
            thing: things[0],
            second: things[1],
            place: *stream.choose(&PLACES),
            cities: stream.sample(&CITIES, 3),
            day: *stream.choose(&DAYS),
            aside: level < 3,
            start,
            steps,
            unneeded,
            end: value,
            asked,
            answer,
            slips: slips.into_iter().filter(|slip| *slip > 0).collect(),
        }
    }

    /// The story and its question in one language.
    fn tell(&self, language: Language) -> String {
        let texts = language.texts();
        let (a, v) = (self.start.to_string(), self.end.to_string());
        let fixed = [
            ("thing", language.word(&self.thing.0)),
            ("mw", self.thing.1),
            ("second", language.word(&self.second.0)),
            ("mw2", self.second.1),
            ("place", language.word(&self.place)),
            ("city", language.word(&self.cities[0])),
            ("city2", language.word(&self.cities[1])),
            ("city3", language.word(&self.cities[2])),
            ("day", language.word(&self.day)),
            ("a", &a),
            ("v", &v),
        ];
        let with = |template: &str, k: i64, m: i64| {
            let (k, m) = (k.to_string(), m.to_string());
            let mut values = vec![("k", k.as_str()), ("m", &m), ("n", &k), ("d", &k)];
            values.extend_from_slice(&fixed);
            fill(template, &values)
        };
        let opening =
            if matches!(self.asked, Asked::Start) { texts.opening_uncounted } else { texts.opening };
        let mut told = vec![with(opening, 0, 0)];
        if self.aside {
            told.push(with(texts.aside, 0, 0));
        }
        for (place, step) in self.steps.iter().enumerate() {
            told.push(match *step {
                Step::Add(k) => with(texts.add, k, 0),
                Step::Sub(k) => with(texts.sub, k, 0),
                Step::AddGroups(k, m) => with(texts.add_groups, k, m),
                Step::SubGroups(k, m) => with(texts.sub_groups, k, m),
                Step::Half => with(texts.half, 0, 0),
            });
            if let Some((_, n)) = self.unneeded.filter(|(after, _)| *after == place) {
                told.push(with(texts.unneeded, n, 0));
            }
        }
        told.push(match self.asked {
            Asked::Now => with(texts.now, 0, 0),
            Asked::Share(d) => with(texts.share, d, 0),
            Asked::Start => with(texts.start, 0, 0),
        });
        told.join(texts.gap)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_stands_for_two_things_in_any_language() {
        for language in Language::ALL {
            let things: Vec<Word> = THINGS.iter().map(|(word, _)| *word).collect();
            for list in [&things[..], &PLACES, &CITIES, &DAYS] {
                let words: BTreeSet<&str> = list.iter().map(|word| language.word(word)).collect();
                assert_eq!(words.len(), list.len(), "{language:?}");
            }
        }
    }
}
