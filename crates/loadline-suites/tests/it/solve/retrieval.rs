//! Reads every fact of the text into tables, then looks up.

use std::collections::HashMap;

pub fn solve(prompt: &str) -> String {
    let (text, question) = prompt.rsplit_once("Question: Where is the ").unwrap();
    let (mut places, mut jobs, mut cousins) = (HashMap::new(), HashMap::new(), HashMap::new());
    for sentence in text.split_inclusive(['.', '\n']).map(|sentence| sentence.trim().trim_end_matches('.')) {
        if let Some((thing, owner, place)) = fact(sentence) {
            let before = places.insert((thing.to_owned(), owner.to_owned()), place.to_owned());
            assert_eq!(before, None, "told twice: {sentence}");
        } else if let Some((name, job)) =
            sentence.strip_suffix(" of the town").and_then(|rest| rest.split_once(" is the "))
        {
            jobs.insert(job, name);
        } else if let Some(rest) = sentence.strip_prefix("The town has only one ") {
            let (job, name) = rest.split_once(", and that is ").unwrap();
            jobs.insert(job, name);
        } else if let Some((name, cousin)) = sentence.split_once(" has a cousin called ") {
            cousins.insert(name, cousin);
        } else if let Some((cousin, name)) = sentence.split_once(" is the cousin of ") {
            cousins.insert(name, cousin);
        }
    }
    let (thing, who) = question.split(" kept?").next().unwrap().split_once(" of ").unwrap();
    let owner = match who.strip_prefix("the ") {
        None => who,
        Some(who) => match who.strip_suffix("'s cousin") {
            Some(job) => cousins[jobs[job]],
            None => jobs[who],
        },
    };
    format!("the {}", places[&(thing.to_owned(), owner.to_owned())])
}

/// The thing, its owner and its place, when a sentence says where something is kept.
fn fact(sentence: &str) -> Option<(&str, &str, &str)> {
    if let Some((first, place)) = sentence.split_once(" is kept in the ") {
        let (thing, owner) = first.strip_prefix("The ")?.split_once(" of ")?;
        return Some((thing, owner, place));
    }
    if let Some((first, place)) = sentence.split_once(" and keeps it in the ") {
        let (owner, thing) = first.split_once(" has a")?;
        return Some((thing.trim_start_matches("n ").trim_start(), owner, place));
    }
    if let Some((place, rest)) =
        sentence.strip_prefix("In the ").and_then(|s| s.split_once(" one finds the "))
    {
        let (thing, owner) = rest.split_once(" that belongs to ")?;
        return Some((thing, owner, place));
    }
    let (first, place) = sentence.split_once(" has its place in the ")?;
    let (owner, thing) = first.split_once("'s ")?;
    Some((thing, owner, place))
}
