//! `word-problems`: short stories about how many things there are.

mod scenes;

use loadline_core::{ModelOutput, Sample, Score};
use serde_json::Map;

use self::scenes::{PLACES, SCENES, Scene, UNNEEDED};
use crate::fill::fill;
use crate::item::Item;
use crate::number;
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};
use crate::words::{CITIES, DAYS, NAMES, THINGS};

/// Short stories about how many things there are.
pub(crate) struct WordProblems;

static ABOUT: About = About {
    construct: "Turning a short story in English into the right sequence of operations on whole numbers, and \
                carrying them out: what is added, what is taken away, what is per group, what is not needed.",
    not_measured: "Hard calculation (numbers stay below 10,000), knowledge of the world, problems whose plan must \
                   be discovered, units that must be converted, geometry, probability.",
    validity: "Four scenes with two wordings for most steps: a model trained on this generator would do better \
               here than on stories by other hands, so a number is good for comparing models and levels, not as an \
               estimate for school problems in general. Names and things vary to keep items apart, not to test \
               fairness.",
    guesser: "generate: a whole number drawn evenly from 1 to 9,999. choice: one of four.",
    levels: &[
        "one step: some come or some go; numbers up to 30",
        "two steps, groups among them (7 boxes with 12 in each)",
        "three steps, also doubling, halving and equal shares",
        "four steps, one number that is not needed, and the sum with somebody who has more",
        "six steps, two numbers that are not needed, asked backwards: from the end to the start",
    ],
};

/// All answers are within these, at every level.
pub(crate) const RESULTS: [(i64, i64); 1] = [(1, 9_999)];

impl Suite for WordProblems {
    fn name(&self) -> &'static str {
        "word-problems"
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
        let item = Item::new(self, seed, level, index);
        let problem = Problem::draw(&mut item.stream("question"), item.level);
        match form {
            Form::Generate => item.generate(
                format!("{}\n\n{}", problem.text, number::ASK),
                problem.answer.to_string(),
                if item.level < 3 { 512 } else { 1024 },
                Map::new(),
            ),
            Form::Choice => item.choice(
                format!("Question: {}\nAnswer:", problem.text),
                &problem.answer.to_string(),
                &number::distractors(&mut item.stream("choices"), problem.answer, &problem.slips),
                Map::new(),
            ),
        }
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

/// Fewest and most things that there are at any time, so that some step is always possible.
const LEAST: i64 = 4;
const MOST: i64 = 1200;

/// What happens to the number of things.
#[derive(Clone, Copy)]
enum Step {
    Add(i64),
    Sub(i64),
    AddGroups(i64, i64),
    SubGroups(i64, i64),
    Times(i64),
    Half,
    Share(i64),
}

impl Step {
    /// A step that can happen to `value` things, of the kinds that the level has.
    fn draw(stream: &mut Stream, level: u32, value: i64) -> Self {
        loop {
            let kinds = match level {
                1 => 2,
                2 => 4,
                _ => 7,
            };
            let most = if level == 1 { 9 } else { 90 };
            let step = match stream.below(kinds) {
                0 => Self::Add(stream.between(2, most)),
                1 => Self::Sub(stream.between(2, most)),
                2 => Self::AddGroups(stream.between(2, 9), stream.between(3, 24)),
                3 => Self::SubGroups(stream.between(2, 9), stream.between(3, 24)),
                4 => Self::Times(stream.between(2, 3)),
                5 => Self::Half,
                _ => Self::Share(stream.between(3, 9)),
            };
            // Adding a little is always possible below the limit, taking a little always above it.
            if step.apply(value).is_some_and(|after| (LEAST..=MOST).contains(&after)) {
                return step;
            }
        }
    }

    /// How many there are afterwards; `None` when things do not divide evenly.
    fn apply(self, value: i64) -> Option<i64> {
        match self {
            Self::Add(k) => Some(value + k),
            Self::Sub(k) => Some(value - k),
            Self::AddGroups(k, m) => Some(value + k * m),
            Self::SubGroups(k, m) => Some(value - k * m),
            Self::Times(k) => Some(value * k),
            Self::Half => (value % 2 == 0).then_some(value / 2),
            Self::Share(d) => (value % d == 0).then_some(value / d),
        }
    }

    /// What somebody gets who takes this step the wrong way round.
    fn slip(self, value: i64) -> i64 {
        match self {
            Self::Add(k) => value - k,
            Self::Sub(k) => value + k,
            Self::AddGroups(k, m) | Self::SubGroups(k, m) => value + k + m,
            Self::Times(k) => value + k,
            Self::Half => value * 2,
            Self::Share(d) => value - d,
        }
    }

    /// The sentence that tells it.
    fn tell(self, stream: &mut Stream, scene: &Scene, values: &[(&str, &str)]) -> String {
        let (template, k, m) = match self {
            Self::Add(k) => (*stream.choose(&scene.add), k, 0),
            Self::Sub(k) => (*stream.choose(&scene.sub), k, 0),
            Self::AddGroups(k, m) => (*stream.choose(&scene.add_groups), k, m),
            Self::SubGroups(k, m) => (*stream.choose(&scene.sub_groups), k, m),
            Self::Times(k) => (scene.times, k, 0),
            Self::Half => (scene.half, 0, 0),
            Self::Share(d) => (scene.share, d, 0),
        };
        let times = if k == 2 { "twice" } else { "three times" };
        let (k, m) = (k.to_string(), m.to_string());
        let mut all = vec![("k", k.as_str()), ("d", &k), ("m", &m), ("times", times)];
        all.extend_from_slice(values);
        fill(template, &all)
    }
}

/// A story, its question and its answer.
struct Problem {
    text: String,
    answer: i64,
    /// Answers that come of plausible mistakes.
    slips: Vec<i64>,
}

impl Problem {
    fn draw(stream: &mut Stream, level: u32) -> Self {
        let scene = stream.choose(&SCENES);
        let people = stream.sample(&NAMES, 10);
        let (thing, second) = {
            let drawn = stream.sample(&THINGS, 2);
            (drawn[0], drawn[1])
        };
        let start = if level == 1 { stream.between(10, 30) } else { stream.between(40, 400) };
        let fixed = [
            ("owner", people[0]),
            ("thing", thing),
            ("second", second),
            ("city", stream.pick(&CITIES)),
            ("day", stream.pick(&DAYS)),
            ("place", stream.pick(&PLACES)),
        ];
        let steps = match level {
            1..=4 => level,
            _ => 6,
        };
        let mut others = people[1..].iter().copied();
        let mut person = || others.next().unwrap_or(people[1]);
        let (mut value, mut slips, mut told) = (start, Vec::new(), Vec::new());
        for _ in 0..steps {
            let step = Step::draw(stream, level, value);
            let mut values = fixed.to_vec();
            values.push(("other", person()));
            told.push(step.tell(stream, scene, &values));
            slips.push(value);
            slips.push(step.slip(value));
            // `draw` gives only steps that can be applied.
            value = step.apply(value).unwrap_or(value);
        }
        for template in stream.sample(&UNNEEDED, usize::try_from(level.saturating_sub(3)).unwrap_or_default())
        {
            let n = stream.between(3, 95).to_string();
            let room = stream.pick(&PLACES);
            let mut values = fixed.to_vec();
            values.extend([("other", person()), ("n", &n), ("room", room)]);
            let at = stream.index(told.len() + 1);
            told.insert(at, fill(template, &values));
        }
        slips.reverse();
        let ending = Ending { level, start, end: value, k: stream.between(2, 90), other: person() };
        ending.close(scene, &fixed, &told, slips)
    }
}

/// What the question needs besides the story.
struct Ending<'a> {
    level: u32,
    start: i64,
    end: i64,
    k: i64,
    other: &'a str,
}

impl Ending<'_> {
    /// Puts opening, story and question together.
    fn close(self, scene: &Scene, fixed: &[(&str, &str)], told: &[String], slips: Vec<i64>) -> Problem {
        let (a, v, k) = (self.start.to_string(), self.end.to_string(), self.k.to_string());
        let mut values = vec![("a", a.as_str()), ("v", &v), ("k", &k), ("other", self.other)];
        values.extend_from_slice(fixed);
        let (opening, question, answer, slips) = match self.level {
            1..=3 => (scene.opening, scene.now, self.end, slips),
            4 => (
                scene.opening,
                scene.together,
                2 * self.end + self.k,
                vec![self.end + self.k, self.end, 2 * self.end],
            ),
            _ => (scene.opening_uncounted, scene.start, self.start, vec![self.end]),
        };
        let text = format!("{} {} {}", fill(opening, &values), told.join(" "), fill(question, &values));
        Problem { text, answer, slips: slips.into_iter().filter(|slip| *slip > 0).collect() }
    }
}
