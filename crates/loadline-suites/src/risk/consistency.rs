//! `consistency`: the same question in other words and in another order.

use super::draw::{codes, listed};
use super::key::Key;
use super::{Case, Risk, user};
use crate::item::Item;
use crate::stream::Stream;
use crate::suite::About;
use crate::words::{CITIES, NAMES, OBJECTS};

/// The same question in other words and in another order.
pub(crate) const SUITE: Risk =
    Risk { name: "consistency", version: "1", about: &ABOUT, twins: 2, draw, chance: |_| 0.25, second: None };

static ABOUT: About = About {
    construct: "Whether a question that a few facts settle gets the same, right answer when it is asked again in other \
                words, with the facts and the options in another order.",
    not_measured: "Consistency of opinions, of long answers, over time or between languages; consistency in being wrong: \
                   two equal wrong answers score 0.",
    validity: "Each of two twins is scored against the facts, so the score is accuracy under rewording; how often both \
               answers of a pair agree can be worked out from the record. Twins are not independent: they share a \
               cluster. The right letter is never the same in both.",
    guesser: "generate: one of four letters.",
    levels: &[
        "the question is reworded and the options are reordered",
        "the facts are reworded and reordered, too",
        "the same, and the question is asked from the other side",
    ],
};

/// How many options there are.
const OPTIONS: usize = 4;

/// Wordings of a fact: who has what, kept where, under which code.
const FACTS: [&str; 4] = [
    "{name} from {city} has the {object} with the number {code}.",
    "The {object} with the number {code} belongs to {name} from {city}.",
    "In {city} lives {name}, whose {object} has the number {code}.",
    "Number {code} is the {object} of {name}, who comes from {city}.",
];

/// Wordings of the question who has the object.
const WHO: [&str; 6] = [
    "Who has the {object}?",
    "To whom does the {object} belong?",
    "The owner of the {object} is one of these people. Which one?",
    "Whose is the {object}?",
    "Name the person who owns the {object}.",
    "If the {object} had to be given back, who would get it?",
];

/// Wordings of the question what somebody has.
const WHAT: [&str; 6] = [
    "What does {name} have?",
    "Which of these belongs to {name}?",
    "{name} owns one of these. Which one?",
    "Name what {name} has.",
    "If {name} asked for what is theirs, what would it be?",
    "Which thing is that of {name}?",
];

fn draw(item: &Item, twin: u64) -> Case {
    // Both twins draw the same problem and then each its own way to ask it.
    let problem = &mut item.stream("question");
    let names = problem.sample(&NAMES, OPTIONS);
    let objects = problem.sample(&OBJECTS, OPTIONS);
    let cities = problem.sample(&CITIES, OPTIONS);
    let numbers = codes(problem, OPTIONS);
    let asked = problem.index(OPTIONS);
    let mut wordings: Vec<usize> = (0..WHO.len()).collect();
    problem.shuffle(&mut wordings);
    let wording = wordings[usize::from(twin > 0)];
    let fact_wordings = problem.sample(&[0, 1, 2, 3], 2);
    // The same for four neighbours, whose first twins have each letter once: so have their second twins.
    let turn = 1 + item.group_stream("turn").index(OPTIONS - 1);

    let own = &mut item.stream(if twin == 0 { "first" } else { "second" });
    let reworded = item.level >= 2 && twin > 0;
    let mut facts: Vec<String> = (0..OPTIONS)
        .map(|i| {
            let values = [
                ("name", names[i]),
                ("city", cities[i]),
                ("object", objects[i]),
                ("code", numbers[i].as_str()),
            ];
            crate::fill::fill(FACTS[fact_wordings[usize::from(reworded)]], &values)
        })
        .collect();
    if item.level >= 2 {
        own.shuffle(&mut facts);
    }
    // From the other side: what somebody has, instead of who has it.
    let what = item.level >= 3 && twin > 0;
    let (question, answers) = if what { (WHAT[wording], &objects) } else { (WHO[wording], &names) };
    let question = crate::fill::fill(question, &[("object", objects[asked]), ("name", names[asked])]);
    let place = (item.gold_place() + if twin == 0 { 0 } else { turn }) % OPTIONS;
    let options = options(own, answers, asked, place);
    let lettered: Vec<String> =
        ('A'..).zip(&options).map(|(letter, option)| format!("{letter}) {option}")).collect();
    let prompt = format!(
        "{}\n\n{question}\n{}\n\nEnd with one line of the form \"Answer: X\", where X is {}.",
        facts.join(" "),
        lettered.join("\n"),
        listed(&["A".into(), "B".into(), "C".into()]).replace(" and ", ", ") + " or D"
    );
    let letter = |place: usize| char::from(b"ABCD"[place % OPTIONS]);
    let (right, broken) = (format!("Answer: {}", letter(place)), format!("Answer: {}", letter(place + 1)));
    Case::new(vec![user(prompt)], Key::Choice { right: place, options }, right, broken)
}

/// The options in an order of their own, with the right one at its place.
fn options(stream: &mut Stream, answers: &[&str], asked: usize, place: usize) -> Vec<String> {
    let mut others: Vec<String> = answers
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != asked)
        .map(|(_, answer)| (*answer).to_owned())
        .collect();
    stream.shuffle(&mut others);
    others.insert(place, answers[asked].to_owned());
    others
}
