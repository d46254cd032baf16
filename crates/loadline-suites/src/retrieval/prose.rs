//! The prose of `retrieval`: a town's chronicle, made of sentences that say nothing about where anything is kept.

use crate::fill::fill;
use crate::stream::Stream;
use crate::words::{CITIES, DAYS, THINGS};

/// Places in which things are kept: the answers. None of them occurs anywhere else in the prose.
pub(super) const PLACES: [&str; 60] = [
    "abbey",
    "arsenal",
    "bakery",
    "barracks",
    "bathhouse",
    "belfry",
    "boathouse",
    "brewery",
    "cannery",
    "castle",
    "cathedral",
    "cave",
    "cellar",
    "chapel",
    "cinema",
    "citadel",
    "clinic",
    "cloister",
    "courthouse",
    "crypt",
    "distillery",
    "dockyard",
    "dovecote",
    "fortress",
    "foundry",
    "gatehouse",
    "granary",
    "greenhouse",
    "gymnasium",
    "hospital",
    "hotel",
    "laundry",
    "library",
    "lighthouse",
    "mansion",
    "monastery",
    "museum",
    "observatory",
    "orchard",
    "palace",
    "pharmacy",
    "prison",
    "quarry",
    "sawmill",
    "shipyard",
    "smithy",
    "stable",
    "station",
    "synagogue",
    "tannery",
    "tavern",
    "theatre",
    "tower",
    "tunnel",
    "university",
    "vault",
    "vineyard",
    "warehouse",
    "windmill",
    "zoo",
];

/// Sentences of the chronicle. `name` is somebody who owns nothing that is asked about.
const SENTENCES: [&str; 44] = [
    "On {day} the weather was {weather}, and the stalls in {street} closed early.",
    "{name} came back from {city} with {n} {thing} and a bad cold.",
    "The council sat for {n} hours and put off the matter of the {works} once more.",
    "Nobody in {street} could remember any {season} as {weather} as this one.",
    "A letter from {city} arrived {n} days late, and nobody knew whom to blame.",
    "{name} promised to repair the {works} before the end of {season}.",
    "There was talk of a new road to {city}, but the money for it had not been found.",
    "The children of {street} spent the whole of {day} building a raft.",
    "{name} told a long story about {city} that nobody quite believed.",
    "The price of {thing} rose again, which pleased only those who had some to sell.",
    "Someone had painted the {works} {colour} during the night.",
    "{name} counted {n} geese on the river and wrote the number down.",
    "A travelling circus stopped for {n} days and left behind a smell of sawdust.",
    "In {season} the evenings in {street} were long and quiet.",
    "{name} and a cousin from {city} argued about the {works} until it grew dark.",
    "The band played {n} tunes in {street}, most of them twice.",
    "It was on a {weather} {day} that the {works} finally gave way.",
    "{name} had {n} visitors in one week and was glad when they left.",
    "The newspaper printed a drawing of the {works} and got it wrong.",
    "All through {season} people complained about the {works}.",
    "A merchant from {city} offered {n} {thing} at half the usual price.",
    "{name} slept badly, because the wind rattled every shutter in {street}.",
    "The mayor gave a speech of {n} minutes and thanked everybody twice.",
    "Two dogs followed {name} from {street} to the river and back.",
    "The bus to {city} broke down on {day}, and the passengers walked the rest of the way.",
    "{name} learned to juggle with three {thing} and showed it to anyone who would look.",
    "By {day} the flood had gone down, and {street} was full of mud.",
    "The {weather} air made the old {works} creak.",
    "{name} won {n} coins in a bet about the weather and spent them at once.",
    "Nothing at all happened on {day}, and most people were grateful for it.",
    "In {street} a {colour} cat had taken to sleeping on doorsteps.",
    "{name} wrote to a friend in {city} that life here was slow but pleasant.",
    "The teacher asked the children to draw the {works} from memory.",
    "Early in {season} a storm broke {n} windows in {street}.",
    "{name} planted {n} rows of beans and waited for rain.",
    "The choir practised on {day}, and the neighbours shut their windows.",
    "A stranger asked the way to {city} and was sent in the wrong direction.",
    "{name} mended a fence in {street} and would not take any money for it.",
    "They say that in {city} even the {works} is {colour}.",
    "The fire brigade was called {n} times that {season}, always for nothing.",
    "{name} forgot the date and turned up for the meeting on {day} instead.",
    "Bread was short in {season}, so people in {street} baked with oats.",
    "A photograph of {street} was sent to {city} and came back with a prize.",
    "{name} bought {n} {thing}, though it was never clear what for.",
];

const WEATHER: [&str; 10] =
    ["chilly", "damp", "dry", "foggy", "frosty", "hot", "mild", "misty", "stormy", "windy"];
const SEASONS: [&str; 4] = ["spring", "summer", "autumn", "winter"];
const STREETS: [&str; 16] = [
    "Acorn Lane",
    "Bell Street",
    "Canal Road",
    "Duke Street",
    "Fern Alley",
    "Goose Lane",
    "Hill Road",
    "Ivy Row",
    "King Street",
    "Long Lane",
    "Moss Road",
    "North Street",
    "Pear Alley",
    "Queen Street",
    "River Row",
    "Salt Lane",
];
const WORKS: [&str; 10] = [
    "bandstand",
    "bridge",
    "bus shelter",
    "clock",
    "drain",
    "fountain",
    "landing stage",
    "town gate",
    "town wall",
    "weathercock",
];
const COLOURS: [&str; 8] = ["black", "blue", "brown", "green", "grey", "red", "white", "yellow"];

/// One sentence.
pub(super) fn sentence(stream: &mut Stream, names: &[&str]) -> String {
    let n = stream.between(3, 40).to_string();
    let template = stream.pick(&SENTENCES);
    let values = [
        ("name", stream.pick(names)),
        ("city", stream.pick(&CITIES)),
        ("day", stream.pick(&DAYS)),
        ("thing", stream.pick(&THINGS)),
        ("weather", stream.pick(&WEATHER)),
        ("season", stream.pick(&SEASONS)),
        ("street", stream.pick(&STREETS)),
        ("works", stream.pick(&WORKS)),
        ("colour", stream.pick(&COLOURS)),
        ("n", &n),
    ];
    fill(template, &values)
}

/// Puts sentences into paragraphs of five to eight.
pub(super) fn paragraphs(stream: &mut Stream, sentences: &[String]) -> String {
    let mut text = String::new();
    let mut rest = sentences;
    while !rest.is_empty() {
        let (paragraph, after) = rest.split_at((5 + stream.index(4)).min(rest.len()));
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&paragraph.join(" "));
        rest = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::words::OCCUPATIONS;

    #[test]
    fn no_place_occurs_in_the_prose() {
        let lists: [&[&str]; 10] = [
            &SENTENCES,
            &WEATHER,
            &SEASONS,
            &STREETS,
            &WORKS,
            &COLOURS,
            &CITIES,
            &THINGS,
            &OCCUPATIONS,
            &crate::words::OBJECTS,
        ];
        let words: BTreeSet<String> = lists
            .into_iter()
            .flatten()
            .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
            .map(str::to_lowercase)
            .collect();
        for place in PLACES {
            assert!(!words.contains(place), "{place}");
        }
        assert_eq!(PLACES.iter().collect::<BTreeSet<_>>().len(), PLACES.len());
    }
}
