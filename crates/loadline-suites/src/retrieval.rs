//! `retrieval`: finding a fact in a long text.

mod prose;

use std::collections::BTreeSet;

use loadline_core::{ModelOutput, Sample, Score, Value};
use serde_json::Map;

use self::prose::{PLACES, paragraphs, sentence};
use crate::answer;
use crate::item::{Item, exact_match, is_choice, score_choice};
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};
use crate::words::{ADJECTIVES, NAMES, OBJECTS, OCCUPATIONS};

/// Finding a fact in a long text.
pub(crate) struct Retrieval;

static ABOUT: About = About {
    construct: "Finding one stated fact in a text of 200 to 3,000 words among others that resemble it, and at the \
                harder levels joining two or three facts that stand far apart.",
    not_measured: "Understanding a text as a whole, summary, inference beyond joining names, texts longer than \
                   3,000 words, search in several documents.",
    validity: "The prose around the facts is made of sentence templates about other matters, so facts stand out by \
               their kind more than in a natural text. Longer texts also hold more facts: length and confusion \
               grow together and cannot be told apart by level. A model whose context is shorter than the prompt \
               fails for that reason.",
    guesser: "generate: draws evenly from the places that the text's facts name. choice: one of four.",
    levels: &[
        "200 words, 4 facts about different people and objects",
        "500 words, 6 facts",
        "1,000 words, 10 facts that share the person or the object with the one asked for",
        "2,000 words, 16 such facts; the person is asked for by occupation, which is told elsewhere",
        "3,000 words, 24 such facts; asked for as the cousin of somebody known by occupation",
    ],
};

/// How many words and how many facts each level has.
const SIZES: [(usize, usize); 5] = [(200, 4), (500, 6), (1000, 10), (2000, 16), (3000, 24)];

impl Suite for Retrieval {
    fn name(&self) -> &'static str {
        "retrieval"
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
        let search = Search::draw(&mut item.stream("question"), item.level);
        let mut metadata = Map::new();
        metadata.insert("places".into(), search.places.clone().into());
        let right = format!("the {}", search.places[0]);
        match form {
            Form::Generate => {
                let prompt = format!(
                    "Read the text and answer the question below it.\n\n{}\n\nQuestion: {}\nEnd with one line of \
                     the form \"Answer: PLACE\", with the place as the text names it.",
                    search.text, search.question
                );
                item.generate(prompt, right, 512, metadata)
            }
            Form::Choice => {
                let wrong: Vec<String> = item
                    .stream("choices")
                    .sample(&search.places[1..], 3)
                    .into_iter()
                    .map(|place| format!("the {place}"))
                    .collect();
                let context = format!("{}\n\nQuestion: {}\nAnswer:", search.text, search.question);
                item.choice(context, &right, &wrong, metadata)
            }
        }
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        if is_choice(sample) {
            return score_choice(sample, output);
        }
        let places: Vec<&str> = match sample.metadata.get("places").and_then(serde_json::Value::as_array) {
            Some(places) if !places.is_empty() => {
                places.iter().filter_map(serde_json::Value::as_str).collect()
            }
            _ => {
                let value = Value::unscored("the sample's metadata does not name the places");
                return vec![Score { metric: "exact_match".into(), value, answer: None, explanation: None }];
            }
        };
        let named = named(&output.completion, &places);
        let right =
            !named.is_empty() && sample.target.iter().any(|target| self::named(target, &places) == named);
        let explanation = match named.len() {
            0 => Some("it names none of the places in the text".to_owned()),
            1 => None,
            _ => Some("it names more than one of the places in the text".to_owned()),
        };
        let shown: Vec<&str> = named.into_iter().collect();
        vec![exact_match(right, (!shown.is_empty()).then(|| shown.join(", ")), explanation)]
    }

    fn chance(&self, form: Form, level: u32) -> f64 {
        match form {
            Form::Choice => 0.25,
            // At most 24 facts.
            Form::Generate => 1.0 / f64::from(u32::try_from(size(level).1).unwrap_or(1)),
        }
    }
}

/// How many words and how many facts a level has.
fn size(level: u32) -> (usize, usize) {
    let place = usize::try_from(level.saturating_sub(1)).unwrap_or_default();
    SIZES[place.min(SIZES.len() - 1)]
}

/// Which of the places an answer names: as whole words, in the stated answer where there is one.
fn named<'a>(text: &str, places: &[&'a str]) -> BTreeSet<&'a str> {
    let stated = answer::stated(text).to_lowercase();
    let words: BTreeSet<&str> = stated.split(|c: char| !c.is_alphanumeric()).collect();
    places.iter().copied().filter(|place| words.contains(place)).collect()
}

/// A text with facts in it, and a question about one.
struct Search {
    text: String,
    question: String,
    /// The places of all facts, the one asked for first.
    places: Vec<&'static str>,
}

/// Somebody's object.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fact {
    owner: &'static str,
    adjective: &'static str,
    object: &'static str,
}

impl Search {
    fn draw(stream: &mut Stream, level: u32) -> Self {
        let (words, count) = size(level);
        let people = stream.sample(&NAMES, NAMES.len());
        let (cast, crowd) = people.split_at(2 * count);
        let (owners, relatives) = cast.split_at(count);
        let facts = facts(stream, level, owners);
        let places = stream.sample(&PLACES, count);
        let mut told: Vec<String> =
            facts.iter().zip(&places).map(|(fact, place)| tell(stream, fact, place)).collect();
        let mut distinct: Vec<&str> = facts.iter().map(|fact| fact.owner).collect();
        distinct.dedup();
        let jobs = stream.sample(&OCCUPATIONS, distinct.len());
        let who = match level {
            1..=3 => format!("of {}", facts[0].owner),
            4 => {
                told.extend(distinct.iter().zip(&jobs).map(|(name, job)| tell_job(stream, name, job)));
                format!("of the {}", jobs[0])
            }
            _ => {
                for ((owner, relative), job) in distinct.iter().zip(relatives).zip(&jobs) {
                    told.push(tell_job(stream, relative, job));
                    told.push(tell_cousin(stream, relative, owner));
                }
                format!("of the {}'s cousin", jobs[0])
            }
        };
        let question = format!("Where is the {} {} {who} kept?", facts[0].adjective, facts[0].object);
        Self { text: write(stream, words, told, crowd), question, places }
    }
}

/// The facts, the one asked for first. Up to level 2 nothing is shared. From level 3 on the owner asked for has
/// other objects too, and others have the same object; facts of one owner are neighbours in the list.
fn facts(stream: &mut Stream, level: u32, owners: &[&'static str]) -> Vec<Fact> {
    let things: Vec<(&str, &str)> = {
        let objects = stream.sample(&OBJECTS, owners.len());
        objects.into_iter().map(|object| (stream.pick(&ADJECTIVES), object)).collect()
    };
    // A quarter of the facts has the same owner, half of them the same object.
    let shared = if level < 3 { 0 } else { owners.len() / 2 };
    (0..owners.len())
        .map(|i| {
            let owner = if i < shared / 2 { owners[0] } else { owners[i] };
            let (adjective, object) =
                if i >= shared / 2 && i < shared / 2 + shared { things[0] } else { things[i] };
            Fact { owner, adjective, object }
        })
        .collect()
}

/// A fact in words.
fn tell(stream: &mut Stream, fact: &Fact, place: &str) -> String {
    let Fact { owner, adjective, object } = fact;
    let article = if adjective.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    match stream.below(4) {
        0 => format!("The {adjective} {object} of {owner} is kept in the {place}."),
        1 => format!("{owner} has {article} {adjective} {object} and keeps it in the {place}."),
        2 => format!("In the {place} one finds the {adjective} {object} that belongs to {owner}."),
        _ => format!("{owner}'s {adjective} {object} has its place in the {place}."),
    }
}

fn tell_job(stream: &mut Stream, name: &str, job: &str) -> String {
    match stream.below(2) {
        0 => format!("{name} is the {job} of the town."),
        _ => format!("The town has only one {job}, and that is {name}."),
    }
}

fn tell_cousin(stream: &mut Stream, name: &str, cousin: &str) -> String {
    match stream.below(2) {
        0 => format!("{name} has a cousin called {cousin}."),
        _ => format!("{cousin} is the cousin of {name}."),
    }
}

/// A chronicle of about so many words, with the given sentences at random places in it.
fn write(stream: &mut Stream, words: usize, mut told: Vec<String>, crowd: &[&str]) -> String {
    let count = |text: &str| text.split_whitespace().count();
    let mut length: usize = told.iter().map(|sentence| count(sentence)).sum();
    let mut sentences = Vec::new();
    while length < words {
        let next = sentence(stream, crowd);
        length += count(&next);
        sentences.push(next);
    }
    stream.shuffle(&mut told);
    // Each at a place of its own: places are drawn among what is there already.
    for fact in told {
        let at = stream.index(sentences.len() + 1);
        sentences.insert(at, fact);
    }
    paragraphs(stream, &sentences)
}
