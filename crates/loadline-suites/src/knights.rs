//! `knights-and-knaves`: who tells the truth and who lies.

mod claim;
mod read;

use loadline_core::{ModelOutput, Sample, Score, Value};
use serde_json::Map;

use self::claim::{Claim, World, is_knight, solutions};
use crate::item::{Item, exact_match, is_choice, score_choice};
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};
use crate::words::{NAMES, OCCUPATIONS};

/// Who tells the truth and who lies.
pub(crate) struct Knights;

static ABOUT: About = About {
    construct: "Deduction in propositional logic from statements in plain English: keeping several suppositions \
                apart, carrying each to a contradiction or to a consistent whole.",
    not_measured: "Logic with quantifiers beyond counting, induction, informal argument, lying or the detection of \
                   lies in the ordinary sense.",
    validity: "The puzzle type is well known and much written about, so models have seen its kind, though never \
               these items. All statements are about who is what; the number of people is what makes a level \
               hard. `Or`, `either` and `if` are spelled out so that only one reading is possible; `if` is the \
               material conditional, and a model that reads it otherwise is marked wrong.",
    guesser: "generate: says knight or knave of each person by the toss of a coin. choice: one of four.",
    levels: &[
        "2 people, one of whom is known: somebody is a knight or a knave, two are of the same or of different kinds",
        "3 people, also `and` and `or`",
        "4 people, also `either … or … but not both` and `if … then`",
        "6 people, also how many of them are knights or knaves",
        "8 people, the same",
    ],
};

/// How many people each level has.
const PEOPLE: [u32; 5] = [2, 3, 4, 6, 8];

impl Suite for Knights {
    fn name(&self) -> &'static str {
        "knights-and-knaves"
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
        let puzzle = Puzzle::draw(&mut item.stream("question"), item.level);
        let answer = puzzle.says(puzzle.world);
        let mut metadata = Map::new();
        metadata.insert("people".into(), puzzle.names.clone().into());
        match form {
            Form::Generate => {
                let shape: Vec<String> = puzzle.names.iter().map(|name| format!("{name} = X")).collect();
                let prompt = format!(
                    "{}\n\nWhat is each of them? Think step by step. Then end with one line of the form \
                     \"Answer: {}\", where each X is knight or knave.",
                    puzzle.text,
                    shape.join(", ")
                );
                item.generate(prompt, answer, if item.level < 3 { 768 } else { 2048 }, metadata)
            }
            Form::Choice => {
                let wrong: Vec<String> = puzzle
                    .near_worlds(&mut item.stream("choices"))
                    .iter()
                    .map(|world| puzzle.says(*world))
                    .collect();
                let context = format!("{}\n\nQuestion: What is each of them?\nAnswer:", puzzle.text);
                item.choice(context, &answer, &wrong, metadata)
            }
        }
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        if is_choice(sample) {
            return score_choice(sample, output);
        }
        let people: Vec<&str> = match sample.metadata.get("people").and_then(serde_json::Value::as_array) {
            Some(names) if !names.is_empty() => names.iter().filter_map(serde_json::Value::as_str).collect(),
            _ => {
                let value = Value::unscored("the sample's metadata does not name the people");
                return vec![Score { metric: "exact_match".into(), value, answer: None, explanation: None }];
            }
        };
        let said = read::kinds(&output.completion, &people);
        let right = said.is_some() && sample.target.iter().any(|target| read::kinds(target, &people) == said);
        let explanation =
            said.is_none().then(|| "it does not say of each person exactly one kind".to_owned());
        let shown = said.map(|kinds| phrase(&people, &kinds));
        vec![exact_match(right, shown, explanation)]
    }

    fn chance(&self, form: Form, level: u32) -> f64 {
        match form {
            Form::Choice => 0.25,
            Form::Generate => 1.0 / f64::from(1_u32 << people(level)),
        }
    }

    fn wrong_answer(&self, sample: &Sample) -> String {
        // The first person's kind the other way round.
        let right = sample.target.first().map(String::as_str).unwrap_or_default();
        if right.contains("is a knight") {
            right.replacen("is a knight", "is a knave", 1)
        } else {
            right.replacen("is a knave", "is a knight", 1)
        }
    }
}

/// How many people a level has.
fn people(level: u32) -> u32 {
    let place = usize::try_from(level.saturating_sub(1)).unwrap_or_default();
    PEOPLE[place.min(PEOPLE.len() - 1)]
}

/// Who is what, in words.
fn phrase(names: &[impl AsRef<str>], knights: &[bool]) -> String {
    let parts: Vec<String> = names
        .iter()
        .zip(knights)
        .map(|(name, knight)| format!("{} is a {}", name.as_ref(), if *knight { "knight" } else { "knave" }))
        .collect();
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A puzzle with exactly one solution.
struct Puzzle {
    names: Vec<&'static str>,
    text: String,
    world: World,
}

impl Puzzle {
    fn draw(stream: &mut Stream, level: u32) -> Self {
        let people = people(level);
        let count = usize::try_from(people).unwrap_or_default();
        let names = stream.sample(&NAMES, count);
        let jobs = stream.sample(&OCCUPATIONS, count);
        // Who is known, at level 1.
        let known = (level == 1).then(|| stream.index_u32(people));
        let (claims, world) = claims(stream, level, people, known);
        let presented: Vec<String> =
            names.iter().zip(&jobs).map(|(name, job)| format!("{name} the {job}")).collect();
        let mut text = format!(
            "On the island of {} everybody is either a knight or a knave. Knights always tell the truth and knaves \
             always lie. You meet {}.\n",
            island(stream),
            presented.join(", ")
        );
        for (speaker, claim) in (0..people).zip(&claims) {
            let mut call = |person: u32| {
                let person = usize::try_from(person).unwrap_or_default();
                if stream.one_in(1, 3) { format!("the {}", jobs[person]) } else { names[person].to_owned() }
            };
            let words = claim.words(speaker, &mut call);
            let name = names[usize::try_from(speaker).unwrap_or_default()];
            text.push_str(&format!("\n{name} says: \"{}.\"", capitalised(&words)));
        }
        if let Some(person) = known {
            let name = names[usize::try_from(person).unwrap_or_default()];
            let kind = if is_knight(world, person) { "knight" } else { "knave" };
            text.push_str(&format!("\n\nIt is known that {name} is a {kind}."));
        }
        Self { names, text, world }
    }

    /// A world in words.
    fn says(&self, world: World) -> String {
        let knights: Vec<bool> = (0..).zip(&self.names).map(|(person, _)| is_knight(world, person)).collect();
        phrase(&self.names, &knights)
    }

    /// Three wrong worlds. With two groups of one or two people each, they are the right world with the first
    /// group turned round, with the second, and with both. So each of the four worlds differs from the others as
    /// every other does, and the right one does not stand out among them.
    fn near_worlds(&self, stream: &mut Stream) -> Vec<World> {
        let people = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..people).collect();
        stream.shuffle(&mut order);
        let first = 1 + stream.index((order.len() - 1).min(2));
        let second = 1 + stream.index((order.len() - first).min(2));
        let turned = |group: &[u32]| group.iter().fold(0, |mask: World, person| mask | 1 << person);
        let (a, b) = (turned(&order[..first]), turned(&order[first..first + second]));
        vec![self.world ^ a, self.world ^ b, self.world ^ a ^ b]
    }
}

/// How many sets of statements are tried before one is built that is known to have one solution.
const TRIES: u32 = 400;

/// One statement by each person, together true of exactly one world; where a person is known, of exactly one world in
/// which that person is what is known.
fn claims(stream: &mut Stream, level: u32, people: u32, known: Option<u32>) -> (Vec<Claim>, World) {
    for _ in 0..TRIES {
        let world = stream.index_u32(1 << people);
        let said: Option<Vec<Claim>> = (0..people)
            .map(|speaker| {
                (0..64)
                    .map(|_| Claim::draw(stream, level, speaker, people))
                    .find(|claim| claim.holds(world, people) == is_knight(world, speaker))
            })
            .collect();
        let fits =
            |other: &World| known.is_none_or(|person| is_knight(*other, person) == is_knight(world, person));
        let only = |said: &Vec<Claim>| solutions(said).into_iter().filter(fits).eq([world]);
        if let Some(said) = said.filter(only) {
            return (said, world);
        }
    }
    chain(stream, people)
}

/// Statements with one solution whatever is drawn: the first person cannot lie when saying `I am a knave or the next
/// is …`, and from then on each says what the next one is.
fn chain(stream: &mut Stream, people: u32) -> (Vec<Claim>, World) {
    let world = stream.index_u32(1 << people) | 1;
    let claims = (0..people)
        .map(|speaker| {
            let next = (speaker + 1) % people;
            let about = Claim::Is(next, is_knight(world, next) == is_knight(world, speaker));
            match speaker {
                0 => Claim::Or(Box::new(Claim::Is(0, false)), Box::new(about)),
                _ => about,
            }
        })
        .collect();
    (claims, world)
}

/// A made-up name for an island: three syllables.
fn island(stream: &mut Stream) -> String {
    const STARTS: [&str; 16] =
        ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z"];
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let mut name = String::new();
    for _ in 0..3 {
        name.push_str(stream.pick(&STARTS));
        name.push_str(stream.pick(&VOWELS));
    }
    capitalised(&name)
}

/// With a capital at the start.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_has_one_solution() {
        for key in 0..100 {
            let mut stream = Stream::new([key; 32]);
            for people in 2..=8 {
                let (claims, world) = chain(&mut stream, people);
                assert_eq!(solutions(&claims), [world]);
            }
        }
    }
}
